//! Starts a registry from its settings; `handle` stops it.

mod handle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use agentnet_metrics_http::Server;
use agentnet_nats::{MemberLogin, NatsUrl};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_store::{Store, StoreError};
use tokio::sync::watch;

use crate::batch_lookup::{AccountIdLoader, AccountLoader, ClaimLoader};
use crate::blobs::Blobs;
use crate::capture::{self, Capture};
use crate::clock::Now;
use crate::config::RegistryConfig;
use crate::connect::Connection;
use crate::context::Context;
use crate::database::Database;
use crate::disk::Disk;
use crate::error::StartError;
use crate::health;
use crate::identity::{self, Identity};
use crate::mailbox::notices::Notices;
use crate::mailbox::{self, Mailbox};
use crate::metrics::Metrics;
use crate::metrics::page::Page;
use crate::new_accounts::NewAccounts;
use crate::nonces::Nonces;
use crate::oversized::OversizedAccounts;
use crate::peer_events::{PeerEvents, UnprovenLimit, heartbeat};
use crate::peers::{self, Peers};
use crate::presence::Presence;
use crate::presence::pending_lookups::PendingLookups;
use crate::presence::writer::{self, FlushSignal};
use crate::registry_receipts::RegistryReceipts;
use crate::restore_sessions;
use crate::router::{PresenceEvents, Router};
use crate::secure::members::{Members, RefreshError};
use crate::secure::start;
use crate::sweep;
use crate::task_ledger::messages::MessageTasks;
use crate::task_ledger::notices::TaskNotices;
use crate::task_ledger::{self, TaskLedger};
use crate::tasks::{Phase, TaskSet};

pub use self::handle::RegistryHandle;

/// The store that is used when `DATABASE_URL` is not set.
const MEMORY_STORE: &str = "sqlite::memory:";

/// Starts registries.
#[derive(Debug)]
pub struct Registry;

impl Registry {
    /// Connects, sets up the capture of messages, restores the sessions that are online in the store, and answers requests from
    /// then on. While the database does not answer, the registry serves presence from memory, and restores the sessions as soon
    /// as it does. The caller closes the store after [`RegistryHandle::shutdown`].
    ///
    /// # Errors
    /// [`StartError`]: the server cannot be reached or rejects the connection, or JetStream or the store cannot be used. A
    /// database that is merely down is no error.
    pub async fn start(config: RegistryConfig, store: Arc<dyn Store>) -> Result<RegistryHandle, StartError> {
        let mut config = config.with_minima();
        let url = NatsUrl::parse(&config.nats_url)?;
        if let Some(own) = url.issuer() {
            // The broker lets this registry publish as this account and no other.
            config.server_id = own_server_id(own)?;
        }
        if config.thread_compaction_event_enabled.is_some() || config.thread_compaction_event_cooldown.is_some() {
            tracing::info!("THREAD_COMPACTION_EVENT_* has no effect: compacting threads is the agents' business");
        }
        let identity = Identity::open(&config)?;
        let page = match config.metrics_addr {
            Some(address) => Some(Server::bind(address).await?),
            None => None,
        };
        let metrics_addr = page.as_ref().map(Server::address);
        let tasks = TaskSet::new();
        // Ends the tasks that were started if the rest of the start fails.
        let kill = tasks.kill_on_drop();
        let metrics = Arc::new(Metrics::new(config.metrics_window_size));
        let database = Database::new(store);
        database.check().await;
        tasks.spawn(Phase::Background, database.clone().watch(tasks.kill_token()));
        let nkey = url.member().map(MemberLogin::public_nkey);
        let peers = Arc::new(Peers::new(rand::random(), nkey));
        let (url, members) = start::members(&config, url, &database).await?;
        if let Some(members) = &members {
            start::enter(members, &peers, &database, &config.server_id).await?;
        }
        let connection = start::connect(&url, members.is_some()).await?;
        let messages = message_tasks(&config, &connection, &database, &metrics, &tasks);
        let counted = Arc::clone(&metrics);
        let capture = capture::start(&config, &url, &connection, &database, counted, messages, &tasks).await?;
        // Events count from here on, also those that come while sessions are restored.
        let events = PresenceEvents::subscribe(&connection.client, &connection.issuer).await?;
        let ready_line = ready_line(&config, &url, &database, &capture, metrics_addr);
        let connected = connection.connected.clone();
        let who = Credentials {
            identity,
            members,
            peers,
        };
        let ctx = compose(config, who, connection, database, metrics, capture, tasks);
        if let Some(members) = &ctx.members {
            match members.refresh().await {
                Err(RefreshError::Store(StoreError::Unavailable(reason))) => {
                    tracing::warn!(reason, "the members in the store cannot be read yet; trying again");
                }
                outcome => outcome.map_err(|error| StartError::Members(error.to_string()))?,
            }
            let stop = ctx.tasks.stop_token(Phase::Upkeep);
            ctx.tasks
                .spawn(Phase::Upkeep, Arc::clone(members).run(ctx.database.clone(), stop));
            start::answer_callouts(&ctx, members, &url).await?;
        }
        ctx.peers.enter(&ctx.database, &ctx.config.server_id).await;
        restore(&ctx).await?;
        if let Some(identity) = &ctx.identity {
            identity::bind(identity, &ctx.database, &ctx.tasks).await?;
        }
        let health_questions = health::subscribe(&ctx.client, &ctx.issuer, &ctx.config.server_id).await?;
        let mailbox_events = mailbox::listen::subscribe(&ctx.client).await?;
        let task_wake_ups = task_ledger::listen::subscribe(&ctx.client).await?;
        let router = Router::subscribe(events, &ctx).await?;
        if ctx.is_secure() {
            // Other registries that write users for the broker write this one too.
            ctx.peer_events.members_changed().await;
        }
        spawn_all(&ctx, router, page, health_questions, connected);
        spawn_mailbox(&ctx, mailbox_events);
        spawn_task_ledger(&ctx, task_wake_ups);
        Ok(RegistryHandle {
            ctx,
            ready_line,
            metrics_addr,
            own_store: false,
            _kill: kill,
        })
    }

    /// As [`Registry::start`], with the store that `database_url` names (a database in memory if it names none), opened
    /// here and closed by [`RegistryHandle::shutdown`].
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start_with_store_url(config: RegistryConfig) -> Result<RegistryHandle, StartError> {
        let url = config.database_url.as_deref().unwrap_or(MEMORY_STORE);
        let store = agentnet_store::open(url, &config.database).await?;
        match Self::start(config, Arc::clone(&store)).await {
            Ok(mut handle) => {
                handle.own_store = true;
                Ok(handle)
            }
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }
}

/// The name of a registry in secure mode: that of its credential.
fn own_server_id(account_id: &str) -> Result<String, StartError> {
    match account_id.strip_prefix(REGISTRY_ACCOUNT_PREFIX) {
        Some(server_id) if !server_id.is_empty() => Ok(server_id.to_owned()),
        _ => Err(StartError::Credential(account_id.to_owned())),
    }
}

/// See [`RegistryHandle::ready_line`].
fn ready_line(
    config: &RegistryConfig,
    url: &NatsUrl,
    database: &Database,
    capture: &Capture,
    metrics_addr: Option<SocketAddr>,
) -> String {
    let mut line = format!(
        "registry ready: server_id={} nats={} store={} capture={}",
        config.server_id,
        url.redacted(),
        database.backend(),
        capture.mode
    );
    if let Some(address) = metrics_addr {
        line.push_str(&format!(" metrics=http://{address}/metrics"));
    }
    line
}

/// What applies messages about tasks.
fn message_tasks(
    config: &RegistryConfig,
    connection: &Connection,
    database: &Database,
    metrics: &Arc<Metrics>,
    tasks: &TaskSet,
) -> Arc<MessageTasks> {
    let notices = TaskNotices::new(connection.client.clone(), Arc::clone(metrics), tasks.clone());
    Arc::new(MessageTasks::new(config, database.retrying(), Arc::new(notices)))
}

/// By what a registry and those who call it are known.
struct Credentials {
    /// The registry's own key for messages, if it signs.
    identity: Option<Identity>,
    /// The members, in secure mode.
    members: Option<Arc<Members>>,
    /// The other registries.
    peers: Arc<Peers>,
}

/// Puts the parts together.
fn compose(
    config: RegistryConfig,
    Credentials {
        identity,
        members,
        peers,
    }: Credentials,
    connection: Connection,
    database: Database,
    metrics: Arc<Metrics>,
    capture: Capture,
    tasks: TaskSet,
) -> Arc<Context> {
    let Connection {
        client,
        connected: _,
        dropped,
        ended: client_ended,
        issuer,
    } = connection;
    let is_secure = issuer.account_id().is_some();
    let instance_id = peers.instance_id();
    let store = database.fail_fast();
    let identity = identity.map(Arc::new);
    let receipts = RegistryReceipts::new(client.clone(), issuer.clone(), identity.clone(), &config.server_id);
    let receipts = Arc::new(receipts);
    let (told, counted) = (Arc::clone(&receipts), Arc::clone(&metrics));
    let notices = Notices::new(client.clone(), Arc::clone(&store), told, counted, tasks.clone());
    Arc::new(Context {
        nonces: Nonces::new(config.dev_auth_nonce_ttl),
        new_accounts: NewAccounts::new(config.max_new_accounts_per_second, Instant::now()),
        oversized: OversizedAccounts::default(),
        peer_events: PeerEvents::new(client.clone(), Arc::clone(&peers), config.server_id.clone()),
        presence: Arc::new(Presence::new(config.agent_ttl, instance_id, Now::read())),
        identity,
        mailbox: Mailbox::new(&config, &store, Arc::new(notices), client.clone(), is_secure),
        blobs: members
            .as_ref()
            .map(|_| Blobs::new(&config, client.clone(), Arc::clone(&store))),
        task_ledger: TaskLedger::new(&config, &store, Arc::clone(&capture.messages)),
        receipts,
        senders: AccountLoader::new(&store),
        config,
        peers,
        unproven: UnprovenLimit::default(),
        client,
        issuer,
        members,
        account_ids: AccountIdLoader::new(&store),
        claims: ClaimLoader::new(&store),
        store,
        database,
        disk: Disk::default(),
        flush: Arc::default(),
        pending_lookups: Arc::new(PendingLookups::default()),
        metrics,
        capture: Arc::new(capture),
        dropped,
        client_ended,
        tasks,
    })
}

/// Restores the sessions of the store; if the database is down, in the background.
async fn restore(ctx: &Arc<Context>) -> Result<(), StartError> {
    if ctx.database.is_up() {
        match restore_sessions::attempt(ctx).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Unavailable(reason)) => {
                tracing::warn!(reason, "the sessions in the store cannot be read yet; trying again");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let later = restore_sessions::when_possible(Arc::clone(ctx));
    ctx.tasks.spawn(Phase::Background, later);
    Ok(())
}

/// Starts the tasks of a registry that can answer.
fn spawn_all(
    ctx: &Arc<Context>,
    router: Router,
    page: Option<Server>,
    health_questions: async_nats::Subscriber,
    connected: watch::Receiver<u64>,
) {
    let tasks = &ctx.tasks;
    let shared = || Arc::clone(ctx);
    let stop = |phase| tasks.stop_token(phase);
    tasks.spawn(Phase::Requests, router.run(shared(), stop(Phase::Requests)));
    tasks.spawn(
        Phase::Requests,
        health::run(shared(), health_questions, stop(Phase::Requests)),
    );
    tasks.spawn(Phase::Upkeep, sweep::run(shared(), stop(Phase::Upkeep)));
    if let Some(page) = page {
        tasks.spawn(
            Phase::Upkeep,
            page.serve(Page(shared()), stop(Phase::Upkeep).cancelled_owned()),
        );
    }
    tasks.spawn(Phase::Peers, heartbeat::run(shared(), stop(Phase::Peers)));
    let (peers, server_id) = (Arc::clone(&ctx.peers), ctx.config.server_id.clone());
    tasks.spawn(
        Phase::Peers,
        peers::run(peers, ctx.database.clone(), server_id, stop(Phase::Peers)),
    );
    let (presence, flush): (_, Arc<FlushSignal>) = (Arc::clone(&ctx.presence), Arc::clone(&ctx.flush));
    tasks.spawn(
        Phase::PresenceWriter,
        writer::run(presence, ctx.database.clone(), flush, stop(Phase::PresenceWriter)),
    );
    tasks.spawn(
        Phase::Background,
        watch_reconnects(Arc::clone(&ctx.presence), connected),
    );
}

/// Starts the tasks of the mailboxes.
fn spawn_mailbox(ctx: &Arc<Context>, events: async_nats::Subscriber) {
    let tasks = &ctx.tasks;
    let shared = || Arc::clone(ctx);
    let stop = |phase| tasks.stop_token(phase);
    tasks.spawn(
        Phase::Requests,
        mailbox::listen::run(shared(), events, stop(Phase::Requests)),
    );
    tasks.spawn(Phase::Requests, mailbox::push::run(shared(), stop(Phase::Requests)));
    tasks.spawn(Phase::Upkeep, mailbox::sweep::run(shared(), stop(Phase::Upkeep)));
}

/// Starts the tasks of the ledger of tasks.
fn spawn_task_ledger(ctx: &Arc<Context>, wake_ups: async_nats::Subscriber) {
    let (tasks, notices) = (&ctx.tasks, Arc::clone(&ctx.task_ledger.notices));
    let stop = |phase| tasks.stop_token(phase);
    tasks.spawn(
        Phase::Requests,
        task_ledger::listen::run(notices, wake_ups, stop(Phase::Requests)),
    );
    if ctx.config.tasks {
        let sweep = task_ledger::sweep::run(Arc::clone(ctx), stop(Phase::Upkeep));
        tasks.spawn(Phase::Upkeep, sweep);
        let withdrawals = task_ledger::sweep::run_withdrawals(Arc::clone(ctx), stop(Phase::Upkeep));
        tasks.spawn(Phase::Upkeep, withdrawals);
    }
}

/// After each gap in the connection, silence counts anew: nothing could be received.
async fn watch_reconnects(presence: Arc<Presence>, mut connected: watch::Receiver<u64>) {
    while connected.changed().await.is_ok() {
        if *connected.borrow_and_update() > 1 {
            presence.reset_silence_from(Now::read());
        }
    }
}
