//! Names that look like the one that nobody has.

use std::collections::BTreeSet;
use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::envelope::kind;
use agentnet_protocol::rpc::{ResolveAccountRequest, SearchRequest};
use agentnet_protocol::target::Target;
use agentnet_protocol::username::lookup_key;

use crate::cli::Global;
use crate::connection::nats_url;
use crate::ended::Failure;
use crate::output::Output;
use crate::output::cell::clean;

/// How long the search for them may take: the failure waits for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Accounts that are looked at.
const MOST: usize = 100;

/// The username on this network that is most like this one, if one is.
async fn username(global: &Global, wanted: &str) -> Option<String> {
    let find = async {
        let registry = RegistryClient::connect(&nats_url(global)).await.ok()?;
        alike(&registry, wanted).await
    };
    tokio::time::timeout(PATIENCE, find).await.ok().flatten()
}

/// As [`username`], where there is a connection already.
pub(crate) async fn alike(registry: &RegistryClient, wanted: &str) -> Option<String> {
    let wanted = lookup_key(wanted);
    let registry = registry.clone().with_timeout(PATIENCE);
    let find = async {
        let mut names = Vec::new();
        // Those who begin alike, and those who are online.
        let begin: String = wanted.chars().take(2).collect();
        for (query, online_only) in [(begin, false), (String::new(), true)] {
            let request = SearchRequest {
                query,
                online_only,
                limit: MOST,
                ..Default::default()
            };
            names.extend(
                registry
                    .call(&request)
                    .await
                    .ok()?
                    .results
                    .into_iter()
                    .map(|hit| hit.username),
            );
        }
        closest(&wanted, names)
    };
    tokio::time::timeout(PATIENCE, find).await.ok().flatten()
}

/// Whether nobody has this name; then a remark says so, with the name that may have been meant.
pub(crate) async fn note_unknown(registry: &RegistryClient, wanted: &str, output: Output) {
    let request = ResolveAccountRequest {
        username: lookup_key(wanted),
    };
    let asked = registry.clone().with_timeout(PATIENCE);
    if !matches!(asked.call(&request).await, Err(RegistryError::Refused(_))) {
        return;
    }
    let name = clean(wanted);
    output.note(match alike(registry, wanted).await {
        Some(alike) => format!("note: nobody is called {name}: did you mean @{alike}?"),
        None => format!("note: nobody is called {name}; `agentnet search` shows everybody"),
    });
}

/// A failure that says that nobody has this name, with the name that may have been meant.
pub(crate) async fn nobody(global: &Global, wanted: &str, failure: Failure) -> Failure {
    match username(global, wanted).await {
        Some(alike) => failure.hint(format!("did you mean @{alike}? `agentnet search` shows everybody")),
        None => failure,
    }
}

/// The failure to reach a capability, with the one that may have been meant if nobody online has it.
pub(crate) async fn capability(global: &Global, target: &Target, failure: Failure) -> Failure {
    let Target::Capability(wanted) = target else {
        return failure;
    };
    let find = async {
        let registry = RegistryClient::connect(&nats_url(global)).await.ok()?;
        registry.with_timeout(PATIENCE).list_online().await.ok()
    };
    let Some(online) = tokio::time::timeout(PATIENCE, find).await.ok().flatten() else {
        return failure;
    };
    let known: BTreeSet<String> = online.into_iter().flat_map(|agent| agent.capabilities).collect();
    if known.contains(wanted) {
        return failure;
    }
    let nobody = format!("nobody who is online has the capability `{}`", clean(wanted));
    failure.hint(match closest(wanted, known) {
        Some(alike) => format!("{nobody}: did you mean `{}`?", clean(&alike)),
        None => format!("{nobody}: `agentnet list` shows who can do what"),
    })
}

/// The kinds that agents usually send.
const USUAL_KINDS: [&str; 6] = [
    kind::DIRECT,
    kind::REQUEST,
    kind::REPLY,
    kind::ERROR,
    kind::STREAM,
    kind::SYSTEM,
];

/// What to say of a kind of message that is almost one of the usual.
pub(crate) fn kind(wanted: &str) -> Option<String> {
    if USUAL_KINDS.contains(&wanted) {
        return None;
    }
    let usual = wanted.trim().to_lowercase();
    let known = || USUAL_KINDS.map(str::to_owned).into_iter();
    let meant = known()
        .find(|kind| *kind == usual)
        .or_else(|| closest(&usual, known()))?;
    Some(format!(
        "note: {} is none of the usual kinds; did you mean {meant}?",
        clean(wanted)
    ))
}

/// What to say of a kind that is none of the usual ones. Kinds are free, so it is no error.
pub(crate) fn unusual_kind(wanted: &str) -> Option<String> {
    let list = || {
        format!(
            "note: {} is none of the usual kinds, which are {}",
            clean(wanted),
            USUAL_KINDS.join(", ")
        )
    };
    kind(wanted).or_else(|| (!USUAL_KINDS.contains(&wanted)).then(list))
}

/// The name that is most like the wanted one, if one is: by the number of letters that are missing, too many, wrong, or in the
/// wrong order. One may be, or a third of them.
pub(crate) fn closest(wanted: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let most = (wanted.chars().count() / 3).max(1);
    let apart = names
        .into_iter()
        .map(|name| (strsim::osa_distance(wanted, &name), name));
    let alike = apart.filter(|(apart, _)| (1..=most).contains(apart));
    alike.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_offered() {
        let names = || ["weather_bot", "water_bot", "alice", "bob"].map(str::to_owned);
        for (wanted, offered) in [
            ("wether_bot", Some("weather_bot")),
            ("alcie", Some("alice")),
            ("bbo", Some("bob")),
            ("zzz", None),
            ("bob", None),
        ] {
            assert_eq!(closest(wanted, names()).as_deref(), offered, "{wanted}");
        }
    }

    #[test]
    fn a_kind_that_is_almost_one_is_told() {
        for (wanted, meant) in [
            ("stram", Some("stream")),
            ("Reply", Some("reply")),
            ("REQUEST", Some("request")),
            ("reqest", Some("request")),
            ("stream", None),
            ("greeting", None),
        ] {
            let said = kind(wanted);
            let ends = meant.map(|meant| format!("did you mean {meant}?"));
            assert_eq!(said.is_some(), meant.is_some(), "{wanted}: {said:?}");
            assert!(
                said.unwrap_or_default().ends_with(&ends.unwrap_or_default()),
                "{wanted}"
            );
        }
        assert_eq!(
            (unusual_kind("error"), unusual_kind("greeting").is_some()),
            (None, true)
        );
    }
}
