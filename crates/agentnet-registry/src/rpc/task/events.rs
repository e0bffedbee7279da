//! `registry.task_events` (PROTOCOL.md section 22.5).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::rpc::{Reply as _, RpcError, TaskEvent, TaskEventsReply, TaskEventsRequest};

use super::{check_enabled, find_visible, store_failed};
use crate::clock::now_text;
use crate::context::Context;
use crate::rpc::Call;
use crate::rpc::hold::Hold;
use crate::task_ledger::snapshot::{listed_event, short_event};
use crate::truncate_reply::truncate_reply;

/// How often it asks though nothing wakes it: a wake-up of another registry may be lost.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What a look into the store has found.
struct Found {
    events: Vec<TaskEvent>,
    last: i64,
    is_terminal: bool,
}

/// Events of a task behind a number, in order.
pub(in crate::rpc) async fn events(
    ctx: &Arc<Context>,
    request: TaskEventsRequest,
    call: &mut Call,
) -> Result<String, RpcError> {
    check_enabled(ctx)?;
    let waiters = &ctx.task_ledger.notices.events;
    let mut waiter = (request.wait_ms > 0).then(|| waiters.join(&request.task_id)).flatten();
    let hold = Hold::new(ctx, request.wait_ms);
    loop {
        let found = look(ctx, &request, call).await?;
        let is_answer = !found.events.is_empty() || found.is_terminal;
        let Some(waiter) = waiter.as_mut().filter(|_| !is_answer) else {
            return reply(ctx, request, found);
        };
        if !hold.wait(call, waiter.woken(), Some(RECHECK_INTERVAL)).await {
            return reply(ctx, request, found);
        }
    }
}

async fn look(ctx: &Context, request: &TaskEventsRequest, call: &Call) -> Result<Found, RpcError> {
    let task = find_visible(ctx, &request.task_id, call).await?;
    let events = match task.event_count > request.after {
        true => ctx
            .store
            .task_events(&request.task_id, request.after, request.limit)
            .await
            .map_err(store_failed)?,
        false => Vec::new(),
    };
    Ok(Found {
        events: events.iter().map(listed_event).collect(),
        // One may have come since the task was read.
        last: events.last().map_or(0, |event| event.seq).max(task.event_count),
        is_terminal: task.state.is_terminal(),
    })
}

/// The reply, cut to what the server takes: who asks again gets the rest.
fn reply(ctx: &Context, request: TaskEventsRequest, found: Found) -> Result<String, RpcError> {
    let mut reply = TaskEventsReply {
        task_id: request.task_id,
        events: Vec::new(),
        last: found.last,
        terminal: found.is_terminal,
        generated_at: now_text(),
    };
    let items = found.events.into_iter().map(|event| (event.seq, event)).collect();
    truncate_reply(ctx.max_reply(), items, short_event, |events, _| {
        reply.events = events;
        (reply.encode(), std::mem::take(&mut reply.events))
    })
}
