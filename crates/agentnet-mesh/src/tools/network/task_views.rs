//! How tasks stand, and their cancellation. A model is shown the tasks that its agent has to do with: what it is told by a
//! peer could make it look for others.

use std::collections::BTreeSet;

use agentnet::protocol::rpc::TaskListRequest;
use agentnet::{TaskError, TaskSnapshot, TaskState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::MAX_NAME_CHARS;
use super::messages::takes_part;
use super::tasks::{shown_result, task_failure};
use super::{MAX_TEXT_CHARS, ToolFailure, cut, own_account, read};
use crate::memory::names::{AccountNames, KnownNames};
use crate::tools::ToolContext;

/// Characters of what is to be done, of one task.
const MAX_ASSIGNED_CHARS: usize = 4_000;
/// Characters of a text of one task among others.
const MAX_LISTED_CHARS: usize = 300;

#[derive(Deserialize)]
struct StatusArguments {
    task_id: String,
}

pub(super) async fn status(
    arguments: Value,
    context: &ToolContext,
    names: &AccountNames,
) -> Result<Value, ToolFailure> {
    let StatusArguments { task_id } = read(arguments)?;
    let own = own_account(context)?;
    let task = find(&task_id, context).await?;
    let is_of_thread = async {
        match task.thread_id.as_deref() {
            Some(thread_id) => takes_part(thread_id, context).await.unwrap_or_default(),
            None => false,
        }
    };
    if !has_to_do_with(&task, &own) && !is_of_thread.await {
        return Err(ToolFailure::new("not_allowed", "you have nothing to do with that task"));
    }
    let known = names.resolve(&context.node, accounts([&task])).await;
    Ok(shown_task(&task, &own, &known))
}

#[derive(Deserialize)]
struct ListArguments {
    role: Role,
    state: Option<String>,
    parent_task_id: Option<String>,
    limit: Option<usize>,
}

/// What the agent has to do with tasks.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Coordinator,
    Worker,
}

pub(super) async fn list(arguments: Value, context: &ToolContext, names: &AccountNames) -> Result<Value, ToolFailure> {
    let arguments: ListArguments = read(arguments)?;
    let own = own_account(context)?;
    let state = arguments.state.as_deref().map(str::parse::<TaskState>).transpose();
    let state = state.map_err(|_| ToolFailure::new("bad_args", "there is no such state"))?;
    let mut request = TaskListRequest {
        states: state.into_iter().collect(),
        parent_task_id: arguments.parent_task_id.filter(|parent| !parent.is_empty()),
        limit: arguments.limit.unwrap_or(20).clamp(1, 50),
        ..TaskListRequest::default()
    };
    match arguments.role {
        Role::Coordinator => request.coordinator_account_id = Some(own.clone()),
        Role::Worker => request.assignee_account_id = Some(own.clone()),
    }
    let page = context.node.task_list(request).await;
    let page = page.map_err(|error| task_failure(&TaskError::from(error)))?;
    let known = names.resolve(&context.node, accounts(&page.tasks)).await;
    let tasks: Vec<Value> = page.tasks.iter().map(|task| listed_task(task, &own, &known)).collect();
    Ok(json!({ "tasks": tasks, "more": page.next_cursor.is_some() }))
}

#[derive(Deserialize)]
struct CancelArguments {
    task_id: String,
    #[serde(default)]
    reason: String,
}

/// Cancels a task that the agent has assigned. The registry would let a worker cancel its task too; but whoever talks to a
/// model could make it cancel the work of others.
pub(super) async fn cancel(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let CancelArguments { task_id, reason } = read(arguments)?;
    let own = own_account(context)?;
    let task = find(&task_id, context).await?;
    if task.coordinator_account_id.as_ref() != Some(&own) {
        return Err(ToolFailure::new(
            "not_allowed",
            "only the agent that assigned a task cancels it",
        ));
    }
    let cancelled = context.node.task_handle(task_id).cancel(reason).await;
    let task = cancelled.map_err(|error| task_failure(&error))?;
    let note = match task.cancel_requested {
        true => "its worker was asked to stop; it ends within some seconds",
        false => "no worker has it",
    };
    Ok(
        json!({ "task_id": cut(&task.task_id, MAX_NAME_CHARS), "state": cut(&task.state, MAX_NAME_CHARS), "note": note }),
    )
}

async fn find(task_id: &str, context: &ToolContext) -> Result<TaskSnapshot, ToolFailure> {
    let task = context.node.task_handle(task_id).status().await;
    task.map_err(|error| task_failure(&error))
}

fn has_to_do_with(task: &TaskSnapshot, own: &str) -> bool {
    involved(task).any(|account| account == own)
}

fn involved(task: &TaskSnapshot) -> impl Iterator<Item = &String> {
    let accounts = [
        &task.coordinator_account_id,
        &task.assignee_account_id,
        &task.worker_account_id,
    ];
    accounts.into_iter().flatten()
}

fn accounts<'a>(tasks: impl IntoIterator<Item = &'a TaskSnapshot>) -> BTreeSet<String> {
    tasks.into_iter().flat_map(involved).cloned().collect()
}

/// One task, with what came of it.
fn shown_task(task: &TaskSnapshot, own: &str, known: &KnownNames) -> Value {
    let mut shown = listed_task(task, own, known);
    shown["assigned"] = cut(&task.assigned_text, MAX_ASSIGNED_CHARS).into();
    // Until something happens, the last text about a task is what it asks for.
    if task.text != task.assigned_text {
        shown["text"] = cut(&task.text, MAX_TEXT_CHARS).into();
    }
    if let Some(result) = task
        .result
        .as_ref()
        .and_then(|result| shown_result(result, Some(&task.text)))
    {
        shown["result"] = result;
    }
    shown
}

/// One task among others.
fn listed_task(task: &TaskSnapshot, own: &str, known: &KnownNames) -> Value {
    let name = |account: &Option<String>, label: Option<&str>| {
        let account = account.as_deref()?;
        Some(match account == own {
            true => "you".to_owned(),
            false => known.name(account, label),
        })
    };
    let to = name(&task.assignee_account_id, None);
    let to = to.or_else(|| {
        Some(format!(
            "capability:{}",
            cut(task.capability.as_deref()?, MAX_NAME_CHARS)
        ))
    });
    let mut shown = json!({
        "task_id": cut(&task.task_id, 256),
        "state": cut(&task.state, MAX_NAME_CHARS),
        "from": name(&task.coordinator_account_id, task.coordinator.as_deref()),
        "to": to,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    });
    let title = task.title.as_deref().filter(|title| !title.is_empty());
    shown["title"] = cut(title.unwrap_or(&task.assigned_text), MAX_LISTED_CHARS).into();
    if let Some(progress) = task.latest_progress_text.as_deref().filter(|text| !text.is_empty()) {
        shown["progress"] = cut(progress, MAX_LISTED_CHARS).into();
    }
    if let Some(percent) = task.percent {
        shown["percent"] = percent.into();
    }
    for (name, text) in [("code", &task.code), ("detail", &task.detail)] {
        if let Some(text) = text {
            shown[name] = cut(text, MAX_LISTED_CHARS).into();
        }
    }
    if let Some(children) = task.children {
        shown["parts"] = json!({ "open": children.open, "done": children.done });
    }
    if task.stalled {
        shown["stalled"] = true.into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use agentnet::RawJson;

    use super::*;

    fn task() -> TaskSnapshot {
        TaskSnapshot {
            task_id: "task_1".into(),
            state: "completed".into(),
            assigned_text: "count the files".into(),
            text: "3 files".into(),
            coordinator_account_id: Some("acct_boss".into()),
            coordinator: Some("boss".into()),
            worker_account_id: Some("acct_own".into()),
            capability: Some("count".into()),
            result: Some(RawJson::from(json!({ "text": "3 files", "model": "m" }))),
            ..TaskSnapshot::default()
        }
    }

    #[test]
    fn a_task_is_shown_without_what_is_not_known() {
        let shown = shown_task(&task(), "acct_own", &KnownNames::default());
        assert_eq!(
            (&shown["to"], &shown["title"], &shown["text"], &shown["assigned"]),
            (
                &json!("capability:count"),
                &json!("count the files"),
                &json!("3 files"),
                &json!("count the files")
            )
        );
        for absent in ["result", "code", "parts", "percent", "stalled"] {
            assert!(shown.get(absent).is_none(), "{absent}: {shown}");
        }
    }

    #[test]
    fn the_own_agent_is_you() {
        let mut task = task();
        task.assignee_account_id = Some("acct_own".into());
        let shown = listed_task(&task, "acct_own", &KnownNames::default());
        assert_eq!(shown["to"], "you");
        assert!(has_to_do_with(&task, "acct_boss") && !has_to_do_with(&task, "acct_other"));
    }
}
