//! What registries hear of agents: `registry.hello`, `registry.goodbye`, and sessions that another registry has issued.
//!
//! A known session is dealt with at once, in memory. An unknown one may need the store; that runs aside, counted by
//! [`Adoptions`], so that a request that came in later can wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_protocol::detached::DetachedAuth;
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::Object;
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::signs::Signs;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::StoreError;
use agentnet_store::model::{Session, check_metadata};
use tokio::sync::{Semaphore, watch};

use super::{Heard, signed};
use crate::clock::Now;
use crate::context::Context;
use crate::rpc::register::claim;

/// Unknown sessions that may be looked up at the same time: requests need connections to the database too.
const LOOKUPS: usize = 8;
/// Unknown sessions that may wait to be looked up; of those beyond, the next hello counts.
const WAITING: usize = 10_000;
/// How long a request waits for sessions that were heard of before it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sessions that are being looked up.
#[derive(Debug)]
pub(crate) struct Adoptions {
    running: watch::Sender<usize>,
    waiting: Semaphore,
    room: Semaphore,
    failed: AtomicBool,
}

impl Default for Adoptions {
    fn default() -> Self {
        Self {
            running: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING),
            room: Semaphore::new(LOOKUPS),
            failed: AtomicBool::new(false),
        }
    }
}

impl Adoptions {
    /// Waits, within reason, until no session is being looked up.
    pub(crate) async fn settled(&self) {
        let mut running = self.running.subscribe();
        let _ = tokio::time::timeout(PATIENCE, running.wait_for(|running| *running == 0)).await;
    }

    /// Whether a lookup has failed since this was asked last: profiles may be missing.
    pub(crate) fn take_failed(&self) -> bool {
        self.failed.swap(false, Ordering::Relaxed)
    }

    /// A lookup has failed.
    pub(crate) fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn begin(self: &Arc<Self>) -> Option<Running> {
        let permit = self.waiting.try_acquire().ok()?;
        permit.forget();
        self.running.send_modify(|running| *running += 1);
        Some(Running(Arc::clone(self)))
    }
}

struct Running(Arc<Adoptions>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
        self.0.waiting.add_permits(1);
    }
}

/// A hello (section 7.4); one without session or agent is ignored. `false` if it cannot be read.
pub(crate) fn hello(ctx: &Arc<Context>, body: &[u8], now: Now) -> bool {
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
    if let Err(error) = check_metadata(&agent.metadata) {
        tracing::warn!(session_tag = %tag, %error, "a hello is ignored");
        return false;
    }
    if ctx.config.dev_auth {
        signed::hello(ctx, tag, agent, DetachedAuth::read(&object.get("auth")), now);
        return true;
    }
    match ctx.presence.hello(&agent, false, now) {
        Heard::Known { changed: false } => {}
        Heard::Known { changed: true } => {
            ctx.bell.ring();
            profile_unless_known(ctx, agent.account_id.as_deref());
        }
        Heard::Unknown => match (agent.account_id.clone(), agent.username.clone()) {
            (Some(account_id), Some(username)) => {
                let session = session(ctx, &agent, tag.clone(), account_id.clone(), username, now.time);
                ctx.presence.insert_heard(session, now);
                aside(ctx, tag, |ctx, tag| async move {
                    origin(&ctx, &tag).await?;
                    if !ctx.presence.has_profile(&account_id) {
                        profile(&ctx, &account_id).await?;
                    }
                    Ok(())
                });
            }
            // Register refuses such an id too (section 0.5); a hello has nobody to tell.
            (Some(account_id), None) if !valid_account_id(&account_id) => return false,
            _ => aside(ctx, tag, move |ctx, tag| async move {
                let account = ctx.store.claim_account(&claim(&agent, None, now)).await?;
                let (account_id, username) = (account.account_id.clone(), account.username.clone());
                ctx.presence.insert_heard(
                    session(&ctx, &agent, tag.clone(), account_id, username, now.time),
                    Now::read(),
                );
                ctx.presence.set_profile(account);
                origin(&ctx, &tag).await
            }),
        },
    }
    true
}

/// A goodbye (section 7.5); `false` if it cannot be read.
pub(crate) fn goodbye(ctx: &Arc<Context>, body: &[u8], now: Now) -> bool {
    let Ok(object) = Object::parse_body(body) else {
        return false;
    };
    let Some(object) = object else { return true };
    let goodbye = Goodbye::decode(&object);
    if ctx.config.dev_auth {
        signed::goodbye(ctx, goodbye, DetachedAuth::read(&object.get("auth")), now);
    } else if ctx.presence.goodbye(&goodbye.session_tag, now) {
        ctx.bell.ring();
    }
    true
}

/// Another registry has issued a session and stored it.
pub(crate) fn issued_elsewhere(ctx: &Arc<Context>, session_tag: String) {
    if ctx.presence.knows(&session_tag) {
        return;
    }
    aside(ctx, session_tag, |ctx, tag| async move {
        issued(&ctx, &tag, false).await.map(drop)
    });
}

/// A live session as the store keeps it.
pub(crate) fn session(
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
        signs: Signs::default(),
    }
}

/// Takes over a session that the store knows; ended ones only if they have said hello.
pub(super) async fn issued(ctx: &Context, tag: &str, said_hello: bool) -> Result<bool, StoreError> {
    let found = ctx.store.session(tag).await?;
    let Some(session) = found.filter(|session| session.online || said_hello) else {
        return Ok(false);
    };
    let account_id = session.account_id.clone();
    ctx.presence.adopt_stored(session, said_hello, Now::read());
    ctx.bell.ring();
    if let Some(account_id) = account_id {
        profile(ctx, &account_id).await?;
    }
    Ok(true)
}

/// Reads when and where a session began that came back by a hello.
async fn origin(ctx: &Context, tag: &str) -> Result<(), StoreError> {
    if let Some(stored) = ctx.store.session(tag).await? {
        ctx.presence.set_origin(tag, stored.connected_at, stored.server_id);
    }
    ctx.bell.ring();
    Ok(())
}

/// Reads the profile of an account; gives the key that is bound to it.
pub(super) async fn profile(ctx: &Context, account_id: &str) -> Result<Option<String>, StoreError> {
    let Some(account) = ctx.store.account_by_id(account_id).await? else {
        return Ok(None);
    };
    let key = account.public_key.clone();
    ctx.presence.set_profile(account);
    Ok(key)
}

/// Another registry has bound another key to an account.
pub(crate) fn rotated_elsewhere(ctx: &Arc<Context>, account_id: String) {
    if ctx.presence.online(&account_id) > 0 {
        aside(ctx, account_id, |ctx, account_id| async move {
            profile(&ctx, &account_id).await.map(drop)
        });
    }
}

pub(super) fn profile_unless_known(ctx: &Arc<Context>, account_id: Option<&str>) {
    let Some(account_id) = account_id else { return };
    if !ctx.presence.has_profile(account_id) {
        aside(ctx, account_id.to_owned(), |ctx, account_id| async move {
            profile(&ctx, &account_id).await.map(drop)
        });
    }
}

/// Runs a lookup beside the others.
pub(super) fn aside<F>(
    ctx: &Arc<Context>,
    what: String,
    lookup: impl FnOnce(Arc<Context>, String) -> F + Send + 'static,
) where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let Some(running) = ctx.adoptions.begin() else {
        tracing::debug!(%what, "too many unknown sessions at once; its next hello counts");
        ctx.presence.missed(Now::read());
        return;
    };
    let owner = Arc::clone(ctx);
    ctx.tasks.spawn(async move {
        let running = running;
        // The semaphore is never closed.
        let _turn = running.0.room.acquire().await;
        // Thousands may wait, after a start: what the lookup needs is made when it is its turn.
        match Box::pin(lookup(Arc::clone(&owner), what.clone())).await {
            Ok(()) => return,
            Err(StoreError::Unavailable(_)) => tracing::debug!(%what, "not looked up: the database is down"),
            Err(error) => tracing::warn!(%what, %error, "a session could not be looked up; its next hello counts"),
        }
        running.0.failed();
        owner.presence.missed(Now::read());
    });
}
