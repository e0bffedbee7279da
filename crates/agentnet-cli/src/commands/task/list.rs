//! `agentnet task list`: tasks, the last changed first.

use agentnet_protocol::rpc::{TaskListRequest, TaskSnapshot};
use agentnet_protocol::{Timestamp, task::TaskState};
use clap::Args;

use super::{StateArg, StatusArg, TASKS, cells, explained};
use crate::account_names::PageNames;
use crate::accounts;
use crate::args::{capped_limit, page_limit, trimmed};
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::Rows;
use crate::pages::PageArgs;

/// The largest page of the registry.
const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;

const COLUMNS: [&str; 9] = [
    "Changed",
    "State",
    "Task ID",
    "Title",
    "Coordinator",
    "Assignee",
    "Attempt",
    "Parts",
    "Last",
];
const YIELDING: [&str; 8] = [
    "Last",
    "Parts",
    "Coordinator",
    "Attempt",
    "Assignee",
    "Title",
    "Changed",
    "State",
];

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only tasks that this agent has to do: username or account id
    #[arg(long, value_name = "AGENT", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    assignee: Option<String>,
    /// Only tasks that this agent asked for: username or account id
    #[arg(long, value_name = "AGENT", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    coordinator: Option<String>,
    /// Only tasks in this state
    #[arg(long, value_name = "STATE", value_enum, conflicts_with = "status")]
    state: Option<StateArg>,
    /// Only tasks with this status, a word of the later Python implementation: `failed` includes canceled and rejected
    #[arg(long, value_name = "STATUS", value_enum)]
    status: Option<StatusArg>,
    /// Only tasks for any agent with this capability
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, add = crate::shell_completion::capabilities())]
    capability: Option<String>,
    /// Only the parts of this task
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::tasks(&[]))]
    parent: Option<String>,
    /// Only tasks that changed since then, like 2026-02-21T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<String>,
    /// How many to show, 1 to 100
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = page_limit, allow_negative_numbers = true)]
    limit: usize,
    #[command(flatten)]
    page: PageArgs,
}

fn time(text: &str) -> Result<String, String> {
    match Timestamp::parse(text.trim()) {
        Some(_) => Ok(text.trim().to_owned()),
        None => Err("it is not a time like 2026-02-21T08:00:00Z".to_owned()),
    }
}

impl List {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let result = self.show(global, output).await;
        explained(global, result).await
    }

    async fn show(self, global: &Global, output: Output) -> Result<(), Exit> {
        let states: Vec<TaskState> = match (self.state, self.status) {
            (Some(state), _) => vec![state.into()],
            (None, Some(status)) => status.states(),
            (None, None) => Vec::new(),
        };
        let request = TaskListRequest {
            assignee_account_id: accounts::optional_id_of(global, self.assignee.as_ref()).await?,
            coordinator_account_id: accounts::optional_id_of(global, self.coordinator.as_ref()).await?,
            states,
            parent_task_id: trimmed(self.parent.as_ref()),
            capability: trimmed(self.capability.as_ref()),
            since: self.since,
            limit: capped_limit(self.limit, MAX_LIMIT, output),
            cursor: None,
        };
        let Some(listed) = self.page.list(global, output, request).await? else {
            return Ok(());
        };
        let accounts = listed
            .items
            .iter()
            .flat_map(|task| [&task.coordinator_account_id, &task.assignee_account_id]);
        let names = PageNames::look_up(&listed.registry, accounts.filter_map(|id| id.as_deref()), output).await;
        let mut rows = Rows::new(output, &COLUMNS).yielding(&YIELDING);
        for task in &listed.items {
            rows.push(cells_of(task, &names, output));
        }
        rows.print(TASKS, "No tasks")?;
        listed.hint_next_page(output);
        Ok(())
    }
}

fn cells_of(task: &TaskSnapshot, names: &PageNames, output: Output) -> [String; COLUMNS.len()] {
    let assignee = match (&task.assignee_account_id, &task.capability) {
        (Some(id), _) => names.display(Some(id)),
        (None, Some(capability)) => format!("capability:{}", clean(capability)),
        (None, None) => output.blank(),
    };
    let parts = task.children.filter(|parts| parts.open + parts.done > 0);
    [
        output.moment(Some(&task.updated_at)),
        cells::state(task),
        clean(&task.task_id).into_owned(),
        output.or_blank(task.title.as_deref()),
        match &task.coordinator_account_id {
            Some(id) => names.display(Some(id)),
            None => output.or_blank(task.coordinator.as_deref()),
        },
        assignee,
        format!("{}/{}", task.attempt, task.max_attempts),
        parts.map_or_else(
            || output.blank(),
            |parts| format!("{}/{}", parts.done, parts.open + parts.done),
        ),
        output.or_blank(Some(&cells::summary(task))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_columns_that_exist_yield() {
        assert!(YIELDING.iter().all(|column| COLUMNS.contains(column)));
        assert!(!YIELDING.contains(&"Task ID"), "commands need the whole id");
    }

    #[test]
    fn a_task_for_a_capability_names_it_until_somebody_has_it() {
        let output = Output::fixed(false, false);
        let names = PageNames::empty(output);
        let task = TaskSnapshot {
            capability: Some("build".into()),
            ..TaskSnapshot::default()
        };
        assert_eq!(cells_of(&task, &names, output)[5], "capability:build");
        let claimed = TaskSnapshot {
            assignee_account_id: Some("acct_b".into()),
            ..task
        };
        assert_eq!(cells_of(&claimed, &names, output)[5], "acct_b");
    }

    #[test]
    fn times_are_checked_before_they_are_sent() {
        assert_eq!(time(" 2026-02-21T08:00:00Z "), Ok("2026-02-21T08:00:00Z".to_owned()));
        assert!(time("yesterday").is_err());
    }
}
