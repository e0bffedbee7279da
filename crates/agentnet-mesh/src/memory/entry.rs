//! What one message of the history says.

use agentnet::RawJson;
use agentnet::protocol::compaction::{Checkpoint, is_compaction_required};
use agentnet::protocol::json::Value as JsonView;
use agentnet::protocol::payload_text::extract_text;
use agentnet::protocol::rpc::HistoryMessage;
use agentnet::protocol::stream::{StreamFrame, StreamPart, piece_text};
use agentnet::protocol::task::{TaskMessage, TaskMessageKind};
use serde_json::Value;

/// The `type` of a note's payload.
pub const NOTE_TYPE: &str = "note";
/// The member of a task's result that repeats what was asked for: a task for an agent that is online is told by no message, so
/// that its thread would have an answer to nothing.
pub const TASK_MEMBER: &str = "task";
/// Members of a payload that are not shown to a model.
const INTERNAL_MEMBERS: [&str; 2] = ["mesh", "stream"];

/// What a message of the history says to an agent's model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text of somebody else, or a question that the agent itself asked another one.
    Text(String),
    /// An answer of the agent itself.
    Answer(String),
    /// The result of a task that the agent itself has worked at.
    TaskAnswer {
        /// Id of the task.
        task_id: String,
        /// What was asked for; empty if the result does not say.
        task: String,
        /// What came of the task, in words.
        text: String,
    },
    /// A summary of the messages before.
    Checkpoint(Checkpoint),
    /// A note of the agent to itself.
    Note(String),
    /// A part of a stream.
    Frame(StreamFrame),
    /// Nothing that a model is shown: errors, events, empty messages, the notes of others.
    Hidden,
}

impl Content {
    /// Reads a message as the agent with the account `own` sees it.
    #[must_use]
    pub fn of(message: &HistoryMessage, own: &str) -> Self {
        let payload = message.payload.view();
        if let Some(checkpoint) = Checkpoint::parse(&payload) {
            return Self::Checkpoint(checkpoint);
        }
        match StreamFrame::parse(&payload) {
            Ok(Some(frame)) => return Self::Frame(frame),
            Ok(None) => {}
            Err(_) => return Self::Hidden,
        }
        let is_own = message.from_account_id.as_deref() == Some(own);
        if is_note(&payload) {
            let text = payload.as_object().map(|note| note.get("text").text().into_owned());
            return match text.filter(|text| is_own && !text.trim().is_empty()) {
                Some(text) => Self::Note(text),
                None => Self::Hidden,
            };
        }
        if matches!(&*message.kind, "error" | "system" | "stream") || is_compaction_required(&payload) {
            return Self::Hidden;
        }
        if let Some(told) = TaskMessage::of_payload(&message.payload) {
            return Self::of_task(&told, is_own);
        }
        let is_answer = is_own && (message.kind == "reply" || is_marked_answer(&payload));
        match shown_text(&message.payload) {
            Some(text) if is_answer => Self::Answer(text),
            Some(text) => Self::Text(text),
            None => Self::Hidden,
        }
    }

    /// Reads a message about a task: what was asked for, and what came of it.
    fn of_task(told: &TaskMessage, is_own: bool) -> Self {
        let text = told.text.trim();
        let about = |what: &str| format!("({what})\n{text}");
        match told.kind {
            TaskMessageKind::Progress | TaskMessageKind::Cancel => Self::Hidden,
            TaskMessageKind::Assign => Self::Text(about("A task was assigned.")),
            TaskMessageKind::Result if is_own && text.is_empty() => Self::Hidden,
            TaskMessageKind::Result if is_own => Self::TaskAnswer {
                task_id: told.task_id.clone(),
                task: told.result.as_ref().and_then(asked_for).unwrap_or_default(),
                text: text.to_owned(),
            },
            TaskMessageKind::Result => Self::Text(about("The result of a task.")),
            TaskMessageKind::Blocked => Self::Text(about("A task waits for an answer.")),
            TaskMessageKind::Failed => Self::Text(about("A task failed.")),
        }
    }
}

/// What a task of a mesh asked for, by its result.
fn asked_for(result: &RawJson) -> Option<String> {
    let task = result.view().as_object()?.get(TASK_MEMBER).as_str()?.into_owned();
    Some(task).filter(|task| !task.trim().is_empty())
}

/// Whether a payload is a note of an agent to itself.
#[must_use]
pub fn is_note(payload: &JsonView<'_>) -> bool {
    let note = payload.as_object().map(|payload| payload.get("type"));
    note.and_then(|name| name.as_str())
        .is_some_and(|name| name == NOTE_TYPE)
}

/// An answer that was sent as a message, because nobody waited for a reply.
fn is_marked_answer(payload: &JsonView<'_>) -> bool {
    let mesh = payload.as_object().and_then(|payload| payload.get("mesh").as_object());
    mesh.is_some_and(|mesh| mesh.get("answer").is_truthy())
}

/// A payload as a model is shown it: its text, else its JSON without the members that only agents need; `None` where
/// nothing is left.
#[must_use]
pub fn shown_text(payload: &RawJson) -> Option<String> {
    if let Some(text) = extract_text(&payload.view()) {
        return Some(text);
    }
    // What serde cannot read (NaN, 200 levels) is shown as it was written.
    let Ok(mut value) = payload.deserialize::<Value>() else {
        return Some(payload.get().to_owned());
    };
    if let Value::Object(members) = &mut value {
        for name in INTERNAL_MEMBERS {
            members.shift_remove(name);
        }
        if members.get("text").is_some_and(is_empty) {
            members.shift_remove("text");
        }
    }
    (!is_empty(&value)).then(|| value.to_string())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// The whole text that the end of a stream repeats, if it does.
#[must_use]
pub fn end_text(frame: &StreamFrame) -> Option<String> {
    let StreamPart::End { text, result, .. } = &frame.part else {
        return None;
    };
    let text = text.as_ref().map(|text| text.to_string());
    let text = text.or_else(|| result.as_ref().and_then(piece_text).map(|text| text.into_owned()));
    text.filter(|text| !text.trim().is_empty())
}

/// The text of a message for a search; `None` for what is never shown.
#[must_use]
pub fn searchable_text(message: &HistoryMessage) -> Option<String> {
    match Content::of(message, message.from_account_id.as_deref().unwrap_or_default()) {
        Content::Text(text) | Content::Answer(text) | Content::TaskAnswer { text, .. } => Some(text),
        Content::Frame(frame) => end_text(&frame),
        Content::Checkpoint(_) | Content::Note(_) | Content::Hidden => None,
    }
}

#[cfg(test)]
mod tests {
    use agentnet::json;
    use rstest::rstest;

    use super::*;

    fn message(kind: &str, from: &str, payload: Value) -> HistoryMessage {
        HistoryMessage {
            message_id: "m1".into(),
            kind: kind.into(),
            from_account_id: Some(from.into()),
            payload: payload.into(),
            ..HistoryMessage::default()
        }
    }

    #[rstest]
    #[case::question("request", "acct_a", json!({ "text": " hi " }), Content::Text("hi".into()))]
    #[case::own_answer("reply", "acct_me", json!({ "text": "yes" }), Content::Answer("yes".into()))]
    #[case::own_question("request", "acct_me", json!({ "text": "why?" }), Content::Text("why?".into()))]
    #[case::own_direct_answer("direct", "acct_me", json!({ "text": "so", "mesh": { "answer": true } }), Content::Answer("so".into()))]
    #[case::answer_of_another("reply", "acct_a", json!({ "text": "yes" }), Content::Text("yes".into()))]
    #[case::other_json("direct", "acct_a", json!({ "city": "Oslo", "mesh": { "hops": 1 } }), Content::Text(r#"{"city":"Oslo"}"#.into()))]
    #[case::empty("direct", "acct_a", json!({ "text": "", "stream": true }), Content::Hidden)]
    #[case::null("direct", "acct_a", Value::Null, Content::Hidden)]
    #[case::error("error", "acct_a", json!({ "error": "busy" }), Content::Hidden)]
    #[case::note("system", "acct_me", json!({ "type": "note", "text": "n" }), Content::Note("n".into()))]
    #[case::note_of_another("system", "acct_a", json!({ "type": "note", "text": "n" }), Content::Hidden)]
    #[case::event("system", "acct_a", json!({ "type": "compaction_required", "thread_id": "t" }), Content::Hidden)]
    #[case::broken_frame("stream", "acct_a", json!({ "type": "stream_delta" }), Content::Hidden)]
    #[case::task("direct", "acct_a", json!({ "type": "task.assign", "task_id": "t", "text": "do it" }), Content::Text("(A task was assigned.)\ndo it".into()))]
    #[case::own_result("direct", "acct_me", json!({ "type": "task.result", "task_id": "t", "text": " done ", "result": { "task": "do it" } }), Content::TaskAnswer { task_id: "t".into(), task: "do it".into(), text: "done".into() })]
    #[case::own_result_of_others("direct", "acct_me", json!({ "type": "task.result", "task_id": "t", "text": "done", "result": [1] }), Content::TaskAnswer { task_id: "t".into(), task: String::new(), text: "done".into() })]
    #[case::result_of_another("direct", "acct_a", json!({ "type": "task.result", "task_id": "t", "text": "done" }), Content::Text("(The result of a task.)\ndone".into()))]
    #[case::progress("direct", "acct_a", json!({ "type": "task.progress", "task_id": "t", "text": "half" }), Content::Hidden)]
    #[case::failure("direct", "acct_a", json!({ "type": "task.failed", "task_id": "t", "text": "no disk" }), Content::Text("(A task failed.)\nno disk".into()))]
    fn messages_are_read(#[case] kind: &str, #[case] from: &str, #[case] payload: Value, #[case] expected: Content) {
        assert_eq!(Content::of(&message(kind, from, payload), "acct_me"), expected);
    }

    #[test]
    fn a_checkpoint_is_read_whoever_sent_it() {
        let payload = json!({ "type": "checkpoint", "covers_start": 1, "covers_end": 36, "summary": "s" });
        let Content::Checkpoint(checkpoint) = Content::of(&message("system", "acct_a", payload), "acct_me") else {
            panic!("no checkpoint");
        };
        assert_eq!((checkpoint.covers_end, &*checkpoint.summary), (36, "s"));
    }

    #[rstest]
    #[case::text(json!({ "type": "stream_end", "stream_id": "s", "text": "whole" }), Some("whole"))]
    #[case::result(json!({ "type": "stream_end", "stream_id": "s", "result": { "text": "r" } }), Some("r"))]
    #[case::nothing(json!({ "type": "stream_end", "stream_id": "s" }), None)]
    #[case::piece(json!({ "type": "stream_delta", "stream_id": "s", "delta": "d" }), None)]
    fn the_end_of_a_stream_has_its_text(#[case] payload: Value, #[case] expected: Option<&str>) {
        let Content::Frame(frame) = Content::of(&message("stream", "acct_a", payload), "acct_me") else {
            panic!("no frame");
        };
        assert_eq!(end_text(&frame).as_deref(), expected);
    }
}
