//! Workers that work by messages, and that a command does not tell what has become of their task: it does not join the network
//! (PROTOCOL.md section 22.7).

use agentnet_protocol::RawJson;
use agentnet_protocol::json::{ObjectWriter, ascii};
use agentnet_protocol::rpc::TaskSnapshot;
use agentnet_protocol::task::TaskMessageKind;

use super::cells;
use crate::output::sanitize::clean;

/// The delivery of a task whose worker works by messages.
const BY_MESSAGES: &str = "message";
/// Bytes of a message that is shown.
const MAX_SHOWN_BYTES: usize = 4 * 1024;

/// What a worker was not told.
pub(super) enum Untold {
    Canceled { reason: String },
    Answered { input: RawJson },
    Retried,
}

/// That the worker was not told, and how to tell it; `None` where it learns it from the registry.
pub(super) fn note(task: &TaskSnapshot, untold: &Untold, username: &str) -> Option<String> {
    if task.delivery.as_deref() != Some(BY_MESSAGES) {
        return None;
    }
    let worker = task.worker_account_id.as_ref().or(task.assignee_account_id.as_ref())?;
    let message = message(task, untold);
    let how = match message.len() <= MAX_SHOWN_BYTES {
        true => format!(
            "agentnet send --as {} --mailbox --to-account {} {}",
            quoted(&clean(username)),
            quoted(&clean(worker)),
            quoted(&message)
        ),
        false => format!("send {} a message task.assign (docs/TASKS.md)", clean(worker)),
    };
    Some(format!(
        "warning: the worker of {} works by messages and was not notified; notify it: {how}",
        cells::name(task)
    ))
}

/// The payload of the message.
fn message(task: &TaskSnapshot, untold: &Untold) -> String {
    let (kind, text) = match untold {
        Untold::Canceled { reason } => (TaskMessageKind::Cancel, reason),
        Untold::Answered { .. } | Untold::Retried => (TaskMessageKind::Assign, &task.assigned_text),
    };
    let mut out = ObjectWriter::new();
    out.text("type", kind.as_str())
        .text("task_id", &task.task_id)
        .text("text", text);
    if let Untold::Answered { input } = untold {
        out.raw("input", &ascii(input.get()));
    }
    out.finish()
}

/// One word for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/@".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskSnapshot {
        TaskSnapshot {
            task_id: "task_1".into(),
            assigned_text: "say 'hi'\u{1b}".into(),
            assignee_account_id: Some("acct_b".into()),
            delivery: Some(BY_MESSAGES.into()),
            ..TaskSnapshot::default()
        }
    }

    #[test]
    fn who_changes_a_task_learns_how_to_tell_its_worker() {
        let input = RawJson::from(serde_json::json!(["ä"]));
        let shown = note(&task(), &Untold::Answered { input }, "ada").unwrap();
        let command = r#"agentnet send --as ada --mailbox --to-account acct_b '{"type":"task.assign","task_id":"task_1","text":"say '\''hi'\''\u001b","input":["\u00e4"]}'"#;
        assert!(shown.ends_with(command) && shown.starts_with("warning: "), "{shown}");
        let reason = "no more".to_owned();
        let shown = note(&task(), &Untold::Canceled { reason }, "ada").unwrap();
        assert!(
            shown.contains(r#"'{"type":"task.cancel","task_id":"task_1","text":"no more"}'"#),
            "{shown}"
        );
        let large = TaskSnapshot {
            assigned_text: "x".repeat(MAX_SHOWN_BYTES),
            ..task()
        };
        assert!(
            note(&large, &Untold::Retried, "ada")
                .unwrap()
                .contains("a message task.assign")
        );
        let claimed = TaskSnapshot {
            delivery: None,
            ..task()
        };
        assert_eq!(note(&claimed, &Untold::Retried, "ada"), None);
    }
}
