//! `agentnet chat`: a conversation with an agent, line by line.
//!
//! On a terminal lines are edited, remembered and completed (`editor`); elsewhere each line of standard input is a question
//! and its answer a line of output. `lines` reads what was typed, `talk` has the conversation.

mod editor;
mod lines;
mod talk;

use agentnet_protocol::ids;
use clap::Args;

use super::sender::{IdentityArgs, TargetArgs};
use super::{Seconds, given};
use crate::cli::Global;
use crate::ended::{Ended, Failure};
use crate::live;
use crate::output::Output;
use crate::output::ago::now;
use crate::signals::StopSignals;
use editor::{Cooked, Input, Typed};
use lines::Line;
use talk::Talk;

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
    #[arg(long, value_name = "ID", add = live::threads())]
    thread_id: Option<String>,
    /// Message that the first one follows
    #[arg(long, value_name = "ID")]
    parent_message_id: Option<String>,
    /// Show answers as the messages they are, in JSON
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

impl Chat {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        let target = self.target.target()?;
        let mut signals = StopSignals::listen()?;
        let node = self.identity.join(global, &mut signals, output, "cli_chat", "CLI Chat").await?;
        let thread_id = given(self.thread_id.as_ref())
            .unwrap_or_else(|| ids::prefixed(ids::CLI_THREAD_PREFIX, now().as_unix_millis(), rand::random()));
        let mut talk = Talk {
            node: node.clone(),
            target,
            thread_id,
            parent: given(self.parent_message_id.as_ref()),
            timeout: self.timeout.duration(),
            raw: self.raw,
            output,
        };
        let result = converse(&mut talk, global, &mut signals).await;
        // Whatever came of it: no session is left behind.
        node.close().await;
        result
    }
}

/// Takes lines until the last one.
async fn converse(talk: &mut Talk, global: &Global, signals: &mut StopSignals) -> Result<(), Ended> {
    let mut input = Input::open(talk.node.registry().ok())?;
    let interactive = input.is_interactive();
    if interactive {
        let name = talk.node.username().unwrap_or_default();
        let note = format!(
            "you are @{name}, in thread {}; /help lists the commands, Ctrl-D leaves",
            talk.thread_id
        );
        talk.output.note(note);
    }
    loop {
        let prompt = talk.prompt();
        let typed = tokio::select! {
            typed = input.next(&prompt) => typed?,
            ended = signals.wait() => return Err(ended),
        };
        let text = match typed {
            Typed::Line(text) => text,
            Typed::Interrupted => {
                talk.output.note("(Ctrl-D or /quit leaves)");
                continue;
            }
            Typed::End => return Ok(()),
        };
        let outcome = match lines::read(&text) {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::Quit) => return Ok(()),
            Ok(Line::Say(text)) => {
                let _quiet = interactive.then(Cooked::quiet);
                talk.ask(&text, global, signals).await
            }
            Ok(Line::Command(command)) => talk.obey(command, signals).await,
            Err(failure) => Err(failure.into()),
        };
        match outcome {
            Ok(()) => {}
            // A person goes on; a script must not take the next answer for this one.
            Err(Ended::Failed(failure)) if interactive => talk.output.failure(&failure),
            Err(Ended::Interrupted) if interactive => talk.output.note("(cancelled)"),
            Err(ended) => return Err(ended),
        }
    }
}

/// What is wrong with a line.
fn unusable(what: impl Into<String>, hint: &str) -> Failure {
    Failure::refused(what).hint(hint)
}
