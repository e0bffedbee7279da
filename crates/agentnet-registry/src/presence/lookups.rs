//! Reads from the store what an event needs and the memory does not have. That runs in tasks of its own, counted by
//! [`super::pending_lookups`], so that a request that came later can wait for it.

use std::sync::Arc;

use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::StoreError;
use agentnet_store::model::Session;

use crate::clock::Now;
use crate::context::Context;
use crate::tasks::Phase;

/// A live session of this registry.
pub(crate) fn new_session(
    ctx: &Context,
    agent: &AgentInfo,
    session_tag: String,
    account_id: String,
    username: String,
    at: Timestamp,
) -> Session {
    Session {
        session_tag,
        agent_id: agent.agent_id.clone(),
        account_id: Some(account_id),
        username: Some(username),
        server_id: ctx.config.server_id.clone(),
        connected_at: at,
        disconnected_at: None,
        last_seen: at,
        online: true,
        name: agent.name.clone(),
        capabilities: agent.capabilities.clone(),
        metadata: agent.metadata.clone(),
        signs: SigningScope::default(),
    }
}

/// Adopts a session that the store has; one that has ended only if it `said_hello`. `false` if there is none.
pub(super) async fn adopt_session(ctx: &Context, tag: &str, said_hello: bool) -> Result<bool, StoreError> {
    let found = ctx.store.session(tag).await?;
    let Some(session) = found.filter(|session| session.online || said_hello) else {
        return Ok(false);
    };
    let account_id = session.account_id.clone();
    ctx.presence.adopt_stored(session, said_hello, Now::read());
    ctx.flush.notify();
    if let Some(account_id) = account_id {
        load_profile(ctx, &account_id).await?;
    }
    Ok(true)
}

/// Reads when and where a session began that came back by a hello.
pub(super) async fn load_origin(ctx: &Context, tag: &str) -> Result<(), StoreError> {
    if let Some(stored) = ctx.store.session(tag).await? {
        ctx.presence.set_origin(tag, stored.connected_at, stored.server_id);
    }
    ctx.flush.notify();
    Ok(())
}

/// Reads the profile of an account; returns the key that is bound to it.
pub(super) async fn load_profile(ctx: &Context, account_id: &str) -> Result<Option<String>, StoreError> {
    let Some(account) = ctx.store.account_by_id(account_id).await? else {
        return Ok(None);
    };
    let key = account.public_key.clone();
    ctx.presence.set_profile(account);
    Ok(key)
}

/// Reads the profile of an online account if it is not known.
pub(super) fn spawn_profile_lookup(ctx: &Arc<Context>, account_id: Option<&str>) {
    let Some(account_id) = account_id else { return };
    if !ctx.presence.has_profile(account_id) {
        spawn_lookup(ctx, account_id.to_owned(), |ctx, account_id| async move {
            load_profile(&ctx, &account_id).await.map(drop)
        });
    }
}

/// Looks up the subject of an announcement: its session tag or account id. Without proof, only a few at a time, and one that
/// is dropped does not count as missed.
pub(super) fn spawn_announced_lookup<F>(
    ctx: &Arc<Context>,
    id: String,
    proven: bool,
    lookup: impl FnOnce(Arc<Context>, String) -> F + Send + 'static,
) where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    if proven {
        return spawn_lookup(ctx, id, lookup);
    }
    let Some(permit) = ctx.pending_lookups.begin_unproven() else {
        return;
    };
    let owner = Arc::clone(ctx);
    ctx.tasks.spawn(Phase::Requests, async move {
        let _permit = permit;
        let _turn = owner.pending_lookups.unproven_turn().await;
        if let Err(error) = Box::pin(lookup(Arc::clone(&owner), id)).await {
            tracing::debug!(%error, "the subject of an announcement could not be looked up");
        }
    });
}

/// Runs a lookup in a task of its own. `id` is the session tag or account id that it is about.
pub(super) fn spawn_lookup<F>(
    ctx: &Arc<Context>,
    id: String,
    lookup: impl FnOnce(Arc<Context>, String) -> F + Send + 'static,
) where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let Some(pending) = ctx.pending_lookups.begin() else {
        tracing::debug!(%id, "too many unknown sessions at once; the next hello counts");
        ctx.presence.overflowed(Now::read());
        return;
    };
    let owner = Arc::clone(ctx);
    ctx.tasks.spawn(Phase::Requests, async move {
        let pending = pending;
        let _turn = pending.turn().await;
        // Thousands may be pending after a start: the future of the lookup is allocated when it is its turn.
        match Box::pin(lookup(Arc::clone(&owner), id.clone())).await {
            Ok(()) => return,
            Err(StoreError::Unavailable(_)) => tracing::debug!(%id, "not looked up: the database is down"),
            Err(error) => tracing::warn!(%id, %error, "a session could not be looked up; its next hello counts"),
        }
        pending.failed();
        owner.presence.missed(Now::read());
    });
}
