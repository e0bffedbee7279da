//! Tasks: the member of sessions that claim, states, messages, requests, replies and events (section 22).

use agentnet_protocol::json::Object;
use agentnet_protocol::rpc::{
    TaskCancelRequest, TaskClaimRequest, TaskCreateRequest, TaskEvent, TaskEventsRequest, TaskFinishRequest,
    TaskHeartbeatRequest, TaskInputRequest, TaskListRequest, TaskRetryRequest, TaskStatusRequest,
};
use agentnet_protocol::task::{self, TaskMessage, TaskState};
use agentnet_protocol::{Envelope, RawJson};

use crate::loader::check_each;
use crate::mailbox::{answer, read};

#[test]
fn task_member() {
    check_each("task_member", |case| {
        let object = Object::parse_body(case.text("wire").as_bytes());
        let object = object.expect("the case is JSON").expect("the case is an object");
        assert_eq!(Some(task::claims(&object)), case.get("claim").as_bool());
    });
}

#[test]
fn task_states() {
    check_each("task_states", |case| {
        let state: Option<TaskState> = case.text("state").parse().ok();
        assert_eq!(state.map(TaskState::as_str), case.opt_text("known"));
        assert_eq!(state.map(TaskState::status), case.opt_text("status"));
        assert_eq!(state.map(TaskState::is_terminal), case.get("terminal").as_bool());
        assert_eq!(state.map(TaskState::is_blocked), case.get("blocked").as_bool());
    });
}

#[test]
fn task_messages() {
    check_each("task_messages", |case| {
        let wire = format!(r#"{{"message_id":"m","payload":{}}}"#, case.text("wire"));
        let message = TaskMessage::of(&Envelope::decode(wire).expect("the case is a payload"));
        assert_eq!(message.as_ref().map(|read| read.kind.as_str()), case.opt_text("kind"));
        let Some(message) = message else {
            return;
        };
        assert_eq!(message.task_id, case.text("task_id"));
        assert_eq!(message.text, case.text("text"));
        for (member, value) in [
            ("coordinator", message.coordinator.as_deref()),
            ("title", message.title.as_deref()),
            ("parent_task_id", message.parent_task_id.as_deref()),
            ("phase", message.phase.as_deref()),
            ("result", message.result.as_ref().map(RawJson::get)),
            ("metadata", Some(message.metadata.get())),
        ] {
            assert_eq!(value, case.opt_text(member), "{member}");
        }
        assert_eq!(message.percent, case.get("percent").as_i64());
        assert_eq!(message.payload(case.text("at")).get(), case.text("reencoded"));
    });
}

#[test]
fn task_requests() {
    check_each("task_requests", |case| {
        let read = match case.text("rpc") {
            "task_create" => read::<TaskCreateRequest>(case),
            "task_claim" => read::<TaskClaimRequest>(case),
            "task_heartbeat" => read::<TaskHeartbeatRequest>(case),
            "task_finish" => read::<TaskFinishRequest>(case),
            "task_cancel" => read::<TaskCancelRequest>(case),
            "task_input" => read::<TaskInputRequest>(case),
            "task_retry" => read::<TaskRetryRequest>(case),
            "task_status" => read::<TaskStatusRequest>(case),
            "task_list" => read::<TaskListRequest>(case),
            "task_events" => read::<TaskEventsRequest>(case),
            other => panic!("no such RPC: {other}"),
        };
        match (&read, case.opt_text("error")) {
            (Ok(text), None) => assert_eq!(text, case.text("reencoded")),
            (Err(error), Some(expected)) => assert_eq!(error, expected),
            (other, expected) => panic!("expected {expected:?}, got {other:?}"),
        }
    });
}

#[test]
fn task_replies() {
    check_each("task_replies", |case| {
        let written = match case.text("rpc") {
            "task_create" => answer::<TaskCreateRequest>(case),
            "task_claim" => answer::<TaskClaimRequest>(case),
            "task_heartbeat" => answer::<TaskHeartbeatRequest>(case),
            "task_finish" => answer::<TaskFinishRequest>(case),
            "task_cancel" => answer::<TaskCancelRequest>(case),
            "task_input" => answer::<TaskInputRequest>(case),
            "task_retry" => answer::<TaskRetryRequest>(case),
            "task_status" => answer::<TaskStatusRequest>(case),
            "task_list" => answer::<TaskListRequest>(case),
            "task_events" => answer::<TaskEventsRequest>(case),
            other => panic!("no such RPC: {other}"),
        };
        assert_eq!(written, case.text("reencoded"));
    });
}

#[test]
fn task_events() {
    check_each("task_events", |case| {
        let event = TaskEvent::decode(case.text("wire").as_bytes()).expect("the case is an event");
        assert_eq!(event.encode(), case.text("reencoded"));
    });
}
