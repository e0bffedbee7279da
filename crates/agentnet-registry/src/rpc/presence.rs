//! `registry.list` (PROTOCOL.md section 6, with decision 0.4).

use std::cell::OnceCell;
use std::sync::Arc;

use agentnet_protocol::rpc::{ListReply, ListRequest, RpcError};

use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::fit::fit;
use crate::paging::{list_cursor, list_position};
use crate::presence::look::ListPage;

/// Sessions that are taken from memory at a time, so that nobody waits long for the lock.
const CHUNK: usize = 128;
/// Stands for the short form of an entry that is too large.
const SHORT: usize = usize::MAX;

/// Who is online, as many as fit.
pub(super) async fn list(ctx: &Arc<Context>, request: ListRequest) -> Result<String, RpcError> {
    let after = list_position(request.cursor.as_deref())?;
    ctx.adoptions.settled().await;
    ctx.presence.evict(Now::read());
    let max = ctx.max_reply();
    let limit = request.limit.unwrap_or(usize::MAX);
    let mut page = ListPage::default();
    let mut last = after;
    // One more than asked for tells whether there are more.
    while page.len() <= limit && page.bytes() <= max {
        let more = ctx.presence.list(last.as_ref(), CHUNK, &mut page);
        if !more {
            break;
        }
        last = page.key(page.len() - 1).cloned();
        tokio::task::yield_now().await;
    }
    let more = page.len() > limit;
    page.truncate(limit);
    let end = page.len().checked_sub(1).filter(|_| more);
    let generated_at = now_text();
    let short = OnceCell::new();
    let shorten = |at: &usize| {
        short.get_or_init(|| page.key(*at).and_then(|key| ctx.presence.listed_short(key)));
        SHORT
    };
    fit(max, (0..page.len()).collect(), shorten, |shown, cut| {
        let next = cut.copied().or(end).and_then(|at| page.key(at)).map(list_cursor);
        let entries = match shown.first() {
            Some(&SHORT) => short.get().and_then(Option::as_deref).unwrap_or_default(),
            _ => page.first(shown.len()),
        };
        ListReply::encode_written(&generated_at, entries, next.as_deref())
    })
}
