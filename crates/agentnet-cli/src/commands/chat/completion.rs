//! Tab: commands, usernames and threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ThreadListRequest;
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use super::input_parser::COMMANDS;
use crate::shell_completion::is_inert;

/// How often names and threads are asked for.
const REFRESH: Duration = Duration::from_secs(15);
/// Threads that are offered.
const THREADS: usize = 100;

/// What can be completed to.
#[derive(Debug, Default)]
pub(super) struct Offers {
    usernames: Vec<String>,
    threads: Vec<String>,
}

/// Asks now and then for what is offered.
pub(super) async fn refresh(registry: Option<RegistryClient>, offers: Arc<Mutex<Offers>>) {
    let Some(registry) = registry else { return };
    loop {
        let threads = ThreadListRequest {
            limit: THREADS,
            ..Default::default()
        };
        let (online, threads) = tokio::join!(registry.list_online(), registry.call(&threads));
        {
            let mut offers = offers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(online) = online {
                offers.usernames = online
                    .into_iter()
                    .filter_map(|agent| agent.username)
                    .filter(|name| is_inert(name))
                    .collect();
                offers.usernames.sort_unstable();
                offers.usernames.dedup();
            }
            if let Ok(threads) = threads {
                let ids = threads.results.into_iter().map(|thread| thread.thread_id);
                // The list of offers is written to the terminal as it is.
                offers.threads = ids.filter(|id| is_inert(id)).collect();
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}

/// The editor's Tab.
#[derive(Default, Helper, Hinter, Highlighter, Validator)]
pub(super) struct Completing(pub(super) Arc<Mutex<Offers>>);

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let offers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(complete(&line[..at], &offers))
    }
}

/// Where the word begins that is to be completed, and what it may become.
fn complete(typed: &str, offers: &Offers) -> (usize, Vec<Pair>) {
    let pairs = |start: usize, words: Vec<String>| {
        let begun = &typed[start..];
        let fitting = words.into_iter().filter(|word| word.starts_with(begun));
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        (start, fitting.map(pair).collect())
    };
    let marked = |names: &[String]| names.iter().map(|name| format!("@{name}")).collect::<Vec<_>>();
    let argument = |command: &str| typed.strip_prefix(command).map(|_| command.len());
    if let Some(start) = argument("/to ") {
        let bare = !typed[start..].starts_with('@') && typed.len() > start;
        return pairs(
            start,
            if bare {
                offers.usernames.clone()
            } else {
                marked(&offers.usernames)
            },
        );
    }
    if let Some(start) = argument("/thread ") {
        return pairs(start, offers.threads.clone());
    }
    if typed.starts_with('/') && !typed.contains(' ') {
        let names = COMMANDS.iter().map(|(name, _)| match name.split_once(' ') {
            Some((name, _)) => format!("{name} "),
            None => (*name).to_owned(),
        });
        return pairs(0, names.collect());
    }
    // A name in the middle of what is said.
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    if typed[start..].starts_with('@') {
        return pairs(start, marked(&offers.usernames));
    }
    (typed.len(), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_by_where_they_stand() {
        let offers = Offers {
            usernames: vec!["alice".into(), "bob".into()],
            threads: vec!["ops_1".into(), "ops_2".into(), "other".into()],
        };
        let words = |typed: &str| {
            let (start, pairs) = complete(typed, &offers);
            (
                start,
                pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>(),
            )
        };
        for (typed, start, expected) in [
            ("/th", 0, vec!["/thread "]),
            ("/h", 0, vec!["/help", "/history "]),
            ("/to ", 4, vec!["@alice", "@bob"]),
            ("/to @b", 4, vec!["@bob"]),
            ("/to al", 4, vec!["alice"]),
            ("/thread op", 8, vec!["ops_1", "ops_2"]),
            ("ask @a", 4, vec!["@alice"]),
            ("hello", 5, vec![]),
        ] {
            assert_eq!(
                words(typed),
                (start, expected.into_iter().map(str::to_owned).collect()),
                "{typed}"
            );
        }
    }
}
