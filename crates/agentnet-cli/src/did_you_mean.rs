//! "Did you mean": suggests similar usernames, capabilities and message kinds for ones that do not exist.

use std::collections::BTreeSet;
use std::time::Duration;

use agentnet::{RegistryClient, RegistryError, RequestError, ResolveError, SendError, StreamError};
use agentnet_protocol::AgentInfo;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::rpc::{ResolveAccountRequest, SearchRequest};
use agentnet_protocol::target::Target;
use agentnet_protocol::username::lookup_key;

use crate::connection::connect_registry;
use crate::exit::Failure;
use crate::failures::{refusal, request_failure, send_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;

/// Timeout of the search for a suggestion, which delays the error message.
const SUGGESTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of accounts of each search.
const SEARCH_LIMIT: usize = 100;

async fn similar_username_of_network(global: &Global, wanted: &str) -> Option<String> {
    let find = async {
        let registry = connect_registry(global).await.ok()?;
        similar_username(&registry, wanted).await
    };
    tokio::time::timeout(SUGGESTION_TIMEOUT, find).await.ok().flatten()
}

/// The existing username that is most similar to the wanted one.
pub(crate) async fn similar_username(registry: &RegistryClient, wanted: &str) -> Option<String> {
    let wanted = lookup_key(wanted);
    let registry = registry.clone().with_timeout(SUGGESTION_TIMEOUT);
    let find = async {
        let mut names = Vec::new();
        // Accounts with the same first letters, and accounts that are online.
        let prefix: String = wanted.chars().take(2).collect();
        for (query, online_only) in [(prefix, false), (String::new(), true)] {
            let request = SearchRequest {
                query,
                online_only,
                limit: SEARCH_LIMIT,
                ..Default::default()
            };
            let found = registry.call(&request).await.ok()?.results;
            names.extend(found.into_iter().map(|hit| hit.username));
        }
        closest(&wanted, names)
    };
    tokio::time::timeout(SUGGESTION_TIMEOUT, find).await.ok().flatten()
}

/// Prints a note if the username does not exist, with a similar one if there is one.
pub(crate) async fn note_unknown_username(registry: &RegistryClient, wanted: &str, output: Output) {
    let request = ResolveAccountRequest {
        username: lookup_key(wanted),
    };
    let asked = registry.clone().with_timeout(SUGGESTION_TIMEOUT);
    if !matches!(asked.call(&request).await, Err(RegistryError::Refused(_))) {
        return;
    }
    let name = clean(wanted);
    output.note(match similar_username(registry, wanted).await {
        Some(similar) => format!("note: no account has the username {name}: did you mean @{similar}?"),
        None => format!("note: no account has the username {name}; `agentnet search` shows all accounts"),
    });
}

/// The failure for a username that does not exist, with a similar one if there is one.
pub(crate) async fn with_similar_username(global: &Global, wanted: &str, failure: Failure) -> Failure {
    match similar_username_of_network(global, wanted).await {
        Some(similar) => failure.hint(format!("did you mean @{similar}? `agentnet search` shows all accounts")),
        None => failure,
    }
}

/// The failure to reach a capability. If no agent online has the capability, its hint names a similar one.
pub(crate) async fn with_similar_capability(global: &Global, target: &Target, failure: Failure) -> Failure {
    let Target::Capability(wanted) = target else {
        return failure;
    };
    let find = async {
        let registry = connect_registry(global).await.ok()?;
        registry.with_timeout(SUGGESTION_TIMEOUT).list_online().await.ok()
    };
    let Some(online) = tokio::time::timeout(SUGGESTION_TIMEOUT, find).await.ok().flatten() else {
        return failure;
    };
    let known: BTreeSet<String> = online.into_iter().flat_map(|agent| agent.capabilities).collect();
    if known.contains(wanted) {
        return failure;
    }
    let unknown = format!("no agent online has the capability `{}`", clean(wanted));
    failure.hint(match closest(wanted, known) {
        Some(similar) => format!("{unknown}: did you mean `{}`?", clean(&similar)),
        None => format!("{unknown}: `agentnet list` shows the capabilities of all agents"),
    })
}

/// A note if no agent online has the capability, with a similar one if there is one.
pub(crate) fn capability_note(online: &[AgentInfo], wanted: &str) -> Option<String> {
    let offered = || online.iter().flat_map(|agent| &agent.capabilities);
    if offered().any(|name| name == wanted) {
        return None;
    }
    let same = offered()
        .find(|name| name.to_lowercase() == wanted.to_lowercase())
        .cloned();
    let meant = same.or_else(|| closest(wanted, offered().cloned()));
    let meant = meant.map_or_else(String::new, |name| {
        format!(" (did you mean capability:{}?)", clean(&name))
    });
    Some(format!(
        "note: no agent online has the capability {}{meant}",
        clean(wanted)
    ))
}

/// Prints that note about the capability of a task that waits for a worker. Prints nothing if no registry answers soon.
pub(crate) async fn note_capability(registry: &RegistryClient, wanted: &str, output: Output) {
    let registry = registry.clone().with_timeout(SUGGESTION_TIMEOUT);
    let Ok(Ok(online)) = tokio::time::timeout(SUGGESTION_TIMEOUT, registry.list_online()).await else {
        return;
    };
    if let Some(note) = capability_note(&online, wanted) {
        output.note(format!("{note}; the task waits for one"));
    }
}

/// As [`send_failure`]; for an unknown username with a similar one.
pub(crate) async fn delivery_failure(global: &Global, error: SendError) -> Failure {
    let unknown = match &error {
        SendError::Resolve(ResolveError::NotFound(name)) => Some(name.clone()),
        _ => None,
    };
    let local = matches!(
        &error,
        SendError::Payload(_) | SendError::TooLarge { .. } | SendError::NotRunning
    );
    let failure = match send_failure(error) {
        failure if local => failure,
        failure => failure.with_network(),
    };
    match unknown {
        Some(name) => with_similar_username(global, &name, failure).await,
        None => failure,
    }
}

/// As [`delivery_failure`], for a request.
pub(crate) async fn answer_failure(global: &Global, error: RequestError) -> Failure {
    match error {
        RequestError::Send(error) => delivery_failure(global, error).await,
        error => request_failure(error).with_network(),
    }
}

/// As [`delivery_failure`], for a streamed reply.
pub(crate) async fn stream_failure(global: &Global, error: StreamError) -> Failure {
    let text = error.to_string();
    let failure = match error {
        StreamError::Send(error) => return delivery_failure(global, error).await,
        StreamError::NoResponders { subject } => request_failure(RequestError::NoResponders { subject }),
        StreamError::Timeout { message_id, timeout } => request_failure(RequestError::Timeout { message_id, timeout }),
        StreamError::Failed { code, detail } => refusal(&code, &detail),
        StreamError::Idle { .. } | StreamError::Missing { .. } => Failure::error(text)
            .with_code("request_timeout")
            .hint("the other side has stopped; give it longer with --timeout SECONDS"),
        _ => Failure::error(text),
    };
    failure.with_network()
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

/// The note for a kind of message that is almost a usual one.
fn similar_kind_note(wanted: &str) -> Option<String> {
    if USUAL_KINDS.contains(&wanted) {
        return None;
    }
    let usual = wanted.trim().to_lowercase();
    let known = || USUAL_KINDS.map(str::to_owned).into_iter();
    let meant = known()
        .find(|kind| *kind == usual)
        .or_else(|| closest(&usual, known()))?;
    Some(format!(
        "note: {} is not one of the usual kinds; did you mean {meant}?",
        clean(wanted)
    ))
}

/// The note for an unusual kind of message. It is no error: agents may use any kind.
pub(crate) fn kind_note(wanted: &str) -> Option<String> {
    let list = || {
        format!(
            "note: {} is not one of the usual kinds, which are {}",
            clean(wanted),
            USUAL_KINDS.join(", ")
        )
    };
    similar_kind_note(wanted).or_else(|| (!USUAL_KINDS.contains(&wanted)).then(list))
}

/// The most similar of the names: the one with the smallest edit distance (insertions, deletions, substitutions, swaps of
/// neighbours), at most a third of the length of `wanted`, or 1.
pub(crate) fn closest(wanted: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let max_distance = (wanted.chars().count() / 3).max(1);
    let distances = names
        .into_iter()
        .map(|name| (strsim::osa_distance(wanted, &name), name));
    let similar = distances.filter(|(distance, _)| (1..=max_distance).contains(distance));
    similar.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_without_an_agent_online_is_noted() {
        let online = [AgentInfo {
            capabilities: vec!["weather".into()],
            ..AgentInfo::default()
        }];
        assert_eq!(capability_note(&online, "weather"), None);
        for wanted in ["Weather", "wether"] {
            let said = capability_note(&online, wanted).unwrap();
            assert!(said.contains("did you mean capability:weather?"), "{said}");
        }
        assert!(!capability_note(&online, "chess").unwrap().contains("did you mean"));
    }

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
            let note = similar_kind_note(wanted);
            let ends = meant.map(|meant| format!("did you mean {meant}?"));
            assert_eq!(note.is_some(), meant.is_some(), "{wanted}: {note:?}");
            assert!(
                note.unwrap_or_default().ends_with(&ends.unwrap_or_default()),
                "{wanted}"
            );
        }
        assert_eq!((kind_note("error"), kind_note("greeting").is_some()), (None, true));
    }
}
