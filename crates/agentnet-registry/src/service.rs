//! From settings to a running registry, and back.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_metrics_http::Server;
use agentnet_protocol::url::NatsUrl;
use agentnet_store::{Store, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::announce::{self, UnprovenLimit};
use crate::bounce;
use crate::capture::{self, CaptureMode, CaptureTasks};
use crate::clock::Now;
use crate::config::RegistryConfig;
use crate::connect::{Connection, connect};
use crate::context::{Context, Tasks};
use crate::database::Database;
use crate::disk::Disk;
use crate::error::{Failed, StartError};
use crate::health;
use crate::identity::{self, Identity};
use crate::metrics::Metrics;
use crate::metrics::page::Page;
use crate::new_accounts::NewAccounts;
use crate::oversized::OversizedAccounts;
use crate::peers::{self, Peers};
use crate::presence::Presence;
use crate::presence::hear::Adoptions;
use crate::presence::writer::{self, WriterBell};
use crate::register_auth::Nonces;
use crate::router::Router;
use crate::sweep;
use crate::takeover;
use crate::together::{Claims, Lookups};

/// The store that is used when `DATABASE_URL` is not set.
const MEMORY_STORE: &str = "sqlite::memory:";
/// How long the requests at hand may take when the registry stops.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// How long the last word to the server may take.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Starts registries.
#[derive(Debug)]
pub struct Registry;

/// A running registry. Dropping it ends every task at once; [`RegistryHandle::shutdown`] ends it without losing anything.
pub struct RegistryHandle {
    ctx: Arc<Context>,
    ready_line: String,
    metrics_addr: Option<SocketAddr>,
    page: Option<JoinHandle<()>>,
    stop_page: CancellationToken,
    router: JoinHandle<()>,
    stop_router: CancellationToken,
    sweep: JoinHandle<()>,
    stop_sweep: CancellationToken,
    beat: JoinHandle<()>,
    stop_beat: CancellationToken,
    peers: JoinHandle<()>,
    capture: CaptureTasks,
    writer: JoinHandle<()>,
    stop_writer: CancellationToken,
    own_store: bool,
    _kill: DropGuard,
}

impl Registry {
    /// Connects, sets the capture of messages up, takes over the sessions that the store holds as online, and answers from
    /// then on. While the database does not answer, the registry serves presence from memory, and takes the sessions over as
    /// soon as it does. The store stays open after [`RegistryHandle::shutdown`]; closing it is the caller's business.
    ///
    /// # Errors
    /// [`StartError`]: the server cannot be reached or refuses, JetStream or store cannot be used. A database that is merely
    /// down is no error.
    pub async fn start(config: RegistryConfig, store: Arc<dyn Store>) -> Result<RegistryHandle, StartError> {
        let config = config.with_minima();
        let url = NatsUrl::parse(&config.nats_url)?;
        if config.thread_compaction_event_enabled.is_some() || config.thread_compaction_event_cooldown.is_some() {
            tracing::info!("THREAD_COMPACTION_EVENT_* has no effect: compacting threads is the agents' business");
        }
        let identity = Identity::open(&config)?;
        let page = match config.metrics_addr {
            Some(address) => Some(Server::bind(address).await?),
            None => None,
        };
        let metrics_addr = page.as_ref().map(Server::address);
        let connection = connect(&url).await?;
        let kill = CancellationToken::new();
        // Ends what has been started should the rest of the start fail.
        let guard = kill.clone().drop_guard();
        let metrics = Arc::new(Metrics::new(config.metrics_window_size));
        let database = Database::new(store);
        database.check().await;
        tokio::spawn(database.clone().watch(kill.child_token()));
        let (capture, capture_tasks) =
            capture::start(&config, &url, &connection, &database, Arc::clone(&metrics), &kill).await?;
        let mut router = Router::subscribe(&connection.client).await?;
        let number = rand::random();
        let presence = Arc::new(Presence::new(config.agent_ttl, number, Now::read()));
        let bell = Arc::new(WriterBell::default());
        let store = database.hasty();
        let mut ready_line = format!(
            "registry ready: server_id={} nats={} store={} capture={}",
            config.server_id,
            url.redacted(),
            store.backend(),
            capture.mode
        );
        if let Some(address) = metrics_addr {
            ready_line.push_str(&format!(" metrics=http://{address}/metrics"));
        }
        let Connection {
            client,
            connected,
            dropped,
            ended: client_ended,
        } = connection;
        let ctx = Arc::new(Context {
            nonces: Nonces::new(config.dev_auth_nonce_ttl),
            new_accounts: NewAccounts::new(config.max_new_accounts_per_second, Instant::now()),
            oversized: OversizedAccounts::default(),
            config,
            identity,
            number,
            peers: Peers::new(number),
            unproven: UnprovenLimit::default(),
            client,
            lookups: Lookups::of(&store),
            claims: Claims::of(&store),
            store,
            database: database.clone(),
            disk: Disk::default(),
            presence: Arc::clone(&presence),
            bell: Arc::clone(&bell),
            adoptions: Arc::new(Adoptions::default()),
            metrics,
            capture: Arc::new(capture),
            dropped,
            client_ended,
            tasks: Tasks::new(kill.clone()),
        });
        peers::enter(&ctx).await;
        let taken_over = take_over(&ctx).await?;
        identity::bind(&ctx).await?;
        // What is sure of everybody already can answer for the absent from its first moment on.
        let heard = bounce::subscribe(&ctx).await?;
        let health_questions = health::subscribe(&ctx.client, &ctx.config.server_id).await?;
        router.open(&ctx.client).await?;
        let spawn = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let kill = kill.clone();
            tokio::spawn(async move {
                kill.run_until_cancelled(task).await;
            })
        };
        let (stop_router, stop_sweep, stop_writer) = (kill.child_token(), kill.child_token(), kill.child_token());
        let stop_beat = kill.child_token();
        ctx.tasks
            .spawn(bounce::run(Arc::clone(&ctx), heard, stop_router.clone()));
        if !taken_over {
            spawn(Box::pin(takeover::when_possible(Arc::clone(&ctx))));
        }
        spawn(Box::pin(health::run(
            Arc::clone(&ctx),
            health_questions,
            stop_router.clone(),
        )));
        let stop_page = kill.child_token();
        let page = page.map(|page| {
            let stop = stop_page.clone().cancelled_owned();
            spawn(Box::pin(page.serve(Page(Arc::clone(&ctx)), stop)))
        });
        let handle = RegistryHandle {
            ready_line,
            metrics_addr,
            page,
            stop_page,
            writer: spawn(Box::pin(writer::run(presence, database, bell, stop_writer.clone()))),
            router: spawn(Box::pin(router.run(Arc::clone(&ctx), stop_router.clone()))),
            sweep: spawn(Box::pin(sweep::run(Arc::clone(&ctx), stop_sweep.clone()))),
            beat: spawn(Box::pin(announce::run(Arc::clone(&ctx), stop_beat.clone()))),
            peers: spawn(Box::pin(peers::run(Arc::clone(&ctx), stop_beat.clone()))),
            capture: capture_tasks,
            stop_router,
            stop_sweep,
            stop_beat,
            stop_writer,
            own_store: false,
            _kill: guard,
            ctx,
        };
        spawn(Box::pin(mind_gaps(Arc::clone(&handle.ctx), connected)));
        Ok(handle)
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

impl RegistryHandle {
    /// The registry's name, prefix of its session tags.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.ctx.config.server_id
    }

    /// How messages reach the history.
    #[must_use]
    pub fn capture_mode(&self) -> CaptureMode {
        self.ctx.capture.mode
    }

    /// Where the metrics are served, if they are.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The line that tells a waiting program that the registry answers: `registry ready: server_id=… nats=… store=…
    /// capture=…`, the credentials hidden, and `metrics=…` where they are served.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// Returns when the registry cannot go on, with the reason. It should be [stopped](RegistryHandle::shutdown) then;
    /// messages that are not stored stay in the stream.
    pub async fn failed(&self) -> Failed {
        tokio::select! {
            reason = self.ctx.database.gone() => Failed::Database(reason),
            () = self.ctx.client_ended.cancelled() => Failed::Connection,
        }
    }

    /// Stops without losing anything: no new requests, the ones at hand are answered, what has been captured is stored
    /// and acknowledged, and presence is written.
    pub async fn shutdown(self) {
        self.stop_router.cancel();
        self.stop_sweep.cancel();
        self.stop_page.cancel();
        let ctx = &self.ctx;
        let requests = async {
            let _ = self.router.await;
            ctx.tasks.finished().await;
        };
        if tokio::time::timeout(LAST_REQUESTS, requests).await.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
        self.stop_beat.cancel();
        let _ = tokio::join!(self.sweep, self.beat);
        let _ = tokio::time::timeout(LAST_WORD, self.peers).await;
        if let Some(page) = self.page {
            let _ = page.await;
        }
        self.capture.stop(&ctx.capture.queue).await;
        self.stop_writer.cancel();
        if tokio::time::timeout(LAST_REQUESTS, self.writer).await.is_err() {
            tracing::error!("the store did not take the last presence in time");
        }
        // Replies and acknowledgements leave before the connection ends.
        if ctx.is_connected() {
            let _ = tokio::time::timeout(LAST_WORD, ctx.client.flush()).await;
            let _ = tokio::time::timeout(LAST_WORD, ctx.client.drain()).await;
        }
        if self.own_store {
            ctx.store.close().await;
        }
        tracing::info!(server_id = %ctx.config.server_id, "registry stopped");
    }
}

impl fmt::Debug for RegistryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryHandle")
            .field("ready_line", &self.ready_line)
            .finish_non_exhaustive()
    }
}

/// Takes over what the store holds; `false` if the database is down and that has to be done later.
async fn take_over(ctx: &Context) -> Result<bool, StartError> {
    if !ctx.database.is_up() {
        return Ok(false);
    }
    match takeover::attempt(ctx).await {
        Ok(()) => Ok(true),
        Err(StoreError::Unavailable(reason)) => {
            tracing::warn!(reason, "the sessions in the store cannot be read yet; trying again");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// After each gap in the connection, silence counts anew: nobody could be heard.
async fn mind_gaps(ctx: Arc<Context>, mut connected: tokio::sync::watch::Receiver<u64>) {
    while connected.changed().await.is_ok() {
        if *connected.borrow_and_update() > 1 {
            ctx.presence.deaf_until(Now::read());
        }
    }
}
