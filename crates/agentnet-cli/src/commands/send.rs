//! `agentnet send`: sends one message and waits for its receipt, or leaves it in the receiver's mailbox.

use agentnet::{MailboxDelivery, MailboxSent, Sent, Until};
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::mailbox::code;
use agentnet_protocol::target::Target;
use clap::Args;

use super::message_args::{TargetArgs, ThreadArgs, payload, with_thread};
use crate::accounts;
use crate::args::{Lifetime, Seconds};
use crate::did_you_mean::{self, delivery_failure};
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::sanitize::clean;
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
    /// If the receiver is offline or busy, leave the message in its mailbox, for at most so long: 90s, 30m, 12h, 7d [default
    /// without a value: 7d]
    #[arg(
        long,
        value_name = "LIFETIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "7d",
        conflicts_with_all = ["no_ack", "retry_attempts"]
    )]
    mailbox: Option<Lifetime>,
}

/// A message that was sent, and where it is if it could have been left in a mailbox.
struct Outcome {
    sent: Sent,
    delivery: Option<MailboxDelivery>,
}

impl From<Sent> for Outcome {
    fn from(sent: Sent) -> Self {
        Self { sent, delivery: None }
    }
}

impl From<MailboxSent> for Outcome {
    fn from(sent: MailboxSent) -> Self {
        Self {
            sent: sent.sent,
            delivery: Some(sent.delivery),
        }
    }
}

impl SendMessage {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let target = self.target.target()?;
        if let (Some(_), Target::Capability(_)) = (self.mailbox, &target) {
            let failure = Failure::refused("a capability has no mailbox: a message is kept for one agent");
            return Err(failure
                .with_code(code::NOT_STORABLE)
                .hint(
                    "name the agent with --to-username or --to-account; `agentnet search --capability NAME` finds some",
                )
                .into());
        }
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
        let send = with_thread!(send, &self.thread).receipt_timeout(self.receipt_timeout.duration());
        let until = match (self.no_ack, self.processed) {
            (true, _) => Until::Published,
            (_, true) => Until::Processed,
            _ => Until::Accepted,
        };
        let sending = async {
            match self.mailbox {
                Some(lifetime) => send.mailbox(lifetime.duration()).until(until).await.map(Outcome::from),
                None => {
                    let send = send.retry_attempts(self.retry_attempts).until(until);
                    send.await.map(Outcome::from)
                }
            }
        };
        let spinner = Spinner::start(output, format!("waiting for {}", shown(&target)));
        let sent = signals
            .unless(async {
                match sending.await {
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
        match output.is_json() {
            true => output.document(&sent.document(&target, self.no_ack))?,
            false => output.line(sent.text(&target, output))?,
        }
        Ok(())
    }
}

impl Outcome {
    /// Why the message waits in the mailbox; `None` if it was delivered.
    fn queued(&self) -> Option<&str> {
        match &self.delivery {
            Some(MailboxDelivery::Queued { detail, .. }) => Some(detail),
            _ => None,
        }
    }

    fn document(&self, target: &Target, no_ack: bool) -> String {
        let mut document = ObjectWriter::new();
        document
            .text("message_id", &self.sent.message_id)
            .text("thread_id", &self.sent.thread_id)
            .text("trace_id", &self.sent.trace_id)
            .text("to", &target.to_string())
            .bool("acknowledged", !no_ack && self.queued().is_none());
        if self.delivery.is_some() {
            let delivery = if self.queued().is_some() { "queued" } else { "delivered" };
            document
                .text("delivery", delivery)
                .nullable_text("detail", self.queued());
        }
        document.finish()
    }

    fn text(&self, target: &Target, output: Output) -> String {
        let tick = output.tint(Tint::Green, "✓");
        let (to, id) = (shown(target), &self.sent.message_id);
        match self.queued() {
            None => format!("{tick} Message sent to {to}  msg_id={id}"),
            Some("") => format!("{tick} Message left for {to}  msg_id={id}"),
            Some(detail) => format!("{tick} Message left for {to}  msg_id={id}\n  {}", clean(detail)),
        }
    }
}

/// The target as users write it.
pub(super) fn shown(target: &Target) -> String {
    match target {
        Target::Account(id) => id.clone(),
        other => other.to_string(),
    }
}
