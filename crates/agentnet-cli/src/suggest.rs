//! Names that look like the one that nobody has.

use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_protocol::rpc::SearchRequest;
use agentnet_protocol::username::lookup_key;

use crate::cli::Global;
use crate::connection::nats_url;
use crate::ended::Failure;

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

/// A failure that says that nobody has this name, with the name that may have been meant.
pub(crate) async fn nobody(global: &Global, wanted: &str, failure: Failure) -> Failure {
    match username(global, wanted).await {
        Some(alike) => failure.hint(format!("did you mean @{alike}? `agentnet search` shows everybody")),
        None => failure,
    }
}

/// By the number of letters that are missing, too many, wrong, or in the wrong order: one, or a third of them.
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
}
