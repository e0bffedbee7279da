//! `agentnet chat`: a conversation with an agent, line by line.
//!
//! Lines come from `input`: on a terminal they are edited, remembered and completed (`editor`, `completion`), and what is typed
//! while an answer is waited for is kept (`terminal_mode`); elsewhere each line of standard input is a question and its answer a line
//! of output. `input_parser` parses lines, `conversation` sends them and shows the answers, `incoming` shows messages of others.

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

/// What Ctrl-C at the prompt is answered with.
const LEAVES: &str = "(Ctrl-D or /quit leaves)";

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
    /// Show answers as the messages they are, in JSON
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

impl Chat {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let target = accounts::full_target(global, self.target.target()?).await?;
        let mut signals = StopSignals::listen()?;
        let (agent, incoming) = incoming::taken_by(self.identity.agent("cli_chat", "CLI Chat")?);
        let node = join(agent, global, &mut signals, output).await?;
        let thread_id = trimmed(self.thread_id.as_ref())
            .unwrap_or_else(|| ids::prefixed(ids::CLI_THREAD_PREFIX, now().as_unix_millis(), rand::random()));
        let mut talk = Conversation {
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
        let result = converse(&mut talk, incoming, global, &mut signals).await;
        // Whatever came of it: no session is left behind.
        node.close().await;
        result
    }
}

async fn converse(
    talk: &mut Conversation,
    incoming: Incoming,
    global: &Global,
    signals: &mut StopSignals,
) -> Result<(), Exit> {
    signals.unless(talk.known(&talk.target, global)).await?;
    let mut input = Input::open(talk.node.registry().ok(), talk.output, Arc::clone(&talk.unfinished))?;
    talk.interactive = input.is_interactive();
    let showing = incoming.show(&talk.node, talk.output, input.above());
    let result = take_lines(talk, &mut input, global, signals).await;
    // Whoever was told that a message is taken has it shown.
    talk.node.close().await;
    showing.end().await;
    input.end().await;
    result
}

/// Takes lines until the last one.
async fn take_lines(
    talk: &mut Conversation,
    input: &mut Input,
    global: &Global,
    signals: &mut StopSignals,
) -> Result<(), Exit> {
    if talk.interactive {
        let name = talk.node.username().unwrap_or_default();
        let note = format!(
            "you are @{name}, in thread {}; /help lists the commands, Ctrl-D leaves",
            talk.thread_id
        );
        talk.output.note(note);
    }
    loop {
        let text = match next(talk, input, signals).await? {
            Typed::Line(text) => text,
            Typed::Interrupted => {
                talk.output.note(LEAVES);
                continue;
            }
            Typed::Unreadable(failure) => {
                talk.output.failure(&failure);
                continue;
            }
            Typed::End => return Ok(()),
        };
        let outcome = match input_parser::parse(&text) {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::Quit) => return Ok(()),
            Ok(Line::Say(text)) => talk.ask(&text, global, signals).await,
            Ok(Line::Command(command)) => talk.obey(command, global, signals).await,
            Err(failure) => Err(failure.into()),
        };
        match outcome {
            Ok(()) => {}
            // A person goes on; a script must not take the next answer for this one.
            Err(Exit::Failed(failure)) if talk.interactive => talk.output.failure(&failure),
            Err(Exit::Interrupted) if talk.interactive => talk.output.note("(cancelled)"),
            Err(ended) => return Err(ended),
        }
    }
}

/// The next line. A Ctrl-C that comes too late for the answer that it was meant for does not end the conversation.
async fn next(talk: &Conversation, input: &mut Input, signals: &mut StopSignals) -> Result<Typed, Exit> {
    let above = input.above();
    let prompt = talk.prompt();
    let mut typed = pin!(input.next(&prompt));
    loop {
        tokio::select! {
            biased;
            ended = signals.wait() => match (ended, &above) {
                // Too many others wait to be shown: then it is seen that the conversation goes on.
                (Exit::Interrupted, Some(above)) => drop(above.try_send(LEAVES.to_owned())),
                (ended, _) => return Err(ended),
            },
            typed = &mut typed => return typed,
        }
    }
}
/// What is wrong with a line.
fn unusable(what: impl Into<String>, hint: &str) -> Failure {
    Failure::refused(what).hint(hint)
}
