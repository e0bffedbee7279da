//! `registry.task_heartbeat` and `registry.task_finish`: the lease decides (PROTOCOL.md section 22.7).

use std::sync::Arc;

use agentnet_protocol::rpc::{
    Reply as _, RpcError, TaskFinishReply, TaskFinishRequest, TaskHeartbeat, TaskHeartbeatReply, TaskHeartbeatRequest,
    TaskHeartbeatResult,
};
use agentnet_protocol::task::{TaskState, error};
use agentnet_store::model::{Attempt, Finish, Progress, Task, TaskChange, TaskChanged, TaskRefusal};

use super::size::{self, Share};
use super::{authorize, batch_failed, refused};
use crate::clock::now_text;
use crate::context::Context;

/// The code of a task that does not exist.
const NOT_FOUND: &str = "not_found";

/// A session is still at its tasks.
pub(in crate::rpc) async fn heartbeat(ctx: &Arc<Context>, request: TaskHeartbeatRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
    for item in &request.items {
        size::check(ctx, "the checkpoint", Share::Eighth, [], item.checkpoint.as_ref())?;
    }
    let ids: Vec<String> = request.items.iter().map(|item| item.task_id.clone()).collect();
    let changes = request.items.into_iter().map(beat).collect();
    let outcomes = ctx.task_ledger.change_all(changes).await.map_err(batch_failed)?;
    let items = ids
        .into_iter()
        .zip(outcomes)
        .map(|(task_id, outcome)| result(task_id, outcome))
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
    };
    (item.task_id, change)
}

fn result(task_id: String, outcome: TaskChanged) -> TaskHeartbeatResult {
    let lost = |code: &str| TaskHeartbeatResult {
        code: Some(code.to_owned()),
        ..TaskHeartbeatResult::default()
    };
    let result = match outcome {
        TaskChanged::Changed(task, _) => TaskHeartbeatResult {
            ok: true,
            cancel_requested: task.cancel_requested_at.is_some(),
            lease_until: task.lease.map(|lease| lease.until.to_string()),
            ..TaskHeartbeatResult::default()
        },
        TaskChanged::Refused(..) => lost(error::LEASE_LOST),
        TaskChanged::Unknown => lost(NOT_FOUND),
    };
    TaskHeartbeatResult { task_id, ..result }
}

/// A worker has finished, needs something, or gives the task back.
pub(in crate::rpc) async fn finish(ctx: &Arc<Context>, request: TaskFinishRequest) -> Result<String, RpcError> {
    authorize(ctx, &request).await?;
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
