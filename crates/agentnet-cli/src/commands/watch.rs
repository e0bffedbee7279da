//! `agentnet watch`: messages as they pass, on any subject.

mod filter;
mod pairing;

use std::sync::atomic::Ordering;
use std::time::Instant;

use agentnet::RegistryClient;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::subject::{ALL_INBOXES, Subject};
use agentnet_protocol::{Envelope, RawJson, Receipt, Timestamp};
use async_nats::{Client, Message};
use clap::Args;
use futures::StreamExt;
use futures::stream::SelectAll;

use crate::cli::Global;
use crate::connection::{connect_failure, nats_url};
use crate::ended::{Ended, Failure};
use crate::names::Names;
use crate::output::ago::now;
use crate::output::cell::{clean, or_dash, preview};
use crate::output::json::checked;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;
use filter::{Filter, Parties};
use pairing::{Passed, taken};

/// All delivery receipts.
const ALL_RECEIPTS: &str = "account.*.receipts";
/// When nothing came for so long, nothing waits in the client either.
const QUIET: std::time::Duration = std::time::Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// NATS subject to watch; `*` stands for one part, `>` for all that follow. Receipts: 'account.*.receipts'
    #[arg(long, value_name = "SUBJECT", default_value = ALL_INBOXES)]
    subject: String,
    #[command(flatten)]
    filter: Filter,
    /// Show the receipts of the messages that are shown too, each with the time that it took
    #[arg(long)]
    receipts: bool,
    /// Stop after so many messages; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value = "0")]
    max_messages: u64,
    /// Show whole payloads instead of previews (--json lines always hold the whole message)
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
        // Names are asked for on another connection, so that what comes on this one is what is watched.
        let registry = RegistryClient::connect(url).await.map_err(connect_failure)?;
        let client = agentnet::connect(url, "agentnet-cli-watch")
            .await
            .map_err(connect_failure)?;
        let mut messages = SelectAll::new();
        let with_receipts = self.receipts && self.subject != ALL_RECEIPTS;
        for subject in [Some(&*self.subject), with_receipts.then_some(ALL_RECEIPTS)]
            .into_iter()
            .flatten()
        {
            messages.push(
                client
                    .subscribe(subject.to_owned())
                    .await
                    .map_err(|error| lost(&error))?,
            );
        }
        client.flush().await.map_err(|error| lost(&error))?;
        output.note(format!("watching {}, Ctrl-C stops", self.subject));
        let mut view = View {
            watch: self,
            names: Names::open(registry).await,
            passed: Passed::default(),
            output,
        };
        let mut dropped = Dropped::new(&client);
        let mut seen = 0_u64;
        loop {
            let Ok(message) = tokio::time::timeout(QUIET, messages.next()).await else {
                dropped.tell(&client, output, 0);
                continue;
            };
            let Some(message) = message else { break };
            dropped.taken += 1;
            if view.show(&message).await? {
                seen += 1;
                if seen == self.max_messages {
                    return Ok(());
                }
            }
            dropped.tell(&client, output, Dropped::WAITING);
        }
        Err(lost(&"the connection was closed").into())
    }
}

/// What is shown of the messages.
struct View<'a> {
    watch: &'a Watch,
    names: Names,
    passed: Passed,
    output: Output,
}

impl View<'_> {
    /// Shows a message, unless it is not wanted; whether it counts.
    async fn show(&mut self, message: &Message) -> Result<bool, Ended> {
        match Subject::parse(&message.subject) {
            Some(Subject::Receipts { .. }) => self.show_receipt(message).await,
            _ => self.show_message(message).await,
        }
    }

    async fn show_message(&mut self, message: &Message) -> Result<bool, Ended> {
        let filter = &self.watch.filter;
        let seen_at = now();
        let Ok(envelope) = Envelope::decode(message.payload.clone()) else {
            if filter.is_empty() {
                self.show_garbage(message, seen_at)?;
            }
            return Ok(filter.is_empty());
        };
        if !filter.takes(&envelope) {
            return Ok(false);
        }
        let parties = Parties {
            from: self
                .names
                .shown(envelope.from_account_id.as_deref(), &envelope.from_agent)
                .await,
            to: self
                .names
                .shown(envelope.to_account_id.as_deref(), &envelope.to_agent)
                .await,
        };
        if !self.watch.filter.takes_parties(&envelope, &parties) {
            return Ok(false);
        }
        self.passed.note(&envelope.message_id, Instant::now());
        match self.output.is_json() {
            true => self.output.document_line(&document(message, seen_at))?,
            false => self.output.line(self.line(&envelope, &parties, seen_at))?,
        }
        Ok(true)
    }

    fn line(&self, envelope: &Envelope, parties: &Parties, seen_at: Timestamp) -> String {
        let output = self.output;
        let payload = match self.watch.include_payload {
            true => clean(envelope.payload.get()).into_owned(),
            false => preview(&envelope.payload),
        };
        format!(
            "{}  {}  {} → {}  {}  {payload}",
            output.tint(Tint::Dim, &time(seen_at)),
            output.tint(kind_tint(&envelope.kind), &format!("{:<7}", clean(&envelope.kind))),
            output.tint(Tint::Bold, &parties.from),
            output.tint(Tint::Bold, &parties.to),
            output.tint(Tint::Dim, &format!("thread={}", or_dash(envelope.thread_id.as_deref()))),
        )
    }

    fn show_garbage(&self, message: &Message, seen_at: Timestamp) -> Result<(), Ended> {
        if self.output.is_json() {
            return Ok(self.output.document_line(&document(message, seen_at))?);
        }
        let (time, bytes) = (self.output.tint(Tint::Dim, &time(seen_at)), message.payload.len());
        let text = format!(
            "{time}  {}  ({bytes} bytes that are no message)",
            clean(&message.subject)
        );
        Ok(self.output.line(text)?)
    }

    /// With `--receipts` those of the messages that were shown; where receipts are what is watched, all of them.
    async fn show_receipt(&mut self, message: &Message) -> Result<bool, Ended> {
        let seen_at = now();
        let Ok(receipt) = Receipt::decode(message.payload.clone()) else {
            self.show_garbage(message, seen_at)?;
            return Ok(true);
        };
        let since = self.passed.since(&receipt.message_id, Instant::now());
        let beside = self.watch.receipts && self.watch.subject != ALL_RECEIPTS;
        if beside && since.is_none() {
            return Ok(false);
        }
        if self.output.is_json() {
            self.output.document_line(&document(message, seen_at))?;
            return Ok(!beside);
        }
        let by = self.names.shown(receipt.from_account_id.as_deref(), "").await;
        let line = self.receipt_line(&receipt, &by, since.map(taken), seen_at);
        self.output.line(line)?;
        // The messages are what is counted.
        Ok(!beside)
    }

    fn receipt_line(&self, receipt: &Receipt, by: &str, took: Option<String>, seen_at: Timestamp) -> String {
        let output = self.output;
        let rejected = matches!(receipt.status(), agentnet_protocol::ReceiptStatus::Rejected);
        let status = output.tint(if rejected { Tint::Red } else { Tint::Green }, &clean(&receipt.status));
        let with =
            |mark: &str, text: Option<&str>| text.map(|text| format!("{mark}{}", clean(text))).unwrap_or_default();
        let code = with(" ", receipt.code.as_deref());
        let detail = with(": ", receipt.detail.as_deref());
        let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
        format!(
            "{}  receipt  {status}{code}{detail}{took} by {}  {}",
            output.tint(Tint::Dim, &time(seen_at)),
            output.tint(Tint::Bold, by),
            output.tint(Tint::Dim, &format!("msg_id={}", or_dash(Some(&receipt.message_id)))),
        )
    }
}

/// Messages that the client dropped because they were shown too slowly: what the connection has got beyond what was taken
/// and what may still wait.
struct Dropped {
    taken: u64,
    told: u64,
}

impl Dropped {
    /// Messages that may wait in the client.
    const WAITING: u64 = 65_536;

    fn new(client: &Client) -> Self {
        let got = client.statistics().in_messages.load(Ordering::Relaxed);
        Self { taken: got, told: 0 }
    }

    /// Tells of those that were certainly dropped, while so many may wait.
    fn tell(&mut self, client: &Client, output: Output, waiting: u64) {
        let got = client.statistics().in_messages.load(Ordering::Relaxed);
        let dropped = got.saturating_sub(self.taken + waiting);
        // While it goes on, not every message is worth a line.
        if dropped > self.told + if waiting == 0 { 0 } else { self.told / 2 } {
            output.note(format!(
                "note: shown too slowly: {dropped} messages were dropped so far"
            ));
            self.told = dropped;
        }
    }
}

/// The time of day, in UTC, to the millisecond.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    let time = text.split('T').nth(1).unwrap_or(&text).trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "000"));
    format!("{seconds}.{fraction:.3}")
}

fn kind_tint(kind: &str) -> Tint {
    match kind {
        "error" => Tint::Red,
        "request" => Tint::Cyan,
        "reply" | "stream" => Tint::Green,
        _ => Tint::Plain,
    }
}

/// A payload as it reads, without the escapes of ASCII text.
fn unescaped(payload: &RawJson) -> String {
    serde_json::from_str::<serde_json::Value>(payload.get())
        .map_or_else(|_| payload.get().to_owned(), |value| value.to_string())
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
    }

    #[test]
    fn times_are_of_the_day() {
        for (text, shown) in [
            ("2026-02-21T08:00:01Z", "08:00:01.000"),
            ("2026-02-21T08:00:01.234567Z", "08:00:01.234"),
        ] {
            assert_eq!(time(Timestamp::parse(text).unwrap()), shown);
        }
    }

    #[test]
    fn escapes_are_read() {
        let payload = RawJson::parse(r#"{"text":"Caf\u00e9"}"#).unwrap();
        assert_eq!(unescaped(&payload), r#"{"text":"Café"}"#);
    }
}
