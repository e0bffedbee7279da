//! Prints messages, receipts, and events of mailboxes and tasks: as lines for people, or as JSON documents.

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::mailbox::MailboxEventKind;
use agentnet_protocol::rpc::{MailboxEvent, TaskEvent};
use agentnet_protocol::subject::Subject;
use agentnet_protocol::{Envelope, Receipt, ReceiptStatus, Timestamp};
use async_nats::Message;

use super::Watch;
use super::feed::Taken;
use super::filter::Parties;
use super::mailbox_events::{self, SeenEvents};
use super::receipt_latency::{EventTime, Latency, SentTimes};
use super::task_events::{self, SeenTaskEvents};
use crate::account_names::AccountNames;
use crate::commands::task::event_line;
use crate::connection::taps::issuer;
use crate::output::json::{checked, one_line};
use crate::output::sanitize::{clean, or_dash, preview};
use crate::output::{Output, Tint};

/// Prints messages.
pub(super) struct Printer<'a> {
    watch: &'a Watch,
    names: AccountNames,
    /// Whether each message came on a subject that ends in its sender.
    is_secure: bool,
    passed: SentTimes,
    events: SeenEvents,
    task_events: SeenTaskEvents,
    output: Output,
}

impl<'a> Printer<'a> {
    pub(super) fn new(watch: &'a Watch, names: AccountNames, is_secure: bool, output: Output) -> Self {
        Self {
            watch,
            names,
            is_secure,
            passed: SentTimes::default(),
            events: SeenEvents::default(),
            task_events: SeenTaskEvents::default(),
            output,
        }
    }

    /// Appends the line of a message to the page, if it matches the filter. Returns whether it counts as a message.
    pub(super) async fn show(&mut self, taken: &Taken, page: &mut String) -> bool {
        if let Some(account_id) = mailbox_events::account(&taken.message.subject) {
            return self.show_mailbox_event(taken, account_id, page).await;
        }
        if let Some(account_id) = task_events::account(&taken.message.subject) {
            return self.show_task_event(taken, account_id, page).await;
        }
        match Subject::parse(&taken.message.subject) {
            Some(Subject::Receipts { .. }) => self.show_receipt(taken, page).await,
            // These subjects also carry replies of the registry and of JetStream.
            Some(Subject::Reply) if self.watch.subject.is_none() => self.show_message(taken, true, page).await,
            _ => self.show_message(taken, false, page).await,
        }
    }

    async fn show_message(&mut self, taken: &Taken, agents_only: bool, page: &mut String) -> bool {
        let filter = &self.watch.filter;
        let Taken { message, seen_at, .. } = taken;
        let Ok(envelope) = Envelope::decode(message.payload.clone()) else {
            let shown = filter.is_empty() && !agents_only;
            if shown {
                self.show_garbage(message, *seen_at, page);
            }
            return shown;
        };
        if !filter.takes(&envelope) || agents_only && envelope.message_id.is_empty() {
            return false;
        }
        let named = envelope.from_account_id.as_deref();
        let mut from = self.names.sender(named, &envelope.from_agent).await;
        // In secure mode the server has proven who published it; receivers refuse it if the message says otherwise.
        let issuer = issuer(&message.subject).filter(|issuer| self.is_secure && Some(*issuer) != named);
        if let Some(issuer) = issuer {
            from = format!("{} (forged as {from})", self.names.sender(Some(issuer), "").await);
        }
        let parties = Parties {
            from,
            to: self
                .names
                .display(envelope.to_account_id.as_deref(), &envelope.to_agent)
                .await,
        };
        if !self.watch.filter.takes_parties(&envelope, &parties) {
            return false;
        }
        let when = EventTime {
            said: Timestamp::parse(&envelope.sent_at),
            arrived: taken.arrived,
        };
        self.passed.insert(&envelope.message_id, when);
        add(
            page,
            &match self.output.is_json() {
                true => one_line(&document(message, *seen_at)),
                false => self.line(&envelope, &parties, *seen_at),
            },
        );
        true
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

    fn show_garbage(&self, message: &Message, seen_at: Timestamp, page: &mut String) {
        if self.output.is_json() {
            return add(page, &one_line(&document(message, seen_at)));
        }
        let (time, bytes) = (self.output.tint(Tint::Dim, &time(seen_at)), message.payload.len());
        let text = format!(
            "{time}  {}  ({bytes} bytes that are no message)",
            clean(&message.subject)
        );
        add(page, &text);
    }

    /// Appends the line of a receipt: with `--receipts` for messages that were shown, if receipts are watched for all.
    async fn show_receipt(&mut self, taken: &Taken, page: &mut String) -> bool {
        let Taken { message, seen_at, .. } = taken;
        let beside = self.watch.pairs_receipts();
        let Ok(receipt) = Receipt::decode(message.payload.clone()) else {
            self.show_garbage(message, *seen_at, page);
            return true;
        };
        let when = EventTime {
            said: Timestamp::parse(&receipt.event_at),
            arrived: taken.arrived,
        };
        let took = self.passed.latency(&receipt.message_id, when);
        if beside && took.is_none() {
            return false;
        }
        if self.output.is_json() {
            add(page, &one_line(&document(message, *seen_at)));
            return !beside;
        }
        let by = self.names.display(receipt.from_account_id.as_deref(), "").await;
        add(page, &self.receipt_line(&receipt, &by, took, *seen_at));
        // Only messages are counted.
        !beside
    }

    /// Appends the line of an event of the mailbox of this account, or of its second copy for the sender nothing.
    async fn show_mailbox_event(&mut self, taken: &Taken, account_id: &str, page: &mut String) -> bool {
        let Taken { message, seen_at, .. } = taken;
        let Ok(event) = MailboxEvent::decode(&message.payload) else {
            self.show_garbage(message, *seen_at, page);
            return true;
        };
        if !self.events.insert(&event) {
            return false;
        }
        let from = &event.from_account_id;
        let parties = Parties {
            from: self.names.display(Some(from), "").await,
            to: self.names.display(Some(account_id), "").await,
        };
        if !self.watch.filter.takes_accounts(from, account_id, &parties) {
            return false;
        }
        if event.event == MailboxEventKind::Queued.as_str() {
            let when = EventTime {
                said: Timestamp::parse(&event.at),
                arrived: taken.arrived,
            };
            self.passed.insert(&event.message_id, when);
        }
        add(
            page,
            &match self.output.is_json() {
                true => one_line(&document(message, *seen_at)),
                false => self.event_line(&event, &parties, *seen_at),
            },
        );
        true
    }

    fn event_line(&self, event: &MailboxEvent, parties: &Parties, seen_at: Timestamp) -> String {
        let output = self.output;
        let attempt = match event.attempt {
            ..=0 => String::new(),
            attempt => format!("  attempt={attempt}"),
        };
        format!(
            "{}  mailbox  {}  {} → {}{attempt}  {}",
            output.tint(Tint::Dim, &time(seen_at)),
            output.tint(mailbox_events::tint(event), &mailbox_events::described(event)),
            output.tint(Tint::Bold, &parties.from),
            output.tint(Tint::Bold, &parties.to),
            output.tint(Tint::Dim, &format!("msg_id={}", or_dash(Some(&event.message_id)))),
        )
    }

    /// Appends the line of an event of a task of this account, or of its second copy nothing.
    async fn show_task_event(&mut self, taken: &Taken, account_id: &str, page: &mut String) -> bool {
        let Taken { message, seen_at, .. } = taken;
        let Ok(event) = TaskEvent::decode(&message.payload) else {
            self.show_garbage(message, *seen_at, page);
            return true;
        };
        let from = event.from_account_id.as_deref().unwrap_or_default();
        let parties = Parties {
            from: self.names.display(Some(from).filter(|id| !id.is_empty()), "").await,
            to: self.names.display(Some(account_id), "").await,
        };
        // The copy for the other party may match.
        if !self.watch.filter.takes_accounts(from, account_id, &parties) || !self.task_events.insert(&event) {
            return false;
        }
        let line = match self.output.is_json() {
            true => one_line(&document(message, *seen_at)),
            false => {
                let output = self.output;
                let by = (!from.is_empty()).then_some(parties.from.as_str());
                format!(
                    "{}  task     {}  {}",
                    output.tint(Tint::Dim, &time(*seen_at)),
                    event_line(&event, by, output),
                    output.tint(Tint::Dim, &format!("task_id={}", or_dash(event.task_id.as_deref()))),
                )
            }
        };
        add(page, &line);
        true
    }

    fn receipt_line(&self, receipt: &Receipt, by: &str, took: Option<Latency>, seen_at: Timestamp) -> String {
        let output = self.output;
        let tint = match receipt.status() {
            ReceiptStatus::Rejected => Tint::Red,
            ReceiptStatus::Queued => Tint::Cyan,
            _ => Tint::Green,
        };
        let status = output.tint(tint, &clean(&receipt.status));
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

/// Appends a line to the page.
fn add(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// The time of day in UTC, with milliseconds.
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

/// The JSON document of a message: subject, time, and the unchanged message, which is null if it is not JSON.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
