//! `agentnet request`: one request and its reply.

use agentnet_protocol::RawJson;
use agentnet_protocol::mailbox::code;
use agentnet_protocol::target::Target;
use clap::Args;

use super::message_args::{TargetArgs, ThreadArgs, payload, with_thread};
use super::send::shown;
use crate::accounts;
use crate::args::{Lifetime, Seconds};
use crate::did_you_mean::{self, answer_failure};
use crate::exit::{Exit, Failure};
use crate::failures::refusal;
use crate::global::Global;
use crate::output::json::indented;
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct Request {
    /// JSON text, e.g. '{"text":"hi"}'; - reads it from standard input
    #[arg(allow_negative_numbers = true)]
    payload: String,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    thread: ThreadArgs,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5.0")]
    timeout: Seconds,
    /// Refused: a request is not kept for later
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "7d")]
    mailbox: Option<Lifetime>,
}

impl Request {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        if self.mailbox.is_some() {
            let failure =
                Failure::refused("a request is not kept for an agent that is offline: its sender waits for the answer");
            return Err(failure
                .with_code(code::NOT_STORABLE)
                .hint("`agentnet send --mailbox` leaves a message that the agent handles when it is back")
                .into());
        }
        let target = self.target.target()?;
        let payload = payload(&self.payload)?;
        let target = accounts::full_target(global, target).await?;
        let mut signals = StopSignals::listen()?;
        let node = self
            .thread
            .identity
            .join(global, &mut signals, output, "cli_requester", "CLI Requester")
            .await?;
        let request = match &target {
            Target::Account(id) => node.request_account(id, payload),
            Target::Username(name) => node.request_username(name, payload),
            Target::Capability(name) => node.request_capability(name, payload),
        };
        let request = with_thread!(request, &self.thread).timeout(self.timeout.duration());
        let spinner = Spinner::start(output, format!("waiting for {}", shown(&target)));
        let reply = signals
            .unless(async {
                match request.await {
                    Ok(reply) => Ok(reply),
                    Err(error) => {
                        let failure = answer_failure(global, error).await;
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
        let reply = reply?;
        let body = reply.envelope().encode();
        let envelope = String::from_utf8_lossy(&body);
        if output.is_json() {
            output.document(&envelope)?;
        } else {
            let from = output.tint(Tint::Bold, &shown(&target));
            let envelope = RawJson::parse(envelope.into_owned())
                .map_err(|error| Failure::error(format!("the reply cannot be shown: {error}")))?;
            output.line(format!("reply from {from}\n{}", indented(&envelope)))?;
        }
        // An error reply was printed above, and is a failure too.
        match reply.error_code() {
            None => Ok(()),
            Some(code) => {
                let failure = refusal(&code, &detail(&reply.payload));
                Err(did_you_mean::with_similar_capability(global, &target, failure)
                    .await
                    .into())
            }
        }
    }
}

/// The detail of an error reply.
fn detail(payload: &RawJson) -> String {
    let payload = payload.view();
    let detail = payload.as_object().and_then(|object| object.get("detail").as_str());
    detail.unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reply_is_told_by_code_and_detail() {
        let payload = RawJson::parse(r#"{"error":"busy","detail":"agent backlog is full"}"#).unwrap();
        let failure = refusal("busy", &detail(&payload));
        assert!(
            failure.text().starts_with("error: busy: agent backlog is full\nhint: "),
            "{}",
            failure.text()
        );
        assert_eq!(Exit::from(failure).code(), 2);
        assert_eq!(refusal("odd", &detail(&RawJson::null())).text(), "error: odd");
    }
}
