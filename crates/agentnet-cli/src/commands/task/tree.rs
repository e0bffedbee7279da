//! `agentnet task tree`: a task with its parts, and their parts.

use std::collections::{HashSet, VecDeque};

use agentnet::{Paged as _, RegistryClient};
use agentnet_protocol::json::{ArrayWriter, ObjectWriter};
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{TaskListRequest, TaskSnapshot, TaskStatusRequest};
use clap::Args;

use super::{TASKS, cells};
use crate::account_names::PageNames;
use crate::args::CallTimeout;
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::failures::task::named;
use crate::global::Global;
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// Maximum number of tasks of a tree.
const MAX_TASKS: usize = 1_000;
/// Maximum depth of a tree.
const MAX_DEPTH: usize = 50;
/// The largest page of the registry.
const PAGE_SIZE: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Tree {
    /// The task at the top
    #[arg(value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::tasks(&[]))]
    task_id: String,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// A task and the indexes of its parts in [`TaskTree`].
struct TreeNode {
    task: TaskSnapshot,
    depth: usize,
    parts: Vec<usize>,
}

/// The tasks of a tree; the first is its top.
#[derive(Default)]
struct TaskTree {
    nodes: Vec<TreeNode>,
    /// Some tasks were left out.
    is_cut: bool,
}

impl Tree {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let task_id = self.task_id.trim().to_owned();
        let spinner = Spinner::start(output, "waiting for registry.task_list".to_owned());
        let work = async {
            let registry = connect_registry(global).await?.with_timeout(self.timeout.duration());
            let nodes = read(&registry, &task_id).await?;
            let accounts = nodes
                .nodes
                .iter()
                .filter_map(|node| node.task.assignee_account_id.as_deref());
            let names = PageNames::look_up(&registry, accounts, output).await;
            Ok((nodes, names))
        };
        let (nodes, names) = StopSignals::listen()?.unless(work).await?;
        spinner.end();
        if nodes.is_cut {
            output.note(format!(
                "note: only the first {} are shown; `agentnet task list --parent ID` shows the parts of one task",
                TASKS.count(nodes.nodes.len())
            ));
        }
        match output.is_json() {
            true => Ok(output.document(&nodes.document(0))?),
            false => Ok(output.line(nodes.text(&names, output))?),
        }
    }
}

/// Reads the tree level by level.
async fn read(registry: &RegistryClient, task_id: &str) -> Result<TaskTree, Failure> {
    let top = TaskStatusRequest {
        task_id: task_id.to_owned(),
    };
    let top = registry.call(&top).await;
    let top = top.map_err(|error| named(registry_failure(&error), task_id))?.task;
    let mut seen = HashSet::from([top.task_id.clone()]);
    let mut nodes = TaskTree::default();
    nodes.nodes.push(TreeNode {
        task: top,
        depth: 0,
        parts: Vec::new(),
    });
    let mut open = VecDeque::from([0]);
    while let Some(index) = open.pop_front() {
        let TreeNode { task, depth, .. } = &nodes.nodes[index];
        let has_parts = task.children.is_none_or(|parts| parts.open + parts.done > 0);
        let (parent, depth) = (task.task_id.clone(), depth + 1);
        if !has_parts {
            continue;
        }
        if depth > MAX_DEPTH || nodes.nodes.len() >= MAX_TASKS {
            nodes.is_cut = true;
            continue;
        }
        let mut parts = parts(registry, &parent, MAX_TASKS - nodes.nodes.len()).await?;
        nodes.is_cut |= parts.is_cut;
        // In the order in which they were made.
        parts.tasks.sort_by(|one, other| {
            let key = |task: &TaskSnapshot| (task.created_at.clone(), task.task_id.clone());
            key(one).cmp(&key(other))
        });
        for task in parts.tasks {
            // A registry whose tasks are parts of each other must not lead round and round.
            if !seen.insert(task.task_id.clone()) {
                continue;
            }
            let number = nodes.nodes.len();
            nodes.nodes.push(TreeNode {
                task,
                depth,
                parts: Vec::new(),
            });
            nodes.nodes[index].parts.push(number);
            open.push_back(number);
        }
    }
    Ok(nodes)
}

struct TaskParts {
    tasks: Vec<TaskSnapshot>,
    is_cut: bool,
}

async fn parts(registry: &RegistryClient, parent: &str, limit: usize) -> Result<TaskParts, Failure> {
    let mut request = TaskListRequest {
        parent_task_id: Some(parent.to_owned()),
        limit: PAGE_SIZE,
        ..TaskListRequest::default()
    };
    let mut walk = PageWalk::default();
    let mut tasks = Vec::new();
    loop {
        let reply = registry
            .call(&request)
            .await
            .map_err(|error| registry_failure(&error))?;
        let (page, next) = TaskListRequest::page(reply);
        let next = walk
            .follow(next, page.len())
            .map_err(|why| registry_failure(&agentnet::RegistryError::endless::<TaskListRequest>(why)))?;
        tasks.extend(page);
        if tasks.len() > limit {
            tasks.truncate(limit);
            return Ok(TaskParts { tasks, is_cut: true });
        }
        match next {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Ok(TaskParts { tasks, is_cut: false }),
        }
    }
}

impl TaskTree {
    /// `task`, and `children`, which have the same members.
    fn document(&self, index: usize) -> String {
        let node = &self.nodes[index];
        let mut children = ArrayWriter::new();
        for part in &node.parts {
            children.raw(&self.document(*part));
        }
        ObjectWriter::new()
            .raw("task", &node.task.encode())
            .raw("children", &children.finish())
            .finish()
    }

    fn text(&self, names: &PageNames, output: Output) -> String {
        let mut lines = Vec::new();
        self.add_lines(0, "", "", names, output, &mut lines);
        lines.join("\n")
    }

    /// Adds the line of a task behind `branch`, and those of its parts, which begin with `stem`.
    fn add_lines(
        &self,
        index: usize,
        branch: &str,
        stem: &str,
        names: &PageNames,
        output: Output,
        lines: &mut Vec<String>,
    ) {
        let node = &self.nodes[index];
        lines.push(format!("{branch}{}", line(&node.task, names, output)));
        let last = node.parts.len().saturating_sub(1);
        for (number, part) in node.parts.iter().enumerate() {
            let (branch, below) = if number == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            self.add_lines(
                *part,
                &format!("{stem}{branch}"),
                &format!("{stem}{below}"),
                names,
                output,
                lines,
            );
        }
    }
}

/// State, name, worker and what there is to say: `working  build main  @bob  40 % tests run  task_…`.
fn line(task: &TaskSnapshot, names: &PageNames, output: Output) -> String {
    let state = output.tint(cells::state_tint(&task.state), &cells::state(task));
    let mut parts = vec![state];
    if task.title.is_some() {
        parts.push(output.tint(Tint::Bold, &cells::name(task)));
    }
    parts.push(match &task.assignee_account_id {
        Some(id) => names.display(Some(id)),
        None => task
            .capability
            .as_deref()
            .map(|name| format!("capability:{name}"))
            .unwrap_or_default(),
    });
    parts.push(cells::summary(task));
    parts.push(output.tint(Tint::Dim, &crate::output::sanitize::clean(&task.task_id)));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, state: &str, depth: usize, parts: &[usize]) -> TreeNode {
        let task = TaskSnapshot {
            task_id: id.into(),
            state: state.into(),
            ..TaskSnapshot::default()
        };
        TreeNode {
            task,
            depth,
            parts: parts.to_vec(),
        }
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches() {
        let nodes = TaskTree {
            nodes: vec![
                node("task_1", "working", 0, &[1, 2]),
                node("task_2", "completed", 1, &[3]),
                node("task_3", "submitted", 1, &[]),
                node("task_4", "failed", 2, &[]),
            ],
            is_cut: false,
        };
        let output = Output::fixed(false, false);
        assert_eq!(
            nodes.text(&PageNames::empty(output), output),
            "working  task_1\n├─ completed  task_2\n│  └─ failed  task_4\n└─ submitted  task_3"
        );
        let document = nodes.document(0);
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["children"][0]["children"][0]["task"]["task_id"], "task_4");
        assert_eq!(document["children"][1]["children"], serde_json::json!([]));
    }
}
