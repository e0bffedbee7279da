//! Captures messages into the history (PROTOCOL.md section 8).
//!
//! ```text
//! account.*.inbox, agent.capability.*, agentnet.reply.>  ->  JetStream stream  ->  durable consumer --+
//! _INBOX.>                                               ->  core subscription, queue group ----------+-> queue -> writer
//! on a NATS cluster, all of them once more               ->  standby, while the stream has no leader -+
//! ```
//!
//! The stream keeps what is sent while no registry runs; a message leaves it when it is in the store. Replies to clients with
//! NATS' own inboxes cannot be kept by a stream (JetStream itself delivers there), so they are read from a plain subscription,
//! a *tap*. On a server without JetStream everything is tapped. On a cluster, where the server that leads the stream may die,
//! the standby steps in.
//!
//! - `stream` sets up JetStream; `pull` and `ingest` read messages, `decode` decodes them, and they go into the `queue`
//! - `writer` stores them; `in_flight` acknowledges them, and tells the server which ones are still in work
//! - `unreadable` removes messages from the stream that no client can parse
//! - `standby` reads what the stream may miss

pub(crate) mod decode;
mod in_flight;
mod ingest;
mod proof;
mod pull;
mod queue;
mod standby;
mod stream;
mod unreadable;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::{Issuer, NatsUrl};
use agentnet_protocol::Timestamp;
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_NATS_REPLIES, ALL_REPLIES};
use bytes::Bytes;

use crate::config::RegistryConfig;
use crate::connect::Connection;
use crate::database::Database;
use crate::error::StartError;
use crate::metrics::Metrics;
use crate::task_ledger::messages::MessageTasks;
use crate::tasks::{Phase, TaskSet};
use ingest::Ingest;
use proof::Proof;
use queue::{Items, Queue};
use standby::Standby;
use stream::Jetstream;
use writer::{BatchPolicy, Writer};

/// How long a shutdown waits for the writer to empty the queue.
const WRITER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a shutdown waits for the readers to hand over their messages.
const READERS_TIMEOUT: Duration = Duration::from_secs(5);

/// How messages reach the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureMode {
    /// Through a JetStream stream: nothing is lost while no registry runs.
    JetStream,
    /// Through plain subscriptions: what is sent while no registry runs is not recorded.
    Core,
}

impl CaptureMode {
    /// `jetstream` or `core`, as in ready line and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JetStream => "jetstream",
            Self::Core => "core",
        }
    }
}

impl fmt::Display for CaptureMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The running capture.
pub(crate) struct Capture {
    pub(crate) mode: CaptureMode,
    /// The stream is new: no registry has captured messages of this network before.
    pub(crate) new_stream: bool,
    pub(crate) queue: Arc<Queue>,
    /// Applies messages about tasks once they are stored.
    pub(crate) messages: Arc<MessageTasks>,
    issuer: Issuer,
    chars_per_token: f64,
}

impl Capture {
    /// Records a message past the stream. If it is captured as well, it is stored once.
    pub(crate) async fn record(&self, subject: &str, body: Bytes, received_at: Timestamp) {
        let bytes = body.len();
        let proof = Proof::of(&self.issuer, subject);
        if let Some(captured) = decode::captured(body, &proof, received_at, self.chars_per_token) {
            self.queue.push(captured, None, bytes).await;
        }
    }
}

/// Sets up the capture; when this returns, every message published from then on is captured.
pub(crate) async fn start(
    config: &RegistryConfig,
    url: &NatsUrl,
    connection: &Connection,
    database: &Database,
    metrics: Arc<Metrics>,
    messages: Arc<MessageTasks>,
    tasks: &TaskSet,
) -> Result<Capture, StartError> {
    let client = &connection.client;
    let jetstream = stream::open(client, &connection.issuer, config).await?;
    let new_stream = jetstream.as_ref().is_some_and(|jetstream| jetstream.is_new);
    let mode = match &jetstream {
        Some(_) => CaptureMode::JetStream,
        None => CaptureMode::Core,
    };
    let (queue, items) = Queue::new(config.db_write_queue_max, Arc::clone(&metrics));
    let queue = Arc::new(queue);
    let policy = BatchPolicy::new(config);
    let ingest = Ingest {
        client: client.clone(),
        issuer: connection.issuer.clone(),
        queue: Arc::clone(&queue),
        in_flight: Arc::default(),
        metrics,
        chars_per_token: config.token_estimate_chars_per_token,
        gather: policy.gather(),
        stop: tasks.stop_token(Phase::Capture),
    };
    let standby = match &jetstream {
        Some(jetstream) if Standby::is_needed(connection) => {
            Some(Standby::open(url, connection, ingest.clone(), jetstream.clone(), tasks).await?)
        }
        _ => None,
    };
    let tapped: &[&str] = match (&jetstream, &standby) {
        (Some(_), Some(_)) => &[],
        (Some(_), None) => &[ALL_NATS_REPLIES],
        (None, _) => &[ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES, ALL_NATS_REPLIES],
    };
    for subject in captured_subjects(&connection.issuer, tapped) {
        let subscription = ingest.subscribe(&subject).await?;
        tasks.spawn(Phase::Capture, ingest.clone().tap(subscription));
    }
    match jetstream {
        Some(jetstream) => spawn_pull(&ingest, jetstream, database, connection, tasks),
        None => spawn_queue_metrics(&ingest, tasks),
    }
    if let Some(standby) = standby {
        tasks.spawn(Phase::Standby, standby.run());
    }
    let stored = StoredMessages {
        items,
        messages: Arc::clone(&messages),
        policy,
    };
    spawn_writer(ingest, database, stored, tasks);
    Ok(Capture {
        mode,
        new_stream,
        queue,
        messages,
        issuer: connection.issuer.clone(),
        chars_per_token: config.token_estimate_chars_per_token,
    })
}

/// The forms of these subjects that messages come on. In secure mode those of inboxes and capabilities end in their issuer, and
/// no agent has a reply subject of NATS' own.
fn captured_subjects(issuer: &Issuer, subjects: &[&str]) -> Vec<String> {
    let is_secure = issuer.account_id().is_some();
    let form = |subject: &&str| match *subject {
        ALL_NATS_REPLIES if is_secure => None,
        ALL_REPLIES => Some(ALL_REPLIES.to_owned()),
        ALL_NATS_REPLIES => Some(ALL_NATS_REPLIES.to_owned()),
        subject => Some(issuer.subscribe_subject(subject.to_owned())),
    };
    subjects.iter().filter_map(form).collect()
}

/// Reads the stream, and reports what is still in it.
fn spawn_pull(ingest: &Ingest, jetstream: Jetstream, database: &Database, connection: &Connection, tasks: &TaskSet) {
    let (metrics, stop) = (Arc::clone(&ingest.metrics), ingest.stop.clone());
    tasks.spawn(Phase::Capture, stream::watch_lag(jetstream.clone(), metrics, stop));
    let connected = connection.connected.clone();
    tasks.spawn(
        Phase::Capture,
        pull::follow(ingest.clone(), jetstream, database.clone(), connected),
    );
}

/// Without a stream, reports what waits in the queue.
fn spawn_queue_metrics(ingest: &Ingest, tasks: &TaskSet) {
    tracing::warn!(
        "the NATS server has no JetStream: messages sent while no registry runs will not be in the history \
         (start nats-server with -js)"
    );
    let (queue, metrics) = (Arc::clone(&ingest.queue), Arc::clone(&ingest.metrics));
    tasks.spawn(Phase::Capture, queue::watch_lag(queue, metrics, ingest.stop.clone()));
}

/// What the writer stores, and what it does with messages about tasks then.
struct StoredMessages {
    items: Items,
    messages: Arc<MessageTasks>,
    policy: BatchPolicy,
}

/// Stores what is in the queue.
fn spawn_writer(ingest: Ingest, database: &Database, stored: StoredMessages, tasks: &TaskSet) {
    let StoredMessages {
        items,
        messages,
        policy,
    } = stored;
    let Ingest {
        client,
        in_flight,
        metrics,
        ..
    } = ingest;
    let stop_reports = tasks.kill_token();
    let reports = in_flight::report_progress(Arc::clone(&in_flight), client.clone(), stop_reports.clone());
    tasks.spawn(Phase::MessageWriter, reports);
    let writer = Writer {
        store: database.retrying(),
        database: database.clone(),
        client,
        in_flight,
        metrics,
        messages,
        policy,
    };
    tasks.spawn(Phase::MessageWriter, async move {
        // Progress is reported until everything is stored, also after the readers have stopped.
        let _stop_reports = stop_reports.drop_guard();
        writer.run(items).await;
    });
}

/// Stops reading, lets the writer store what was read, and returns when it is done.
pub(crate) async fn stop(tasks: &TaskSet, queue: &Queue) {
    if !tasks.finish(Phase::Capture, READERS_TIMEOUT).await {
        tracing::warn!("a reader did not end in time; messages of the stream stay there for the next registry");
    }
    let standby_timeout = standby::ELECTION_TIMEOUT + READERS_TIMEOUT;
    if !tasks.finish(Phase::Standby, standby_timeout).await {
        tracing::error!("the last messages that the stream may lack could not be handed to the store in time");
    }
    queue.close();
    if !tasks.finish(Phase::MessageWriter, WRITER_TIMEOUT).await {
        tracing::error!(
            waiting = queue.len(),
            "the store did not take the last messages in time"
        );
    }
}
