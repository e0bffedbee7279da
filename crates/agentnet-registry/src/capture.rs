//! From the wire to the history (PROTOCOL.md section 8).
//!
//! ```text
//! account.*.inbox, agent.capability.*, agentnet.reply.>  ->  JetStream stream  ->  durable consumer --+
//! _INBOX.>                                               ->  core subscription, queue group ----------+-> queue -> writer
//! on a NATS cluster, all of them once more               ->  spare, while nobody leads the stream ----+
//! ```
//!
//! The stream keeps what was sent while no registry runs; a message leaves it when it is in the store. Replies to clients
//! with NATS' own inboxes cannot be kept by a stream (JetStream itself delivers there), so those are tapped. On a server
//! without JetStream everything is tapped. On a cluster, where the server that leads the stream may die, the spare steps in.
//!
//! `convert` reads a body, `stream` sets up JetStream, `pull` and `listen` feed the queue, `writer` empties it into the
//! store, `unreadable` takes out of the stream what no client can be given, `held` tells the server which of its messages
//! are in work, and `spare` hears what the stream may miss.

mod convert;
mod held;
mod listen;
mod pull;
mod queue;
mod spare;
mod stream;
mod unreadable;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_NATS_REPLIES, ALL_REPLIES};
use agentnet_protocol::url::NatsUrl;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::RegistryConfig;
use crate::connect::Connection;
use crate::database::Database;
use crate::error::StartError;
use crate::metrics::Metrics;
use held::Held;
use queue::Queue;
use spare::Spare;

/// How long the writer may take to empty the queue when the registry stops.
const LAST_WRITES: Duration = Duration::from_secs(15);
/// How long a listener may take to hand over what it has.
const LAST_MESSAGES: Duration = Duration::from_secs(5);

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

/// The running capture, for those who report on it.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) mode: CaptureMode,
    /// No registry has captured messages of this network before.
    pub(crate) fresh: bool,
    pub(crate) queue: Arc<Queue>,
    chars_per_token: f64,
}

impl Capture {
    /// Records a message that this registry itself has sent. Should it be captured as well, it is stored once.
    pub(crate) async fn record(&self, body: Bytes, sent_at: Timestamp) {
        let bytes = body.len();
        if let Some(new) = convert::message(body, sent_at, self.chars_per_token) {
            self.queue.push(new, None, bytes).await;
        }
    }
}

/// The running capture's tasks.
#[derive(Debug)]
pub(crate) struct CaptureTasks {
    stop_listening: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
    /// On a cluster.
    spare: Option<JoinHandle<()>>,
    writer: JoinHandle<()>,
}

/// Sets the capture up; when this returns, every message published from then on is captured.
///
/// `kill` ends everything at once.
pub(crate) async fn start(
    config: &RegistryConfig,
    url: &NatsUrl,
    connection: &Connection,
    database: &Database,
    metrics: Arc<Metrics>,
    kill: &CancellationToken,
) -> Result<(Capture, CaptureTasks), StartError> {
    let client = &connection.client;
    let jetstream = stream::open(client, config).await?;
    let fresh = jetstream.as_ref().is_some_and(|jetstream| jetstream.fresh);
    let mode = if jetstream.is_some() {
        CaptureMode::JetStream
    } else {
        CaptureMode::Core
    };
    if mode == CaptureMode::Core {
        tracing::warn!(
            "the NATS server has no JetStream: messages sent while no registry runs will not be in the history \
             (start nats-server with -js)"
        );
    }
    let (queue, items) = Queue::new(config.db_write_queue_max, Arc::clone(&metrics));
    let queue = Arc::new(queue);
    let stop_listening = kill.child_token();
    let pace = writer::Pace::new(config);
    let mut listeners = Vec::new();
    let held = Arc::new(Held::default());
    let ear = listen::Ear {
        client: client.clone(),
        queue: Arc::clone(&queue),
        held: Arc::clone(&held),
        metrics: Arc::clone(&metrics),
        chars_per_token: config.token_estimate_chars_per_token,
        gather: pace.gather(),
        stop: stop_listening.clone(),
    };
    let spare = match &jetstream {
        Some(jetstream) if Spare::is_needed(connection) => {
            Some(Spare::open(url, connection, ear.clone(), jetstream.clone(), kill).await?)
        }
        _ => None,
    };
    let tapped: &[&str] = match (&jetstream, &spare) {
        (Some(_), Some(_)) => &[],
        (Some(_), None) => &[ALL_NATS_REPLIES],
        (None, _) => &[ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES, ALL_NATS_REPLIES],
    };
    for subject in tapped {
        let subscription = ear.subscribe(subject).await?;
        listeners.push(spawn(kill, ear.clone().tap(subscription)));
    }
    if let Some(jetstream) = jetstream {
        listeners.push(spawn(
            kill,
            stream::watch_lag(jetstream.clone(), Arc::clone(&metrics), stop_listening.clone()),
        ));
        listeners.push(spawn(
            kill,
            pull::follow(ear.clone(), jetstream, database.clone(), connection.connected.clone()),
        ));
    } else {
        listeners.push(spawn(
            kill,
            queue::watch_lag(Arc::clone(&queue), Arc::clone(&metrics), stop_listening.clone()),
        ));
    }
    let spare = spare.map(|spare| spawn(kill, spare.run()));
    let remind = kill.child_token();
    spawn(kill, held::remind(Arc::clone(&held), client.clone(), remind.clone()));
    let writer = writer::Writer {
        store: database.patient(),
        database: database.clone(),
        client: client.clone(),
        held,
        metrics,
        pace,
    };
    let writer = spawn(kill, async move {
        // What is held is reminded of until it is stored, beyond the end of listening.
        let _remind = remind.drop_guard();
        writer.run(items).await;
    });
    Ok((
        Capture {
            mode,
            fresh,
            queue,
            chars_per_token: config.token_estimate_chars_per_token,
        },
        CaptureTasks {
            stop_listening,
            listeners,
            spare,
            writer,
        },
    ))
}

impl CaptureTasks {
    /// Stops listening, lets the writer store what has been heard, and returns when it is done.
    pub(crate) async fn stop(self, queue: &Queue) {
        self.stop_listening.cancel();
        let listeners = futures::future::join_all(self.listeners);
        if tokio::time::timeout(LAST_MESSAGES, listeners).await.is_err() {
            tracing::warn!("a listener did not end in time; messages of the stream stay there for the next registry");
        }
        if let Some(spare) = self.spare
            && tokio::time::timeout(spare::LAST_ELECTION + LAST_MESSAGES, spare)
                .await
                .is_err()
        {
            tracing::error!("the last messages that the stream may lack could not be handed to the store in time");
        }
        queue.close();
        if tokio::time::timeout(LAST_WRITES, self.writer).await.is_err() {
            tracing::error!(
                waiting = queue.len(),
                "the store did not take the last messages in time"
            );
        }
    }
}

fn spawn(kill: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let kill = kill.clone();
    tokio::spawn(async move {
        kill.run_until_cancelled(task).await;
    })
}
