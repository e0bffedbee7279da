//! Shell completion of usernames, capabilities, threads, tasks and messages of mailboxes, from the registry.
//!
//! The network is the one that the unfinished command line names, else the one of the environment. Without an answer within
//! [`COMPLETION_TIMEOUT`] there are no candidates. Other agents choose these values, and a shell runs what is on its command
//! line: only values without a special meaning in any shell are offered ([`is_inert`]).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_nats::IDENTITY_SCHEME;
use agentnet_protocol::mailbox::MailboxState;
use agentnet_protocol::rpc::{MailboxListRequest, SearchRequest, TaskListRequest, ThreadListRequest};
use agentnet_protocol::task::TaskState;
use agentnet_protocol::username::lookup_key;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::connection::default_nats_url;
use crate::output::sanitize::clean;
use crate::output::table::MESSAGES;

/// Timeout of a completion: the user waits for it.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(800);
/// Maximum number of candidates.
const MAX_CANDIDATES: usize = 100;
/// Maximum length of a candidate, in bytes.
const MAX_VALUE_LEN: usize = 128;

/// Completes usernames.
pub(crate) fn usernames() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, find_usernames))
}

/// Completes capabilities of agents that are online.
pub(crate) fn capabilities() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, find_capabilities))
}

/// Completes thread ids, latest activity first.
pub(crate) fn threads() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, find_threads))
}

/// Completes ids of messages in the mailbox of the agent that the line names, in this state or in any.
pub(crate) fn mailbox_messages(state: Option<MailboxState>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let request = MailboxListRequest {
            account_id: option_of(line(), "--account-id"),
            username: option_of(line(), "--username").map(|name| lookup_key(&name)),
            state,
            limit: MAX_CANDIDATES,
            ..Default::default()
        };
        candidates(current, move |registry, _| find_mailbox_messages(registry, request))
    })
}

/// Completes ids of tasks in these states, in any without one; the last changed first.
pub(crate) fn tasks(states: &'static [TaskState]) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        candidates(current, move |registry, begun| find_tasks(registry, begun, states))
    })
}

/// Values, each with a description.
type FoundValues = Vec<(String, Option<String>)>;

fn candidates<F>(current: &OsStr, find: impl FnOnce(RegistryClient, String) -> F) -> Vec<CompletionCandidate>
where
    F: Future<Output = Option<FoundValues>>,
{
    let Some(begun) = current.to_str() else {
        return Vec::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let identity = option_of(line(), "--identity").map(|path| format!("{IDENTITY_SCHEME}{path}"));
    let url = identity
        .or_else(|| option_of(line(), "--nats-url"))
        .unwrap_or_else(|| default_nats_url(option_of(line(), "--as").as_deref()));
    let asked = async {
        let registry = RegistryClient::connect(&url).await.ok()?;
        find(registry.with_timeout(COMPLETION_TIMEOUT), begun.to_owned()).await
    };
    let found = runtime.block_on(async { tokio::time::timeout(COMPLETION_TIMEOUT, asked).await.ok().flatten() });
    runtime.shutdown_background();
    let offered = found
        .unwrap_or_default()
        .into_iter()
        .filter(|(value, _)| value.starts_with(begun) && is_inert(value));
    offered
        .map(|(value, beside)| {
            let beside = beside
                .filter(|text| !text.is_empty())
                .map(|text| clean(&text).into_owned().into());
            CompletionCandidate::new(value).help(beside)
        })
        .collect()
}

/// Whether bash, zsh, fish, PowerShell and elvish read the text as one literal word, and no command reads it as a flag, so
/// that it needs no quotes.
pub(crate) fn is_inert(value: &str) -> bool {
    // `-` begins a flag, `=` a command's path in zsh; `@` alone is the splat operator of PowerShell.
    let begins = value
        .trim_start_matches('@')
        .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_-.:@/+=".contains(c);
    begins && value.len() <= MAX_VALUE_LEN && value.chars().all(harmless)
}

/// The words with which the shell asks.
fn line() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// The value of an option on the unfinished command line, which the shell passes after `--`.
fn option_of(arguments: impl Iterator<Item = String>, option: &str) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for word in arguments.skip_while(|argument| argument != "--") {
        // Bash splits words at these characters.
        let mark = matches!(word.as_str(), ":" | "=");
        match words.last_mut() {
            Some(last) if mark || joins => last.push_str(&word),
            _ => words.push(word),
        }
        joins = mark;
    }
    let mut value = None;
    let mut line = words.into_iter().peekable();
    while let Some(argument) = line.next() {
        match argument.strip_prefix(option) {
            Some("") => value = line.peek().cloned(),
            Some(rest) => value = rest.strip_prefix('=').map(str::to_owned).or(value),
            None => {}
        }
    }
    value.filter(|value| !value.is_empty())
}

async fn find_usernames(registry: RegistryClient, begun: String) -> Option<FoundValues> {
    let mark = if begun.starts_with('@') { "@" } else { "" };
    let request = SearchRequest {
        query: begun.trim_start_matches('@').to_owned(),
        limit: MAX_CANDIDATES,
        ..Default::default()
    };
    let found = registry.call(&request).await.ok()?.results;
    Some(
        found
            .into_iter()
            .map(|hit| (format!("{mark}{}", hit.username), Some(hit.display_name)))
            .collect(),
    )
}

async fn find_capabilities(registry: RegistryClient, _: String) -> Option<FoundValues> {
    let online = registry.list_online().await.ok()?;
    let all: BTreeSet<String> = online.into_iter().flat_map(|agent| agent.capabilities).collect();
    Some(all.into_iter().map(|name| (name, None)).collect())
}

async fn find_threads(registry: RegistryClient, begun: String) -> Option<FoundValues> {
    let request = ThreadListRequest {
        query: begun,
        limit: MAX_CANDIDATES,
        ..Default::default()
    };
    let found = registry.call(&request).await.ok()?.results;
    Some(
        found
            .into_iter()
            .map(|thread| (thread.thread_id, Some(MESSAGES.count(thread.message_count as usize))))
            .collect(),
    )
}

async fn find_mailbox_messages(registry: RegistryClient, request: MailboxListRequest) -> Option<FoundValues> {
    if request.account_id.is_none() && request.username.is_none() {
        return None;
    }
    let found = registry.call(&request).await.ok()?.messages;
    Some(
        found
            .into_iter()
            .map(|message| {
                let beside = format!("{} {}", message.state, message.preview);
                (message.message_id, Some(beside))
            })
            .collect(),
    )
}

/// At most [`MAX_CANDIDATES`] tasks. The registry lists the tasks of one state, or of all.
async fn find_tasks(registry: RegistryClient, begun: String, states: &'static [TaskState]) -> Option<FoundValues> {
    let all: Vec<Vec<TaskState>> = match states {
        [] => vec![Vec::new()],
        states => states.iter().map(|state| vec![*state]).collect(),
    };
    let requests = all.into_iter().map(|states| {
        let registry = registry.clone();
        async move {
            let request = TaskListRequest {
                states,
                limit: MAX_CANDIDATES,
                ..TaskListRequest::default()
            };
            Some(registry.call(&request).await.ok()?.tasks)
        }
    });
    let found = futures::future::join_all(requests)
        .await
        .into_iter()
        .flatten()
        .flatten();
    let found = found
        .filter(|task| task.task_id.starts_with(&begun))
        .take(MAX_CANDIDATES);
    let values = found.map(|task| {
        let beside = format!("{} {}", task.state, task.title.unwrap_or(task.assigned_text));
        (task.task_id, Some(beside.chars().take(MAX_VALUE_LEN).collect()))
    });
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_mean_themselves_are_offered() {
        for value in ["ops_1", "a-b.c:d/e+f=g", "@bob", "urn:x@1", "7", "_x"] {
            assert!(is_inert(value), "{value}");
        }
        for value in [
            "",
            "@",
            "-rf",
            "--json",
            "@-x",
            "~root",
            "=ls",
            ".",
            "/etc",
            "+x",
            ":x",
            "a b",
            "a\tb",
            "a\nb",
            "a\rb",
            "$(x)",
            "a$b",
            "a;b",
            "a|b",
            "a&b",
            "a>b",
            "a<b",
            "`x`",
            "a'b",
            "a\"b",
            "a\\b",
            "a*",
            "a?",
            "a[b]",
            "{a,b}",
            "a,b",
            "a#b",
            "!!",
            "a!b",
            "^a^b",
            "a%b",
            "a(b)",
            "\u{2018}x\u{2019}",
            "\u{201c}x",
            "日本",
            "a\u{200b}b",
            "a\u{0}b",
            "\u{1b}[2J",
        ] {
            assert!(!is_inert(value), "{value:?}");
        }
        assert!(!is_inert(&"a".repeat(MAX_VALUE_LEN + 1)));
    }

    #[test]
    fn the_network_is_that_of_the_line() {
        for (line, url) in [
            ("agentnet -- agentnet send --to-username", None),
            ("agentnet -- agentnet --nats-url nats://h:1 send", Some("nats://h:1")),
            (
                "agentnet -- agentnet send --nats-url=nats://h:1 --to-username a",
                Some("nats://h:1"),
            ),
            ("agentnet -- agentnet --nats-url a --nats-url b", Some("b")),
            (
                "agentnet -- agentnet --nats-url nats : //token@h : 1 send --to-username",
                Some("nats://token@h:1"),
            ),
            (
                "agentnet -- agentnet send --nats-url = nats : //h : 1 --to-username",
                Some("nats://h:1"),
            ),
            ("agentnet --nats-url before -- agentnet send", None),
            ("agentnet -- agentnet send --nats-url", None),
        ] {
            assert_eq!(
                option_of(line.split(' ').map(str::to_owned), "--nats-url").as_deref(),
                url,
                "{line}"
            );
        }
        let line = "agentnet -- agentnet mailbox drop --username @bob --account-id=acct_1 m";
        for (option, value) in [
            ("--username", Some("@bob")),
            ("--account-id", Some("acct_1")),
            ("--user", None),
        ] {
            assert_eq!(
                option_of(line.split(' ').map(str::to_owned), option).as_deref(),
                value,
                "{option}"
            );
        }
    }
}
