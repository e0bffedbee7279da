//! Tab completion of commands, usernames and threads.

use std::sync::Arc;
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ThreadListRequest;
use parking_lot::Mutex;
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use super::input_parser::COMMANDS;
use crate::shell_completion::is_inert;

/// Interval at which usernames and threads are requested.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);
/// Maximum number of threads to complete.
const MAX_THREADS: usize = 100;

/// Usernames and thread ids that the Tab key completes.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    usernames: Vec<String>,
    threads: Vec<String>,
}

/// Requests the candidates regularly.
pub(super) async fn refresh(registry: Option<RegistryClient>, candidates: Arc<Mutex<Candidates>>) {
    let Some(registry) = registry else { return };
    loop {
        let threads = ThreadListRequest {
            limit: MAX_THREADS,
            ..Default::default()
        };
        let (online, threads) = tokio::join!(registry.list_online(), registry.call(&threads));
        {
            let mut candidates = candidates.lock();
            if let Ok(online) = online {
                candidates.usernames = online
                    .into_iter()
                    .filter_map(|agent| agent.username)
                    .filter(|name| is_inert(name))
                    .collect();
                candidates.usernames.sort_unstable();
                candidates.usernames.dedup();
            }
            if let Ok(threads) = threads {
                let ids = threads.results.into_iter().map(|thread| thread.thread_id);
                // The editor writes the candidates to the terminal unchanged.
                candidates.threads = ids.filter(|id| is_inert(id)).collect();
            }
        }
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
}

/// The completer of the line editor.
#[derive(Default, Helper, Hinter, Highlighter, Validator)]
pub(super) struct TabCompleter(pub(super) Arc<Mutex<Candidates>>);

impl Completer for TabCompleter {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let candidates = self.0.lock();
        Ok(complete(&line[..at], &candidates))
    }
}

/// The beginning of the word to complete, and its candidates.
fn complete(typed: &str, candidates: &Candidates) -> (usize, Vec<Pair>) {
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
                candidates.usernames.clone()
            } else {
                marked(&candidates.usernames)
            },
        );
    }
    if let Some(start) = argument("/thread ") {
        return pairs(start, candidates.threads.clone());
    }
    if typed.starts_with('/') && !typed.contains(' ') {
        let names = COMMANDS.iter().map(|(name, _)| match name.split_once(' ') {
            Some((name, _)) => format!("{name} "),
            None => (*name).to_owned(),
        });
        return pairs(0, names.collect());
    }
    // A username inside a message.
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    if typed[start..].starts_with('@') {
        return pairs(start, marked(&candidates.usernames));
    }
    (typed.len(), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_by_where_they_stand() {
        let candidates = Candidates {
            usernames: vec!["alice".into(), "bob".into()],
            threads: vec!["ops_1".into(), "ops_2".into(), "other".into()],
        };
        let words = |typed: &str| {
            let (start, pairs) = complete(typed, &candidates);
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
