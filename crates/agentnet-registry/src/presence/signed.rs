//! Hellos and goodbyes under signed identity (PROTOCOL.md sections 0.6 and 13.6).
//!
//! They act on sessions that a registry has issued, and on no other. A session that said at its registration that it signs
//! its presence is not touched by an unsigned or wrongly signed one; others, of agents that cannot sign it, are as they were.
//! Recorded ones do nothing: a hello must be recent and not older than the last one, and after its goodbye a signing session
//! never comes back.

use std::sync::Arc;

use agentnet_protocol::claims::Claims;
use agentnet_protocol::detached::DetachedAuth;
use agentnet_protocol::presence_auth::{goodbye_claims, hello_claims};
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::StoreError;

use super::hear::{aside, issued, profile, profile_unless_known};
use super::{Heard, Presence};
use crate::clock::Now;
use crate::context::Context;

/// What a live session's presence has to be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    account_id: String,
    signs: SigningScope,
    /// The account's key, as far as it is known here.
    key: Option<String>,
    /// When its last signed hello was said, by its own clock.
    said_at: Option<Timestamp>,
}

impl Presence {
    fn signer(&self, tag: &str) -> Option<Signer> {
        let state = self.lock();
        let live = state.sessions.get(tag)?;
        let account_id = live.session.account_id.clone().unwrap_or_default();
        Some(Signer {
            signs: live.session.signs,
            key: state.ranking.public_key(&account_id).map(str::to_owned),
            said_at: live.said_at,
            account_id,
        })
    }

    /// Notes when a signed hello was said.
    fn said(&self, tag: &str, at: Timestamp) {
        if let Some(live) = self.lock().sessions.get_mut(tag) {
            live.said_at = live.said_at.max(Some(at));
        }
    }

    fn has_said_goodbye(&self, tag: &str) -> bool {
        self.lock().goodbyes.get(tag).is_some()
    }

    /// What all live sessions of an account sign; `None` if it has none.
    pub(crate) fn signs(&self, account_id: &str) -> Option<SigningScope> {
        let state = self.lock();
        let tags = state.accounts.get(account_id)?.iter();
        let all = tags
            .filter_map(|tag| state.sessions.get(tag))
            .map(|live| live.session.signs);
        all.reduce(|one, other| SigningScope {
            receipts: one.receipts && other.receipts,
            presence: one.presence && other.presence,
        })
    }
}

/// What is to be thought of something signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Genuine,
    /// Signed, but with another key than the one that is known here: it may have been rotated.
    OtherKey,
    Forged,
}

fn judge(key: Option<&str>, auth: Option<&DetachedAuth>, claims: &Claims) -> Verdict {
    match auth {
        Some(auth) if auth.covers(claims) => match key {
            Some(key) if key == auth.public_key() => Verdict::Genuine,
            _ => Verdict::OtherKey,
        },
        _ => Verdict::Forged,
    }
}

/// When a hello was said, if that is recent.
fn recent(ctx: &Context, agent: &AgentInfo, now: Now) -> Option<Timestamp> {
    let said_at = Timestamp::parse(agent.last_seen.as_deref()?.trim())?;
    let skew = u128::from(now.time.micros_since(said_at).unsigned_abs());
    (skew <= ctx.config.dev_auth_max_skew.as_micros()).then_some(said_at)
}

fn forged(what: &'static str, tag: &str) {
    tracing::debug!(session_tag = tag, "ignored a {what} that its session did not sign");
}

/// A hello of this session.
pub(super) fn hello(ctx: &Arc<Context>, tag: String, agent: AgentInfo, auth: Option<DetachedAuth>, now: Now) {
    let Some(signer) = ctx.presence.signer(&tag) else {
        return aside(
            ctx,
            tag,
            |ctx, tag| async move { returning(&ctx, &tag, &agent, auth).await },
        );
    };
    if !signer.signs.presence {
        return apply(ctx, &agent, now);
    }
    let said_at = recent(ctx, &agent, now).filter(|at| signer.said_at.is_none_or(|before| before <= *at));
    let Some(said_at) = said_at else {
        return forged("hello", &tag);
    };
    match judge(signer.key.as_deref(), auth.as_ref(), &hello_claims(&agent)) {
        Verdict::Genuine => {
            ctx.presence.said(&tag, said_at);
            apply(ctx, &agent, now);
        }
        Verdict::OtherKey => aside(ctx, tag, move |ctx, tag| async move {
            match looked_up(&ctx, &signer.account_id, auth.as_ref(), &hello_claims(&agent)).await? {
                true => {
                    ctx.presence.said(&tag, said_at);
                    apply(&ctx, &agent, Now::read());
                }
                false => forged("hello", &tag),
            }
            Ok(())
        }),
        Verdict::Forged => forged("hello", &tag),
    }
}

fn apply(ctx: &Arc<Context>, agent: &AgentInfo, now: Now) {
    if let Heard::Known { changed: true } = ctx.presence.hello(agent, true, now) {
        ctx.bell.ring();
        profile_unless_known(ctx, agent.account_id.as_deref());
    }
}

/// The hello of a session that is not known here: one that another registry has issued, or that fell silent.
async fn returning(ctx: &Context, tag: &str, agent: &AgentInfo, auth: Option<DetachedAuth>) -> Result<(), StoreError> {
    let Some(session) = ctx.store.session(tag).await? else {
        return Ok(());
    };
    let mut said = None;
    if session.signs.presence {
        said = recent(ctx, agent, Now::read());
        // A session that has ended comes back only by a hello from after its end, and never after a goodbye.
        let late_enough = said.is_some_and(|at| session.disconnected_at.is_none_or(|ended| at > ended));
        let account_id = session.account_id.as_deref().unwrap_or_default();
        if !late_enough
            || ctx.presence.has_said_goodbye(tag)
            || !looked_up(ctx, account_id, auth.as_ref(), &hello_claims(agent)).await?
        {
            forged("hello", tag);
            return Ok(());
        }
    }
    if issued(ctx, tag, true).await? {
        ctx.presence.hello(agent, true, Now::read());
        if let Some(at) = said {
            ctx.presence.said(tag, at);
        }
    }
    Ok(())
}

/// A goodbye.
pub(super) fn goodbye(ctx: &Arc<Context>, goodbye: Goodbye, auth: Option<DetachedAuth>, now: Now) {
    let tag = goodbye.session_tag.clone();
    if tag.is_empty() {
        return;
    }
    let Some(signer) = ctx.presence.signer(&tag) else {
        return aside(ctx, tag, |ctx, tag| async move {
            let Some(session) = ctx.store.session(&tag).await? else {
                return Ok(());
            };
            let account_id = session.account_id.as_deref().unwrap_or_default();
            if !session.signs.presence || looked_up(&ctx, account_id, auth.as_ref(), &goodbye_claims(&goodbye)).await? {
                end(&ctx, &tag, Now::read());
            } else {
                forged("goodbye", &tag);
            }
            Ok(())
        });
    };
    if !signer.signs.presence {
        return end(ctx, &tag, now);
    }
    match judge(signer.key.as_deref(), auth.as_ref(), &goodbye_claims(&goodbye)) {
        Verdict::Genuine => end(ctx, &tag, now),
        Verdict::OtherKey => aside(ctx, tag, |ctx, tag| async move {
            if looked_up(&ctx, &signer.account_id, auth.as_ref(), &goodbye_claims(&goodbye)).await? {
                end(&ctx, &tag, Now::read());
            } else {
                forged("goodbye", &tag);
            }
            Ok(())
        }),
        Verdict::Forged => forged("goodbye", &tag),
    }
}

fn end(ctx: &Context, tag: &str, now: Now) {
    if ctx.presence.goodbye(tag, now) {
        ctx.bell.ring();
    }
}

/// Whether something is signed with the key that the store holds for an account; what is not signed at all costs no look.
async fn looked_up(
    ctx: &Context,
    account_id: &str,
    auth: Option<&DetachedAuth>,
    claims: &Claims,
) -> Result<bool, StoreError> {
    let Some(auth) = auth.filter(|auth| auth.covers(claims)) else {
        return Ok(false);
    };
    let Some(key) = profile(ctx, account_id).await? else {
        return Ok(false);
    };
    Ok(key == auth.public_key())
}
