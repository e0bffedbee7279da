//! `agentnet watch`: messages as they pass, on any subject.

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::subject::{ALL_INBOXES, Subject};
use agentnet_protocol::{Envelope, Receipt, Timestamp};
use async_nats::Message;
use clap::Args;
use futures::StreamExt;

use crate::cli::Global;
use crate::connection::{connect_failure, nats_url};
use crate::ended::{Ended, Failure};
use crate::output::ago::now;
use crate::output::cell::{clean, or_dash};
use crate::output::json::checked;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// NATS subject to watch; `*` stands for one part, `>` for all that follow. Receipts: 'account.*.receipts'
    #[arg(long, value_name = "SUBJECT", default_value = ALL_INBOXES)]
    subject: String,
    /// Stop after so many messages; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value = "0")]
    max_messages: u64,
    /// Show payloads too (--json lines always hold the whole message)
    #[arg(long)]
    include_payload: bool,
}

impl Watch {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Ended> {
        check_subject(&self.subject)?;
        let mut signals = StopSignals::listen()?;
        signals.unless(self.watch(&nats_url(global), output)).await
    }

    async fn watch(&self, url: &str, output: Output) -> Result<(), Ended> {
        let lost = |why: &dyn std::fmt::Display| Failure::trouble(format!("cannot watch {}: {why}", self.subject));
        let client = agentnet::connect(url, "agentnet-cli-watch")
            .await
            .map_err(connect_failure)?;
        let mut messages = client
            .subscribe(self.subject.clone())
            .await
            .map_err(|error| lost(&error))?;
        client.flush().await.map_err(|error| lost(&error))?;
        output.note(format!("watching {}, Ctrl-C stops", self.subject));
        let mut seen = 0_u64;
        while let Some(message) = messages.next().await {
            if output.is_json() {
                output.document_line(&document(&message, now()))?;
            } else {
                output.line(self.summary(&message, output))?;
            }
            seen += 1;
            if seen == self.max_messages {
                return Ok(());
            }
        }
        Err(lost(&"the connection was closed").into())
    }

    /// One line for people.
    fn summary(&self, message: &Message, output: Output) -> String {
        let subject = output.tint(Tint::Dim, &clean(&message.subject));
        let what = match Subject::parse(&message.subject) {
            Some(Subject::Receipts { .. }) => receipt_line(message),
            _ => envelope_line(message),
        };
        let Some(what) = what else {
            return format!("{subject}  ({} bytes that are no message)", message.payload.len());
        };
        let payload = Envelope::decode(message.payload.clone())
            .ok()
            .filter(|_| self.include_payload);
        let payload = payload.map(|envelope| format!("  {}", clean(envelope.payload.get())));
        format!("{subject}  {what}{}", payload.unwrap_or_default())
    }
}

fn envelope_line(message: &Message) -> Option<String> {
    let envelope = Envelope::decode(message.payload.clone()).ok()?;
    let from = envelope.from_account_id.as_deref().unwrap_or(&envelope.from_agent);
    Some(format!(
        "{}  {} → {}  thread={} msg_id={}",
        clean(&envelope.kind),
        or_dash(Some(from)),
        or_dash(Some(&envelope.to_agent)),
        or_dash(envelope.thread_id.as_deref()),
        or_dash(Some(&envelope.message_id)),
    ))
}

fn receipt_line(message: &Message) -> Option<String> {
    let receipt = Receipt::decode(message.payload.clone()).ok()?;
    let code = receipt
        .code
        .as_deref()
        .map(|code| format!(" {}", clean(code)))
        .unwrap_or_default();
    let detail = receipt
        .detail
        .as_deref()
        .map(|detail| format!(" ({})", clean(detail)))
        .unwrap_or_default();
    Some(format!(
        "{}{code}{detail}  from {}  thread={} msg_id={}",
        clean(&receipt.status),
        or_dash(receipt.from_account_id.as_deref()),
        or_dash(receipt.thread_id.as_deref()),
        or_dash(Some(&receipt.message_id)),
    ))
}

/// One document: where, when, and the message as it passed; `message` is null where it is no JSON.
fn document(message: &Message, seen_at: Timestamp) -> String {
    let mut out = ObjectWriter::new();
    out.text("subject", &message.subject)
        .nullable_text("reply", message.reply.as_deref())
        .text("seen_at", &seen_at.to_string())
        .int("bytes", message.payload.len() as u64);
    match checked(&message.payload) {
        Ok(json) => out.raw("message", json),
        Err(why) => out.null("message").text("problem", &why.to_string()),
    };
    out.finish()
}

/// Subjects are parts without white space, separated by dots.
fn check_subject(subject: &str) -> Result<(), Failure> {
    let parts: Vec<&str> = subject.split('.').collect();
    let whole = |part: &&str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    let rest_is_last = parts.iter().rev().skip(1).all(|part| *part != ">");
    if parts.iter().all(whole) && rest_is_last {
        return Ok(());
    }
    Err(Failure::refused(format!("`{}` is not a NATS subject", clean(subject)))
        .hint("subjects are words separated by dots, like account.*.inbox; `>` may only be the last"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_subjects_are_watched() {
        for subject in ["account.*.inbox", ">", "a.>", "_INBOX.>", "registry.list"] {
            assert!(check_subject(subject).is_ok(), "{subject}");
        }
        for subject in ["", "a..b", ".a", "a.", "a b", ">.a", "a\r\nPUB x"] {
            assert!(check_subject(subject).is_err(), "{subject:?}");
        }
    }

    #[test]
    fn a_watched_message_is_one_document_even_if_it_is_garbage() {
        let message = |payload: &'static [u8]| Message {
            subject: "account.acct_1.inbox".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        };
        let at = Timestamp::parse("2026-02-21T08:00:00Z").unwrap();
        let text = document(&message(b"{\"message_id\": \"m\", \"payload\": 1.50}"), at);
        assert!(
            text.contains("\"message\":{\"message_id\": \"m\", \"payload\": 1.50}"),
            "{text}"
        );
        let text = document(&message(b"\xffgarbage"), at);
        assert!(
            text.contains("\"message\":null,\"problem\":\"") && checked(text.as_bytes()).is_ok(),
            "{text}"
        );
        let watch = Watch {
            subject: ALL_INBOXES.into(),
            max_messages: 0,
            include_payload: false,
        };
        let line = watch.summary(&message(b"\xffgarbage"), Output::fixed(false, false));
        assert_eq!(line, "account.acct_1.inbox  (8 bytes that are no message)");
    }
}
