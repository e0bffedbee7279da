//! `registry.search` and `registry.profile` (PROTOCOL.md section 6, with decisions 0.2 and 0.4).

use std::sync::Arc;

use agentnet_protocol::RawJson;
use agentnet_protocol::json;
use agentnet_protocol::limits::readable_metadata;
use agentnet_protocol::rpc::{
    AccountHit, Profile, ProfileReply, ProfileRequest, ProfileSession, Reply as _, RpcError, SearchReply, SearchRequest,
};
use agentnet_store::model::{Account, AccountQuery, Session};

use super::failed;
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::identity::is_reserved;
use crate::paging::{SearchPosition, search_cursor, search_position};
use crate::presence::search::{Filter, hit};
use crate::truncate_reply::{TOO_LARGE, items_that_fit, measure, truncate_reply};

/// Online accounts that are examined under one lock.
const MAX_EXAMINED: usize = 1024;
/// Stored accounts that are read at a time, at least and at most.
const MIN_CHUNK_ROWS: usize = 64;
const MAX_CHUNK_ROWS: usize = 1000;
/// Stored accounts that one request may read; the next page goes on from there.
const MAX_ROWS: usize = 20_000;

type Found = (SearchPosition, AccountHit);

/// Accounts by name and capability: online ones first, by number of live sessions, then by username.
pub(super) async fn search(ctx: &Arc<Context>, request: SearchRequest) -> Result<String, RpcError> {
    let after = search_position(request.cursor.as_deref())?;
    ctx.pending_lookups.settled().await;
    ctx.presence.evict(Now::read());
    let (results, next) = find(ctx, &request, after).await?;
    let mut reply = SearchReply {
        query: request.query,
        capability: request.capability,
        limit: request.limit,
        online_only: request.online_only,
        results: Vec::new(),
        generated_at: now_text(),
        next_cursor: None,
    };
    truncate_reply(ctx.max_reply(), results, shortened, |results, last| {
        reply.results = results;
        reply.next_cursor = last.or(next.as_ref()).map(search_cursor);
        (reply.encode(), std::mem::take(&mut reply.results))
    })
}

/// One page, and the position of the next one if there is one.
async fn find(
    ctx: &Context,
    request: &SearchRequest,
    after: Option<SearchPosition>,
) -> Result<(Vec<Found>, Option<SearchPosition>), RpcError> {
    let text = json::trim(&request.query);
    let mut found: Vec<Found> = Vec::new();
    // One more than asked for tells whether there are more.
    let want = request.limit + 1;
    let after_username = match after {
        Some(SearchPosition::Offline(username)) => Some(username),
        position => {
            let mut rank = match position {
                Some(SearchPosition::Online(rank)) => Some(rank),
                _ => None,
            };
            let filter = Filter::new(text, request.capability.as_deref());
            loop {
                let part = ctx
                    .presence
                    .ranking(|all| all.search(rank.as_ref(), &filter, want - found.len(), MAX_EXAMINED));
                found.extend(
                    part.hits
                        .into_iter()
                        .map(|(rank, hit)| (SearchPosition::Online(rank), hit)),
                );
                rank = part.next;
                if rank.is_none() || found.len() == want {
                    break;
                }
                tokio::task::yield_now().await;
            }
            None
        }
    };
    let mut stopped_at = None;
    if found.len() < want && !request.online_only {
        stopped_at = offline(ctx, request, text, after_username, want, &mut found).await?;
    }
    if found.len() == want {
        found.truncate(request.limit);
        let next = found.last().map(|(position, _)| position.clone());
        return Ok((found, next));
    }
    Ok((found, stopped_at))
}

/// Fills the page with accounts that have no live session. Returns the position at which it stopped before the last account.
async fn offline(
    ctx: &Context,
    request: &SearchRequest,
    text: &str,
    mut after_username: Option<String>,
    want: usize,
    found: &mut Vec<Found>,
) -> Result<Option<SearchPosition>, RpcError> {
    let (mut rows, shown) = (0, found.len());
    loop {
        // The rows contain the online accounts too, which are skipped.
        let limit = (want - found.len() + shown).clamp(MIN_CHUNK_ROWS, MAX_CHUNK_ROWS);
        let query = AccountQuery {
            text: text.to_owned(),
            capability: request.capability.clone(),
            after_username: after_username.take(),
            limit,
        };
        let page = ctx.store.accounts(&query).await.map_err(failed("search_failed"))?;
        rows += page.items.len();
        after_username = page.items.last().map(|account| account.username.clone());
        for account in page.items {
            let is_registry = ctx.config.dev_auth && is_reserved(&account.account_id);
            if is_registry || ctx.presence.ranking(|online| online.contains(&account.account_id)) {
                continue;
            }
            let online = ctx.presence.online(&account.account_id);
            found.push((SearchPosition::Offline(account.username.clone()), hit(&account, online)));
            if found.len() == want {
                return Ok(None);
            }
        }
        if !page.more {
            return Ok(None);
        }
        if rows >= MAX_ROWS {
            return Ok(after_username.map(SearchPosition::Offline));
        }
    }
}

fn shortened(hit: &AccountHit) -> AccountHit {
    AccountHit {
        capabilities: Vec::new(),
        metadata: RawJson::empty_object(),
        ..hit.clone()
    }
}

/// One account with its live sessions.
pub(super) async fn profile(ctx: &Arc<Context>, request: ProfileRequest) -> Result<String, RpcError> {
    ctx.pending_lookups.settled().await;
    ctx.presence.evict(Now::read());
    let found = match (&request.account_id, &request.username) {
        (Some(account_id), _) => ctx.store.account_by_id(account_id).await,
        (None, Some(username)) => ctx.store.account_by_username(username).await,
        (None, None) => Ok(None),
    };
    let account = found.map_err(failed("profile_failed"))?.ok_or(RpcError::NOT_FOUND)?;
    let sessions = ctx.presence.sessions_of(&account.account_id);
    let mut reply = ProfileReply {
        profile: profile_of(account, sessions),
        generated_at: now_text(),
    };
    let max = ctx.max_reply();
    let text = reply.encode();
    if text.len() <= max {
        return Ok(text);
    }
    // Profiles have no pages: of an account with very many sessions, the latest are shown.
    let sessions = std::mem::take(&mut reply.profile.online_sessions);
    let overhead = reply.encode().len();
    let (mut sessions, ends) = measure(sessions, &mut |sessions, _: Option<&()>| {
        reply.profile.online_sessions = sessions;
        (reply.encode(), std::mem::take(&mut reply.profile.online_sessions))
    });
    sessions.truncate(items_that_fit(max, &ends, |_| overhead));
    reply.profile.online_sessions = sessions;
    let text = reply.encode();
    if text.len() > max { Err(TOO_LARGE) } else { Ok(text) }
}

fn profile_of(account: Account, sessions: Vec<Session>) -> Profile {
    Profile {
        account_id: account.account_id,
        username: account.username,
        display_name: account.display_name,
        bio: account.bio,
        capabilities: account.capabilities,
        metadata: readable_metadata(account.metadata),
        visibility: account.visibility,
        status: account.status,
        created_at: account.created_at.to_string(),
        updated_at: account.updated_at.to_string(),
        online: !sessions.is_empty(),
        online_sessions: sessions
            .into_iter()
            .map(|session| ProfileSession {
                session_tag: session.session_tag,
                agent_id: session.agent_id,
                server_id: session.server_id,
                connected_at: session.connected_at.to_string(),
                last_seen: session.last_seen.to_string(),
                capabilities: session.capabilities,
                metadata: readable_metadata(session.metadata),
            })
            .collect(),
    }
}
