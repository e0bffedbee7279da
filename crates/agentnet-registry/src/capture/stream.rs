//! JetStream: the stream that keeps messages until they are in the store, and the consumer that all registries share.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentnet_nats::Issuer;
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_REPLIES};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::{AccountErrorKind, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};
use tokio_util::sync::CancellationToken;

use super::captured_subjects;
use super::in_flight::ACK_WAIT;
use crate::config::{CaptureStorage, RegistryConfig};
use crate::error::StartError;
use crate::metrics::Metrics;

/// The stream's name.
pub(super) const STREAM: &str = "AGENTNET_HISTORY";
/// The durable consumer's name.
const CONSUMER: &str = "agentnet-registry";
/// Messages that may be in flight to all registries together. Each registry only asks for what its queue has room for, and
/// gives back what it cannot store, so that only many registries on a slow store reach this limit.
const MAX_ACK_PENDING: i64 = 20_000;
/// How long JetStream may take to answer one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts with a server that is still starting, and the delay between them.
const OPEN_RETRY_DELAY: Duration = Duration::from_millis(500);
const OPEN_ATTEMPTS: u32 = 4;

/// The consumer that all registries share.
pub(crate) type PullConsumer = Consumer<pull::Config>;

/// JetStream with the configuration of the stream.
#[derive(Debug, Clone)]
pub(crate) struct Jetstream {
    pub(crate) context: Context,
    stream: Config,
    /// There was no stream before: no registry has captured messages of this network yet.
    pub(crate) is_new: bool,
}

/// Sets up stream and consumer. `None` if the server has no JetStream.
pub(crate) async fn open(
    client: &Client,
    issuer: &Issuer,
    config: &RegistryConfig,
) -> Result<Option<Jetstream>, StartError> {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(REQUEST_TIMEOUT);
    let mut jetstream = Jetstream {
        context,
        stream: stream_config(issuer, config),
        is_new: false,
    };
    let mut asked = false;
    let mut problem = String::new();
    for attempt in 0..OPEN_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(OPEN_RETRY_DELAY).await;
        }
        match jetstream.context.query_account().await {
            Ok(account) => {
                // A later answer may count the stream that was just created.
                jetstream.is_new |= !std::mem::replace(&mut asked, true) && account.streams == 0;
                match jetstream.ensure().await {
                    Ok(_) => return Ok(Some(jetstream)),
                    Err(error) => problem = error,
                }
            }
            Err(error) => match error.kind() {
                AccountErrorKind::JetStreamUnavailable => return Ok(None),
                AccountErrorKind::JetStream(error) if disabled(error.error_code()) => return Ok(None),
                _ => problem = error.to_string(),
            },
        }
    }
    Err(StartError::Capture(problem))
}

fn disabled(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
    )
}

fn stream_config(issuer: &Issuer, config: &RegistryConfig) -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some("agentnet messages on their way into the history".to_owned()),
        subjects: captured_subjects(issuer, &[ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES]),
        // A message leaves the stream when it is in the store.
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::Old,
        storage: match config.capture_storage {
            CaptureStorage::File => StorageType::File,
            CaptureStorage::Memory => StorageType::Memory,
        },
        num_replicas: config.capture_replicas,
        // Otherwise the server's acknowledgement would be the first reply to every request.
        no_ack: true,
        ..Config::default()
    }
}

impl Jetstream {
    /// Creates or updates the stream and its consumer.
    pub(crate) async fn ensure(&self) -> Result<PullConsumer, String> {
        if let Err(error) = self.context.create_or_update_stream(self.stream.clone()).await {
            self.usable_as_it_is(&error.kind(), &error.to_string()).await?;
        }
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("agentnet registries, storing messages".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let created = self.context.create_consumer_on_stream(consumer, STREAM).await;
        created.map_err(|error| format!("consumer {CONSUMER} of stream {STREAM}: {error}"))
    }

    /// A stream that cannot be updated (its storage, for instance) is used as it is, if it captures the subjects and does not
    /// acknowledge messages.
    async fn usable_as_it_is(&self, kind: &CreateStreamErrorKind, problem: &str) -> Result<(), String> {
        let failed = || format!("stream {STREAM}: {problem}");
        if !matches!(kind, CreateStreamErrorKind::JetStream(_)) {
            return Err(failed());
        }
        let stream = self.context.get_stream(STREAM).await.map_err(|_| failed())?;
        let found = &stream.cached_info().config;
        if !found.no_ack
            || self
                .stream
                .subjects
                .iter()
                .any(|subject| !found.subjects.contains(subject))
        {
            return Err(failed());
        }
        tracing::warn!(
            problem,
            "the stream {STREAM} exists with other settings and is used as it is"
        );
        Ok(())
    }

    /// Messages of the stream that are not stored yet, and whether its consumer is paused.
    async fn lag(&self) -> Option<(i64, bool)> {
        let consumer: PullConsumer = self.context.get_consumer_from_stream(CONSUMER, STREAM).await.ok()?;
        let info = consumer.cached_info();
        let lag = i64::try_from(info.num_pending)
            .ok()?
            .checked_add(i64::try_from(info.num_ack_pending).ok()?)?;
        Some((lag, info.paused))
    }
}

/// Updates the metrics of the stream every second: messages that are not stored yet, and whether the consumer is paused.
pub(crate) async fn watch_lag(jetstream: Jetstream, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Some(Some((lag, is_paused))) = stop.run_until_cancelled(jetstream.lag()).await {
            metrics.lag.set(lag);
            metrics.is_paused.store(is_paused, Ordering::Relaxed);
        }
    }
}
