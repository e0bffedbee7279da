//! `agentnet send`: sends one message and waits for its receipt.

use agentnet::Until;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::target::Target;
use clap::Args;

use super::message_args::{TargetArgs, ThreadArgs, payload, with_thread};
use crate::accounts;
use crate::args::Seconds;
use crate::did_you_mean::{self, delivery_failure};
use crate::exit::Exit;
use crate::global::Global;
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct SendMessage {
    /// JSON text, e.g. '{"text":"hi"}'; - reads it from standard input
    #[arg(allow_negative_numbers = true)]
    payload: String,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    thread: ThreadArgs,
    /// How often to repeat the message when no receipt comes
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=100))]
    retry_attempts: u32,
    /// How long to wait for each receipt, in seconds, at least 0.2
    #[arg(long, value_name = "SECONDS", default_value = "1.5")]
    receipt_timeout: Seconds,
    /// Do not wait for a receipt
    #[arg(long)]
    no_ack: bool,
    /// Wait until the receiver's handler has finished, up to a minute
    #[arg(long, conflicts_with = "no_ack")]
    processed: bool,
}

impl SendMessage {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let target = self.target.target()?;
        let payload = payload(&self.payload)?;
        let target = accounts::full_target(global, target).await?;
        let mut signals = StopSignals::listen()?;
        let node = self
            .thread
            .identity
            .join(global, &mut signals, output, "cli_sender", "CLI Sender")
            .await?;
        let send = match &target {
            Target::Account(id) => node.send_to_account(id, payload),
            Target::Username(name) => node.send_to_username(name, payload),
            Target::Capability(name) => node.send_to_capability(name, payload),
        };
        let send = with_thread!(send, &self.thread)
            .retry_attempts(self.retry_attempts)
            .receipt_timeout(self.receipt_timeout.duration());
        let send = send.until(match (self.no_ack, self.processed) {
            (true, _) => Until::Published,
            (_, true) => Until::Processed,
            _ => Until::Accepted,
        });
        let spinner = Spinner::start(output, format!("waiting for {}", shown(&target)));
        let sent = signals
            .unless(async {
                match send.await {
                    Ok(sent) => Ok(sent),
                    Err(error) => {
                        let failure = delivery_failure(global, error).await;
                        Err(did_you_mean::with_similar_capability(global, &target, failure)
                            .await
                            .into())
                    }
                }
            })
            .await;
        spinner.end();
        // In every case, closes the session.
        node.close().await;
        let sent = sent?;
        if output.is_json() {
            let mut document = ObjectWriter::new();
            document
                .text("message_id", &sent.message_id)
                .text("thread_id", &sent.thread_id)
                .text("trace_id", &sent.trace_id)
                .text("to", &target.to_string())
                .bool("acknowledged", !self.no_ack);
            return Ok(output.document(&document.finish())?);
        }
        let tick = output.tint(Tint::Green, "✓");
        Ok(output.line(format!(
            "{tick} Message sent to {}  msg_id={}",
            shown(&target),
            sent.message_id
        ))?)
    }
}

/// The target as users write it.
pub(super) fn shown(target: &Target) -> String {
    match target {
        Target::Account(id) => id.clone(),
        other => other.to_string(),
    }
}
