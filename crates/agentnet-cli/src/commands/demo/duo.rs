//! `agentnet demo duo`: agent A asks questions about a goal, agent B answers them, each by a language model.
//!
//! 1. A has its model write a question about `DEMO_GOAL`.
//! 2. A sends it to `TARGET_USERNAME`. B has its model answer, without a memory of earlier questions.
//! 3. A has its model write the next question from the answer, `DEMO_TURNS` times in all.
//!
//! Both run in this process, or each in its own by `--role`. Requests and replies are those of the Python implementation, so
//! that either role may be played by its scripts.

mod initiator;
mod responder;
mod settings;
mod speaker;

use std::sync::Arc;

use agentnet::{AgentBuilder, AgentNode};
use clap::{Args, ValueEnum};

use self::settings::{Party, Settings};
use self::speaker::Speaker;
use crate::commands::identity_args::SigningArgs;
use crate::connection::join;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::log_block::{BlockLog, LogStyle};
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

const AFTER_HELP: &str = "\
Environment:
  NOVITA_API_KEY          key of the model's provider; else OPENAI_API_KEY
  NOVITA_BASE_URL         its address, of OpenAI's chat API [default: https://api.novita.ai/openai]
  NOVITA_MODEL            [default: zai-org/glm-5]
  NOVITA_TEMPERATURE      [default: 0.7]
  NOVITA_MAX_TOKENS       of one answer [default: 256]
  DEMO_TURNS              questions that A asks [default: 4]
  DEMO_GOAL               what they are about [default: Design a robust architecture for an AI weather assistant.]
  TARGET_USERNAME         the agent that A asks [default: agent_novita_b]
  REQUEST_TIMEOUT_SECONDS for an answer [default: 90]
  AGENT_A_ID, AGENT_A_USERNAME, AGENT_B_ID, AGENT_B_USERNAME
                          [default: agent_novita_a, agent_novita_b]
  AGENT_B_SYSTEM_PROMPT   system prompt of B
  REPLY_TTL_MS            time to live of B's answers [default: 30000]
  LOG_TEXT_MAX_CHARS      characters of a text that are shown [default: 700]
A local server without keys: NOVITA_BASE_URL=http://127.0.0.1:8080/v1 NOVITA_API_KEY=none";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Duo {
    /// Which agent to run [default: both]
    #[arg(long, value_name = "ROLE", value_enum)]
    role: Option<Role>,
    /// How messages are printed [default: pretty, json with --json]
    #[arg(long, value_name = "STYLE", value_enum)]
    log: Option<LogStyle>,
    #[command(flatten)]
    signing: SigningArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Asks
    A,
    /// Answers, until it is stopped
    B,
}

impl Duo {
    /// Whether it runs until it is stopped.
    pub(super) fn runs_until_stopped(&self) -> bool {
        self.role == Some(Role::B)
    }

    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let log = BlockLog::new(output, self.log, LogStyle::Pretty)?;
        let settings = Arc::new(Settings::read(|name| std::env::var(name).ok())?);
        let speaker = Arc::new(Speaker::new(&settings.model)?);
        let mut signals = StopSignals::listen()?;
        if self.role == Some(Role::B) {
            let node = self
                .answering(&settings, &speaker, Some(log), global, &mut signals, output)
                .await?;
            note_online(&node, log, output);
            let _ = signals.wait().await;
            node.close().await;
            return Ok(());
        }
        let answering = match self.role {
            Some(_) => None,
            None => Some(
                self.answering(&settings, &speaker, None, global, &mut signals, output)
                    .await?,
            ),
        };
        let asked = self.ask(&settings, &speaker, log, global, &mut signals, output).await;
        if let Some(node) = answering {
            node.close().await;
        }
        asked
    }

    /// Joins as A, asks all questions, and leaves.
    async fn ask(
        &self,
        settings: &Settings,
        speaker: &Speaker,
        log: BlockLog,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
    ) -> Result<(), Exit> {
        let node = self.agent(&settings.a, "Novita Agent A")?;
        let node = join(node, global, signals, output).await?;
        let asked = signals
            .unless(initiator::converse(&node, settings, speaker, log, global, output))
            .await;
        node.close().await;
        let thread = asked?;
        if log.is_pretty() {
            let hint = format!("agentnet thread-messages --thread-id {thread}   shows the last turn again");
            output.line(output.tint(Tint::Dim, &hint))?;
        }
        Ok(())
    }

    /// Joins as B.
    async fn answering(
        &self,
        settings: &Arc<Settings>,
        speaker: &Arc<Speaker>,
        log: Option<BlockLog>,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
    ) -> Result<AgentNode, Exit> {
        let agent = self.agent(&settings.b, "Novita Agent B")?;
        let agent = responder::attach(agent, Arc::clone(settings), Arc::clone(speaker), log);
        join(agent, global, signals, output).await
    }

    fn agent(&self, party: &Party, name: &str) -> Result<AgentBuilder, Failure> {
        self.signing
            .apply(AgentNode::builder(&party.agent_id).name(name).username(&party.username))
    }
}

fn note_online(node: &AgentNode, log: BlockLog, output: Output) {
    if log.is_pretty() {
        let username = node.username().unwrap_or_default();
        output.note(format!(
            "@{username} is online as {}, Ctrl-C stops",
            node.account_id().unwrap_or_default()
        ));
    }
}
