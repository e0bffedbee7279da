//! What registries hear of agents: `registry.hello`, `registry.goodbye`, and sessions that another registry has issued.
//!
//! A known session is dealt with at once, in memory. An unknown one may need the store; that runs aside, counted by
//! [`Adoptions`], so that a request that came in later can wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentnet_protocol::detached::DetachedAuth;
use agentnet_protocol::ids::valid_account_id;
use agentnet_protocol::json::Object;
use agentnet_protocol::limits::{MAX_NAME_BYTES, check_agent};
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Timestamp};
use agentnet_store::StoreError;
use agentnet_store::model::Session;
use tokio::sync::{Semaphore, watch};

use super::{Heard, signed};
use crate::clock::Now;
use crate::context::Context;
use crate::new_accounts;
use crate::peers::cut;
use crate::rpc::register::claim;

/// Unknown sessions that may be looked up at the same time: requests need connections to the database too.
const LOOKUPS: usize = 8;
/// Unknown sessions that may wait to be looked up; of those beyond, the next hello counts.
const WAITING: usize = 10_000;
/// What strangers announced and may wait to be looked up, and how much of it is looked up at the same time. A registry that has
/// just started is a stranger until its row was read.
const STRANGERS: usize = 1_000;
const STRANGERS_LOOKUPS: usize = 4;
/// Bytes of a hello beside its metadata: names, capabilities, signature and counters, with every character escaped.
const BESIDE_METADATA: usize = 128 * 1024;
/// How long a request waits for sessions that were heard of before it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sessions that are being looked up.
#[derive(Debug)]
pub(crate) struct Adoptions {
    running: watch::Sender<usize>,
    waiting: Semaphore,
    room: Semaphore,
    failed: AtomicBool,
    /// Lookups for those who prove nothing.
    strangers: Arc<Semaphore>,
    strangers_room: Semaphore,
}

impl Default for Adoptions {
    fn default() -> Self {
        Self {
            running: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING),
            room: Semaphore::new(LOOKUPS),
            failed: AtomicBool::new(false),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            strangers_room: Semaphore::new(STRANGERS_LOOKUPS),
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
    // It is above a bound wherever its length is. To read such ones takes longer than to send them, and they would pile up.
    if body.len() > ctx.config.max_metadata_bytes + BESIDE_METADATA {
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
    // Register refuses such an id too (section 0.5); a hello has nobody to tell.
    if agent.account_id.as_deref().is_some_and(|id| !valid_account_id(id)) {
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
                if !ctx.presence.insert_heard(session, now) {
                    too_many_heard(ctx);
                    return true;
                }
                aside(ctx, tag, |ctx, tag| async move {
                    origin(&ctx, &tag).await?;
                    if !ctx.presence.has_profile(&account_id) {
                        profile(&ctx, &account_id).await?;
                    }
                    Ok(())
                });
            }
            _ => aside(ctx, tag, move |ctx, tag| async move {
                let claim = claim(&agent, None, now);
                let Ok(room) = new_accounts::room(&ctx, &claim, None, Instant::now()).await else {
                    tracing::debug!(session_tag = %tag, "a hello would make one account too many; its next one counts");
                    return Ok(());
                };
                let claimed = ctx.store.claim_account(&claim).await;
                new_accounts::settle(&ctx, room, claimed.as_ref().ok(), claim.at);
                let account = claimed?;
                let (account_id, username) = (account.account_id.clone(), account.username.clone());
                let session = session(&ctx, &agent, tag.clone(), account_id, username, now.time);
                if !ctx.presence.insert_heard(session, Now::read()) {
                    too_many_heard(&ctx);
                    return Ok(());
                }
                ctx.presence.set_profile(account);
                origin(&ctx, &tag).await
            }),
        },
    }
    true
}

/// A hello is above a bound. The first one is told to the operator; anybody can send many.
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

/// There are as many sessions as may be that no registry is known to have issued.
fn too_many_heard(ctx: &Context) {
    tracing::debug!("too many sessions that no registry has issued; the next hello counts");
    ctx.presence.overflowed(Now::read());
}

/// A goodbye (section 7.5); `false` if it cannot be read.
pub(crate) fn goodbye(ctx: &Arc<Context>, body: &[u8], now: Now) -> bool {
    if body.len() > BESIDE_METADATA {
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
    if ctx.config.dev_auth {
        signed::goodbye(ctx, goodbye, DetachedAuth::read(&object.get("auth")), now);
    } else if ctx.presence.goodbye(&goodbye.session_tag, now) {
        ctx.bell.ring();
    }
    true
}

/// Another registry has issued a session and stored it.
pub(crate) fn issued_elsewhere(ctx: &Arc<Context>, session_tag: String, known: bool) {
    if ctx.presence.knows(&session_tag) {
        return;
    }
    announced(ctx, session_tag, known, |ctx, tag| async move {
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
        signs: SigningScope::default(),
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
pub(crate) fn rotated_elsewhere(ctx: &Arc<Context>, account_id: String, known: bool) {
    if ctx.presence.online(&account_id) > 0 {
        announced(ctx, account_id, known, |ctx, account_id| async move {
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

/// Looks up what was announced. Of strangers few things at a time, and nothing is missed if that is too few.
fn announced<F>(
    ctx: &Arc<Context>,
    what: String,
    known: bool,
    lookup: impl FnOnce(Arc<Context>, String) -> F + Send + 'static,
) where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    if known {
        return aside(ctx, what, lookup);
    }
    let Ok(permit) = Arc::clone(&ctx.adoptions.strangers).try_acquire_owned() else {
        return;
    };
    let owner = Arc::clone(ctx);
    ctx.tasks.spawn(async move {
        let _permit = permit;
        let _turn = owner.adoptions.strangers_room.acquire().await;
        if let Err(error) = Box::pin(lookup(Arc::clone(&owner), what)).await {
            tracing::debug!(%error, "what was announced could not be looked up");
        }
    });
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
        ctx.presence.overflowed(Now::read());
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
