//! `registry.task_status` and `registry.task_list` (PROTOCOL.md section 22.3), as the later Python implementation answers them.

use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::{Reply as _, RpcError, TaskListReply, TaskListRequest, TaskStatusRequest};
use agentnet_protocol::task::error;
use agentnet_store::model::{Position, Task, TaskQuery};

use super::{check_enabled, describe, describe_one, has_part, refused, task_reply};
use crate::clock::now_text;
use crate::context::Context;
use crate::paging::{task_cursor, task_position};
use crate::rpc::caller::forbidden;
use crate::rpc::{Call, failed};
use crate::task_ledger::snapshot::shortest;
use crate::truncate_reply::truncate_reply;

/// Tasks that are read at a time: large ones fill a reply before many of them are in memory.
const CHUNK_TASKS: usize = 32;

/// A task by its id.
pub(in crate::rpc) async fn status(
    ctx: &Arc<Context>,
    request: TaskStatusRequest,
    call: &Call,
) -> Result<String, RpcError> {
    check_enabled(ctx)?;
    let status_failed = failed("task_status_failed");
    let task = ctx.store.task(&request.task_id).await.map_err(&status_failed)?;
    let visible_to = call.visible_to(ctx);
    let task = task.filter(|task| visible_to.as_deref().is_none_or(|caller| has_part(task, caller)));
    let task = task.ok_or(RpcError::NOT_FOUND)?;
    let task = describe_one(ctx, task).await.map_err(&status_failed)?;
    task_reply(ctx, task, None)
}

/// Tasks, the last changed first.
pub(in crate::rpc) async fn list(
    ctx: &Arc<Context>,
    mut request: TaskListRequest,
    call: &Call,
) -> Result<String, RpcError> {
    check_enabled(ctx)?;
    if let Some(caller) = call.visible_to(ctx) {
        restrict(&mut request, caller)?;
    }
    let since = match request.since.as_deref() {
        None => None,
        Some(text) => Some(
            Timestamp::parse(text)
                .ok_or_else(|| refused(error::INVALID, "since is no time; write it like 2026-02-21T08:00:00Z"))?,
        ),
    };
    let query = TaskQuery {
        assignee_account_id: request.assignee_account_id,
        coordinator_account_id: request.coordinator_account_id,
        states: request.states,
        parent_task_id: request.parent_task_id,
        capability: request.capability,
        since,
        before: task_position(request.cursor.as_deref())?,
        limit: 0,
    };
    let list_failed = failed("task_list_failed");
    let (tasks, more) = find(ctx, query, request.limit).await.map_err(&list_failed)?;
    let positions: Vec<Position> = tasks.iter().map(position).collect();
    let end = positions.last().filter(|_| more).cloned();
    let tasks = describe(ctx, tasks).await.map_err(&list_failed)?;
    let mut reply = TaskListReply {
        limit: request.limit,
        generated_at: now_text(),
        ..TaskListReply::default()
    };
    let items = positions.into_iter().zip(tasks).collect();
    truncate_reply(ctx.max_reply(), items, shortest, |tasks, last| {
        reply.tasks = tasks;
        reply.next_cursor = last.or(end.as_ref()).map(task_cursor);
        (reply.encode(), std::mem::take(&mut reply.tasks))
    })
}

/// In secure mode an agent lists the tasks that it has asked for, or those that are assigned to it (PROTOCOL.md section 23.7).
fn restrict(request: &mut TaskListRequest, caller: String) -> Result<(), RpcError> {
    let is_own = |named: &Option<String>| named.as_deref() == Some(&caller);
    if is_own(&request.coordinator_account_id) || is_own(&request.assignee_account_id) {
        return Ok(());
    }
    if request.coordinator_account_id.is_some() {
        return Err(forbidden(
            "an agent lists the tasks that it has asked for, or that are assigned to it",
        ));
    }
    request.coordinator_account_id = Some(caller);
    Ok(())
}

fn position(task: &Task) -> Position {
    Position {
        at: task.updated_at,
        id: task.task_id.clone(),
    }
}

/// Reads until the page is full, or its results alone fill the reply.
async fn find(
    ctx: &Context,
    mut query: TaskQuery,
    limit: usize,
) -> Result<(Vec<Task>, bool), agentnet_store::StoreError> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut bytes = 0;
    loop {
        query.limit = CHUNK_TASKS.min(limit - tasks.len());
        let page = ctx.store.tasks(&query).await?;
        bytes += page.items.iter().map(size).sum::<usize>();
        tasks.extend(page.items);
        if !page.more || tasks.len() >= limit || bytes > ctx.max_reply() {
            return Ok((tasks, page.more));
        }
        query.before = tasks.last().map(position);
    }
}

/// Bytes of what may be large in a task.
fn size(task: &Task) -> usize {
    let result = task.result.as_ref().map_or(0, |result| result.get().len());
    result + task.text.len() + task.latest_text.len() + task.metadata.get().len()
}
