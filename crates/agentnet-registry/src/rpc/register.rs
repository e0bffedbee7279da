//! `registry.register` (PROTOCOL.md sections 6, 7.2 and 13.3, with the decisions 0.5 and 0.6).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::limits::{check_agent, check_nonce};
use agentnet_protocol::rpc::{RegisterReply, RegisterRequest, Reply as _, RpcError};
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::subject::{REPLY_PREFIX, routable_capability};
use agentnet_protocol::{AgentInfo, ids, username};
use agentnet_store::StoreError;
use agentnet_store::model::{AccountClaim, DesiredName};

use crate::announce;
use crate::clock::{self, Now};
use crate::context::Context;
use crate::identity::is_reserved;
use crate::new_accounts;
use crate::presence::hear;
use crate::register_auth;

/// How often, and with which pause, a session that is not stored yet is looked after.
const LATE_TRIES: u32 = 20;
const LATE_PAUSE: Duration = Duration::from_millis(200);
/// Capabilities that one line of the log names.
const LOGGED_CAPABILITIES: usize = 8;

/// Finds or creates the account, issues a session, and tells the other registries of it.
pub(super) async fn register(ctx: &Arc<Context>, request: RegisterRequest, reply_to: &str) -> Result<String, RpcError> {
    let now = Now::read();
    let agent = &request.agent;
    check_agent(agent, ctx.config.max_metadata_bytes)?;
    check_nonce(request.auth.as_ref())?;
    let usable = |id: &str| ids::valid_account_id(id) && !(ctx.config.dev_auth && is_reserved(id));
    if agent.account_id.as_deref().is_some_and(|id| !usable(id)) {
        return Err(RpcError::new("account_id is invalid"));
    }
    let mut claim = claim(agent, None, now);
    if ctx.config.dev_auth {
        let registrant = register_auth::check(ctx, &request, &claim, now).await?;
        claim.public_key = Some(registrant.public_key);
        claim.signs = registrant.signs;
    }
    if request.keep_profile {
        let known = new_accounts::existing(ctx, &claim).await;
        let known = known.map_err(super::failed("failed resolving account identity"))?;
        if let Some(known) = known {
            claim.display_name = known.display_name;
            claim.capabilities = known.capabilities;
            claim.metadata = known.metadata;
        }
    }
    let signs = claim.signs;
    let room = new_accounts::room(ctx, &claim, Some(reply_to), now.instant).await?;
    let claimed = ctx.claims.ask(claim).await;
    new_accounts::settle(ctx, room, claimed.as_ref().ok(), now.time);
    let account = claimed.map_err(|error| match error.as_ref() {
        StoreError::KeyMismatch => RpcError::new("auth_public_key_mismatch"),
        StoreError::TooLarge(_) => RpcError::with_text(error.to_string()),
        error => super::failed_with(error, "failed resolving account identity"),
    })?;
    let (account_id, username) = (account.account_id.clone(), account.username.clone());
    ctx.oversized.fits(&username);
    let session_tag = now.session_tag(&ctx.config.server_id);
    let mut session = hear::session(
        ctx,
        agent,
        session_tag.clone(),
        account_id.clone(),
        username.clone(),
        now.time,
    );
    session.signs = signs;
    ctx.presence.insert(session, now);
    ctx.presence.set_profile(account);
    // The session is in the store before anybody hears of it: the others will look there.
    if stored(ctx, &session_tag).await {
        announce::session(ctx, &session_tag).await;
    } else {
        ctx.tasks.spawn(announce_later(Arc::clone(ctx), session_tag.clone()));
    }
    warn_of_unroutable(agent, &account_id);
    tracing::info!(agent_id = %agent.agent_id, %account_id, %username, %session_tag, "registered");
    Ok(RegisterReply {
        account_id,
        username,
        session_tag,
        heartbeat_interval: ctx.config.heartbeat_interval.as_secs_f64(),
        ttl_seconds: ctx.config.agent_ttl.as_secs_f64(),
        registered_at: now.time.to_string(),
        reply_prefix: Some(REPLY_PREFIX.to_owned()),
    }
    .encode())
}

/// Waits until a session is stored; `false` if that takes too long or fails.
async fn stored(ctx: &Context, session_tag: &str) -> bool {
    ctx.bell.written().await && !ctx.presence.is_unwritten(session_tag)
}

/// Announces a session as soon as a slow store has it. If that takes very long, its hellos have made it known.
async fn announce_later(ctx: Arc<Context>, session_tag: String) {
    for _ in 0..LATE_TRIES {
        if stored(&ctx, &session_tag).await {
            return announce::session(&ctx, &session_tag).await;
        }
        tokio::time::sleep(LATE_PAUSE).await;
    }
}

/// What a registration, or the hello of an unknown session, wants of the accounts.
pub(crate) fn claim(agent: &AgentInfo, public_key: Option<String>, now: Now) -> AccountClaim {
    AccountClaim {
        account_id: agent.account_id.clone(),
        name: desired_name(agent),
        new_account_id: now.account_id(),
        display_name: agent.name.clone(),
        capabilities: agent.capabilities.clone(),
        metadata: agent.metadata.clone(),
        agent_id: agent.agent_id.clone(),
        public_key,
        signs: SigningScope::default(),
        at: now.time,
    }
}

fn desired_name(agent: &AgentInfo) -> DesiredName {
    let usable = |name: &str| Some(username::normalise(name)).filter(|name| !name.is_empty());
    agent
        .username
        .as_deref()
        .and_then(usable)
        .map(DesiredName::Requested)
        .or_else(|| usable(&agent.agent_id).map(DesiredName::Derived))
        .unwrap_or_else(|| DesiredName::Generated(clock::generated_username()))
}

fn warn_of_unroutable(agent: &AgentInfo, account_id: &str) {
    let unroutable = agent.capabilities.iter().filter(|name| !routable_capability(name));
    let unroutable: Vec<&str> = unroutable.take(LOGGED_CAPABILITIES).map(String::as_str).collect();
    if !unroutable.is_empty() {
        tracing::warn!(%account_id, unroutable = unroutable.join(", "), "advertised capabilities that messages cannot be routed by");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_requested_one_else_derived_else_generated() {
        let agent = |agent_id: &str, username: Option<&str>| AgentInfo {
            agent_id: agent_id.into(),
            username: username.map(str::to_owned),
            ..AgentInfo::default()
        };
        assert_eq!(
            desired_name(&agent("x", Some(" @Alice! "))),
            DesiredName::Requested("alice".into())
        );
        assert_eq!(
            desired_name(&agent("Bob Agent", None)),
            DesiredName::Derived("bob_agent".into())
        );
        assert_eq!(
            desired_name(&agent("Bob", Some("日本"))),
            DesiredName::Derived("bob".into())
        );
        let DesiredName::Generated(name) = desired_name(&agent("日本", None)) else {
            panic!("not generated")
        };
        assert!(name.starts_with("agent_") && name.len() == 14, "{name}");
    }
}
