//! The requests about tasks (PROTOCOL.md section 22.3).

pub(super) mod change;
pub(super) mod claim;
pub(super) mod create;
pub(super) mod events;
pub(super) mod read;
pub(super) mod report;
mod size;

use std::sync::Arc;

use agentnet_protocol::rpc::{Reply as _, RpcError, SignedRequest, TaskReply, TaskSnapshot};
use agentnet_protocol::task::{TaskState, error};
use agentnet_store::StoreError;
use agentnet_store::model::{REQUEST_ID_PREFIX, StoredTaskEvent, Task, TaskParts, TaskTarget};

use super::authorize::has_session;
use super::{Call, failed_with};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::presence::offline_certainty::AccountPresence;
use crate::task_ledger::snapshot::{Surroundings, shortest, snapshot, with_short_texts};
use crate::truncate_reply::TOO_LARGE;

/// The text of a request that the store failed.
const STORE_FAILED: &str = "task_failed: the registry's database did not take the request; try again later";

/// A refusal: its code, and what is wrong.
fn refused(code: &'static str, sentence: impl AsRef<str>) -> RpcError {
    RpcError::with_text(format!("{code}: {}", sentence.as_ref()))
}

/// The error of a failed call to the store.
fn store_failed(error: StoreError) -> RpcError {
    failed_with(&error, STORE_FAILED)
}

/// The same, of a call that was made for several requests.
fn batch_failed(error: Arc<StoreError>) -> RpcError {
    failed_with(&error, STORE_FAILED)
}

/// Refuses requests where no tasks are kept.
fn check_enabled(ctx: &Context) -> Result<(), RpcError> {
    match ctx.config.tasks {
        true => Ok(()),
        false => Err(refused(
            error::DISABLED,
            "this registry keeps no tasks (AGENTNET_TASKS)",
        )),
    }
}

/// Names a request, so that it has one effect though its call to the store is made again.
fn new_request_id() -> String {
    format!("{REQUEST_ID_PREFIX}{:032x}", rand::random::<u128>())
}

/// Checks that tasks are kept, and that the owner of the account asks.
async fn authorize<R: SignedRequest + Sync>(ctx: &Context, request: &R) -> Result<(), RpcError> {
    check_enabled(ctx)?;
    super::authorize::authorize(ctx, request, STORE_FAILED).await
}

/// Checks that a session is online, and of this account.
async fn check_session(ctx: &Context, account_id: &str, session_tag: &str) -> Result<(), RpcError> {
    let is_online = |session: &agentnet_store::model::Session| session.online;
    if has_session(ctx, account_id, session_tag, STORE_FAILED, is_online).await? {
        return Ok(());
    }
    let sentence = "the session is not online, or is of another account; register, or say hello, first";
    Err(refused(error::SESSION_UNKNOWN, sentence))
}

/// The task with an id. In secure mode one in which the caller has no part is not there.
async fn find_visible(ctx: &Context, task_id: &str, call: &Call) -> Result<Task, RpcError> {
    let task = find(ctx, task_id).await?;
    match call.visible_to(ctx) {
        Some(caller) if !has_part(&task, &caller) => Err(RpcError::NOT_FOUND),
        _ => Ok(task),
    }
}

/// Whether an account has asked for a task, is to do it, or has done it.
fn has_part(task: &Task, account_id: &str) -> bool {
    let is_assignee = matches!(&task.target, TaskTarget::Account(assignee) if assignee == account_id);
    is_assignee || task.coordinator_account_id == account_id || task.worker_account_id.as_deref() == Some(account_id)
}

/// The task with an id.
async fn find(ctx: &Context, task_id: &str) -> Result<Task, RpcError> {
    let task = ctx.store.task(task_id).await.map_err(store_failed)?;
    task.ok_or(RpcError::NOT_FOUND)
}

/// Tasks as requests show them, with their last events and their parts.
async fn describe(ctx: &Context, tasks: Vec<Task>) -> Result<Vec<TaskSnapshot>, StoreError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.clone()).collect();
    let mut latest = ctx.store.latest_task_events(&ids).await?;
    let mut parts = ctx.store.task_children(&ids).await?;
    Ok(tasks
        .into_iter()
        .map(|task| {
            let event = latest.iter().position(|event| event.task_id == task.task_id);
            let own_parts = parts.iter().position(|(parent, _)| *parent == task.task_id);
            let surroundings = Surroundings {
                latest: event.map(|at| latest.swap_remove(at)),
                parts: own_parts.map(|at| parts.swap_remove(at).1),
                is_stalled: is_stalled(ctx, &task),
            };
            snapshot(task, surroundings)
        })
        .collect())
}

/// The same of one task.
async fn describe_one(ctx: &Context, task: Task) -> Result<TaskSnapshot, StoreError> {
    let described = describe(ctx, vec![task]).await?.pop();
    described.ok_or_else(|| StoreError::Corrupt("a task was lost while it was described".to_owned()))
}

/// A task that was just changed, with its last event.
fn describe_changed(ctx: &Context, task: Task, events: Vec<StoredTaskEvent>, parts: Option<TaskParts>) -> TaskSnapshot {
    let surroundings = Surroundings {
        latest: events.into_iter().next_back(),
        parts,
        is_stalled: is_stalled(ctx, &task),
    };
    snapshot(task, surroundings)
}

/// Whether the worker of a task is silent for half of its time, or gone (section 22.7).
fn is_stalled(ctx: &Context, task: &Task) -> bool {
    if task.state != TaskState::Working {
        return false;
    }
    let now = Now::read();
    // A worker that reports by messages owes no heartbeats.
    let is_silent = task.lease.is_some()
        && task.heartbeat_at.is_some_and(|at| {
            let half = at.saturating_add_millis(i128::from(task.heartbeat_ms / 2));
            half <= now.time
        });
    let worker = task.worker_account_id.as_deref().or(match &task.target {
        TaskTarget::Account(account_id) => Some(account_id.as_str()),
        TaskTarget::Capability(_) => None,
    });
    let is_gone = |account_id| {
        matches!(
            ctx.presence.account_presence(account_id, now),
            AccountPresence::Offline(_)
        )
    };
    is_silent || worker.is_some_and(is_gone)
}

/// The reply with one task, cut to what the server takes.
fn task_reply(ctx: &Context, task: TaskSnapshot, next_attempt_at: Option<String>) -> Result<String, RpcError> {
    fit_task(ctx, task, |task| {
        TaskReply {
            task,
            next_attempt_at: next_attempt_at.clone(),
            generated_at: now_text(),
        }
        .encode()
    })
}

/// The longest form of a reply with one task that the server takes.
fn fit_task(ctx: &Context, task: TaskSnapshot, encode: impl Fn(TaskSnapshot) -> String) -> Result<String, RpcError> {
    let max = ctx.max_reply();
    let without_result = TaskSnapshot {
        result: None,
        ..with_short_texts(&task)
    };
    let (short, least) = (with_short_texts(&task), shortest(&task));
    for form in [task, short, without_result, least] {
        let text = encode(form);
        if text.len() <= max {
            return Ok(text);
        }
    }
    Err(TOO_LARGE)
}
