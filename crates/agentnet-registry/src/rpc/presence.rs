//! `registry.list` (PROTOCOL.md section 6, with decision 0.4).

use std::sync::Arc;

use agentnet_protocol::rpc::{ListReply, ListRequest, RpcError};

use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::paging::{list_cursor, list_position};
use crate::presence::queries::ListPage;
use crate::truncate_reply::{TOO_LARGE, items_that_fit};

/// Sessions that are read from memory at a time, so that the lock is never held for long.
const CHUNK_SESSIONS: usize = 128;

/// The live sessions, as many as fit.
pub(super) async fn list(ctx: &Arc<Context>, request: ListRequest) -> Result<String, RpcError> {
    let after = list_position(request.cursor.as_deref())?;
    ctx.pending_lookups.settled().await;
    ctx.presence.evict(Now::read());
    let max = ctx.max_reply();
    let limit = request.limit.unwrap_or(usize::MAX);
    let mut page = ListPage::default();
    let mut last = after;
    // One more than asked for tells whether there are more.
    while page.len() <= limit && page.bytes() <= max {
        let more = ctx.presence.list(last.as_ref(), CHUNK_SESSIONS, &mut page);
        if !more {
            break;
        }
        last = page.key(page.len() - 1).cloned();
        tokio::task::yield_now().await;
    }
    let more = page.len() > limit;
    page.truncate(limit);
    let generated_at = now_text();
    // `last` is the last entry that counts as shown, if there are more.
    let encode = |entries: &str, last: Option<usize>| {
        let cursor = last.and_then(|last| page.key(last)).map(list_cursor);
        ListReply::encode_written(&generated_at, entries, cursor.as_deref())
    };
    let last_shown = |count: usize| count.checked_sub(1).filter(|_| more || count < page.len());
    let ends: Vec<usize> = page.ends().collect();
    let count = items_that_fit(max, &ends, |count| encode("", last_shown(count)).len());
    if count > 0 || page.len() == 0 {
        let reply = encode(page.first(count), last_shown(count));
        return if reply.len() <= max { Ok(reply) } else { Err(TOO_LARGE) };
    }
    // Not even the first entry fits.
    let first = page.key(0).ok_or(TOO_LARGE)?;
    let short = ctx.presence.short_entry(first).unwrap_or_default();
    [encode(&short, last_shown(1)), encode("", Some(0))]
        .into_iter()
        .find(|reply| reply.len() <= max)
        .ok_or(TOO_LARGE)
}
