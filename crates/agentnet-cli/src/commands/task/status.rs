//! `agentnet task status`: one task.

use agentnet_protocol::rpc::{TaskSnapshot, TaskStatusRequest};
use clap::Args;

use super::{cells, explained};
use crate::account_names::PageNames;
use crate::args::CallTimeout;
use crate::connection::{ask, connect_registry};
use crate::exit::Exit;
use crate::failures::task::named;
use crate::global::Global;
use crate::output::Output;
use crate::output::json::indented;
use crate::output::sanitize::{clean, clean_lines};
use crate::output::table::facts;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The task
    #[arg(value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::tasks(&[]))]
    task_id: String,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Status {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let result = self.show(global, output).await;
        explained(global, result).await
    }

    async fn show(self, global: &Global, output: Output) -> Result<(), Exit> {
        let task_id = self.task_id.trim().to_owned();
        let request = TaskStatusRequest {
            task_id: task_id.clone(),
        };
        let reply = match ask(global, output, &self.timeout, &request).await {
            Err(Exit::Failed(failure)) => return Err(named(failure, &task_id).into()),
            reply => reply?,
        };
        let Some(reply) = reply else { return Ok(()) };
        let task = reply.task;
        let accounts = [
            &task.coordinator_account_id,
            &task.assignee_account_id,
            &task.worker_account_id,
        ];
        let registry = connect_registry(global).await?;
        let names = PageNames::look_up(&registry, accounts.into_iter().filter_map(Option::as_deref), output).await;
        output.line(facts(output, rows(&task, &names, output)))?;
        print_result(&task, output)
    }
}

/// What came of the task, below its facts.
fn print_result(task: &TaskSnapshot, output: Output) -> Result<(), Exit> {
    let Some(result) = task.result.as_ref().filter(|result| !result.view().is_null()) else {
        return Ok(());
    };
    let text = match result.view().as_str() {
        Some(text) => clean_lines(&text),
        None => indented(result),
    };
    Ok(output.line(format!("\n{text}"))?)
}

fn rows(task: &TaskSnapshot, names: &PageNames, output: Output) -> Vec<(&'static str, String)> {
    let mut rows = vec![("Task", clean(&task.task_id).into_owned())];
    let mut add = |name: &'static str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            rows.push((name, value));
        }
    };
    let account = |id: &Option<String>| id.as_deref().map(|id| names.display(Some(id)));
    let time = |at: &Option<String>| at.as_deref().map(|at| output.moment(Some(at)));
    let due = |at: &Option<String>| at.as_deref().map(|at| output.due(at));
    add("Title", task.title.as_deref().map(cells::line));
    add("State", Some(cells::state(task)));
    add("Reason", cells::reason(task));
    add("Coordinator", account(&task.coordinator_account_id));
    add(
        "For",
        task.capability
            .as_deref()
            .map(|name| format!("capability:{}", clean(name))),
    );
    add("Assignee", account(&task.assignee_account_id));
    add(
        "Worker",
        account(&task.worker_account_id).filter(|_| task.worker_account_id != task.assignee_account_id),
    );
    add("Attempt", Some(format!("{} of {}", task.attempt, task.max_attempts)));
    add("Progress", Some(cells::progress(task)));
    add("Created", Some(output.moment(Some(&task.created_at))));
    add("Changed", Some(output.moment(Some(&task.updated_at))));
    add("Heartbeat", time(&task.heartbeat_at));
    add(
        "Not before",
        due(&task.not_before).filter(|_| task.state == "submitted"),
    );
    add("Deadline", due(&task.deadline_at));
    add("Priority", (task.priority != 0).then(|| task.priority.to_string()));
    add(
        "Part of",
        task.parent_task_id.as_deref().map(|id| clean(id).into_owned()),
    );
    let parts = task.children.filter(|parts| parts.open + parts.done > 0);
    add(
        "Parts",
        parts.map(|parts| format!("{} open, {} ended", parts.open, parts.done)),
    );
    add("Thread", task.thread_id.as_deref().map(|id| clean(id).into_owned()));
    add("Work", Some(cells::line(&task.assigned_text)));
    add(
        "Last text",
        Some(cells::line(&task.text)).filter(|_| task.text != task.assigned_text),
    );
    rows
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::rpc::TaskChildren;

    use super::*;

    #[test]
    fn only_what_is_known_has_a_row() {
        let output = Output::fixed(false, false);
        let names = PageNames::empty(output);
        let task = TaskSnapshot {
            task_id: "task_1".into(),
            state: "working".into(),
            created_at: "2026-02-21T08:00:00Z".into(),
            updated_at: "2026-02-21T08:00:01Z".into(),
            coordinator_account_id: Some("acct_a".into()),
            assignee_account_id: Some("acct_b".into()),
            worker_account_id: Some("acct_b".into()),
            attempt: 1,
            max_attempts: 3,
            assigned_text: "build".into(),
            text: "build".into(),
            children: Some(TaskChildren { open: 1, done: 2 }),
            ..TaskSnapshot::default()
        };
        let named: Vec<(&str, String)> = rows(&task, &names, output);
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "Task",
                "State",
                "Coordinator",
                "Assignee",
                "Attempt",
                "Created",
                "Changed",
                "Parts",
                "Work"
            ]
        );
        assert!(named.contains(&("Attempt", "1 of 3".to_owned())));
        assert!(named.contains(&("Parts", "1 open, 2 ended".to_owned())));
    }
}
