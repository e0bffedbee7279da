//! Where lines come from: a line editor on a terminal, else standard input.

use std::io::{IsTerminal as _, stdin, stdout};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ThreadListRequest;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::sync::{mpsc, oneshot};

use super::lines::COMMANDS;
use crate::ended::{Ended, Failure};

/// Lines that are remembered.
const REMEMBERED: usize = 1_000;
/// How often names and threads are asked for.
const REFRESH: Duration = Duration::from_secs(15);
/// Threads that are offered.
const THREADS: usize = 100;

/// What came of waiting for a line.
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the input.
    End,
}

/// Where lines come from.
pub(super) enum Input {
    Terminal(Terminal),
    Piped(Lines<BufReader<Stdin>>),
}

/// The editor has a thread of its own: it waits for keys.
pub(super) struct Terminal {
    prompts: mpsc::Sender<(String, oneshot::Sender<Typed>)>,
    _refresh: tokio::task::JoinHandle<()>,
    _cooked: Cooked,
}

impl Input {
    pub(super) fn open(registry: Option<RegistryClient>) -> Result<Self, Ended> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return Ok(Self::Piped(BufReader::new(tokio::io::stdin()).lines()));
        }
        let offers = Arc::<Mutex<Offers>>::default();
        let cooked = Cooked(tcgetattr(stdin()).ok());
        let (prompts, asked) = mpsc::channel(1);
        let completing = Completing(Arc::clone(&offers));
        let history = crate::places::data_dir().ok().map(|dir| dir.join("chat_history"));
        std::thread::Builder::new()
            .name("editor".to_owned())
            .spawn(move || edit(asked, completing, history))
            .map_err(|error| Failure::trouble(format!("cannot read from the terminal: {error}")))?;
        Ok(Self::Terminal(Terminal {
            prompts,
            _refresh: tokio::spawn(refresh(registry, offers)),
            _cooked: cooked,
        }))
    }

    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line. Dropped before there is one, nothing of a pipe is lost.
    pub(super) async fn next(&mut self, prompt: &str) -> Result<Typed, Ended> {
        match self {
            Self::Piped(lines) => Ok(lines.next_line().await?.map_or(Typed::End, Typed::Line)),
            Self::Terminal(terminal) => {
                let (answer, typed) = oneshot::channel();
                let asked = terminal.prompts.send((prompt.to_owned(), answer)).await;
                Ok(match asked {
                    Ok(()) => typed.await.unwrap_or(Typed::End),
                    Err(_) => Typed::End,
                })
            }
        }
    }
}

/// Puts the terminal back as it was: the editor may be left while it waits for a key.
pub(super) struct Cooked(Option<Termios>);

impl Cooked {
    /// Keys are not shown while this lives: they would stand in the middle of an answer.
    pub(super) fn quiet() -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &quiet);
        }
        Self(before)
    }
}

impl Drop for Cooked {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// Reads lines as they are asked for, until nobody asks any more.
fn edit(mut asked: mpsc::Receiver<(String, oneshot::Sender<Typed>)>, completing: Completing, history: Option<PathBuf>) {
    let Ok(config) = Config::builder().max_history_size(REMEMBERED) else {
        return;
    };
    let config = config
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let Ok(mut editor) = Editor::<Completing, FileHistory>::with_config(config) else {
        return;
    };
    editor.set_helper(Some(completing));
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    while let Some((prompt, answer)) = asked.blocking_recv() {
        let typed = match editor.readline(&prompt) {
            Ok(line) => Typed::Line(line),
            Err(ReadlineError::Interrupted) => Typed::Interrupted,
            Err(_) => Typed::End,
        };
        if let Some(path) = &history
            && let Typed::Line(_) = &typed
        {
            remember(&mut editor, path);
        }
        if answer.send(typed).is_err() {
            return;
        }
    }
}

/// What was typed before is there the next time; only this user reads it.
fn remember(editor: &mut Editor<Completing, FileHistory>, path: &PathBuf) {
    if let Some(dir) = path.parent() {
        let _ = std::fs::create_dir_all(dir);
    }
    if let Err(error) = editor.save_history(path) {
        tracing::debug!(%error, "the lines could not be remembered");
    }
}

/// What can be completed to.
#[derive(Debug, Default)]
struct Offers {
    usernames: Vec<String>,
    threads: Vec<String>,
}

async fn refresh(registry: Option<RegistryClient>, offers: Arc<Mutex<Offers>>) {
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
                offers.usernames = online.into_iter().filter_map(|agent| agent.username).collect();
                offers.usernames.sort_unstable();
                offers.usernames.dedup();
            }
            if let Ok(threads) = threads {
                offers.threads = threads.results.into_iter().map(|thread| thread.thread_id).collect();
            }
        }
        tokio::time::sleep(REFRESH).await;
    }
}

#[derive(Helper, Hinter, Highlighter, Validator)]
struct Completing(Arc<Mutex<Offers>>);

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
