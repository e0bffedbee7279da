//! `agentnet echo`: an agent that answers every request with its payload.

mod scripted;

use std::net::SocketAddr;

use agentnet::{AgentNode, Context, Limits, Message};
use clap::Args;
use tokio::sync::mpsc;

use super::identity_args::SigningArgs;
use crate::account_names::AccountNames;
use crate::args::trimmed;
use crate::cli::SPEAKER_ARGUMENT;
use crate::connection::{join, names_identity, own_username};
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::sanitize::{clean, or_dash, preview};
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// Maximum of `--max-pending`: the memory of the queue is allocated at the start.
const MAX_PENDING: i64 = 1_000_000;

/// The username without an option.
pub(crate) const DEFAULT_USERNAME: &str = "echo";

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// Username to join with [default: echo; with --identity that of the identity]
    #[arg(id = SPEAKER_ARGUMENT, long = "username", value_name = "NAME", value_parser = crate::args::not_blank)]
    username: Option<String>,
    /// Display name [default: the username]
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_blank)]
    name: Option<String>,
    /// A capability to offer; may be given several times
    #[arg(long = "capability", value_name = "NAME", value_parser = crate::args::not_blank)]
    capabilities: Vec<String>,
    /// Stop after so many messages; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value = "0")]
    max_messages: u64,
    /// Also wait or fail as the payload demands, for `agentnet conformance agent`
    #[arg(long)]
    conformance: bool,
    /// Messages a second that one sender may send [default: 5]
    #[arg(long, value_name = "N")]
    rate_limit: Option<f64>,
    /// Messages that one sender may send at once [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate_burst: Option<u32>,
    /// Messages that may wait for their turn; those beyond are refused as busy [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_PENDING))]
    max_pending: Option<u32>,
    #[command(flatten)]
    signing: SigningArgs,
    /// Serve GET /metrics (Prometheus) and GET /healthz here over HTTP; port 0 takes a free one [default: nowhere]
    #[arg(long, value_name = "IP:PORT")]
    metrics_addr: Option<SocketAddr>,
}

impl Echo {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let mut signals = StopSignals::listen()?;
        // Bounded: a slow terminal slows the agent down.
        let (handled, mut inbox) = mpsc::channel(16);
        let node = self.join(global, &mut signals, output, handled).await?;
        output.note(format!(
            "@{} is online as {}, Ctrl-C stops",
            node.username().unwrap_or_default(),
            node.account_id().unwrap_or_default()
        ));
        if let Some(address) = node.metrics_addr() {
            output.note(format!("metrics are served at http://{address}/metrics"));
        }
        let registry = node.registry().map_err(|error| Failure::error(error.to_string()))?;
        let reporting = async {
            let mut names = AccountNames::open(registry).await;
            self.report(&mut inbox, &mut names, output).await
        };
        let result = signals.unless(reporting).await;
        drop(inbox);
        node.close().await;
        result
    }

    async fn join(
        &self,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
        handled: mpsc::Sender<Handled>,
    ) -> Result<AgentNode, Exit> {
        let username = self.username(global);
        let name = trimmed(self.name.as_ref()).unwrap_or_else(|| username.clone());
        let conformance = self.conformance;
        let mut agent = AgentNode::builder("cli_echo")
            .name(name)
            .username(username)
            .capabilities(&self.capabilities)
            .limits(|limits| self.raise(limits))
            .on_message(move |message: Message, context: Context| {
                let handled = handled.clone();
                async move {
                    if conformance {
                        scripted::obey(&message, &context).await?;
                    }
                    scripted::echo(&message, &context).await?;
                    let answered = message.wants_reply();
                    // Fails only when the command ends.
                    let _ = handled.send(Handled { message, answered }).await;
                    Ok(())
                }
            });
        if let Some(address) = self.metrics_addr {
            agent = agent.metrics_addr(address);
        }
        join(self.signing.apply(agent)?, global, signals, output).await
    }

    fn username(&self, global: &Global) -> String {
        match trimmed(self.username.as_ref()) {
            Some(username) => username,
            None if names_identity(global) => own_username(global),
            None => DEFAULT_USERNAME.to_owned(),
        }
    }

    fn raise(&self, limits: &mut Limits) {
        limits.rate_limit_per_sender_per_sec = self.rate_limit.unwrap_or(limits.rate_limit_per_sender_per_sec);
        limits.rate_limit_burst = self.rate_burst.unwrap_or(limits.rate_limit_burst);
        limits.max_pending = self.max_pending.map_or(limits.max_pending, |pending| pending as usize);
    }

    /// Prints each message, up to the maximum number.
    async fn report(
        &self,
        inbox: &mut mpsc::Receiver<Handled>,
        names: &mut AccountNames,
        output: Output,
    ) -> Result<(), Exit> {
        let mut seen = 0_u64;
        while let Some(handled) = inbox.recv().await {
            handled.print(names, output).await?;
            seen += 1;
            if seen == self.max_messages {
                return Ok(());
            }
        }
        Err(Failure::error("the agent has stopped").into())
    }
}

/// A message that the handler has finished.
struct Handled {
    message: Message,
    answered: bool,
}

impl Handled {
    async fn print(&self, names: &mut AccountNames, output: Output) -> Result<(), Exit> {
        let message = &self.message;
        if output.is_json() {
            return Ok(output.document_line(&String::from_utf8_lossy(&message.envelope().encode()))?);
        }
        let done = if self.answered {
            output.tint(Tint::Green, "answered")
        } else {
            output.tint(Tint::Dim, "received")
        };
        let from = names
            .sender(message.from_account_id.as_deref(), &message.from_agent)
            .await;
        Ok(output.line(format!(
            "{done} {} from {}  thread={}  {}",
            clean(&message.kind),
            from,
            or_dash(message.thread_id.as_deref()),
            preview(message.payload()),
        ))?)
    }
}
