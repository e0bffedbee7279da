//! Composes the messages: a plain request, changed as a step specifies.

use std::time::SystemTime;

use agentnet_protocol::{Timestamp, subject};
use serde_json::{Map, Value, json};

use super::steps::{MessageSpec, Recipient};

/// Composes a step's messages with the accounts and names of the run.
#[derive(Debug, Clone)]
pub(super) struct MessageComposer {
    pub(super) run: String,
    pub(super) step: usize,
    pub(super) agent: String,
    pub(super) peer: String,
    pub(super) stranger: String,
    pub(super) session: String,
    pub(super) capability: String,
}

/// A message as it was sent.
#[derive(Debug, Clone)]
pub(super) struct SentMessage {
    /// Empty if the message has none.
    pub(super) message_id: String,
    /// The message; an empty object for a raw text.
    pub(super) message: Value,
    pub(super) body: String,
    pub(super) subject: String,
    /// Where replies go, whether as the NATS reply subject or only in `reply_to`.
    pub(super) reply_subject: String,
    pub(super) asks_reply: bool,
    /// A subject that is not a valid reply subject.
    pub(super) elsewhere: String,
}

impl MessageComposer {
    /// Prefix of all valid reply subjects of the run.
    pub(super) fn reply_prefix(run: &str) -> String {
        format!("_INBOX.conformance_{run}")
    }

    /// Prefix of all subjects that must get no reply.
    pub(super) fn elsewhere_prefix(run: &str) -> String {
        format!("conformance_{run}")
    }

    /// Message number `exchange` of the step, from 1; of copies, the one with this number, from 1.
    pub(super) fn compose(&self, sending: &MessageSpec, exchange: usize, copy: Option<usize>) -> SentMessage {
        let part = match copy {
            Some(copy) => format!("{}.{exchange}.{copy}", self.step),
            None => format!("{}.{exchange}", self.step),
        };
        let reply_subject = format!("{}.{part}", Self::reply_prefix(&self.run));
        let elsewhere = format!("{}.{part}", Self::elsewhere_prefix(&self.run));
        let number = match copy.filter(|_| sending.fresh) {
            Some(copy) => format!("{exchange}.{copy}"),
            None => exchange.to_string(),
        };
        let own_id = self.id(&number);
        let fill = |text: &str| self.fill(text, &reply_subject, &elsewhere);
        let (message, body) = match &sending.raw {
            Some(raw) => (json!({}), fill(raw)),
            None => {
                // Each message has its own session, so that the rate limit does not apply.
                let session = format!("{}_{}.{number}", self.session, self.step);
                let message = self.envelope(sending, &own_id, &session, &fill);
                let body = message.to_string();
                (message, body)
            }
        };
        SentMessage {
            message_id: message["message_id"].as_str().unwrap_or_default().to_owned(),
            message,
            body,
            subject: match sending.to {
                Recipient::Inbox => subject::inbox(&self.agent),
                Recipient::Capability => subject::capability(&self.capability),
            },
            reply_subject,
            asks_reply: sending.reply.unwrap_or(true),
            elsewhere,
        }
    }

    fn envelope(&self, sending: &MessageSpec, id: &str, session: &str, fill: &dyn Fn(&str) -> String) -> Value {
        let to_agent = match sending.to {
            Recipient::Inbox => self.agent.clone(),
            Recipient::Capability => format!("capability:{}", self.capability),
        };
        let mut message = json!({
            "message_id": id,
            "from_agent": "conformance",
            "to_agent": to_agent,
            "payload": { "do": "echo", "text": "hé 😀" },
            "sent_at": fill("<now>"),
            "kind": "request",
            "schema_version": "1.1",
            "from_session_tag": session,
            "from_account_id": self.peer,
            "to_account_id": self.agent,
            "ttl_ms": 30_000,
            "expires_at": fill("<now+30000>"),
            "trace_id": format!("Trace-{id}"),
            "thread_id": format!("thread_conformance_{}", self.run),
            "parent_message_id": format!("parent_{id}"),
        });
        if let Some(members) = message.as_object_mut() {
            if sending.to == Recipient::Capability {
                members.shift_remove("to_account_id");
            }
            for (name, value) in filled_members(&sending.set, fill) {
                members.insert(name, value);
            }
            for name in &sending.remove {
                members.shift_remove(name);
            }
        }
        if let Some(size) = sending.pad {
            message["payload"] = json!({ "do": "echo", "pad": "" });
            let missing = size.saturating_sub(message.to_string().len());
            message["payload"]["pad"] = "x".repeat(missing).into();
        }
        message
    }

    fn id(&self, number: &str) -> String {
        format!("cf_{}_{}_{}", self.run, self.step, number.replace('.', "_"))
    }

    /// Puts values in for `<now>`, `<now-1000>` (milliseconds), `<id:1>`, `<id:1.3>`, `<agent>`, `<peer>`, `<stranger>`,
    /// `<reply>` and `<elsewhere>`.
    fn fill(&self, template: &str, reply: &str, elsewhere: &str) -> String {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((start, end)) = rest
            .find('<')
            .and_then(|start| Some((start, start + rest[start..].find('>')?)))
        {
            let name = &rest[start + 1..end];
            let value = match name {
                "agent" => Some(self.agent.clone()),
                "peer" => Some(self.peer.clone()),
                "stranger" => Some(self.stranger.clone()),
                "reply" => Some(reply.to_owned()),
                "elsewhere" => Some(elsewhere.to_owned()),
                _ => name
                    .strip_prefix("id:")
                    .map(|number| self.id(number))
                    .or_else(|| moment(name)),
            };
            filled.push_str(&rest[..start]);
            filled.push_str(value.as_deref().unwrap_or(&rest[start..=end]));
            rest = &rest[end + 1..];
        }
        filled + rest
    }
}

fn filled_members(members: &Map<String, Value>, fill: &dyn Fn(&str) -> String) -> Map<String, Value> {
    let members = members.iter();
    members
        .map(|(name, value)| (name.clone(), filled(value, fill)))
        .collect()
}

fn filled(value: &Value, fill: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => fill(text).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Value::Object(members) => Value::Object(filled_members(members, fill)),
        other => other.clone(),
    }
}

/// `now`, or an offset of milliseconds from it.
fn moment(name: &str) -> Option<String> {
    let offset = name.strip_prefix("now")?;
    let millis: i128 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    Some(
        Timestamp::from(SystemTime::now())
            .saturating_add_millis(millis)
            .to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> MessageComposer {
        MessageComposer {
            run: "xyw".into(),
            step: 7,
            agent: "acct_a".into(),
            peer: "acct_p".into(),
            stranger: "acct_s".into(),
            session: "s".into(),
            capability: "chat".into(),
        }
    }

    fn compose(sending: Value, copy: Option<usize>) -> SentMessage {
        names().compose(&serde_json::from_value(sending).unwrap(), 2, copy)
    }

    #[test]
    fn a_step_changes_a_plain_request() {
        let plain = compose(json!({}), None);
        assert_eq!(plain.message_id, "cf_xyw_7_2");
        assert_eq!(plain.message["from_session_tag"], "s_7.2");
        assert_eq!(
            (plain.subject.as_str(), plain.asks_reply),
            ("account.acct_a.inbox", true)
        );
        let changed = compose(
            json!({"set": {"message_id": "<id:1>", "payload": {"until": "<now+5>", "x": ["<peer>", "<odd>"]},
                           "reply_to": "<elsewhere>"}, "remove": ["trace_id"], "reply": false, "to": "capability"}),
            None,
        );
        assert_eq!(changed.message_id, "cf_xyw_7_1");
        assert_eq!(changed.message["payload"]["x"], json!(["acct_p", "<odd>"]));
        assert!(Timestamp::parse(changed.message["payload"]["until"].as_str().unwrap()).is_some());
        assert_eq!(changed.message["reply_to"], "conformance_xyw.7.2");
        assert_eq!(changed.message.get("trace_id"), None);
        assert_eq!(
            (changed.subject.as_str(), changed.asks_reply),
            ("agent.capability.chat", false)
        );
        assert_eq!(compose(json!({"pad": 3000}), None).body.len(), 3000);
        let raw = compose(json!({"raw": "{\"message_id\": \"<id:2>\""}), None);
        assert_eq!(
            (raw.body.as_str(), raw.message_id.as_str()),
            ("{\"message_id\": \"cf_xyw_7_2\"", "")
        );
    }

    #[test]
    fn copies_differ_by_their_reply_subjects() {
        let same = compose(json!({"copies": 3}), Some(3));
        assert_eq!(same.message_id, "cf_xyw_7_2");
        assert_eq!(same.reply_subject, "_INBOX.conformance_xyw.7.2.3");
        let fresh = compose(json!({"copies": 3, "fresh": true}), Some(3));
        assert_eq!(fresh.message_id, "cf_xyw_7_2_3");
        assert_eq!(fresh.message["from_session_tag"], "s_7.2.3");
    }
}
