//! One session on the network: from register to goodbye (PROTOCOL.md section 14).

pub(crate) mod registration;
pub(crate) mod subscriptions;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agentnet_protocol::compose::Sender;
use agentnet_protocol::presence_auth::HelloExtras;
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::subject::{self, routable_account, routable_capability};
use agentnet_protocol::{AgentCounters, AgentInfo, Text, Timestamp, presence_auth};
use async_nats::Subscriber;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use self::registration::{register, requested_info};
use self::subscriptions::Subscriptions;
use crate::blob_store::BlobStore;
use crate::composer::Composer;
use crate::config::Config;
use crate::connect::Connection;
use crate::connect::denials::{Action, Denied, Mark};
use crate::deliver::Delivery;
use crate::error::{SendError, StartError};
use crate::guard::{Circuit, Rates};
use crate::identity::Identity;
use crate::ids;
use crate::message::Message;
use crate::metrics::Metrics;
use crate::publisher::{Publisher, ROUND_TRIP_TIMEOUT};
use crate::registry::RegistryClient;
use crate::reply_mux::ReplyMux;
use crate::stream::StreamTasks;
use crate::task::worker_state::WorkerState;
use crate::username_cache::UsernameCache;

/// Receipts of rejection to one account, per second and in a burst.
const REJECTIONS_PER_SECOND: f64 = 200.0;
const REJECTIONS_BURST: u32 = 500;
/// How much later a denial may be noticed than what the server sent after it.
const DENIAL_DELAY: Duration = Duration::from_millis(2);

/// Everything that exists between start and close.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) composer: Arc<Composer>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) replies: Arc<ReplyMux>,
    pub(crate) streams: Arc<StreamTasks>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) registry: RegistryClient,
    pub(crate) metrics: Arc<Metrics>,
    /// The node's key and those of others, if the node signs.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) username: Text,
    pub(crate) usernames: Arc<UsernameCache>,
    /// Created by its first use.
    pub(crate) blobs: OnceLock<BlobStore>,
    pub(crate) circuit: Circuit,
    /// Whether new messages are accepted.
    pub(crate) accepting: AtomicBool,
    /// Running handlers.
    pub(crate) inflight: AtomicUsize,
    /// Accepted messages that wait for a handler; absent without one.
    pub(crate) backlog: OnceLock<async_channel::Receiver<Message>>,
    /// Present where the session claims tasks.
    pub(crate) task_worker: Option<Arc<WorkerState>>,
    /// The node leaves its queue groups.
    pub(crate) leaving: CancellationToken,
    /// Handlers are aborted.
    pub(crate) aborted: CancellationToken,
    /// Everything ends.
    pub(crate) ended: CancellationToken,
    heartbeat_interval: Duration,
    /// How often each account was sent a receipt of rejection lately.
    rejections: Mutex<Rates>,
    started: Instant,
    /// By the clock of this host.
    pub(crate) started_at: Timestamp,
    /// Whether the goodbye was published: a hello after it would bring the session back.
    parted: tokio::sync::Mutex<bool>,
}

impl Session {
    /// Connects and registers.
    pub(crate) async fn open(config: &Config, metrics: Arc<Metrics>, claims_tasks: bool) -> Result<Self, StartError> {
        let opened = match &config.key {
            Some(source) => Some(source.open().await?),
            None => None,
        };
        let connection = match &config.connection {
            Some(shared) => shared.clone(),
            None => Connection::to(&config.url, &format!("agentnet-{}", config.agent_id)).await?,
        };
        let registry = RegistryClient::on(&connection);
        let publisher = Arc::new(Publisher::new(connection));
        let (registration, key) = register(&registry, config, claims_tasks, opened).await?;
        if let Some(own) = publisher.issuer.account_id()
            && own != registration.account_id
        {
            return Err(StartError::OtherAccount {
                own: own.to_owned(),
                registered: registration.account_id,
            });
        }
        let heartbeat = Duration::try_from_secs_f64(registration.heartbeat_interval.max(1.0));
        let replies = ReplyMux::new(
            registration.reply_prefix.as_deref(),
            &registration.account_id,
            &ids::token(),
            &publisher.issuer,
        );
        let sender = Sender {
            agent_id: Text::from(config.agent_id.as_str()),
            account_id: Text::from(registration.account_id),
            session_tag: Text::from(registration.session_tag),
        };
        let limits = &config.limits;
        let identity = key.map(|key| {
            let account_id = sender.account_id.clone();
            Arc::new(Identity::new(key, account_id, registry.clone(), limits.key_cache_ttl))
        });
        let composer = Arc::new(Composer::new(sender, identity.clone(), config));
        let ended = CancellationToken::new();
        Ok(Self {
            delivery: Arc::new(Delivery::new(
                publisher.clone(),
                identity.clone(),
                metrics.clone(),
                replies.unused_subject(),
            )),
            replies: Arc::new(replies),
            streams: Arc::new(StreamTasks::new(publisher.clone(), composer.clone(), &ended)),
            subscriptions: Subscriptions::new(ended.clone()),
            publisher,
            composer,
            usernames: Arc::new(UsernameCache::new(
                limits.resolve_cache_ttl,
                registry.clone(),
                metrics.clone(),
            )),
            registry,
            metrics,
            identity,
            username: Text::from(registration.username),
            blobs: OnceLock::new(),
            circuit: Circuit::new(limits.circuit_breaker_failures, limits.circuit_breaker_reset),
            accepting: AtomicBool::new(true),
            inflight: AtomicUsize::new(0),
            backlog: OnceLock::new(),
            task_worker: claims_tasks.then(|| Arc::new(WorkerState::new())),
            leaving: CancellationToken::new(),
            aborted: CancellationToken::new(),
            ended,
            heartbeat_interval: heartbeat.unwrap_or(Duration::from_secs(12)),
            rejections: Mutex::new(Rates::new(REJECTIONS_PER_SECOND, REJECTIONS_BURST, limits.dedupe_ttl)),
            started: Instant::now(),
            started_at: ids::now(),
            parted: tokio::sync::Mutex::new(false),
        })
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.composer.sender
    }

    pub(crate) fn account_id(&self) -> &Text {
        &self.composer.sender.account_id
    }

    /// Time since the session started: the clock of everything that is remembered.
    pub(crate) fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    /// Fails where the server has denied a subscription of this session since the mark. To be called after a round trip.
    pub(crate) async fn subscriptions_permitted(&self, mark: Mark, capabilities: &[String]) -> Result<(), StartError> {
        let account_id = self.account_id();
        let mut own = vec![subject::inbox(account_id), subject::receipts(account_id)];
        own.extend(capabilities.iter().map(|capability| subject::capability(capability)));
        let issuer = &self.publisher.issuer;
        let own: Vec<String> = own
            .into_iter()
            .map(|subject| issuer.subscribe_subject(subject))
            .collect();
        let concerns = |denied: &Denied| denied.action == Action::Subscribe && own.contains(&denied.subject);
        // Denials take another way through this process than the answer to the round trip.
        let denied = self.publisher.connections.denials.wait(mark, concerns);
        match tokio::time::timeout(DENIAL_DELAY, denied).await {
            Ok(denied) => Err(not_subscribed(denied.subject.clone(), denied)),
            Err(_) => Ok(()),
        }
    }

    /// Subscribes to receipts.
    pub(crate) async fn receive_receipts(&self) -> Result<(), StartError> {
        self.subscriptions
            .receive_receipts(&self.publisher, &self.delivery, self.account_id())
            .await
    }

    /// Subscribes to replies, unless it has done so before.
    pub(crate) async fn receive_replies(&self) -> Result<(), SendError> {
        self.subscriptions.receive_replies(&self.publisher, &self.replies).await
    }

    /// The inbox and the capabilities that messages can be routed by, each with its queue group.
    pub(crate) async fn subscribe_intake(&self, capabilities: &[String]) -> Result<Vec<Subscriber>, StartError> {
        let account_id = self.account_id();
        if !routable_account(account_id) {
            return Err(not_subscribed(
                subject::inbox(account_id),
                "the account id cannot be part of a subject",
            ));
        }
        let mut intake = Vec::new();
        let mut join = vec![(subject::inbox(account_id), subject::inbox_group(account_id))];
        for capability in capabilities {
            if routable_capability(capability) {
                let pair = (subject::capability(capability), subject::capability_group(capability));
                if !join.contains(&pair) {
                    join.push(pair);
                }
            } else {
                tracing::warn!(
                    capability,
                    "capability is advertised, but messages cannot be routed by it"
                );
            }
        }
        for (subject, group) in join {
            let subject = self.publisher.issuer.subscribe_subject(subject);
            let subscription = self.publisher.client.queue_subscribe(subject.clone(), group).await;
            intake.push(subscription.map_err(|error| not_subscribed(subject, error))?);
        }
        Ok(intake)
    }

    /// Whether one more receipt of rejection goes to an account now: every client can send in the name of any account, and the
    /// receipts must not flood one that has sent nothing.
    pub(crate) fn may_send_rejection(&self, account_id: &str) -> bool {
        let mut rejections = self.rejections.lock();
        rejections.take(account_id, self.monotonic())
    }

    pub(crate) fn info(&self, config: &Config) -> AgentInfo {
        let sender = self.sender();
        AgentInfo {
            account_id: Some(sender.account_id.to_string()),
            username: Some(self.username.to_string()),
            session_tag: Some(sender.session_tag.to_string()),
            ..requested_info(config)
        }
    }

    /// Publishes a hello with the agent's counters (section 0.10).
    pub(crate) async fn hello(&self, config: &Config) {
        let parted = self.parted.lock().await;
        if *parted {
            return;
        }
        let key = self.composer.presence_key();
        let hello = presence_auth::hello_with(
            &self.info(config),
            HelloExtras {
                counters: Some(self.counters()),
                pulls_mailbox: config.pull_mailbox,
                claims_tasks: self.task_worker.is_some(),
            },
            key.as_deref(),
        );
        if let Err(error) = self.publisher.publish("registry.hello", hello.into()).await {
            tracing::warn!(%error, "heartbeat not sent");
        }
    }

    /// Accepted messages that wait for a handler.
    pub(crate) fn pending(&self) -> u64 {
        self.backlog.get().map_or(0, |backlog| backlog.len() as u64)
    }

    fn counters(&self) -> AgentCounters {
        AgentCounters {
            inflight: self.inflight.load(Ordering::Relaxed) as u64,
            pending: self.pending(),
            circuit_open: self.circuit.is_open(self.monotonic()),
            ..self.metrics.counters()
        }
    }

    /// Publishes the goodbye, and waits until the server has confirmed it.
    pub(crate) async fn farewell(&self) {
        let confirmed = async {
            self.goodbye().await;
            self.publisher.round_trip().await
        };
        if !matches!(tokio::time::timeout(ROUND_TRIP_TIMEOUT, confirmed).await, Ok(true)) {
            tracing::warn!("the goodbye was not confirmed by the server");
        }
    }

    async fn goodbye(&self) {
        let mut parted = self.parted.lock().await;
        *parted = true;
        let sender = self.sender();
        let goodbye = Goodbye {
            agent_id: sender.agent_id.to_string(),
            session_tag: sender.session_tag.to_string(),
            seen_at: ids::now().to_string(),
        };
        let body = presence_auth::goodbye(&goodbye, self.composer.presence_key().as_deref());
        if let Err(error) = self.publisher.publish("registry.goodbye", body.into()).await {
            tracing::warn!(%error, "goodbye not sent");
        }
    }
}

fn not_subscribed(subject: String, why: impl std::fmt::Display) -> StartError {
    StartError::Subscribe {
        subject,
        why: why.to_string(),
    }
}

/// Publishes a hello at every interval, and at once when the connection is back, so that a restarted registry knows the session.
pub(crate) async fn keep_alive(session: Arc<Session>, config: Arc<Config>) {
    let mut connections = session.publisher.connections.subscribe();
    // The event of the first connection may come after the connection.
    let mut known = 1.max(*connections.borrow());
    loop {
        let back = async { connections.wait_for(|times| *times > known).await.map(|times| *times) };
        tokio::select! {
            () = session.ended.cancelled() => return,
            times = back => known = times.unwrap_or(known),
            () = tokio::time::sleep(session.heartbeat_interval) => {}
        }
        session.hello(&config).await;
    }
}
