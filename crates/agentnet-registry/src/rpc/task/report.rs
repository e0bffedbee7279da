//! `registry.task_heartbeat` and `registry.task_finish`: the lease decides (PROTOCOL.md section 22.7).

use std::sync::Arc;

use agentnet_protocol::RawJson;
use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::rpc::{
    Reply as _, RpcError, TaskFinishReply, TaskFinishRequest, TaskHeartbeat, TaskHeartbeatReply, TaskHeartbeatRequest,
    TaskHeartbeatResult,
};
use agentnet_protocol::task::{MAX_CHECKPOINT_BYTES, MAX_TEXT_BYTES, TaskState, error};
use agentnet_store::model::{Attempt, Finish, Progress, Task, TaskChange, TaskChanged, TaskRefusal};

use super::super::{Call, blob_shares};
use super::size::{self, Share};
use super::{authorize, batch_failed, new_request_id, refused};
use crate::batch_lookup::Loaded;
use crate::clock::now_text;
use crate::context::Context;

/// The code of a task that does not exist.
const NOT_FOUND: &str = "not_found";

/// A session is still at its tasks.
pub(in crate::rpc) async fn heartbeat(
    ctx: &Arc<Context>,
    request: TaskHeartbeatRequest,
    call: &Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    for item in &request.items {
        let checkpoint = item.checkpoint.as_ref().map(RawJson::get);
        blob_shares::note_of_task(ctx, call, &[checkpoint], &item.task_id).await?;
    }
    let mut asked = Vec::with_capacity(request.items.len());
    let mut changes = Vec::with_capacity(request.items.len());
    for mut item in request.items {
        // The worker is there, whatever it says: its lease goes on without a report that cannot be kept.
        let problem = check(ctx, &item).err().map(|problem| problem.to_string());
        if problem.is_some() {
            item.progress = None;
            item.checkpoint = None;
        }
        asked.push((item.task_id.clone(), problem));
        changes.push(beat(item));
    }
    let outcomes = ctx.task_ledger.change_each(changes).await;
    if let Some(failed) = outcomes.first().and_then(|first| first.as_ref().err())
        && outcomes.iter().all(Result::is_err)
    {
        return Err(batch_failed(Arc::clone(failed)));
    }
    let results = asked.into_iter().zip(outcomes);
    let items = results
        .map(|((task_id, problem), outcome)| TaskHeartbeatResult {
            task_id,
            ..result(outcome, problem)
        })
        .collect();
    Ok(TaskHeartbeatReply {
        items,
        generated_at: now_text(),
    }
    .encode())
}

fn beat(item: TaskHeartbeat) -> (String, TaskChange) {
    let change = TaskChange::Heartbeat {
        attempt: Attempt {
            number: item.attempt,
            lease: item.lease,
        },
        progress: item.progress.map(|progress| Progress {
            text: progress.text,
            percent: progress.percent,
            phase: progress.phase,
        }),
        checkpoint: item.checkpoint,
        request_id: Some(new_request_id()),
    };
    (item.task_id, change)
}

/// Checks what an item reports.
///
/// # Errors
/// `task_too_large`
fn check(ctx: &Context, item: &TaskHeartbeat) -> Result<(), RpcError> {
    let bounded = |name: &str, bytes: usize, max: usize| match bytes <= max {
        true => Ok(()),
        false => {
            let sentence = format!("{name} has {bytes} bytes; at most {max} are kept");
            Err(refused(error::TOO_LARGE, sentence))
        }
    };
    if let Some(progress) = &item.progress {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        bounded("the text of the progress", bytes(&progress.text), MAX_TEXT_BYTES)?;
        bounded("the phase", bytes(&progress.phase), MAX_NAME_BYTES)?;
    }
    if let Some(checkpoint) = &item.checkpoint {
        bounded("the checkpoint", checkpoint.get().len(), MAX_CHECKPOINT_BYTES)?;
    }
    size::check(ctx, "the checkpoint", Share::Eighth, [], item.checkpoint.as_ref())
}

/// What has become of an item: `problem` is why its report was left out.
fn result(outcome: Loaded<TaskChanged>, problem: Option<String>) -> TaskHeartbeatResult {
    let failed = |code: &str| TaskHeartbeatResult {
        code: Some(code.to_owned()),
        ..TaskHeartbeatResult::default()
    };
    let task = match outcome {
        Ok(TaskChanged::Changed(task, _) | TaskChanged::Refused(TaskRefusal::Duplicate, task)) => task,
        Ok(TaskChanged::Refused(..)) => return failed(error::LEASE_LOST),
        Ok(TaskChanged::Unknown) => return failed(NOT_FOUND),
        // The lease is as it was.
        Err(_) => return failed(error::FAILED),
    };
    TaskHeartbeatResult {
        ok: problem.is_none(),
        cancel_requested: task.cancel_requested_at.is_some(),
        lease_until: task.lease.map(|lease| lease.until.to_string()),
        code: problem.as_ref().map(|_| error::TOO_LARGE.to_owned()),
        detail: problem,
        ..TaskHeartbeatResult::default()
    }
}

/// A worker has finished, needs something, or gives the task back.
pub(in crate::rpc) async fn finish(
    ctx: &Arc<Context>,
    request: TaskFinishRequest,
    call: &Call,
) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    let named = [request.text.as_deref(), request.result.as_ref().map(RawJson::get)];
    blob_shares::note_of_task(ctx, call, &named, &request.task_id).await?;
    size::check(ctx, "the result", Share::Half, [], request.result.as_ref())?;
    let change = TaskChange::Finish {
        attempt: Attempt {
            number: request.attempt,
            lease: request.lease,
        },
        finish: Finish {
            finish_id: request.finish_id,
            state: request.state,
            result: request.result,
            text: request.text,
            code: request.code,
            detail: request.detail,
            retryable: request.retryable,
        },
    };
    let changed = ctx.task_ledger.change(request.task_id, change).await;
    match changed.map_err(batch_failed)? {
        TaskChanged::Changed(task, _) => Ok(finished(&task, false)),
        TaskChanged::Refused(TaskRefusal::Duplicate, task) => Ok(finished(&task, true)),
        TaskChanged::Refused(TaskRefusal::Finished, task) => {
            let sentence = format!("the task is {} already, by another request", task.state);
            Err(refused(error::FINISHED, sentence))
        }
        TaskChanged::Refused(..) => {
            let sentence = "the lease is over, or of somebody else; the work of this attempt does not count";
            Err(refused(error::LEASE_LOST, sentence))
        }
        TaskChanged::Unknown => Err(RpcError::NOT_FOUND),
    }
}

fn finished(task: &Task, duplicate: bool) -> String {
    let waits = task.state == TaskState::Submitted;
    TaskFinishReply {
        finished: true,
        duplicate,
        state: task.state.as_str().to_owned(),
        next_attempt_at: waits.then(|| task.not_before.to_string()),
        generated_at: now_text(),
    }
    .encode()
}
