//! The line editor, on two threads of its own: one waits for keys, one writes above the line that is being typed.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::RegistryClient;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler, ExternalPrinter,
    KeyCode, KeyEvent, Modifiers, RepeatCount,
};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::completion::{Completing, refresh};
use super::terminal_mode::TerminalMode;
use crate::exit::Failure;
use crate::logging::LogAbove;
use crate::output::Output;

/// Lines that are remembered.
const REMEMBERED: usize = 1_000;
/// Texts that may wait to be written above the line.
const WAITING: usize = 16;

/// How long it may take to write the last of them.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The result of reading one line.
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// The line is not UTF-8.
    Unreadable(Failure),
    /// Ctrl-D, or the end of the input.
    End,
}

/// Locked while an answer stands on the screen without its end.
pub(super) type Unfinished = Arc<Mutex<()>>;

/// A terminal that somebody types at.
pub(super) struct Terminal {
    prompts: mpsc::Sender<(String, oneshot::Sender<Typed>)>,
    above: mpsc::Sender<String>,
    shown: oneshot::Receiver<()>,
    _refresh: tokio::task::JoinHandle<()>,
    _kept: TerminalMode,
    log: LogAbove,
}

impl Terminal {
    pub(super) fn open(
        registry: Option<RegistryClient>,
        output: Output,
        unfinished: Unfinished,
    ) -> Result<Self, Failure> {
        let cannot =
            |error: &dyn std::fmt::Display| Failure::trouble(format!("cannot read from the terminal: {error}"));
        let completing = Completing::default();
        let offers = Arc::clone(&completing.0);
        let mut lines = LineEditor::open(completing).map_err(|error| cannot(&error))?;
        // There is none where the terminal is too plain for an editor.
        let printer = lines.editor.create_external_printer().ok();
        let kept = TerminalMode::set(printer.is_some());
        let (prompts, asked) = mpsc::channel(1);
        let (above, texts) = mpsc::channel(WAITING);
        let (all, shown) = oneshot::channel();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("editor")
            .spawn(move || lines.read(asked))
            .map_err(|error| cannot(&error))?;
        thread("above")
            .spawn(move || {
                // Dropped when everything is written.
                let _all = all;
                write_above(texts, printer, output, &unfinished);
            })
            .map_err(|error| cannot(&error))?;
        Ok(Self {
            prompts,
            log: LogAbove::put(&above),
            above,
            shown,
            _refresh: tokio::spawn(refresh(registry, offers)),
            _kept: kept,
        })
    }

    /// The next line. Dropped before there is one, what is typed next is lost.
    pub(super) async fn next(&self, prompt: &str) -> Typed {
        let (answer, typed) = oneshot::channel();
        match self.prompts.send((prompt.to_owned(), answer)).await {
            Ok(()) => typed.await.unwrap_or(Typed::End),
            Err(_) => Typed::End,
        }
    }

    /// Waits until everything that was put above is written, but not for long.
    pub(super) async fn end(self) {
        let Self { above, shown, log, .. } = self;
        drop((log, above));
        let _ = timeout(LAST_MOMENT, shown).await;
    }

    /// Where texts are put that are to stand above the line that is being typed.
    pub(super) fn above(&self) -> &mpsc::Sender<String> {
        &self.above
    }
}

/// The editor, which keeps the keys of the lines to come, and the lines that were typed before.
struct LineEditor {
    editor: Editor<Completing, FileHistory>,
    history: Option<PathBuf>,
    given_up: Arc<AtomicBool>,
}

impl LineEditor {
    fn open(completing: Completing) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .max_history_size(REMEMBERED)?
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(completing));
        let given_up = Arc::<AtomicBool>::default();
        editor.bind_sequence(
            KeyEvent::ctrl('C'),
            EventHandler::Conditional(Box::new(GivesUp(Arc::clone(&given_up)))),
        );
        for enter in [KeyEvent(KeyCode::Enter, Modifiers::NONE), KeyEvent::ctrl('J')] {
            let handler = Enters(Arc::clone(&given_up));
            editor.bind_sequence(enter, EventHandler::Conditional(Box::new(handler)));
        }
        let history = crate::data_dir::default_dir().ok().map(|dir| dir.join("chat_history"));
        if let Some(path) = &history {
            // The first time there is none.
            let _ = editor.load_history(path);
        }
        Ok(Self {
            editor,
            history,
            given_up,
        })
    }

    /// Reads lines as they are asked for, until nobody asks any more.
    fn read(mut self, mut asked: mpsc::Receiver<(String, oneshot::Sender<Typed>)>) {
        while let Some((prompt, answer)) = asked.blocking_recv() {
            let typed = match self.editor.readline(&prompt) {
                Ok(_) if self.given_up.swap(false, Ordering::Relaxed) => Typed::Interrupted,
                Ok(line) => {
                    self.remember(&line);
                    Typed::Line(line)
                }
                Err(ReadlineError::Interrupted) => Typed::Interrupted,
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => Typed::Unreadable(
                    Failure::trouble("what was typed is not UTF-8 text: it was not sent, nor what came with it")
                        .hint("set the terminal to UTF-8, and type the line again"),
                ),
                Err(_) => Typed::End,
            };
            if answer.send(typed).is_err() {
                return;
            }
        }
    }

    /// What was typed before is there the next time; only this user reads it.
    fn remember(&mut self, line: &str) {
        let _ = self.editor.add_history_entry(line);
        let Some(path) = &self.history else { return };
        if let Some(dir) = path.parent() {
            let _ = std::fs::create_dir_all(dir);
        }
        if let Err(error) = self.editor.save_history(path) {
            tracing::debug!(%error, "the lines could not be remembered");
        }
    }
}

/// Ctrl-C ends the line as Enter does: an editor that is broken off forgets the keys that came with it.
struct GivesUp(Arc<AtomicBool>);

impl ConditionalEventHandler for GivesUp {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// Enter: whatever Ctrl-C meant before, the line counts.
struct Enters(Arc<AtomicBool>);

impl ConditionalEventHandler for Enters {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(false, Ordering::Relaxed);
        None
    }
}

/// Writes texts as they come, but not into an answer.
fn write_above(
    mut texts: mpsc::Receiver<String>,
    mut printer: Option<impl ExternalPrinter>,
    output: Output,
    unfinished: &Mutex<()>,
) {
    while let Some(text) = texts.blocking_recv() {
        // Not held meanwhile: while a line is ended the printer waits for the next prompt, which comes behind the answer.
        drop(unfinished.blocking_lock());
        let written = match &mut printer {
            // Over what stands there while an answer is waited for.
            Some(printer) => printer.print(format!("\r\x1b[K{text}\n")).is_ok(),
            None => false,
        };
        if !written {
            output.note(text);
        }
    }
}
