//! What an agent does with a message: answer it, compact a thread, or nothing.

use agentnet::Message;
use agentnet::protocol::compaction::{Checkpoint, CompactionRequired};
use agentnet::protocol::envelope::kind;
use agentnet::protocol::stream::StreamFrame;
use agentnet::protocol::task::TaskMessage;

use crate::memory::entry;

/// Payload member that names the stage of a debate; the Python implementation writes and reads it too.
pub(super) const STAGE_MEMBER: &str = "mesh_stage";
/// Stands for a message without text.
const NO_TEXT: &str = "(The message has no text.)";

/// A message, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Nothing to do.
    Ignored,
    /// A registry wants a thread to be compacted.
    Compaction(CompactionRequired),
    /// A question for the model.
    Question(Question),
}

/// A question for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// What it says.
    pub(super) text: String,
    /// Whether the requester wants a stream.
    pub(super) wants_stream: bool,
    /// Whether it is part of another agent's debate: no debate is begun for it.
    pub(super) is_debate_round: bool,
}

impl Incoming {
    pub(super) fn of(message: &Message, answers_direct: bool) -> Self {
        let payload = message.payload().view();
        if let Some(event) = CompactionRequired::parse(&payload) {
            return Self::Compaction(event);
        }
        let is_frame = !matches!(StreamFrame::parse(&payload), Ok(None));
        if Checkpoint::parse(&payload).is_some() || entry::is_note(&payload) || is_frame {
            return Self::Ignored;
        }
        if matches!(&*message.kind, kind::ERROR | kind::STREAM | kind::SYSTEM) {
            return Self::Ignored;
        }
        // Tasks are claimed from the registry; the rest is for people and for the history.
        if !message.wants_reply() && TaskMessage::of(message).is_some() {
            return Self::Ignored;
        }
        // A reply in the inbox answers nobody's request.
        if !message.wants_reply() && (!answers_direct || *message.kind == *kind::REPLY) {
            return Self::Ignored;
        }
        let members = payload.as_object();
        let is_truthy = |name| members.as_ref().is_some_and(|members| members.get(name).is_truthy());
        Self::Question(Question {
            text: entry::shown_text(message.payload()).unwrap_or_else(|| NO_TEXT.to_owned()),
            wants_stream: message.wants_reply() && is_truthy("stream"),
            is_debate_round: is_truthy(STAGE_MEMBER),
        })
    }
}

#[cfg(test)]
mod tests {
    use agentnet::{Envelope, json};
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn incoming(kind: &str, payload: &Value, wants_reply: bool, answers_direct: bool) -> Incoming {
        let mut body = json!({ "message_id": "m1", "kind": kind, "from_account_id": "acct_a", "payload": payload });
        if wants_reply {
            body["reply_to"] = "_INBOX.a.b".into();
        }
        let message = Message::from(Envelope::decode(body.to_string()).unwrap());
        Incoming::of(&message, answers_direct)
    }

    #[rstest]
    #[case::checkpoint("system", json!({ "type": "checkpoint", "covers_end": 3, "summary": "s" }))]
    #[case::checkpoint_of_any_kind("request", json!({ "type": "checkpoint", "covers_end": 3, "summary": "s" }))]
    #[case::note("system", json!({ "type": "note", "text": "n" }))]
    #[case::frame("stream", json!({ "type": "stream_delta", "stream_id": "s", "seq": 1, "delta": "d" }))]
    #[case::broken_frame("direct", json!({ "type": "stream_delta" }))]
    #[case::error("error", json!({ "error": "busy" }))]
    #[case::system("system", json!({ "text": "hi" }))]
    fn what_is_no_question_is_ignored(#[case] kind: &str, #[case] payload: Value) {
        assert_eq!(incoming(kind, &payload, true, true), Incoming::Ignored);
    }

    #[rstest]
    #[case::assigned("task.assign", false)]
    #[case::done("task.result", false)]
    #[case::asked("task.assign", true)]
    fn what_is_told_of_tasks_is_no_question(#[case] kind: &str, #[case] wants_reply: bool) {
        let payload = json!({ "type": kind, "task_id": "t1", "text": "do it" });
        let is_ignored = incoming("direct", &payload, wants_reply, true) == Incoming::Ignored;
        assert_eq!(is_ignored, !wants_reply);
    }

    #[rstest]
    #[case::request("request", true, false, true)]
    #[case::direct("direct", false, false, false)]
    #[case::direct_answered("direct", false, true, true)]
    #[case::stray_reply("reply", false, true, false)]
    fn messages_without_a_reply_subject_need_leave(
        #[case] kind: &str,
        #[case] wants_reply: bool,
        #[case] answers_direct: bool,
        #[case] expected: bool,
    ) {
        let incoming = incoming(kind, &json!({ "text": "hi" }), wants_reply, answers_direct);
        assert_eq!(matches!(incoming, Incoming::Question(_)), expected);
    }

    #[rstest]
    #[case(json!({ "text": " hi " }), "hi", false, false)]
    #[case(json!("hi"), "hi", false, false)]
    #[case(json!({ "text": "hi", "stream": true }), "hi", true, false)]
    #[case(json!({ "text": "hi", "mesh_stage": "agent1_debate_round", "round": 1 }), "hi", false, true)]
    #[case(json!({ "city": "Oslo" }), r#"{"city":"Oslo"}"#, false, false)]
    #[case(json!({}), NO_TEXT, false, false)]
    fn questions_are_read(
        #[case] payload: Value,
        #[case] text: &str,
        #[case] wants_stream: bool,
        #[case] is_debate_round: bool,
    ) {
        let text = text.to_owned();
        let expected = Question {
            text,
            wants_stream,
            is_debate_round,
        };
        assert_eq!(incoming("request", &payload, true, false), Incoming::Question(expected));
    }

    #[test]
    fn a_compaction_event_is_read() {
        let payload = json!({ "type": "compaction_required", "thread_id": "t", "message_count": 40 });
        let Incoming::Compaction(event) = incoming("system", &payload, false, false) else {
            panic!("no event");
        };
        assert_eq!((&*event.thread_id, event.message_count), ("t", 40));
    }
}
