//! `agentnet chat`: a conversation with an agent, line by line.
//!
//! `input` reads lines. On a terminal, a line editor has history and completion (`editor`, `completion`), and keys that are typed
//! while an answer is awaited are kept (`terminal_mode`). Elsewhere each line of standard input is a question, and its answer is
//! a line of output. `input_parser` parses lines, `conversation` sends them and shows the answers, `incoming` shows messages of
//! other agents.

mod completion;
mod conversation;
mod editor;
mod incoming;
mod input;
mod input_parser;
mod terminal_mode;

use std::pin::pin;
use std::sync::Arc;

use agentnet_protocol::ids;
use clap::Args;

use super::identity_args::IdentityArgs;
use super::message_args::TargetArgs;
use crate::accounts;
use crate::args::{Seconds, trimmed};
use crate::connection::join;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::relative_time::now;
use crate::shell_completion;
use crate::signals::StopSignals;
use conversation::Conversation;
use editor::{Typed, Unfinished};
use incoming::Incoming;
use input::Input;
use input_parser::Line;

/// The answer to Ctrl-C at the prompt.
const LEAVE_HINT: &str = "(Ctrl-D or /quit leaves)";

#[derive(Debug, Args)]
#[command(after_help = "\
Lines that begin with / are commands; /help lists them. Ctrl-C cancels the question that waits, Ctrl-D leaves.")]
pub(crate) struct Chat {
    #[command(flatten)]
    target: TargetArgs,
    /// How long to wait for an answer to begin, and for each further piece of it, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60.0")]
    timeout: Seconds,
    /// Thread to talk in [default: a new one]
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = shell_completion::threads())]
    thread_id: Option<String>,
    /// Message that the first one follows
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank)]
    parent_message_id: Option<String>,
    /// Show replies as JSON envelopes
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

impl Chat {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let target = accounts::full_target(global, self.target.target()?).await?;
        let mut signals = StopSignals::listen()?;
        let (agent, incoming) = incoming::receive(self.identity.agent(global, "cli_chat", "CLI Chat")?);
        let node = join(agent, global, &mut signals, output).await?;
        let thread_id = trimmed(self.thread_id.as_ref())
            .unwrap_or_else(|| ids::prefixed(ids::CLI_THREAD_PREFIX, now().as_unix_millis(), rand::random()));
        let mut conversation = Conversation {
            node: node.clone(),
            target,
            thread_id,
            parent: trimmed(self.parent_message_id.as_ref()),
            timeout: self.timeout.duration(),
            raw: self.raw,
            output,
            interactive: false,
            unfinished: Unfinished::default(),
        };
        let result = converse(&mut conversation, incoming, global, &mut signals).await;
        // In every case, closes the session.
        node.close().await;
        result
    }
}

async fn converse(
    conversation: &mut Conversation,
    incoming: Incoming,
    global: &Global,
    signals: &mut StopSignals,
) -> Result<(), Exit> {
    signals
        .unless(conversation.check_target(&conversation.target, global))
        .await?;
    let mut input = Input::open(
        conversation.node.registry().ok(),
        conversation.output,
        Arc::clone(&conversation.unfinished),
    )?;
    conversation.interactive = input.is_interactive();
    let showing = incoming.show(&conversation.node, conversation.output, input.above());
    let result = handle_lines(conversation, &mut input, global, signals).await;
    // Shows the messages that were acknowledged.
    conversation.node.close().await;
    showing.end().await;
    input.end().await;
    result
}

/// Reads and handles lines until the end.
async fn handle_lines(
    conversation: &mut Conversation,
    input: &mut Input,
    global: &Global,
    signals: &mut StopSignals,
) -> Result<(), Exit> {
    if conversation.interactive {
        let name = conversation.node.username().unwrap_or_default();
        let note = format!(
            "you are @{name}, in thread {}; /help lists the commands, Ctrl-D leaves",
            conversation.thread_id
        );
        conversation.output.note(note);
    }
    loop {
        let text = match next(conversation, input, signals).await? {
            Typed::Line(text) => text,
            Typed::Interrupted => {
                conversation.output.note(LEAVE_HINT);
                continue;
            }
            Typed::Unreadable(failure) => {
                conversation.output.failure(&failure);
                continue;
            }
            Typed::End => return Ok(()),
        };
        let outcome = match input_parser::parse(&text) {
            Ok(Line::Empty) => Ok(()),
            Ok(Line::Quit) => return Ok(()),
            Ok(Line::Text(text)) => conversation.ask(&text, global, signals).await,
            Ok(Line::Command(command)) => conversation.run(command, global, signals).await,
            Err(failure) => Err(failure.into()),
        };
        match outcome {
            Ok(()) => {}
            // A person can go on; a script could take the next answer for this one.
            Err(Exit::Failed(failure)) if conversation.interactive => conversation.output.failure(&failure),
            Err(Exit::Interrupted) if conversation.interactive => conversation.output.note("(cancelled)"),
            Err(ended) => return Err(ended),
        }
    }
}

/// Reads the next line. A Ctrl-C that comes too late to cancel an answer does not end the conversation.
async fn next(conversation: &Conversation, input: &mut Input, signals: &mut StopSignals) -> Result<Typed, Exit> {
    let above = input.above();
    let prompt = conversation.prompt();
    let mut typed = pin!(input.next(&prompt));
    loop {
        tokio::select! {
            biased;
            ended = signals.wait() => match (ended, &above) {
                // If the queue is full, the hint is dropped.
                (Exit::Interrupted, Some(above)) => drop(above.try_send(LEAVE_HINT.to_owned())),
                (ended, _) => return Err(ended),
            },
            typed = &mut typed => return typed,
        }
    }
}
/// A line that cannot be used.
fn unusable(what: impl Into<String>, hint: &str) -> Failure {
    Failure::refused(what).hint(hint)
}
