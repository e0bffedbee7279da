//! `registry.list` (PROTOCOL.md section 6, with decision 0.4).

use std::sync::Arc;

use agentnet_protocol::rpc::{ListReply, ListRequest, RpcError};

use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::fit::fit;
use crate::paging::{list_cursor, list_position};
use crate::presence::ListKey;

/// Sessions that are taken from memory at a time, so that nobody waits long for the lock.
const CHUNK: usize = 128;

/// Who is online, as many as fit.
pub(super) async fn list(ctx: &Arc<Context>, request: ListRequest) -> Result<String, RpcError> {
    let after = list_position(request.cursor.as_deref())?;
    ctx.adoptions.settled().await;
    ctx.presence.evict(Now::read());
    let max = ctx.max_reply();
    let limit = request.limit.unwrap_or(usize::MAX);
    let mut sessions: Vec<Arc<Entry>> = Vec::new();
    let mut bytes = 0;
    let mut last = after;
    // One more than asked for tells whether there are more.
    while sessions.len() <= limit && bytes <= max {
        let chunk = ctx.presence.list(last.as_ref(), CHUNK);
        let Some((key, _)) = chunk.last() else { break };
        last = Some(key.clone());
        let ended = chunk.len() < CHUNK;
        for (key, text) in chunk {
            bytes += text.len();
            sessions.push(Arc::new(Entry { key, text }));
            if sessions.len() > limit || bytes > max {
                break;
            }
        }
        if ended {
            break;
        }
        tokio::task::yield_now().await;
    }
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let end = sessions.last().filter(|_| more).map(|entry| entry.key.clone());
    let generated_at = now_text();
    let short = |entry: &Arc<Entry>| match ctx.presence.listed_short(&entry.key) {
        Some(text) => Arc::new(Entry {
            key: entry.key.clone(),
            text,
        }),
        None => Arc::clone(entry),
    };
    fit(max, sessions, short, |sessions, cut| {
        let next = cut.map(|entry| &entry.key).or(end.as_ref()).map(list_cursor);
        let texts: Vec<&str> = sessions.iter().map(|entry| entry.text.as_str()).collect();
        ListReply::encode_written(&generated_at, &texts, next.as_deref())
    })
}

/// A session as it is listed.
struct Entry {
    key: ListKey,
    text: String,
}
