//! Account ids from what the user typed: a full id, the beginning of one, the short form of tables, a username.

use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::rpc::{AccountHit, ProfileRequest, ResolveAccountRequest, SearchRequest};
use agentnet_protocol::target::Target;
use agentnet_protocol::username::lookup_key;

use crate::args::{checked_username, trimmed};
use crate::connection::connect_registry;
use crate::did_you_mean;
use crate::exit::Failure;
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::sanitize::clean;

/// Timeout of each lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// The prefix of generated account ids.
const ID_PREFIX: &str = "acct_";
/// Length of a generated account id.
const FULL_ID_LENGTH: usize = ID_PREFIX.len() + 26;
/// Accounts of one page, and maximum number of pages that are searched.
const PAGE_SIZE: usize = 100;
const MAX_PAGES: usize = 200;
/// Maximum number of accounts that the error for an ambiguous id lists.
const MAX_LISTED: usize = 3;

/// The full account id: the given id itself, or the only id that begins with it (or has its two parts around `…`). An id that
/// no account has is returned unchanged: the next request refuses it.
///
/// # Errors
/// Several accounts match, or none matches an id with `…`.
pub(crate) async fn full_id(global: &Global, given: &str) -> Result<String, Failure> {
    let given = given.trim();
    let (begin, end) = given.split_once('…').unwrap_or((given, ""));
    let is_shortened = given.contains('…');
    if !is_shortened && (given.len() >= FULL_ID_LENGTH || given.is_empty()) {
        return Ok(given.to_owned());
    }
    // Without a connection the next request says why.
    let Ok(registry) = connect_registry(global).await else {
        return Ok(given.to_owned());
    };
    let registry = registry.with_timeout(LOOKUP_TIMEOUT);
    if !is_shortened && is_known(&registry, given).await {
        return Ok(given.to_owned());
    }
    let matches = |hit: &AccountHit| {
        let rest = hit.account_id.strip_prefix(begin);
        rest.is_some_and(|rest| rest.ends_with(end))
    };
    let Some(found) = matching(&registry, matches).await else {
        return Ok(given.to_owned());
    };
    match found.as_slice() {
        [one] => Ok(one.account_id.clone()),
        [] if is_shortened => Err(not_found(given)),
        [] => Ok(given.to_owned()),
        several => Err(ambiguous(given, several)),
    }
}

/// As [`full_id`], for an optional argument.
pub(crate) async fn optional_full_id(global: &Global, given: Option<&String>) -> Result<Option<String>, Failure> {
    match trimmed(given) {
        Some(given) => full_id(global, &given).await.map(Some),
        None => Ok(None),
    }
}

/// Checks that the account exists.
///
/// # Errors
/// No account has this id.
pub(crate) async fn check_exists(registry: &RegistryClient, id: &str) -> Result<(), Failure> {
    match is_known(registry, id).await {
        true => Ok(()),
        false => Err(not_found(id)),
    }
}

fn not_found(id: &str) -> Failure {
    Failure::refused(format!("account_not_found: no account is {}", clean(id)))
        .hint("`agentnet search --wide` shows every account with its whole id")
        .with_network()
}

/// All accounts that match. A registry search does not look at ids, so this reads all accounts. `None` if a page cannot be
/// read, or if there are too many pages.
async fn matching(registry: &RegistryClient, matches: impl Fn(&AccountHit) -> bool) -> Option<Vec<AccountHit>> {
    let mut found: Vec<AccountHit> = Vec::new();
    let mut request = SearchRequest {
        limit: PAGE_SIZE,
        ..Default::default()
    };
    for _ in 0..MAX_PAGES {
        let page = registry.call(&request).await.ok()?;
        for hit in page.results.into_iter().filter(|hit| matches(hit)) {
            // An account that comes online meanwhile can be on two pages.
            if found.iter().all(|other| other.account_id != hit.account_id) {
                found.push(hit);
            }
        }
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Some(found),
        }
    }
    None
}

/// The target with the full id of its account.
pub(crate) async fn full_target(global: &Global, target: Target) -> Result<Target, Failure> {
    Ok(match target {
        Target::Account(id) => Target::Account(full_id(global, &id).await?),
        other => other,
    })
}

/// The account id for an id, the beginning of one, or a username.
///
/// # Errors
/// No account has the username, or the id is ambiguous.
pub(crate) async fn id_of(global: &Global, given: &str) -> Result<String, Failure> {
    if given.trim().starts_with(ID_PREFIX) {
        return full_id(global, given).await;
    }
    let username = checked_username(given)?;
    let registry = connect_registry(global).await?;
    let request = ResolveAccountRequest {
        username: lookup_key(&username),
    };
    match registry.call(&request).await {
        Ok(reply) => Ok(reply.account_id),
        Err(RegistryError::Refused(code)) if code == "not_found" => {
            let unknown = Failure::refused(format!("No account found for username '{}'", clean(&username)))
                .with_code("account_not_found")
                .hint("`agentnet search` shows all accounts")
                .with_network();
            Err(did_you_mean::with_similar_username(global, &username, unknown).await)
        }
        Err(error) => Err(registry_failure(&error)),
    }
}

/// As [`id_of`], for an optional argument.
pub(crate) async fn optional_id_of(global: &Global, given: Option<&String>) -> Result<Option<String>, Failure> {
    match given {
        Some(given) => id_of(global, given).await.map(Some),
        None => Ok(None),
    }
}

async fn is_known(registry: &RegistryClient, id: &str) -> bool {
    let request = ProfileRequest {
        account_id: Some(id.to_owned()),
        username: None,
    };
    // Without an answer the id counts as existing.
    !matches!(registry.call(&request).await, Err(RegistryError::Refused(_)))
}

fn ambiguous(given: &str, found: &[AccountHit]) -> Failure {
    let shown: Vec<String> = found
        .iter()
        .take(MAX_LISTED)
        .map(|hit| format!("{} (@{})", clean(&hit.account_id), clean(&hit.username)))
        .collect();
    let more = if found.len() > MAX_LISTED { ", …" } else { "" };
    Failure::refused(format!(
        "account_ambiguous: {} is the beginning of {} account ids",
        clean(given),
        found.len()
    ))
    .hint(format!("give more of it: {}{more}", shown.join(", ")))
    .with_network()
}
