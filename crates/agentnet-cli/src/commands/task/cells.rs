//! How tasks and their events are shown.

use agentnet_protocol::RawJson;
use agentnet_protocol::json::Value;
use agentnet_protocol::rpc::{TaskEvent, TaskSnapshot};
use agentnet_protocol::task::TaskState;

use crate::output::sanitize::{clean, preview};
use crate::output::{Output, Tint};

/// Maximum length of a text on one line, in characters.
const MAX_TEXT_CHARS: usize = 100;

/// The colour of a state.
pub(crate) fn state_tint(state: &str) -> Tint {
    match state.parse() {
        Ok(TaskState::Completed) => Tint::Green,
        Ok(TaskState::Working) => Tint::Cyan,
        Ok(TaskState::InputRequired | TaskState::AuthRequired) => Tint::Yellow,
        Ok(TaskState::Failed | TaskState::Rejected) => Tint::Red,
        Ok(TaskState::Canceled) => Tint::Dim,
        Ok(TaskState::Submitted) | Err(_) => Tint::Plain,
    }
}

/// State and marks: `working, stalled`.
pub(super) fn state(task: &TaskSnapshot) -> String {
    let mut text = clean(&task.state).into_owned();
    if task.stalled {
        text.push_str(", stalled");
    }
    if task.cancel_requested {
        text.push_str(", cancel requested");
    }
    text
}

/// Percent, phase and text of the last progress: `40 % tests run`.
pub(super) fn progress(task: &TaskSnapshot) -> String {
    let percent = task.percent.map(|percent| format!("{percent} %"));
    let phase = task.phase.as_deref().map(|phase| format!("({})", clean(phase)));
    let text = task.latest_progress_text.as_deref().map(line);
    let parts: Vec<String> = [percent, phase, text].into_iter().flatten().collect();
    parts.join(" ")
}

/// What there is to say of a task in a few words: why it ended, else how far it is, else what is to be done.
pub(super) fn summary(task: &TaskSnapshot) -> String {
    if let Some(reason) = reason(task) {
        return reason;
    }
    let texts = [progress(task), line(&task.text), line(&task.assigned_text)];
    let mut texts = texts.into_iter().filter(|text| !text.is_empty());
    texts.next().unwrap_or_default()
}

/// Code and detail of an end.
pub(super) fn reason(task: &TaskSnapshot) -> Option<String> {
    match (task.code.as_deref(), task.detail.as_deref()) {
        (None, None) => None,
        (Some(code), None) => Some(clean(code).into_owned()),
        (None, Some(detail)) => Some(line(detail)),
        (Some(code), Some(detail)) => Some(format!("{}: {}", clean(code), line(detail))),
    }
}

/// The name of a task in a sentence: its title, else its id.
pub(super) fn name(task: &TaskSnapshot) -> String {
    match task.title.as_deref().filter(|title| !title.trim().is_empty()) {
        Some(title) => line(title),
        None => clean(&task.task_id).into_owned(),
    }
}

/// A text on one line, cut.
pub(super) fn line(text: &str) -> String {
    let text = clean(text.trim());
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into_owned(),
    }
}

/// What an event says: `progress  working  40 % tests run`.
pub(crate) fn event_line(event: &TaskEvent, by: Option<&str>, output: Output) -> String {
    let kind = output.tint(event_tint(event), &format!("{:<9}", clean(&event.r#type)));
    let mut parts = vec![kind];
    if let Some(state) = event.state.as_deref() {
        parts.push(output.tint(state_tint(state), &clean(state)));
    }
    if event.attempt > 1 {
        parts.push(format!("attempt={}", event.attempt));
    }
    if let Some(by) = by.filter(|by| !by.is_empty()) {
        parts.push(format!("by {}", output.tint(Tint::Bold, by)));
    }
    if let Some(data) = &event.data {
        parts.push(data_text(data));
    }
    if let Some(text) = event.text.as_deref().filter(|text| !text.trim().is_empty()) {
        parts.push(line(text));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ").trim_end().to_owned()
}

fn event_tint(event: &TaskEvent) -> Tint {
    match event.r#type.as_str() {
        "claimed" | "progress" => Tint::Cyan,
        "blocked" | "lost" | "retried" | "cancel_requested" | "released" => Tint::Yellow,
        "finished" => event.state.as_deref().map_or(Tint::Plain, state_tint),
        _ => Tint::Plain,
    }
}

/// The data of an event: percent, phase, code and detail of those that have them, else the value itself.
fn data_text(data: &RawJson) -> String {
    let view = data.view();
    let Some(object) = view.as_object() else {
        return preview(data);
    };
    let text = |name: &str| {
        let value: Value<'_> = object.get(name);
        (!value.is_null()).then(|| line(&value.text()))
    };
    let percent = text("percent").map(|percent| format!("{percent} %"));
    let phase = text("phase").map(|phase| format!("({phase})"));
    let reason = match (text("code"), text("detail")) {
        (Some(code), Some(detail)) => Some(format!("{code}: {detail}")),
        (code, detail) => code.or(detail),
    };
    let due = text("not_before").map(|at| format!("not before {at}"));
    let parts: Vec<String> = [percent, phase, reason, due].into_iter().flatten().collect();
    match parts.is_empty() {
        true => preview(data),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskSnapshot {
        TaskSnapshot {
            task_id: "task_1".into(),
            state: "working".into(),
            assigned_text: "build\nit".into(),
            ..TaskSnapshot::default()
        }
    }

    #[test]
    fn a_task_is_told_by_its_end_its_progress_or_its_text() {
        assert_eq!((name(&task()), summary(&task())), ("task_1".into(), "build it".into()));
        let moving = TaskSnapshot {
            title: Some(" fix\u{1b} ".into()),
            percent: Some(40),
            phase: Some("working".into()),
            latest_progress_text: Some("tests run".into()),
            stalled: true,
            ..task()
        };
        assert_eq!(name(&moving), "fix\u{fffd}");
        assert_eq!(summary(&moving), "40 % (working) tests run");
        assert_eq!(state(&moving), "working, stalled");
        let ended = TaskSnapshot {
            code: Some("worker_lost".into()),
            detail: Some("silent".into()),
            ..moving
        };
        assert_eq!(summary(&ended), "worker_lost: silent");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "日".repeat(MAX_TEXT_CHARS + 1);
        assert_eq!(line(&text), format!("{}…", "日".repeat(MAX_TEXT_CHARS)));
        assert_eq!(line("日"), "日");
    }

    #[test]
    fn an_event_is_one_line() {
        let output = Output::fixed(false, false);
        let event = |kind: &str, data: Option<&str>| TaskEvent {
            r#type: kind.into(),
            state: Some("working".into()),
            attempt: 2,
            text: Some("a\nb".into()),
            data: data.map(|data| RawJson::parse(data.to_owned()).unwrap()),
            ..TaskEvent::default()
        };
        let shown = |event: TaskEvent| event_line(&event, Some("@bob"), output);
        assert_eq!(
            shown(event("progress", Some(r#"{"percent":40,"phase":"tool"}"#))),
            "progress   working  attempt=2  by @bob  40 % (tool)  a b"
        );
        assert_eq!(
            shown(event("finished", Some(r#"{"code":"x","detail":"y"}"#))),
            "finished   working  attempt=2  by @bob  x: y  a b"
        );
        assert!(shown(event("input", Some(r#"{"answer":1}"#))).contains("answer"));
        let bare = TaskEvent {
            r#type: "created".into(),
            ..TaskEvent::default()
        };
        assert_eq!(event_line(&bare, None, output), "created");
    }
}
