//! Accounts as people name them: by a whole id, by the beginning of one, by the form that tables show, by username.

use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::rpc::{AccountHit, ProfileRequest, ResolveAccountRequest, SearchRequest};
use agentnet_protocol::target::Target;
use agentnet_protocol::username::lookup_key;

use crate::cli::Global;
use crate::commands::given;
use crate::commands::sender::checked_username;
use crate::connection::{connect_failure, nats_url, registry_failure};
use crate::ended::Failure;
use crate::output::cell::clean;
use crate::suggest;

/// How long each look-up may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// What generated account ids begin with.
const PREFIX: &str = "acct_";
/// Characters of a generated account id.
const WHOLE_LENGTH: usize = PREFIX.len() + 26;
/// Accounts of one page, pages that are looked at, and accounts that an ambiguous id names.
const PAGE: usize = 100;
const MAX_PAGES: usize = 200;
const NAMED: usize = 3;

/// The account id that is meant: the id itself, or the only one that begins with it (or has its ends around `…`). One that
/// no account has stays as it is, for what is asked next to refuse.
///
/// # Errors
/// Several accounts are meant; or a shortened id is that of none.
pub(crate) async fn whole(global: &Global, named: &str) -> Result<String, Failure> {
    let named = named.trim();
    let (begin, end) = named.split_once('…').unwrap_or((named, ""));
    let is_shortened = named.contains('…');
    if !is_shortened && (named.len() >= WHOLE_LENGTH || named.is_empty()) {
        return Ok(named.to_owned());
    }
    // Where nobody can be asked, what is asked next says why.
    let Ok(registry) = RegistryClient::connect(&nats_url(global)).await else {
        return Ok(named.to_owned());
    };
    let registry = registry.with_timeout(LOOK_UP_TIMEOUT);
    if !is_shortened && is_known(&registry, named).await {
        return Ok(named.to_owned());
    }
    let is_meant = |hit: &AccountHit| {
        let rest = hit.account_id.strip_prefix(begin);
        rest.is_some_and(|rest| rest.ends_with(end))
    };
    let Some(meant) = all_of(&registry, is_meant).await else {
        return Ok(named.to_owned());
    };
    match meant.as_slice() {
        [one] => Ok(one.account_id.clone()),
        [] if is_shortened => Err(not_found(named)),
        [] => Ok(named.to_owned()),
        several => Err(ambiguous(named, several)),
    }
}

/// As [`whole`], for what may not be given.
pub(crate) async fn maybe_whole(global: &Global, named: Option<&String>) -> Result<Option<String>, Failure> {
    match given(named) {
        Some(named) => whole(global, &named).await.map(Some),
        None => Ok(None),
    }
}

/// Whether an account has this id, asked where nothing was found of it.
///
/// # Errors
/// None has.
pub(crate) async fn known(registry: &RegistryClient, id: &str) -> Result<(), Failure> {
    match is_known(registry, id).await {
        true => Ok(()),
        false => Err(not_found(id)),
    }
}

fn not_found(id: &str) -> Failure {
    Failure::refused(format!("account_not_found: no account is {}", clean(id)))
        .hint("`agentnet search --wide` shows every account with its whole id")
        .of_network()
}

/// The accounts that are meant. A search does not look at ids, so all accounts are passed over. None where a page does not
/// come, or where there are too many pages to know that no other account is meant.
async fn all_of(registry: &RegistryClient, is_meant: impl Fn(&AccountHit) -> bool) -> Option<Vec<AccountHit>> {
    let mut meant: Vec<AccountHit> = Vec::new();
    let mut request = SearchRequest {
        limit: PAGE,
        ..Default::default()
    };
    for _ in 0..MAX_PAGES {
        let page = registry.call(&request).await.ok()?;
        for hit in page.results.into_iter().filter(|hit| is_meant(hit)) {
            // An account that comes online meanwhile can be on two pages.
            if meant.iter().all(|other| other.account_id != hit.account_id) {
                meant.push(hit);
            }
        }
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Some(meant),
        }
    }
    None
}

/// The target with the whole id of its account.
pub(crate) async fn target(global: &Global, target: Target) -> Result<Target, Failure> {
    Ok(match target {
        Target::Account(id) => Target::Account(whole(global, &id).await?),
        other => other,
    })
}

/// The account that is meant by an id, the beginning of one, or a username.
///
/// # Errors
/// Nobody has the name, or the id means several.
pub(crate) async fn id_or_name(global: &Global, named: &str) -> Result<String, Failure> {
    if named.trim().starts_with(PREFIX) {
        return whole(global, named).await;
    }
    let username = checked_username(named)?;
    let registry = RegistryClient::connect(&nats_url(global))
        .await
        .map_err(connect_failure)?;
    let request = ResolveAccountRequest {
        username: lookup_key(&username),
    };
    match registry.call(&request).await {
        Ok(reply) => Ok(reply.account_id),
        Err(RegistryError::Refused(code)) if code == "not_found" => {
            let nobody = Failure::refused(format!("No account found for username '{}'", clean(&username)))
                .named("account_not_found")
                .hint("`agentnet search` shows everybody")
                .of_network();
            Err(suggest::nobody(global, &username, nobody).await)
        }
        Err(error) => Err(registry_failure(&error)),
    }
}

/// As [`id_or_name`], for what may not be given.
pub(crate) async fn maybe(global: &Global, named: Option<&String>) -> Result<Option<String>, Failure> {
    match named {
        Some(named) => id_or_name(global, named).await.map(Some),
        None => Ok(None),
    }
}

async fn is_known(registry: &RegistryClient, id: &str) -> bool {
    let request = ProfileRequest {
        account_id: Some(id.to_owned()),
        username: None,
    };
    // Where that cannot be asked, nothing better is known of the id.
    !matches!(registry.call(&request).await, Err(RegistryError::Refused(_)))
}

fn ambiguous(named: &str, meant: &[AccountHit]) -> Failure {
    let shown: Vec<String> = meant
        .iter()
        .take(NAMED)
        .map(|hit| format!("{} (@{})", clean(&hit.account_id), clean(&hit.username)))
        .collect();
    let more = if meant.len() > NAMED { ", …" } else { "" };
    Failure::refused(format!(
        "account_ambiguous: {} is the beginning of {} account ids",
        clean(named),
        meant.len()
    ))
    .hint(format!("give more of it: {}{more}", shown.join(", ")))
    .of_network()
}
