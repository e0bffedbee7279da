//! Hellos and goodbyes under signed identity (PROTOCOL.md sections 0.6 and 13.6).
//!
//! They only affect sessions that a registry has issued. A session that announced at its registration that it signs its
//! presence ignores unsigned and wrongly signed events; sessions of agents that cannot sign work as without signed identity.
//! Replayed events have no effect: a hello must be recent and not older than the last one, and a signing session never comes
//! back after its goodbye.

use std::sync::Arc;

use agentnet_protocol::claims::Claims;
use agentnet_protocol::detached::DetachedAuth;
use agentnet_protocol::presence_auth::{goodbye_claims, hello_claims};
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::StoreError;

use super::HelloOutcome;
use super::lookups::{adopt_session, load_profile, spawn_lookup, spawn_profile_lookup};
use super::session_modes::Hello;
use crate::clock::Now;
use crate::context::Context;

/// Whether the signature of an event is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Valid,
    /// Signed with another key than the one that is known here: the key may have been rotated.
    OtherKey,
    Invalid,
}

fn check(key: Option<&str>, auth: Option<&DetachedAuth>, claims: &Claims) -> Signature {
    match auth {
        Some(auth) if auth.covers(claims) => match key {
            Some(key) if key == auth.public_key() => Signature::Valid,
            _ => Signature::OtherKey,
        },
        _ => Signature::Invalid,
    }
}

/// The time of a hello, by its sender's clock, if it is recent.
fn recent_time(ctx: &Context, agent: &AgentInfo, now: Now) -> Option<Timestamp> {
    let said_at = Timestamp::parse(agent.last_seen.as_deref()?.trim())?;
    let skew = u128::from(now.time.micros_since(said_at).unsigned_abs());
    (skew <= ctx.config.dev_auth_max_skew.as_micros()).then_some(said_at)
}

fn ignore(event: &'static str, tag: &str) {
    tracing::debug!(
        session_tag = tag,
        "ignored a {event} without a valid signature of its session"
    );
}

/// Applies a hello.
pub(super) fn hello(ctx: &Arc<Context>, tag: String, hello: Hello, auth: Option<DetachedAuth>, now: Now) {
    let Some(signer) = ctx.presence.signer(&tag) else {
        return spawn_lookup(ctx, tag, |ctx, tag| async move {
            returning_hello(&ctx, &tag, &hello, auth).await
        });
    };
    if !signer.signs.presence {
        return apply(ctx, &hello, now);
    }
    let said_at = recent_time(ctx, &hello.agent, now).filter(|at| signer.said_at.is_none_or(|before| before <= *at));
    let Some(said_at) = said_at else {
        return ignore("hello", &tag);
    };
    match check(signer.key.as_deref(), auth.as_ref(), &hello_claims(&hello.agent)) {
        Signature::Valid => {
            ctx.presence.note_signed_hello(&tag, said_at);
            apply(ctx, &hello, now);
        }
        Signature::OtherKey => spawn_lookup(ctx, tag, move |ctx, tag| async move {
            let claims = hello_claims(&hello.agent);
            match is_signed_with_stored_key(&ctx, &signer.account_id, auth.as_ref(), &claims).await? {
                true => {
                    ctx.presence.note_signed_hello(&tag, said_at);
                    apply(&ctx, &hello, Now::read());
                }
                false => ignore("hello", &tag),
            }
            Ok(())
        }),
        Signature::Invalid => ignore("hello", &tag),
    }
}

fn apply(ctx: &Arc<Context>, hello: &Hello, now: Now) {
    let agent = &hello.agent;
    if let HelloOutcome::Known { changed: true } = ctx.presence.hello(agent, true, now) {
        ctx.flush.notify();
        spawn_profile_lookup(ctx, agent.account_id.as_deref());
    }
    note_modes(ctx, hello);
}

fn note_modes(ctx: &Context, hello: &Hello) {
    if let Some(tag) = hello.agent.session_tag.as_deref() {
        ctx.presence.set_modes(tag, hello.modes);
    }
}

/// A hello of a session that is not live here: another registry has issued it, or it was silent.
async fn returning_hello(
    ctx: &Context,
    tag: &str,
    hello: &Hello,
    auth: Option<DetachedAuth>,
) -> Result<(), StoreError> {
    let agent = &hello.agent;
    let Some(session) = ctx.store.session(tag).await? else {
        return Ok(());
    };
    let mut said = None;
    if session.signs.presence {
        said = recent_time(ctx, agent, Now::read());
        // A session that has ended comes back only by a hello from after its end, and never after a goodbye.
        let late_enough = said.is_some_and(|at| session.disconnected_at.is_none_or(|ended| at > ended));
        let account_id = session.account_id.as_deref().unwrap_or_default();
        if !late_enough
            || ctx.presence.has_said_goodbye(tag)
            || !is_signed_with_stored_key(ctx, account_id, auth.as_ref(), &hello_claims(agent)).await?
        {
            ignore("hello", tag);
            return Ok(());
        }
    }
    if adopt_session(ctx, tag, true).await? {
        ctx.presence.hello(agent, true, Now::read());
        note_modes(ctx, hello);
        if let Some(at) = said {
            ctx.presence.note_signed_hello(tag, at);
        }
    }
    Ok(())
}

/// Applies a goodbye.
pub(super) fn goodbye(ctx: &Arc<Context>, goodbye: Goodbye, auth: Option<DetachedAuth>, now: Now) {
    let tag = goodbye.session_tag.clone();
    if tag.is_empty() {
        return;
    }
    let Some(signer) = ctx.presence.signer(&tag) else {
        return spawn_lookup(ctx, tag, |ctx, tag| async move {
            let Some(session) = ctx.store.session(&tag).await? else {
                return Ok(());
            };
            let account_id = session.account_id.as_deref().unwrap_or_default();
            let claims = goodbye_claims(&goodbye);
            if !session.signs.presence || is_signed_with_stored_key(&ctx, account_id, auth.as_ref(), &claims).await? {
                end(&ctx, &tag, Now::read());
            } else {
                ignore("goodbye", &tag);
            }
            Ok(())
        });
    };
    if !signer.signs.presence {
        return end(ctx, &tag, now);
    }
    match check(signer.key.as_deref(), auth.as_ref(), &goodbye_claims(&goodbye)) {
        Signature::Valid => end(ctx, &tag, now),
        Signature::OtherKey => {
            let pending = ctx.pending_lookups.verify_goodbye(signer.account_id.clone());
            spawn_lookup(ctx, tag, move |ctx, tag| async move {
                let _pending = pending;
                if is_signed_with_stored_key(&ctx, &signer.account_id, auth.as_ref(), &goodbye_claims(&goodbye)).await?
                {
                    end(&ctx, &tag, Now::read());
                } else {
                    ignore("goodbye", &tag);
                }
                Ok(())
            });
        }
        Signature::Invalid => ignore("goodbye", &tag),
    }
}

fn end(ctx: &Context, tag: &str, now: Now) {
    if ctx.presence.goodbye(tag, now) {
        ctx.flush.notify();
    }
}

/// Whether claims are signed with the key that the store has for an account. Without a signature nothing is read.
async fn is_signed_with_stored_key(
    ctx: &Context,
    account_id: &str,
    auth: Option<&DetachedAuth>,
    claims: &Claims,
) -> Result<bool, StoreError> {
    let Some(auth) = auth.filter(|auth| auth.covers(claims)) else {
        return Ok(false);
    };
    let Some(key) = load_profile(ctx, account_id).await? else {
        return Ok(false);
    };
    Ok(key == auth.public_key())
}
