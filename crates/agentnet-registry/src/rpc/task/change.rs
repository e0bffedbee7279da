//! `registry.task_cancel`, `registry.task_input` and `registry.task_retry` (PROTOCOL.md section 22.7).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use agentnet_protocol::rpc::{RpcError, TaskCancelRequest, TaskInputRequest, TaskRetryRequest};
use agentnet_protocol::task::error;
use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{Task, TaskChange, TaskChanged, TaskRefusal};

use super::super::{Call, blob_shares};
use super::size::{self, Share};
use super::{authorize, batch_failed, describe_one, find, new_request_id, refused, store_failed, task_reply};
use crate::clock::Now;
use crate::context::Context;
use crate::task_ledger::ancestry;

/// Parts that one request cancels, and parts of which it looks at the parts.
const MAX_CASCADE: usize = 10_000;
/// Tasks that are cancelled together.
const CASCADE_BATCH: usize = 100;

/// A task is not wanted any more.
pub(in crate::rpc) async fn cancel(ctx: &Arc<Context>, request: TaskCancelRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    permitted(ctx, &request.account_id, &request.task_id).await?;
    let cancel = |request_id| TaskChange::Cancel {
        reason: request.reason.clone(),
        account_id: Some(request.account_id.clone()),
        request_id: Some(request_id),
    };
    let change = cancel(new_request_id());
    let changed = ctx.task_ledger.change(request.task_id.clone(), change).await;
    let changed = changed.map_err(batch_failed)?;
    // The task comes first: from then on it gets no parts. A request that is interrupted can be repeated.
    let parts = match request.keep_children || changed == TaskChanged::Unknown {
        true => 0,
        false => cancel_parts(ctx, &request.task_id, cancel).await?,
    };
    match changed {
        TaskChanged::Changed(task, _) | TaskChanged::Refused(TaskRefusal::Nothing | TaskRefusal::Duplicate, task) => {
            shown(ctx, *task).await
        }
        TaskChanged::Refused(_, task) if parts > 0 => shown(ctx, *task).await,
        TaskChanged::Refused(_, task) => Err(not_cancelable(&task)),
        TaskChanged::Unknown => Err(RpcError::NOT_FOUND),
    }
}

fn not_cancelable(task: &Task) -> RpcError {
    refused(error::NOT_CANCELABLE, format!("the task is {} already", task.state))
}

/// Cancels the open parts of a task, and theirs, those of each task before its parts have any; returns their number. Parts that
/// have ended stay, and their parts are looked at.
async fn cancel_parts(ctx: &Context, task_id: &str, cancel: impl Fn(String) -> TaskChange) -> Result<usize, RpcError> {
    let mut canceled = 0;
    let mut known = HashSet::from([task_id.to_owned()]);
    let mut parents = VecDeque::from([task_id.to_owned()]);
    let mut asked: HashSet<String> = HashSet::new();
    while let Some(parent) = parents.pop_front() {
        loop {
            let open = ctx.store.open_children(&parent, CASCADE_BATCH).await;
            let mut open = open.map_err(store_failed)?;
            open.retain(|part| asked.insert(part.clone()));
            if open.is_empty() {
                break;
            }
            let changes = open.into_iter().map(|part| (part, cancel(new_request_id()))).collect();
            // A part that has ended meanwhile stays as it is.
            let outcomes = ctx.task_ledger.change_all(changes).await.map_err(batch_failed)?;
            let is_done = |outcome: &&TaskChanged| matches!(outcome, TaskChanged::Changed(..));
            canceled += outcomes.iter().filter(is_done).count();
            if asked.len() >= MAX_CASCADE {
                tracing::warn!(task_id, "a cancelled task has more open parts than one request cancels");
                return Ok(canceled);
            }
        }
        let room = (MAX_CASCADE + 1).saturating_sub(known.len());
        let inner = ctx.store.children_with_children(&parent, room).await;
        let inner = inner.map_err(store_failed)?;
        parents.extend(inner.into_iter().filter(|part| known.insert(part.clone())));
    }
    Ok(canceled)
}

/// The answer to a worker that waits for one.
pub(in crate::rpc) async fn input(
    ctx: &Arc<Context>,
    request: TaskInputRequest,
    call: &Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    size::check(ctx, "the answer", Share::Quarter, [], request.payload.as_ref())?;
    permitted(ctx, &request.account_id, &request.task_id).await?;
    let named = [request.payload.as_ref().map(RawJson::get)];
    blob_shares::note_of_task(ctx, call, &named, &request.task_id).await?;
    let input = TaskChange::Input {
        payload: request.payload,
        account_id: request.account_id,
        request_id: Some(new_request_id()),
    };
    let changed = ctx.task_ledger.change(request.task_id, input).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) | TaskChanged::Refused(TaskRefusal::Duplicate, task) => shown(ctx, *task).await,
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
        request_id: Some(new_request_id()),
    };
    let changed = ctx.task_ledger.change(request.task_id, retry).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) | TaskChanged::Refused(TaskRefusal::Duplicate, task) => {
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

/// Checks that the account has a say in a task: as its coordinator, as that of a task that it is a part of, or as its worker.
async fn permitted(ctx: &Context, account_id: &str, task_id: &str) -> Result<(), RpcError> {
    let task = find(ctx, task_id).await?;
    let may_change = ancestry::may_change(ctx.store.as_ref(), account_id, &task).await;
    match may_change.map_err(store_failed)? {
        true => Ok(()),
        false => {
            let sentence = "only its coordinator, that of a task that it is a part of, and its worker change it";
            Err(refused(error::FORBIDDEN, sentence))
        }
    }
}
