//! `registry.task_create` (PROTOCOL.md section 22.3).

use std::sync::Arc;

use agentnet_protocol::RawJson;
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::rpc::{Reply as _, RpcError, TaskCreateReply, TaskCreateRequest, TaskSnapshot};
use agentnet_protocol::task::error;
use agentnet_store::model::{Task, TaskCreated, TaskDelivery, TaskTarget};

use super::super::{Call, blob_shares};
use super::size::{self, Share};
use super::{authorize, batch_failed, describe_changed, describe_one, fit_task, refused, store_failed};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::task_ledger::ancestry;
use crate::task_ledger::content::{self, ContentError};

/// Stores a task, or finds the one that was stored for the same request.
pub(in crate::rpc) async fn create(
    ctx: &Arc<Context>,
    request: TaskCreateRequest,
    call: &Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    // Events are published on a subject with this id.
    if !valid_account_id(&request.account_id) {
        return Err(refused(error::INVALID, "account_id is no id of an account"));
    }
    check_size(ctx, &request)?;
    let target = content::target(&request.to).ok_or_else(|| invalid(ContentError::To))?;
    let named = [Some(request.text.as_str()), request.payload.as_ref().map(RawJson::get)];
    let named: Vec<&str> = named.into_iter().flatten().collect();
    let receiver = blob_shares::receiver(&target);
    call.check_may_send_to(ctx, &receiver)?;
    blob_shares::note(ctx, call, &named, &[&receiver]).await?;
    let delivery = delivery(ctx, &target).await?;
    let parent = request.parent_task_id.clone().unwrap_or_default();
    let task = content::requested(request, delivery, Now::read().time).map_err(invalid)?;
    if let Err(refusal) = check_parent(ctx, &task).await? {
        return repeated(ctx, task).await.unwrap_or(Err(refusal));
    }
    match ctx.task_ledger.create(task).await.map_err(batch_failed)? {
        TaskCreated::New(task, events) => {
            let delivery = task.delivery;
            let task = describe_changed(ctx, *task, events, None);
            reply(ctx, task, delivery, true)
        }
        TaskCreated::Known(task) => known(ctx, *task).await,
        TaskCreated::Conflict => Err(conflict()),
        TaskCreated::TooMany => {
            let sentence = format!(
                "the coordinator has {} tasks that have not ended (AGENTNET_TASK_MAX_OPEN); wait for some, or cancel them",
                ctx.config.task_max_open
            );
            Err(refused(error::TOO_MANY, sentence))
        }
        TaskCreated::ParentCanceled => Err(parent_canceled()),
        TaskCreated::NoParent => Err(refused(error::PARENT_UNKNOWN, format!("there is no task {parent}"))),
        TaskCreated::Refused => {
            let sentence = "the database does not take the task; shorten its ids";
            Err(refused(error::INVALID, sentence))
        }
    }
}

fn conflict() -> RpcError {
    let sentence = "another task has this id, or this key of its coordinator; take another one";
    refused(error::CONFLICT, sentence)
}

fn parent_canceled() -> RpcError {
    let sentence =
        "the task in parent_task_id, or one that it is a part of, is canceled or is to stop; it gets no parts";
    refused(error::PARENT_CANCELED, sentence)
}

/// Whether the coordinator may add a part to the parent of a task, if it has one. An unknown one is the store's business.
async fn check_parent(ctx: &Context, task: &Task) -> Result<Result<(), RpcError>, RpcError> {
    let Some(parent) = &task.parent_task_id else {
        return Ok(Ok(()));
    };
    let Some(parent) = ctx.store.task(parent).await.map_err(store_failed)? else {
        return Ok(Ok(()));
    };
    let say = ancestry::say_in_parts(ctx.store.as_ref(), &task.coordinator_account_id, &parent).await;
    let say = say.map_err(store_failed)?;
    Ok(if !say.has_say {
        let sentence = "only the coordinator of the task in parent_task_id, those of tasks above it, and its worker add parts to it";
        Err(refused(error::FORBIDDEN, sentence))
    } else if say.is_canceled {
        Err(parent_canceled())
    } else {
        Ok(())
    })
}

/// The reply to a request that was made before, when its coordinator might still add a part; `None` for a new one.
async fn repeated(ctx: &Context, task: Task) -> Option<Result<String, RpcError>> {
    // Without room for open tasks, none is stored.
    match ctx.store.create_tasks(&[task], 0).await {
        Ok(mut outcomes) => match outcomes.pop()? {
            TaskCreated::Known(task) => Some(known(ctx, *task).await),
            TaskCreated::Conflict => Some(Err(conflict())),
            _ => None,
        },
        Err(error) => Some(Err(store_failed(error))),
    }
}

/// What is to be done has to fit into one reply, with what else the worker gets.
fn check_size(ctx: &Context, request: &TaskCreateRequest) -> Result<(), RpcError> {
    let texts = [
        Some(request.text.as_str()),
        request.title.as_deref(),
        request.thread_id.as_deref(),
    ];
    let values = [request.payload.as_ref(), Some(&request.metadata)];
    let (texts, values) = (texts.into_iter().flatten(), values.into_iter().flatten());
    size::check(ctx, "the task", Share::Half, texts, values)
}

fn invalid(error: ContentError) -> RpcError {
    let sentence = match error {
        ContentError::To => "to must be the id of an account, or `capability:` and a name",
        ContentError::NotBefore => "not_before is no time; write it like 2026-02-21T08:00:00Z",
        ContentError::Deadline => "deadline_at is no time; write it like 2026-02-21T08:00:00Z",
    };
    refused(error::INVALID, sentence)
}

/// How the task reaches its worker: sessions that claim tasks need no message.
async fn delivery(ctx: &Context, target: &TaskTarget) -> Result<TaskDelivery, RpcError> {
    let TaskTarget::Account(account_id) = target else {
        return Ok(TaskDelivery::Lease);
    };
    if ctx.presence.has_claiming_session(account_id) {
        return Ok(TaskDelivery::Lease);
    }
    if ctx.presence.online(account_id) == 0 {
        let account = ctx.store.account_by_id(account_id).await.map_err(store_failed)?;
        account.ok_or_else(|| refused(error::SESSION_UNKNOWN, format!("no account has the id {account_id}")))?;
    }
    Ok(TaskDelivery::Message)
}

/// The reply for a task that was stored before.
async fn known(ctx: &Context, task: Task) -> Result<String, RpcError> {
    let delivery = task.delivery;
    let task = describe_one(ctx, task).await.map_err(store_failed)?;
    reply(ctx, task, delivery, false)
}

fn reply(ctx: &Context, task: TaskSnapshot, delivery: TaskDelivery, created: bool) -> Result<String, RpcError> {
    fit_task(ctx, task, |task| {
        TaskCreateReply {
            task,
            created,
            delivery: delivery.as_str().to_owned(),
            generated_at: now_text(),
        }
        .encode()
    })
}
