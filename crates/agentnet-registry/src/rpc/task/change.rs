//! `registry.task_cancel`, `registry.task_input` and `registry.task_retry` (PROTOCOL.md section 22.7).

use std::collections::HashSet;
use std::sync::Arc;

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::{RpcError, TaskCancelRequest, TaskInputRequest, TaskRetryRequest};
use agentnet_protocol::task::error;
use agentnet_store::model::{Task, TaskChange, TaskChanged, TaskRefusal, TaskTarget};

use super::size::{self, Share};
use super::{authorize, batch_failed, describe_one, find, refused, store_failed, task_reply};
use crate::clock::Now;
use crate::context::Context;

/// Tasks of which a cancellation asks for the parts.
const MAX_CASCADE: usize = 10_000;
/// Tasks that are cancelled together.
const CASCADE_BATCH: usize = 100;
/// Tasks above a task whose coordinators have a say in it.
const MAX_ANCESTORS: usize = 100;

/// A task is not wanted any more.
pub(in crate::rpc) async fn cancel(ctx: &Arc<Context>, request: TaskCancelRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let task = permitted(ctx, &request.account_id, &request.task_id).await?;
    if task.state.is_terminal() {
        return Err(not_cancelable(&task));
    }
    let cancel = TaskChange::Cancel {
        reason: request.reason,
        account_id: Some(request.account_id),
    };
    // The parts come first: a cancellation that is interrupted can be repeated.
    if !request.keep_children {
        cancel_parts(ctx, &request.task_id, &cancel).await?;
    }
    let changed = ctx.task_ledger.change(request.task_id, cancel).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) | TaskChanged::Refused(TaskRefusal::Nothing, task) => shown(ctx, *task).await,
        TaskChanged::Refused(_, task) => Err(not_cancelable(&task)),
        TaskChanged::Unknown => Err(RpcError::NOT_FOUND),
    }
}

fn not_cancelable(task: &Task) -> RpcError {
    refused(error::NOT_CANCELABLE, format!("the task is {} already", task.state))
}

/// Cancels the open parts of a task, and theirs, the lowest ones first.
async fn cancel_parts(ctx: &Context, task_id: &str, cancel: &TaskChange) -> Result<(), RpcError> {
    let mut found: Vec<String> = Vec::new();
    let mut known = HashSet::from([task_id.to_owned()]);
    let mut next = 0;
    let mut parent = task_id.to_owned();
    loop {
        let room = MAX_CASCADE - found.len();
        let parts = ctx.store.open_children(&parent, room).await.map_err(store_failed)?;
        found.extend(parts.into_iter().filter(|part| known.insert(part.clone())));
        if found.len() >= MAX_CASCADE {
            tracing::warn!(task_id, "a cancelled task has more open parts than one request cancels");
            found.truncate(MAX_CASCADE);
            break;
        }
        let Some(part) = found.get(next) else { break };
        parent.clone_from(part);
        next += 1;
    }
    found.reverse();
    for batch in found.chunks(CASCADE_BATCH) {
        let changes = batch.iter().map(|part| (part.clone(), cancel.clone())).collect();
        // A part that has ended meanwhile stays as it is.
        ctx.task_ledger.change_all(changes).await.map_err(batch_failed)?;
    }
    Ok(())
}

/// The answer to a worker that waits for one.
pub(in crate::rpc) async fn input(ctx: &Arc<Context>, request: TaskInputRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    size::check(ctx, "the answer", Share::Quarter, [], request.payload.as_ref())?;
    permitted(ctx, &request.account_id, &request.task_id).await?;
    let input = TaskChange::Input {
        payload: request.payload,
        account_id: request.account_id,
    };
    let changed = ctx.task_ledger.change(request.task_id, input).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) => shown(ctx, *task).await,
        TaskChanged::Refused(_, task) => {
            let sentence = format!("the task is {}; it waits for no answer", task.state);
            Err(refused(error::NO_INPUT, sentence))
        }
        TaskChanged::Unknown => Err(RpcError::NOT_FOUND),
    }
}

/// Another attempt of a task that failed.
pub(in crate::rpc) async fn retry(ctx: &Arc<Context>, request: TaskRetryRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let now = Now::read().time;
    let not_before = match request.not_before.as_deref() {
        None => now,
        Some(text) => Timestamp::parse(text).ok_or_else(|| {
            refused(
                error::INVALID,
                "not_before is no time; write it like 2026-02-21T08:00:00Z",
            )
        })?,
    };
    permitted(ctx, &request.account_id, &request.task_id).await?;
    let retry = TaskChange::Retry {
        not_before,
        account_id: request.account_id,
    };
    let changed = ctx.task_ledger.change(request.task_id, retry).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) => {
            let next_attempt_at = task.not_before.to_string();
            let task = describe_one(ctx, *task).await.map_err(store_failed)?;
            task_reply(ctx, task, Some(next_attempt_at))
        }
        TaskChanged::Refused(_, task) => {
            let sentence = format!("the task is {}; only one that failed is tried again", task.state);
            Err(refused(error::NOT_RETRIABLE, sentence))
        }
        TaskChanged::Unknown => Err(RpcError::NOT_FOUND),
    }
}

/// The reply with a task as it is now.
async fn shown(ctx: &Context, task: Task) -> Result<String, RpcError> {
    let task = describe_one(ctx, task).await.map_err(store_failed)?;
    task_reply(ctx, task, None)
}

/// The task, if the account has a say in it: as its coordinator, as that of a task that it is a part of, or as its worker.
async fn permitted(ctx: &Context, account_id: &str, task_id: &str) -> Result<Task, RpcError> {
    let task = find(ctx, task_id).await?;
    let is_target = matches!(&task.target, TaskTarget::Account(target) if target == account_id);
    if task.coordinator_account_id == account_id || is_target || task.worker_account_id.as_deref() == Some(account_id) {
        return Ok(task);
    }
    let mut parent = task.parent_task_id.clone();
    for _ in 0..MAX_ANCESTORS {
        let Some(parent_id) = parent else { break };
        let Some(above) = ctx.store.task(&parent_id).await.map_err(store_failed)? else {
            break;
        };
        if above.coordinator_account_id == account_id {
            return Ok(task);
        }
        parent = above.parent_task_id;
    }
    let sentence = "only its coordinator, that of a task that it is a part of, and its worker change it";
    Err(refused(error::FORBIDDEN, sentence))
}
