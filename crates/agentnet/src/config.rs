//! The settings of an agent, with the defaults and minima of the Python implementation (PROTOCOL.md section 17).

pub(crate) mod error;

use std::time::Duration;

use agentnet_nats::NatsUrl;
use agentnet_protocol::{compose, expiry, version};

use crate::connect::Connection;
use crate::identity::key_source::KeySource;

/// How much an agent takes on, and how long it waits. Values below the minimum count as the minimum.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Handlers that run at the same time. Default 4, minimum 1.
    pub max_concurrency: usize,
    /// Accepted messages that may wait for a handler. Default 100, minimum 1.
    pub max_pending: usize,
    /// Largest message that is sent or taken, in bytes of wire text. Default 256,000, minimum 1.
    pub max_payload_bytes: usize,
    /// How long a handler may take. Default 30 s, minimum 0.1 s.
    pub work_timeout: Duration,
    /// How long [`close`](crate::AgentNode::close) waits for accepted work. Default 20 s, minimum 0.1 s.
    pub drain_timeout: Duration,
    /// Time to live of messages that name none. Default 30,000 ms, minimum 1 ms.
    pub default_ttl_ms: i64,
    /// How long message ids and idempotency keys are remembered. Default 600 s, minimum 1 s.
    pub dedupe_ttl: Duration,
    /// Messages that one sender may send on average, per second. Default 5, minimum 0.1.
    pub rate_limit_per_sender_per_sec: f64,
    /// Messages that one sender may send at once. Default 10, minimum 1.
    pub rate_limit_burst: u32,
    /// Handler failures in a row that open the circuit breaker. Default 5, minimum 1.
    pub circuit_breaker_failures: u32,
    /// How long the circuit stays open. Default 15 s, minimum 1 s.
    pub circuit_breaker_reset: Duration,
    /// How often an unacknowledged send is repeated. Default 2.
    pub send_retry_attempts: u32,
    /// How long a send waits for each receipt. Default 1.5 s, minimum 0.2 s.
    pub receipt_timeout: Duration,
    /// How long a send that waits until its message is processed waits after the acceptance. Default 60 s.
    pub processing_timeout: Duration,
    /// How far the sender's clock may be behind in the TTL check (section 0.7). Default 2,000 ms; 0 is exact.
    pub clock_skew_ms: u32,
    /// How long a resolved username is remembered; zero disables the cache.
    /// Default 60 s or `ACCOUNT_RESOLVE_CACHE_TTL_SECONDS`.
    pub resolve_cache_ttl: Duration,
    /// How long the key of another account is remembered, under signed identity. Default 300 s, minimum 5 s.
    pub key_cache_ttl: Duration,
    /// Samples that latency percentiles are taken over. Default 1024 or `AGENT_METRICS_WINDOW_SIZE`, minimum 32.
    pub metrics_window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrency: 4,
            max_pending: 100,
            max_payload_bytes: 256_000,
            work_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            default_ttl_ms: compose::DEFAULT_TTL_MS,
            dedupe_ttl: Duration::from_secs(600),
            rate_limit_per_sender_per_sec: 5.0,
            rate_limit_burst: 10,
            circuit_breaker_failures: 5,
            circuit_breaker_reset: Duration::from_secs(15),
            send_retry_attempts: 2,
            receipt_timeout: Duration::from_millis(1500),
            processing_timeout: Duration::from_secs(60),
            clock_skew_ms: expiry::DEFAULT_CLOCK_SKEW_MS,
            resolve_cache_ttl: Duration::from_secs(60),
            key_cache_ttl: Duration::from_secs(300),
            metrics_window: 1024,
        }
    }
}

impl Limits {
    /// The same with every value raised to its minimum.
    #[must_use]
    pub(crate) fn at_least_minima(mut self) -> Self {
        self.max_concurrency = self.max_concurrency.max(1);
        self.max_pending = self.max_pending.max(1);
        self.max_payload_bytes = self.max_payload_bytes.max(1);
        self.work_timeout = self.work_timeout.max(Duration::from_millis(100));
        self.drain_timeout = self.drain_timeout.max(Duration::from_millis(100));
        self.default_ttl_ms = self.default_ttl_ms.max(1);
        self.dedupe_ttl = self.dedupe_ttl.max(Duration::from_secs(1));
        self.rate_limit_per_sender_per_sec = self.rate_limit_per_sender_per_sec.max(0.1);
        self.rate_limit_burst = self.rate_limit_burst.max(1);
        self.circuit_breaker_failures = self.circuit_breaker_failures.max(1);
        self.circuit_breaker_reset = self.circuit_breaker_reset.max(Duration::from_secs(1));
        self.receipt_timeout = self.receipt_timeout.max(Duration::from_millis(200));
        // A cache that outlives the network is as good as for ever.
        self.key_cache_ttl = self
            .key_cache_ttl
            .clamp(Duration::from_secs(5), Duration::from_secs(10 * 365 * 86_400));
        self.metrics_window = self.metrics_window.max(32);
        self
    }
}

/// Everything about an agent that does not change while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) agent_id: String,
    pub(crate) name: String,
    pub(crate) account_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) capabilities: Vec<String>,
    /// Capabilities that no messages are routed by.
    pub(crate) advertised: Vec<String>,
    pub(crate) metadata: agentnet_protocol::RawJson,
    pub(crate) keep_profile: bool,
    /// Whether the sessions take the messages of their mailbox themselves.
    pub(crate) pull_mailbox: bool,
    pub(crate) url: NatsUrl,
    /// Instead of one of its own.
    pub(crate) connection: Option<Connection>,
    pub(crate) limits: Limits,
    /// Tasks that are done at the same time.
    pub(crate) task_concurrency: usize,
    /// Tasks that one session claims in all.
    pub(crate) max_tasks: usize,
    pub(crate) blobs: crate::blob_store::BlobSettings,
    /// Where its key comes from, if it signs.
    pub(crate) key: Option<KeySource>,
    pub(crate) schema_version: String,
    pub(crate) supported_schema_major: u32,
    pub(crate) sdk: SdkDefaults,
    #[cfg(feature = "metrics-http")]
    pub(crate) metrics_addr: Option<std::net::SocketAddr>,
}

/// What [`AgentSdk`](crate::AgentSdk) does where a call does not say otherwise (PROTOCOL.md section 17).
#[derive(Debug, Clone)]
pub(crate) struct SdkDefaults {
    /// How long an ask waits for its answer.
    pub(crate) request_timeout: Duration,
    /// What generated thread ids begin with.
    pub(crate) thread_prefix: String,
}

impl Default for SdkDefaults {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            thread_prefix: agentnet_protocol::ids::SDK_THREAD_PREFIX.to_owned(),
        }
    }
}

impl Config {
    pub(crate) fn default_schema_version() -> String {
        agentnet_protocol::envelope::SCHEMA_VERSION.to_owned()
    }

    pub(crate) fn default_schema_major() -> u32 {
        version::SUPPORTED_MAJOR
    }
}
