//! The expected records with all members: receipts (section 5.2), error replies (5.4) and replies (11.6).

use agentnet_protocol::compose::default_thread_id;
use serde_json::{Value, json};

use super::compose::SentMessage;
use super::steps::{Expectation, ReceiptKind, ReplyKind};
use crate::compare::{Rules, differences};
use crate::placeholder::Bindings;

/// The records received for a message so far.
#[derive(Debug, Default)]
pub(super) struct ReceivedRecords {
    pub(super) receipts: Vec<Value>,
    pub(super) replies: Vec<Value>,
    pub(super) elsewhere: Vec<Value>,
}

/// The differences between received and expected records.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Differences that further records cannot resolve.
    pub(super) wrong: Vec<String>,
    /// Expected records that have not arrived yet.
    pub(super) missing: Vec<String>,
}

impl Comparison {
    pub(super) fn is_complete(&self) -> bool {
        self.wrong.is_empty() && self.missing.is_empty()
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.wrong.into_iter().chain(self.missing).collect()
    }
}

/// Compares records; binds placeholders where they agree.
pub(super) fn compare(
    expect: &Expectation,
    sent: &SentMessage,
    agent: &str,
    seen: &ReceivedRecords,
    bindings: &mut Bindings,
) -> Comparison {
    let receipts = expect.receipts.iter().map(|kind| receipt(kind, &sent.message, agent));
    let replies = expect.replies.iter().map(|kind| reply(kind, &sent.message, agent));
    let elsewhere = expect.elsewhere.iter().map(|kind| reply(kind, &sent.message, agent));
    let mut comparison = Comparison::default();
    comparison.series("receipt", &receipts.collect::<Vec<_>>(), &seen.receipts, bindings);
    comparison.series("reply", &replies.collect::<Vec<_>>(), &seen.replies, bindings);
    let name = "reply on a subject that is no reply subject";
    comparison.series(name, &elsewhere.collect::<Vec<_>>(), &seen.elsewhere, bindings);
    comparison
}

impl Comparison {
    fn series(&mut self, name: &str, expected: &[Value], seen: &[Value], bindings: &mut Bindings) {
        for (index, expected) in expected.iter().enumerate() {
            let number = index + 1;
            let Some(actual) = seen.get(index) else {
                self.missing
                    .push(format!("{name} {number} did not come: {}", summary(expected)));
                continue;
            };
            let mut trial = bindings.clone();
            let found = differences(expected, actual, &mut trial, &Rules::default());
            if found.is_empty() {
                *bindings = trial;
            } else if summary(expected) == summary(actual) || summary(expected).contains("<text>") {
                self.wrong
                    .extend(found.into_iter().map(|line| format!("{name} {number}: {line}")));
            } else {
                let (wanted, got) = (summary(expected), summary(actual));
                self.wrong
                    .push(format!("{name} {number}: expected {wanted}, got {got}"));
            }
        }
        for more in seen.iter().skip(expected.len()) {
            self.wrong.push(format!("a further {name} came: {}", summary(more)));
        }
    }
}

/// A short description of a record.
pub(super) fn summary(record: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
    let parts: Vec<String> = match (record.get("status"), record.get("payload")) {
        (Some(status), _) => [Some(status), record.get("code"), record.get("detail")]
            .into_iter()
            .flatten()
            .map(text)
            .collect(),
        (None, Some(payload)) if record["kind"] == "error" => {
            vec![format!("error {}", text(&payload["error"])), text(&payload["detail"])]
        }
        (None, Some(payload)) => vec![text(&record["kind"]), payload.to_string()],
        _ => vec![record.to_string()],
    };
    let summary = parts.join(", ");
    if summary.chars().count() > 200 {
        summary.chars().take(200).chain(['…']).collect()
    } else {
        summary
    }
}

fn text<'a>(message: &'a Value, member: &str) -> Option<&'a str> {
    message[member].as_str().filter(|text| !text.is_empty())
}

/// The trace id, else the message id.
fn trace(message: &Value) -> Option<&str> {
    text(message, "trace_id").or(text(message, "message_id"))
}

fn thread(message: &Value) -> String {
    match (text(message, "thread_id"), trace(message)) {
        (Some(thread), _) => thread.to_owned(),
        (None, Some(trace)) => default_thread_id(trace).to_string(),
        (None, None) => "<text>".to_owned(),
    }
}

fn receipt(kind: &ReceiptKind, message: &Value, agent: &str) -> Value {
    let mut receipt = json!({
        "message_id": message["message_id"],
        "status": kind.status,
        "event_at": "<time>",
        "from_account_id": agent,
        "from_session_tag": "<text:agent_session>",
        "to_account_id": message["from_account_id"],
    });
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            receipt[name] = value.into();
        }
    };
    add("trace_id", trace(message));
    add("thread_id", Some(&thread(message)));
    add("parent_message_id", text(message, "parent_message_id"));
    add("code", kind.code.as_deref());
    add("detail", kind.detail.as_deref());
    receipt
}

fn reply(kind: &ReplyKind, message: &Value, agent: &str) -> Value {
    let sender = text(message, "from_account_id").filter(|account| !account.trim().is_empty());
    let from_agent = text(message, "from_agent").unwrap_or_default();
    let (kind, to_agent, payload) = match kind {
        ReplyKind::Echo { .. } => ("reply", sender.unwrap_or(from_agent), message["payload"].clone()),
        ReplyKind::Error { error, detail } => {
            let payload = json!({
                "error": error,
                "detail": detail,
                "request_message_id": text(message, "message_id").unwrap_or_default(),
                "trace_id": trace(message).unwrap_or_default(),
            });
            ("error", from_agent, payload)
        }
    };
    let mut reply = json!({
        "message_id": "<text>",
        "from_agent": "<text:agent_id>",
        "to_agent": to_agent,
        "payload": payload,
        "sent_at": "<time>",
        "kind": kind,
        "schema_version": "1.1",
        "from_session_tag": "<text:agent_session>",
        "from_account_id": agent,
        "ttl_ms": "<count>",
        "expires_at": "<time>",
        "trace_id": trace(message).unwrap_or("<text>"),
        "thread_id": thread(message),
    });
    if let Some(account) = sender {
        reply["to_account_id"] = account.into();
    }
    if let Some(id) = text(message, "message_id") {
        reply["parent_message_id"] = id.into();
    }
    reply
}

/// `echo`, or the code of an error reply.
pub(super) fn outcome(reply: &Value) -> String {
    match reply["kind"].as_str() {
        Some("error") => reply["payload"]["error"]
            .as_str()
            .unwrap_or("error without a code")
            .to_owned(),
        Some("reply") => "echo".to_owned(),
        other => format!("kind {other:?}"),
    }
}

/// Compares the outcomes of copies; a copy without a reply has none.
pub(super) fn compare_copies(expect: &Expectation, outcomes: &[Option<String>]) -> Comparison {
    let mut comparison = Comparison::default();
    for range in &expect.copies {
        for number in range.from..=range.to {
            match outcomes.get(number - 1).and_then(Option::as_ref) {
                Some(outcome) if range.one_of.contains(outcome) => {}
                Some(outcome) => {
                    let one_of = range.one_of.join(" or ");
                    comparison
                        .wrong
                        .push(format!("copy {number}: expected {one_of}, got {outcome}"));
                }
                None => comparison.missing.push(format!("copy {number} was not answered")),
            }
        }
    }
    for some in &expect.some {
        if !outcomes.iter().flatten().any(|outcome| outcome == some) {
            comparison.missing.push(format!("no copy was answered with {some}"));
        }
    }
    const MAX_SHOWN: usize = 5;
    for lines in [&mut comparison.wrong, &mut comparison.missing] {
        let more = lines.len().saturating_sub(MAX_SHOWN);
        lines.truncate(MAX_SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
    }
    comparison
}

#[cfg(test)]
mod tests;
