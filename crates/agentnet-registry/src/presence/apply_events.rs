//! Applies presence events: `registry.hello`, `registry.goodbye`, and announcements of other registries.
//!
//! An event of a known session is applied at once, in memory. One of an unknown session may need the store (`lookups`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use agentnet_protocol::AgentInfo;
use agentnet_protocol::detached::DetachedAuth;
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::Object;
use agentnet_protocol::limits::{MAX_NAME_BYTES, check_agent};
use agentnet_protocol::rpc::Goodbye;
use agentnet_store::StoreError;

use super::lookups::{
    adopt_session, load_origin, load_profile, new_session, spawn_announced_lookup, spawn_lookup, spawn_profile_lookup,
};
use super::session_modes::{Hello, SessionModes};
use super::{HelloOutcome, signed_presence};
use crate::clock::Now;
use crate::context::Context;
use crate::peers::cut;
use crate::registration::account_claim;

/// The most bytes of a hello without its metadata: names, capabilities, signature and counters, every character escaped.
const MAX_BYTES_WITHOUT_METADATA: usize = 128 * 1024;

/// A hello (section 7.4); one without session or agent is ignored. `false` if it cannot be read.
///
/// In secure mode it counts only for the account of its caller.
pub(crate) fn hello(ctx: &Arc<Context>, caller: Option<&str>, body: &[u8], now: Now) -> bool {
    // Some member of it exceeds its limit. Parsing it would take longer than sending it takes a flooder.
    if body.len() > ctx.config.max_metadata_bytes + MAX_BYTES_WITHOUT_METADATA {
        ignored("?", &format!("it has {} bytes", body.len()));
        return false;
    }
    let Ok(object) = Object::parse_body(body) else {
        return false;
    };
    let Some(object) = object else { return true };
    let Ok(agent) = AgentInfo::decode(&object) else {
        return false;
    };
    let Some(tag) = agent.session_tag.clone() else {
        return true;
    };
    if agent.agent_id.is_empty() {
        return true;
    }
    if let Err(error) = check_agent(&agent, ctx.config.max_metadata_bytes) {
        ignored(&tag, &error.to_string());
        return false;
    }
    // Register rejects such an id too (section 0.5); a hello has no reply.
    if agent.account_id.as_deref().is_some_and(|id| !valid_account_id(id)) {
        return false;
    }
    if caller.is_some_and(|caller| agent.account_id.as_deref() != Some(caller)) {
        ignored(&tag, "it names another account than the one that published it");
        return false;
    }
    if caller.is_some_and(|caller| ctx.presence.is_session_of_another(&tag, caller)) {
        ignored(&tag, "its session is of another account than the one that published it");
        return false;
    }
    let modes = SessionModes::read(&object);
    if ctx.config.dev_auth {
        let auth = DetachedAuth::read(&object.get("auth"));
        signed_presence::hello(ctx, tag, Hello { agent, modes }, auth, now);
        return true;
    }
    match ctx.presence.hello(&agent, false, now) {
        HelloOutcome::Known { changed } => {
            ctx.presence.set_modes(&tag, modes);
            if changed {
                ctx.flush.notify();
                spawn_profile_lookup(ctx, agent.account_id.as_deref());
            }
        }
        HelloOutcome::Unknown => match (agent.account_id.clone(), agent.username.clone()) {
            (Some(account_id), Some(username)) => {
                add_session(ctx, &agent, tag.clone(), account_id, username, now);
                ctx.presence.set_modes(&tag, modes);
            }
            _ => spawn_lookup(ctx, tag, move |ctx, tag| async move {
                claim_account(&ctx, agent, tag.clone(), now).await?;
                ctx.presence.set_modes(&tag, modes);
                Ok(())
            }),
        },
    }
    true
}

/// An unknown session that names its account: added at once; the rest is looked up.
fn add_session(ctx: &Arc<Context>, agent: &AgentInfo, tag: String, account_id: String, username: String, now: Now) {
    let session = new_session(ctx, agent, tag.clone(), account_id.clone(), username, now.time);
    if !ctx.presence.insert_heard(session, now) {
        return too_many_sessions(ctx);
    }
    spawn_lookup(ctx, tag, |ctx, tag| async move {
        load_origin(&ctx, &tag).await?;
        if !ctx.presence.has_profile(&account_id) {
            load_profile(&ctx, &account_id).await?;
        }
        Ok(())
    });
}

/// An unknown session without an account: it gets one as a registration would.
async fn claim_account(ctx: &Arc<Context>, agent: AgentInfo, tag: String, now: Now) -> Result<(), StoreError> {
    let claim = account_claim(&agent, None, now);
    let (store, budget) = (ctx.store.as_ref(), &ctx.new_accounts);
    let Ok(token) = budget.reserve(store, &claim, None, Instant::now()).await else {
        tracing::debug!(session_tag = %tag, "a hello would exceed the limit of new accounts; its next one counts");
        return Ok(());
    };
    let claimed = store.claim_account(&claim).await;
    budget.settle(token, claimed.as_ref().ok(), claim.at);
    let account = claimed?;
    let (account_id, username) = (account.account_id.clone(), account.username.clone());
    let session = new_session(ctx, &agent, tag.clone(), account_id, username, now.time);
    if !ctx.presence.insert_heard(session, Now::read()) {
        too_many_sessions(ctx);
        return Ok(());
    }
    ctx.presence.set_profile(account);
    load_origin(ctx, &tag).await
}

/// Logs a hello that exceeds a limit. Only the first one at `warn`: every client can send many.
fn ignored(session_tag: &str, reason: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let session_tag = cut(session_tag);
    if WARNED.swap(true, Ordering::Relaxed) {
        tracing::debug!(session_tag, reason, "a hello is ignored");
    } else {
        tracing::warn!(
            session_tag,
            reason,
            "a hello is ignored; further ones are logged at debug level"
        );
    }
}

/// There are too many sessions that no registry is known to have issued.
fn too_many_sessions(ctx: &Context) {
    tracing::debug!("too many sessions that no registry has issued; the next hello counts");
    ctx.presence.overflowed(Now::read());
}

/// A goodbye (section 7.5); `false` if it cannot be read.
pub(crate) fn goodbye(ctx: &Arc<Context>, caller: Option<&str>, body: &[u8], now: Now) -> bool {
    if body.len() > MAX_BYTES_WITHOUT_METADATA {
        return false;
    }
    let Ok(object) = Object::parse_body(body) else {
        return false;
    };
    let Some(object) = object else { return true };
    let goodbye = Goodbye::decode(&object);
    if [&goodbye.agent_id, &goodbye.session_tag, &goodbye.seen_at]
        .iter()
        .any(|text| text.len() > MAX_NAME_BYTES)
    {
        return false;
    }
    if caller.is_some_and(|caller| !ctx.presence.is_session_of(&goodbye.session_tag, caller)) {
        return false;
    }
    if ctx.config.dev_auth {
        signed_presence::goodbye(ctx, goodbye, DetachedAuth::read(&object.get("auth")), now);
    } else if ctx.presence.goodbye(&goodbye.session_tag, now) {
        ctx.flush.notify();
    }
    true
}

/// Another registry has issued a session and stored it.
pub(crate) fn issued_elsewhere(ctx: &Arc<Context>, session_tag: String, proven: bool) {
    if ctx.presence.knows(&session_tag) {
        return;
    }
    spawn_announced_lookup(ctx, session_tag, proven, |ctx, tag| async move {
        adopt_session(&ctx, &tag, false).await.map(drop)
    });
}

/// Another registry has bound another key to an account.
pub(crate) fn rotated_elsewhere(ctx: &Arc<Context>, account_id: String, proven: bool) {
    if ctx.presence.online(&account_id) > 0 {
        spawn_announced_lookup(ctx, account_id, proven, |ctx, account_id| async move {
            load_profile(&ctx, &account_id).await.map(drop)
        });
    }
}
