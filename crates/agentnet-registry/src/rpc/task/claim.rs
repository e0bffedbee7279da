//! `registry.task_claim` (PROTOCOL.md section 22.4).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::rpc::{ClaimedTask, Reply as _, RpcError, TaskClaimReply, TaskClaimRequest};
use agentnet_protocol::task::{TaskState, error};
use agentnet_store::model::{Attempt, Finish, StoredTaskEvent, Task, TaskChange, TaskClaimQuery, TaskTarget};

use super::{authorize, batch_failed, check_session, describe_changed, store_failed};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::rpc::Call;
use crate::rpc::hold::Hold;
use crate::task_ledger::claim_waiters::Wanted;
use crate::task_ledger::snapshot::shortest;

/// How often it asks though nothing wakes it: a wake-up of another registry may be lost.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a request waits for a task that there is not: its message may come before the registry has stored it.
const UNKNOWN_TASK_WAIT: Duration = Duration::from_secs(2);

/// A task that was claimed, and its last event.
type Claimed = (Task, Vec<StoredTaskEvent>);

/// Gives a session the next tasks.
pub(in crate::rpc) async fn claim(
    ctx: &Arc<Context>,
    request: TaskClaimRequest,
    call: &mut Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let waiters = &ctx.task_ledger.notices.claims;
    let join = || waiters.join(&request.account_id, wanted(&request));
    let mut waiter = (request.wait_ms > 0).then(join).flatten();
    let mut hold = Hold::new(ctx, request.wait_ms);
    loop {
        check_session(ctx, &request.account_id, &request.session_tag).await?;
        if let Some(waiter) = &waiter {
            waiter.look();
        }
        let reply = take(ctx, &request).await?;
        let Some(waiter) = waiter.as_mut().filter(|_| reply.tasks.is_empty()) else {
            return Ok(reply.encode());
        };
        waiter.found_nothing();
        match prospect(ctx, &request).await? {
            Prospect::Waits => {}
            Prospect::Unknown => hold.limit(UNKNOWN_TASK_WAIT),
            Prospect::Never => return Ok(reply.encode()),
        }
        if !hold.wait(call, waiter.woken(), Some(RECHECK_INTERVAL)).await {
            return Ok(TaskClaimReply {
                generated_at: now_text(),
                ..reply
            }
            .encode());
        }
    }
}

/// Whether a task that a request waits for may come.
enum Prospect {
    /// It may be given back, or its time may come.
    Waits,
    /// There is none with the id: the message that makes it may be on its way.
    Unknown,
    /// It has ended, or is not for this session.
    Never,
}

async fn prospect(ctx: &Context, request: &TaskClaimRequest) -> Result<Prospect, RpcError> {
    let Some(task_id) = &request.task_id else {
        return Ok(Prospect::Waits);
    };
    let Some(task) = ctx.store.task(task_id).await.map_err(store_failed)? else {
        return Ok(Prospect::Unknown);
    };
    let is_for_it = match &task.target {
        TaskTarget::Account(account_id) => *account_id == request.account_id,
        TaskTarget::Capability(capability) => request.capabilities.contains(capability),
    };
    Ok(match is_for_it && !task.state.is_terminal() {
        true => Prospect::Waits,
        false => Prospect::Never,
    })
}

/// What a request waits for.
fn wanted(request: &TaskClaimRequest) -> Vec<Wanted> {
    if let Some(task_id) = &request.task_id {
        return vec![Wanted::Task(task_id.clone())];
    }
    let mut wanted = vec![Wanted::Account(request.account_id.clone())];
    for capability in &request.capabilities {
        let capability = Wanted::Capability(capability.clone());
        if !wanted.contains(&capability) {
            wanted.push(capability);
        }
    }
    wanted
}

/// Names the claim of a session that does not.
fn random_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Claims what is there now.
async fn take(ctx: &Context, request: &TaskClaimRequest) -> Result<TaskClaimReply, RpcError> {
    let query = TaskClaimQuery {
        account_id: request.account_id.clone(),
        session_tag: request.session_tag.clone(),
        capabilities: request.capabilities.clone(),
        task_id: request.task_id.clone(),
        max: usize::try_from(request.max).unwrap_or(1).max(1),
        // With the same one the store gives the same tasks again.
        token: request.claim_id.clone().unwrap_or_else(random_token),
        now: Now::read().time,
    };
    let claimed = ctx.store.claim_tasks(&query).await.map_err(store_failed)?;
    for (task, events) in &claimed {
        // Those of a claim that is repeated were published when it was made.
        if events.iter().all(|event| event.at == query.now) {
            ctx.task_ledger.notices.changed(task, events).await;
        }
    }
    fit(ctx, claimed).await
}

/// The reply, cut to what the server takes: the other tasks go back.
async fn fit(ctx: &Context, claimed: Vec<Claimed>) -> Result<TaskClaimReply, RpcError> {
    let mut reply = TaskClaimReply {
        generated_at: now_text(),
        ..TaskClaimReply::default()
    };
    let mut back = Vec::new();
    for (task, events) in claimed {
        if !back.is_empty() {
            back.extend(unclaim(&task));
            continue;
        }
        let (whole, short) = forms(ctx, task.clone(), events);
        let mut fits = false;
        for form in [whole, short] {
            reply.tasks.push(form);
            fits = reply.encode().len() <= ctx.max_reply();
            if fits {
                break;
            }
            reply.tasks.pop();
        }
        if !fits && reply.tasks.is_empty() {
            // It was larger when it was created than the server takes now.
            tracing::error!(task_id = %task.task_id, "no reply has room for a task; it fails");
            ctx.task_ledger
                .change_all(fail(&task).into_iter().collect())
                .await
                .map_err(batch_failed)?;
        } else if !fits {
            back.extend(unclaim(&task));
        }
    }
    if !back.is_empty() {
        ctx.task_ledger.change_all(back).await.map_err(batch_failed)?;
    }
    Ok(reply)
}

/// What the worker gets, and the same with less of what it does not need.
fn forms(ctx: &Context, task: Task, events: Vec<StoredTaskEvent>) -> (ClaimedTask, ClaimedTask) {
    let lease = task.lease.clone();
    let whole = ClaimedTask {
        attempt: task.attempt,
        lease: lease.as_ref().map(|lease| lease.token.clone()).unwrap_or_default(),
        lease_until: lease.map(|lease| lease.until.to_string()).unwrap_or_default(),
        heartbeat_ms: task.heartbeat_ms,
        payload: task.payload.clone(),
        checkpoint: task.checkpoint.clone(),
        input: task.input.clone(),
        task: describe_changed(ctx, task, events, None),
    };
    let mut short = whole.clone();
    short.task = agentnet_protocol::rpc::TaskSnapshot {
        assigned_text: whole.task.assigned_text.clone(),
        metadata: whole.task.metadata.clone(),
        ..shortest(&whole.task)
    };
    (whole, short)
}

/// Gives a task back that was just claimed.
fn unclaim(task: &Task) -> Option<(String, TaskChange)> {
    let attempt = attempt(task)?;
    Some((task.task_id.clone(), TaskChange::Unclaim { attempt }))
}

/// Ends a task that was just claimed, and fits into no reply.
fn fail(task: &Task) -> Option<(String, TaskChange)> {
    let attempt = attempt(task)?;
    let finish = Finish {
        finish_id: attempt.lease.clone(),
        state: TaskState::Failed,
        result: None,
        text: None,
        code: Some(error::TOO_LARGE.to_owned()),
        detail: None,
        retryable: false,
    };
    Some((task.task_id.clone(), TaskChange::Finish { attempt, finish }))
}

fn attempt(task: &Task) -> Option<Attempt> {
    let lease = task.lease.as_ref()?;
    Some(Attempt {
        number: task.attempt,
        lease: lease.token.clone(),
    })
}
