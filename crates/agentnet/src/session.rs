//! One session on the network: from register to goodbye (PROTOCOL.md section 14).

mod listen;
mod postponed;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use agentnet_protocol::compose::Sender;
use agentnet_protocol::register_auth::RegisterAuthError;
use agentnet_protocol::rpc::{Goodbye, RegisterReply};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::subject::{self, routable_account, routable_capability};
use agentnet_protocol::{AgentCounters, AgentInfo, Text, presence_auth};
use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use self::listen::Service;
use self::postponed::Postponed;
use crate::blob_store::BlobStore;
use crate::config::Config;
use crate::connect::denials::{Action, Denied, Mark};
use crate::connect::{Connection, Connections};
use crate::deliver::Receipts;
use crate::error::{RegistryError, SendError, StartError};
use crate::guard::{Circuit, Rates};
use crate::handler::Message;
use crate::identity::{self, Identity, Opened};
use crate::ids;
use crate::metrics::Metrics;
use crate::registry::RegistryClient;
use crate::replies::Replies;
use crate::resolve::Resolver;
use crate::spans;
use crate::stream::Streams;

const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a signed registration is made within that time.
const SIGNED_TRIES: u32 = 3;
/// Receipts that tell one account of refusals, a second and at once.
const REFUSALS_PER_SECOND: f64 = 200.0;
const REFUSALS_AT_ONCE: u32 = 500;
/// How much later a refusal may be noticed than what the server said behind it.
const DENIALS_ARRIVE: Duration = Duration::from_millis(2);
const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(1);
/// The client drops its events when too many come at once: so often those who wait for a connection look for themselves.
const LOOK: Duration = Duration::from_millis(100);

/// Everything that exists between start and close.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) client: Client,
    pub(crate) registry: RegistryClient,
    pub(crate) metrics: Arc<Metrics>,
    /// Its key and those of others, if the node signs.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) sender: Sender,
    pub(crate) username: Text,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) receipts: Receipts,
    /// How often each account was told of a refusal lately.
    pub(crate) refusals: Mutex<Rates>,
    /// Its own receipts that are still to be published.
    pub(crate) postponed: Postponed,
    pub(crate) replies: Replies,
    pub(crate) streams: Streams,
    pub(crate) resolver: Resolver,
    /// Made when first asked for.
    pub(crate) blobs: OnceLock<BlobStore>,
    pub(crate) circuit: Circuit,
    pub(crate) started: Instant,
    pub(crate) connections: Arc<Connections>,
    /// Whether new messages are taken.
    pub(crate) accepting: AtomicBool,
    /// Handlers running.
    pub(crate) inflight: AtomicUsize,
    /// Accepted messages that wait for a handler; absent without one.
    pub(crate) backlog: OnceLock<async_channel::Receiver<Message>>,
    /// What it listens to besides its inbox, and the tasks that serve it.
    pub(crate) service: Service,
    /// Whether goodbye has been said: a hello after it would bring the session back.
    parted: tokio::sync::Mutex<bool>,
    /// The node leaves its queue groups.
    pub(crate) leaving: CancellationToken,
    /// Handlers are given up.
    pub(crate) aborted: CancellationToken,
    /// Everything ends.
    pub(crate) ended: CancellationToken,
}

impl Live {
    /// Connects and registers.
    pub(crate) async fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let opened = match &config.key {
            Some(source) => Some(source.open().await?),
            None => None,
        };
        let connection = match &config.connection {
            Some(shared) => shared.clone(),
            None => Connection::to(&config.url, &format!("agentnet-{}", config.agent_id)).await?,
        };
        let registry = RegistryClient::on(&connection);
        let Connection { client, connections } = connection;
        let (registration, key) = register(&registry, config, opened).await?;
        let identity = key.map(|key| Arc::new(Identity::new(key, registry.clone(), config)));
        let limits = &config.limits;
        let heartbeat = Duration::try_from_secs_f64(registration.heartbeat_interval.max(1.0));
        let ended = CancellationToken::new();
        Ok(Self {
            registry,
            metrics,
            identity,
            replies: Replies::new(
                registration.reply_prefix.as_deref(),
                &registration.account_id,
                &ids::token(),
            ),
            sender: Sender {
                agent_id: Text::from(config.agent_id.as_str()),
                account_id: Text::from(registration.account_id),
                session_tag: Text::from(registration.session_tag),
            },
            username: Text::from(registration.username),
            heartbeat_interval: heartbeat.unwrap_or(Duration::from_secs(12)),
            receipts: Receipts::new(),
            refusals: Mutex::new(Rates::new(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE, limits.dedupe_ttl)),
            postponed: Postponed::default(),
            resolver: Resolver::new(limits.resolve_cache_ttl),
            blobs: OnceLock::new(),
            circuit: Circuit::new(limits.circuit_breaker_failures, limits.circuit_breaker_reset),
            started: Instant::now(),
            connections,
            accepting: AtomicBool::new(true),
            inflight: AtomicUsize::new(0),
            backlog: OnceLock::new(),
            service: Service::default(),
            parted: tokio::sync::Mutex::new(false),
            leaving: CancellationToken::new(),
            aborted: CancellationToken::new(),
            streams: Streams::new(&ended),
            ended,
            client,
        })
    }

    /// Time since the session started: the clock of everything that is remembered.
    pub(crate) fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until there is a connection.
    pub(crate) async fn connected(&self) {
        let mut connections = self.connections.subscribe();
        while !self.is_connected() {
            let _ = tokio::time::timeout(LOOK, connections.changed()).await;
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        // A client that has ended goes on saying what it said last.
        self.client.connection_state() == State::Connected && !self.connections.client_ended.is_cancelled()
    }

    /// Which connection this is, counted from the first.
    pub(crate) fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Acquire)
    }

    /// Publishes the receipts that were postponed.
    pub(crate) async fn publish_postponed(&self) {
        if !self.postponed.is_empty() {
            Box::pin(self.postponed.publish(&self.client)).await;
        }
    }

    pub(crate) async fn publish(&self, subject: impl Into<String>, body: Bytes) -> Result<(), SendError> {
        self.publish_postponed().await;
        self.client
            .publish(subject.into(), body)
            .await
            .map_err(|error| SendError::Connection(error.to_string()))
    }

    /// Publishes something after which this session may be gone: returns when it is written, because a client whose last
    /// handle is dropped forgets what is not.
    pub(crate) async fn publish_last(&self, subject: &str, body: Bytes) -> Result<(), SendError> {
        self.publish(subject, body).await?;
        self.client
            .flush()
            .await
            .map_err(|error| SendError::Connection(error.to_string()))
    }

    /// Publishes a message, with the span that it comes from where there is one.
    pub(crate) async fn publish_message(&self, subject: &str, body: Bytes) -> Result<(), SendError> {
        self.publish_postponed().await;
        match spans::headers() {
            None => self.publish(subject, body).await,
            Some(headers) => Box::pin(self.client.publish_with_headers(subject.to_owned(), headers, body))
                .await
                .map_err(|error| SendError::Connection(error.to_string())),
        }
    }

    /// Publishes a request, as [`Live::publish_message`].
    pub(crate) async fn publish_request(&self, subject: &str, reply: &str, body: Bytes) -> Result<(), SendError> {
        self.publish_postponed().await;
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        let published = match spans::headers() {
            None => self.client.publish_with_reply(subject, reply, body).await,
            Some(headers) => {
                let publishing = self
                    .client
                    .publish_with_reply_and_headers(subject, reply, headers, body);
                Box::pin(publishing).await
            }
        };
        published.map_err(|error| SendError::Connection(error.to_string()))
    }

    /// Waits until the server has done everything that this connection has asked of it so far, for at most one second;
    /// false if it has not answered. (The client's own `flush` only empties its buffer.)
    pub(crate) async fn round_trip(&self) -> bool {
        self.publish_postponed().await;
        let trip = async {
            let subject = self.client.new_inbox();
            let denials = &self.connections.denials;
            let mark = denials.mark();
            let mut probe = self.client.subscribe(subject.clone()).await.ok()?;
            self.client.publish(subject.clone(), Bytes::new()).await.ok()?;
            tokio::select! {
                message = probe.next() => message.map(drop),
                // The server refuses things in their order too.
                _ = denials.wait(mark, |denied| denied.subject == subject) => Some(()),
            }
        };
        matches!(tokio::time::timeout(ROUND_TRIP_TIMEOUT, trip).await, Ok(Some(_)))
    }

    /// Fails where the server has refused a subscription of this session since the mark. To be called behind a round trip.
    pub(crate) async fn subscriptions_permitted(&self, mark: Mark, capabilities: &[String]) -> Result<(), StartError> {
        let account_id = &self.sender.account_id;
        let mut own = vec![subject::inbox(account_id), subject::receipts(account_id)];
        own.extend(capabilities.iter().map(|capability| subject::capability(capability)));
        let concerns = |denied: &Denied| denied.action == Action::Subscribe && own.contains(&denied.subject);
        // Refusals take another way through this process than the answer to the round trip.
        let denied = self.connections.denials.wait(mark, concerns);
        match tokio::time::timeout(DENIALS_ARRIVE, denied).await {
            Ok(denied) => Err(refused(denied.subject.clone(), denied)),
            Err(_) => Ok(()),
        }
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, StartError> {
        self.client
            .subscribe(subject.clone())
            .await
            .map_err(|error| refused(subject, error))
    }

    /// The inbox and the capabilities that messages can be routed by, each with its queue group.
    pub(crate) async fn subscribe_intake(&self, capabilities: &[String]) -> Result<Vec<Subscriber>, StartError> {
        let account_id = &self.sender.account_id;
        if !routable_account(account_id) {
            return Err(refused(
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
            let subscription = self.client.queue_subscribe(subject.clone(), group).await;
            intake.push(subscription.map_err(|error| refused(subject, error))?);
        }
        Ok(intake)
    }

    pub(crate) fn info(&self, config: &Config) -> AgentInfo {
        AgentInfo {
            account_id: Some(self.sender.account_id.to_string()),
            username: Some(self.username.to_string()),
            session_tag: Some(self.sender.session_tag.to_string()),
            ..wanted(config)
        }
    }

    /// Says hello, with what the agent counts of its work beside it (section 0.10).
    pub(crate) async fn hello(&self, config: &Config) {
        let parted = self.parted.lock().await;
        if *parted {
            return;
        }
        let hello =
            presence_auth::hello_with_counters(&self.info(config), self.counters(), self.presence_key().as_deref());
        if let Err(error) = self.publish("registry.hello", hello.into()).await {
            tracing::warn!(%error, "heartbeat not sent");
        }
    }

    /// Accepted messages that wait for a handler.
    pub(crate) fn waiting(&self) -> u64 {
        self.backlog.get().map_or(0, |backlog| backlog.len() as u64)
    }

    fn counters(&self) -> AgentCounters {
        AgentCounters {
            inflight: self.inflight.load(Ordering::Relaxed) as u64,
            pending: self.waiting(),
            circuit_open: self.circuit.is_open(self.monotonic()),
            ..self.metrics.counters()
        }
    }

    /// Says goodbye, for as long as the server takes to confirm it.
    pub(crate) async fn farewell(&self) {
        let said = async {
            self.goodbye().await;
            self.round_trip().await
        };
        if !matches!(tokio::time::timeout(ROUND_TRIP_TIMEOUT, said).await, Ok(true)) {
            tracing::warn!("the goodbye was not confirmed by the server");
        }
    }

    async fn goodbye(&self) {
        let mut parted = self.parted.lock().await;
        *parted = true;
        let goodbye = Goodbye {
            agent_id: self.sender.agent_id.to_string(),
            session_tag: self.sender.session_tag.to_string(),
            seen_at: ids::now().to_string(),
        };
        let body = presence_auth::goodbye(&goodbye, self.presence_key().as_deref());
        if let Err(error) = self.publish("registry.goodbye", body.into()).await {
            tracing::warn!(%error, "goodbye not sent");
        }
    }
}

fn refused(subject: String, why: impl std::fmt::Display) -> StartError {
    StartError::Subscribe {
        subject,
        why: why.to_string(),
    }
}

/// What the node says of itself before it is registered.
pub(crate) fn wanted(config: &Config) -> AgentInfo {
    AgentInfo {
        agent_id: config.agent_id.clone(),
        name: config.name.clone(),
        capabilities: config.capabilities.clone(),
        metadata: config.metadata.clone(),
        account_id: config.account_id.clone(),
        username: config.username.clone(),
        session_tag: None,
        last_seen: Some(ids::now().to_string()),
    }
}

/// Registers, and says with which key. Should a registry die in the middle, its request is made again: a session that it has
/// issued already is never heard of again, and expires. A signed request counts once, so each try signs anew.
///
/// Where the account is bound to the key that an interrupted rotation left, that one is the node's from now on.
async fn register(
    registry: &RegistryClient,
    config: &Config,
    opened: Option<Opened>,
) -> Result<(RegisterReply, Option<Arc<SigningKey>>), StartError> {
    let Some(Opened { key, next }) = opened else {
        let registry = registry.clone().with_timeout(REGISTER_TIMEOUT);
        let reply = registry
            .call(&identity::registration(wanted(config), config.keep_profile, None))
            .await;
        return Ok((reply.map_err(StartError::Register)?, None));
    };
    match register_signed(registry, config, &key).await {
        Err(RegistryError::Refused(code)) if code == RegisterAuthError::PublicKey.code() => {
            let refused = StartError::Register(RegistryError::Refused(code));
            let (Some(next), Some(source)) = (next, &config.key) else {
                return Err(refused);
            };
            let Ok(reply) = register_signed(registry, config, &next).await else {
                return Err(refused);
            };
            source.settle(next.clone()).await?;
            tracing::info!("a rotation that was interrupted is finished: the new key has taken its place");
            Ok((reply, Some(next)))
        }
        reply => Ok((reply.map_err(StartError::Register)?, Some(key))),
    }
}

async fn register_signed(
    registry: &RegistryClient,
    config: &Config,
    key: &SigningKey,
) -> Result<RegisterReply, RegistryError> {
    let registry = registry.clone().with_timeout(REGISTER_TIMEOUT / SIGNED_TRIES);
    let mut tries = SIGNED_TRIES;
    loop {
        tries -= 1;
        let request = identity::registration(wanted(config), config.keep_profile, Some(key));
        match registry.call(&request).await {
            Err(RegistryError::Timeout { .. }) if tries > 0 => {}
            outcome => return outcome,
        }
    }
}

/// Says hello at every interval, and at once when the connection is back, so that a restarted registry knows the session.
pub(crate) async fn keep_alive(live: Arc<Live>, config: Arc<Config>) {
    let mut connections = live.connections.subscribe();
    // The first connection may be told of later than it is made.
    let mut known = 1.max(*connections.borrow());
    loop {
        let back = async { connections.wait_for(|times| *times > known).await.map(|times| *times) };
        tokio::select! {
            () = live.ended.cancelled() => return,
            times = back => known = times.unwrap_or(known),
            () = tokio::time::sleep(live.heartbeat_interval) => {}
        }
        live.hello(&config).await;
    }
}
