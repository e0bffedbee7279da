//! The line editor, on two threads: one reads keys, one writes texts above the edited line.

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

use super::completion::{TabCompleter, refresh};
use super::terminal_mode::TerminalMode;
use crate::exit::Failure;
use crate::logging::LogRedirect;
use crate::output::Output;

/// Maximum number of lines in the history.
const HISTORY_SIZE: usize = 1_000;
/// Capacity of the queue of texts to write above the line.
const QUEUE_CAPACITY: usize = 16;

/// Timeout of writing the remaining texts at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

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

/// Locked while an answer on the screen is incomplete.
pub(super) type Unfinished = Arc<Mutex<()>>;

/// A terminal with a line editor.
pub(super) struct Terminal {
    prompts: mpsc::Sender<(String, oneshot::Sender<Typed>)>,
    above: mpsc::Sender<String>,
    shown: oneshot::Receiver<()>,
    _refresh: tokio::task::JoinHandle<()>,
    _kept: TerminalMode,
    log: LogRedirect,
}

impl Terminal {
    pub(super) fn open(
        registry: Option<RegistryClient>,
        output: Output,
        unfinished: Unfinished,
    ) -> Result<Self, Failure> {
        let cannot = |error: &dyn std::fmt::Display| Failure::error(format!("cannot read from the terminal: {error}"));
        let completer = TabCompleter::default();
        let candidates = Arc::clone(&completer.0);
        let mut lines = LineEditor::open(completer).map_err(|error| cannot(&error))?;
        // `None` if the terminal has no editing capabilities.
        let printer = lines.editor.create_external_printer().ok();
        let kept = TerminalMode::set(printer.is_some());
        let (prompts, asked) = mpsc::channel(1);
        let (above, texts) = mpsc::channel(QUEUE_CAPACITY);
        let (all, shown) = oneshot::channel();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("editor")
            .spawn(move || lines.read(asked))
            .map_err(|error| cannot(&error))?;
        thread("above")
            .spawn(move || {
                // Dropped when all texts are written.
                let _all = all;
                write_above(texts, printer, output, &unfinished);
            })
            .map_err(|error| cannot(&error))?;
        Ok(Self {
            prompts,
            log: LogRedirect::start(&above),
            above,
            shown,
            _refresh: tokio::spawn(refresh(registry, candidates)),
            _kept: kept,
        })
    }

    /// Reads the next line. If the future is dropped before, the next typed line is lost.
    pub(super) async fn next(&self, prompt: &str) -> Typed {
        let (answer, typed) = oneshot::channel();
        match self.prompts.send((prompt.to_owned(), answer)).await {
            Ok(()) => typed.await.unwrap_or(Typed::End),
            Err(_) => Typed::End,
        }
    }

    /// Waits until all texts are written, up to [`FLUSH_TIMEOUT`].
    pub(super) async fn end(self) {
        let Self { above, shown, log, .. } = self;
        drop((log, above));
        let _ = timeout(FLUSH_TIMEOUT, shown).await;
    }

    /// The queue of texts to write above the edited line.
    pub(super) fn above(&self) -> &mpsc::Sender<String> {
        &self.above
    }
}

/// The editor, with the history of lines.
struct LineEditor {
    editor: Editor<TabCompleter, FileHistory>,
    history: Option<PathBuf>,
    is_cancelled: Arc<AtomicBool>,
}

impl LineEditor {
    fn open(completer: TabCompleter) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .max_history_size(HISTORY_SIZE)?
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(completer));
        let is_cancelled = Arc::<AtomicBool>::default();
        editor.bind_sequence(
            KeyEvent::ctrl('C'),
            EventHandler::Conditional(Box::new(CancelHandler(Arc::clone(&is_cancelled)))),
        );
        for enter in [KeyEvent(KeyCode::Enter, Modifiers::NONE), KeyEvent::ctrl('J')] {
            let handler = EnterHandler(Arc::clone(&is_cancelled));
            editor.bind_sequence(enter, EventHandler::Conditional(Box::new(handler)));
        }
        let history = crate::data_dir::default_dir().ok().map(|dir| dir.join("chat_history"));
        if let Some(path) = &history {
            // The file does not exist at first.
            let _ = editor.load_history(path);
        }
        Ok(Self {
            editor,
            history,
            is_cancelled,
        })
    }

    /// Reads a line for each prompt, until the channel of prompts is closed.
    fn read(mut self, mut asked: mpsc::Receiver<(String, oneshot::Sender<Typed>)>) {
        while let Some((prompt, answer)) = asked.blocking_recv() {
            let typed = match self.editor.readline(&prompt) {
                Ok(_) if self.is_cancelled.swap(false, Ordering::Relaxed) => Typed::Interrupted,
                Ok(line) => {
                    self.remember(&line);
                    Typed::Line(line)
                }
                Err(ReadlineError::Interrupted) => Typed::Interrupted,
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => Typed::Unreadable(
                    Failure::error("what was typed is not UTF-8 text: it was not sent, nor what came with it")
                        .hint("set the terminal to UTF-8, and type the line again"),
                ),
                Err(_) => Typed::End,
            };
            if answer.send(typed).is_err() {
                return;
            }
        }
    }

    /// Adds the line to the history and saves that, readable by this user only.
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

/// Handles Ctrl-C: ends the line as Enter does. Interrupting the editor would lose the keys that follow.
struct CancelHandler(Arc<AtomicBool>);

impl ConditionalEventHandler for CancelHandler {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(true, Ordering::Relaxed);
        Some(Cmd::AcceptLine)
    }
}

/// Handles Enter: the line counts, even after an earlier Ctrl-C.
struct EnterHandler(Arc<AtomicBool>);

impl ConditionalEventHandler for EnterHandler {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(false, Ordering::Relaxed);
        None
    }
}

/// Writes texts above the edited line, but not into an answer.
fn write_above(
    mut texts: mpsc::Receiver<String>,
    mut printer: Option<impl ExternalPrinter>,
    output: Output,
    unfinished: &Mutex<()>,
) {
    while let Some(text) = texts.blocking_recv() {
        // Not held while printing: at the end of a line the printer waits for the next prompt, which comes after the answer.
        drop(unfinished.blocking_lock());
        let written = match &mut printer {
            // Overwrites the line of the spinner.
            Some(printer) => printer.print(format!("\r\x1b[K{text}\n")).is_ok(),
            None => false,
        };
        if !written {
            output.note(text);
        }
    }
}
