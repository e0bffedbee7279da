//! `registry.register` (PROTOCOL.md sections 6, 7.2 and 13.3, with the decisions 0.5 and 0.6).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::limits::{check_agent, check_nonce};
use agentnet_protocol::rpc::{RegisterReply, RegisterRequest, Reply as _, RpcError};
use agentnet_protocol::subject::{REPLY_PREFIX, routable_capability};
use agentnet_protocol::{AgentInfo, ids, username};
use agentnet_store::StoreError;

use super::Call;
use super::caller::forbidden;
use crate::clock::Now;
use crate::context::Context;
use crate::identity::is_reserved;
use crate::new_accounts;
use crate::presence::lookups::new_session;
use crate::presence::session_modes::SessionModes;
use crate::register_auth;
use crate::registration::account_claim;
use crate::tasks::Phase;

/// How often, and at which interval, is checked whether a session is stored that was not stored at once.
const ANNOUNCE_ATTEMPTS: u32 = 20;
const ANNOUNCE_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Capabilities in one line of the log.
const MAX_LOGGED_CAPABILITIES: usize = 8;

/// Finds or creates the account, issues a session, and announces it to the other registries.
pub(super) async fn register(
    ctx: &Arc<Context>,
    mut request: RegisterRequest,
    call: &Call,
) -> Result<String, RpcError> {
    let now = Now::read();
    if let Some(caller) = call.caller.as_deref() {
        name_member(ctx, &mut request.agent, caller)?;
    }
    let agent = &request.agent;
    check_agent(agent, ctx.config.max_metadata_bytes)?;
    check_nonce(request.auth.as_ref())?;
    let usable = |id: &str| ids::valid_account_id(id) && !(ctx.config.dev_auth && is_reserved(id));
    if agent.account_id.as_deref().is_some_and(|id| !usable(id)) {
        return Err(RpcError::new("account_id is invalid"));
    }
    let mut claim = account_claim(agent, None, now);
    if ctx.config.dev_auth {
        let registrant = register_auth::check(ctx, &request, &claim, now).await?;
        claim.public_key = Some(registrant.public_key);
        claim.signs = registrant.signs;
    }
    if request.keep_profile {
        let known = new_accounts::existing(ctx.store.as_ref(), &claim).await;
        let known = known.map_err(super::failed("failed resolving account identity"))?;
        if let Some(known) = known {
            claim.display_name = known.display_name;
            claim.capabilities = known.capabilities;
            claim.metadata = known.metadata;
        }
    }
    let signs = claim.signs;
    let (store, budget) = (ctx.store.as_ref(), &ctx.new_accounts);
    let token = budget.reserve(store, &claim, Some(&call.reply_to), now.instant).await?;
    let claimed = ctx.claims.load(claim).await;
    budget.settle(token, claimed.as_ref().ok(), now.time);
    let account = claimed.map_err(|error| match error.as_ref() {
        StoreError::KeyMismatch => RpcError::new("auth_public_key_mismatch"),
        StoreError::TooLarge(_) => RpcError::with_text(error.to_string()),
        error => super::failed_with(error, "failed resolving account identity"),
    })?;
    let (account_id, username) = (account.account_id.clone(), account.username.clone());
    ctx.oversized.remove(&username);
    let session_tag = now.session_tag(&ctx.config.server_id);
    let mut session = new_session(
        ctx,
        agent,
        session_tag.clone(),
        account_id.clone(),
        username.clone(),
        now.time,
    );
    session.signs = signs;
    ctx.presence.insert(session, now);
    ctx.presence.set_modes(&session_tag, SessionModes::from(&request));
    ctx.presence.set_profile(account);
    // The session is stored before it is announced: the other registries read it from the store.
    if is_stored(ctx, &session_tag).await {
        ctx.peer_events.session_issued(&session_tag).await;
    } else {
        let later = announce_later(Arc::clone(ctx), session_tag.clone());
        ctx.tasks.spawn(Phase::Requests, later);
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

/// In secure mode a member registers as itself (PROTOCOL.md section 23.5).
fn name_member(ctx: &Context, agent: &mut AgentInfo, caller: &str) -> Result<(), RpcError> {
    let member = ctx.members.as_ref().and_then(|members| members.active(caller));
    let member = member.ok_or_else(|| forbidden("the credential is of no member of this network"))?;
    let is_other = |name: &String| !name.is_empty() && username::normalise(name) != member.username;
    if agent.username.as_ref().is_some_and(is_other) {
        return Err(forbidden(&format!(
            "the credential is of @{}; register under that name",
            member.username
        )));
    }
    if agent.account_id.as_deref().is_some_and(|id| id != caller) {
        return Err(forbidden("the credential is of another account"));
    }
    agent.account_id = Some(caller.to_owned());
    agent.username = Some(member.username.clone());
    Ok(())
}

/// Waits until a session is stored; `false` if that takes too long or fails.
async fn is_stored(ctx: &Context, session_tag: &str) -> bool {
    ctx.flush.flush().await && !ctx.presence.is_unwritten(session_tag)
}

/// Announces a session as soon as a slow store has it. After the last attempt its hellos have made it known.
async fn announce_later(ctx: Arc<Context>, session_tag: String) {
    for _ in 0..ANNOUNCE_ATTEMPTS {
        if is_stored(&ctx, &session_tag).await {
            return ctx.peer_events.session_issued(&session_tag).await;
        }
        tokio::time::sleep(ANNOUNCE_RETRY_DELAY).await;
    }
}

fn warn_of_unroutable(agent: &AgentInfo, account_id: &str) {
    let unroutable = agent.capabilities.iter().filter(|name| !routable_capability(name));
    let unroutable: Vec<&str> = unroutable.take(MAX_LOGGED_CAPABILITIES).map(String::as_str).collect();
    if !unroutable.is_empty() {
        tracing::warn!(%account_id, unroutable = unroutable.join(", "), "advertised capabilities that no subject can name");
    }
}
