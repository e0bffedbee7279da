//! What a node counts (PROTOCOL.md section 17, `metrics_snapshot`).

#[cfg(feature = "metrics-http")]
pub(crate) mod page;
mod prometheus;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentnet_protocol::json::{ObjectWriter, float_text};
use agentnet_protocol::percentile::{Percentiles, round2};
use agentnet_protocol::{AgentCounters, Reject};
use parking_lot::Mutex;

/// A counter that many tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The last samples of one duration, in milliseconds.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    samples: Mutex<VecDeque<f64>>,
}

impl Window {
    fn new(size: usize) -> Self {
        Self {
            size,
            samples: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn record(&self, took: Duration) {
        let mut samples = self.samples.lock();
        if samples.len() == self.size {
            samples.pop_front();
        }
        samples.push_back(took.as_secs_f64() * 1000.0);
    }

    fn snapshot(&self) -> LatencySnapshot {
        let samples: Vec<f64> = self.samples.lock().iter().copied().collect();
        let percentiles = Percentiles::of(&samples);
        LatencySnapshot {
            count: samples.len() as u64,
            p50: percentiles.p50,
            p95: percentiles.p95,
            p99: percentiles.p99,
        }
    }
}

/// All counters of a node.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) processed: Counter,
    pub(crate) dropped: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) errors: Counter,
    pub(crate) rate_limited: Counter,
    pub(crate) expired: Counter,
    pub(crate) payload_rejected: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) busy: Counter,
    pub(crate) retries: Counter,
    pub(crate) receipt_timeouts: Counter,
    pub(crate) refused_receipts: Counter,
    pub(crate) refused_replies: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_misses: Counter,
    pub(crate) handled: Counter,
    handled_micros: AtomicU64,
    pub(crate) send_account: Window,
    pub(crate) request_account: Window,
    pub(crate) resolve_username: Window,
}

impl Metrics {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            processed: Counter::default(),
            dropped: Counter::default(),
            timeouts: Counter::default(),
            errors: Counter::default(),
            rate_limited: Counter::default(),
            expired: Counter::default(),
            payload_rejected: Counter::default(),
            duplicates: Counter::default(),
            busy: Counter::default(),
            retries: Counter::default(),
            receipt_timeouts: Counter::default(),
            refused_receipts: Counter::default(),
            refused_replies: Counter::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            handled: Counter::default(),
            handled_micros: AtomicU64::new(0),
            send_account: Window::new(window),
            request_account: Window::new(window),
            resolve_username: Window::new(window),
        }
    }

    /// Counts a refusal: every one is dropped work, most have a counter of their own.
    pub(crate) fn refused(&self, reject: &Reject) {
        match reject {
            Reject::Timeout => return self.timeouts.add_one(),
            Reject::HandlerError => return self.errors.add_one(),
            Reject::RateLimited => self.rate_limited.add_one(),
            Reject::Expired | Reject::MissingTtl => self.expired.add_one(),
            Reject::PayloadTooLarge { .. }
            | Reject::MessageInvalid(_)
            | Reject::SchemaVersionInvalid
            | Reject::UnsupportedSchemaVersion
            | Reject::Auth(_) => self.payload_rejected.add_one(),
            Reject::DuplicateMessage | Reject::DuplicateKey => self.duplicates.add_one(),
            Reject::Busy => self.busy.add_one(),
            _ => {}
        }
        self.dropped.add_one();
    }

    pub(crate) fn handled(&self, took: Duration) {
        self.handled.add_one();
        self.handled_micros
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counters of a hello; those of running and waiting messages are 0.
    pub(crate) fn counters(&self) -> AgentCounters {
        AgentCounters {
            processed: self.processed.get(),
            errors: self.errors.get() + self.timeouts.get(),
            rejected: self.dropped.get(),
            retries: self.retries.get(),
            avg_handle_ms: self.average_handle_ms(),
            ..AgentCounters::default()
        }
    }

    fn handled_time(&self) -> Duration {
        Duration::from_micros(self.handled_micros.load(Ordering::Relaxed))
    }

    fn average_handle_ms(&self) -> f64 {
        match self.handled.get() {
            0 => 0.0,
            handled => round2(self.handled_time().as_secs_f64() * 1000.0 / handled as f64),
        }
    }
}

/// Percentiles of the last samples of one duration, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencySnapshot {
    /// The number of samples.
    pub count: u64,
    /// The median, 50th percentile.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// The cache of resolved usernames.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UsernameCacheSnapshot {
    /// How long an entry lives, in seconds.
    pub ttl_seconds: f64,
    /// The number of entries.
    pub size: u64,
    /// Look-ups that it answered.
    pub hits: u64,
    /// Look-ups that went to the registry.
    pub misses: u64,
}

/// A node's counters at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// The node's account; absent before the first start.
    pub account_id: Option<String>,
    /// The account's username.
    pub username: Option<String>,
    /// The node's role label.
    pub agent_id: String,
    /// The session; absent while not running.
    pub session_tag: Option<String>,
    /// Handlers running.
    pub inflight_count: u64,
    /// Accepted messages waiting for a handler.
    pub pending_count: u64,
    /// Messages handled without failure.
    pub processed_count: u64,
    /// Messages refused, for whatever reason.
    pub dropped_count: u64,
    /// Handlers that took too long.
    pub timeout_count: u64,
    /// Handlers that failed.
    pub error_count: u64,
    /// Refused for the sender's rate.
    pub rate_limited_count: u64,
    /// Refused for a missing or past expiry.
    pub expired_count: u64,
    /// Refused for size, form, schema version or signature.
    pub payload_rejected_count: u64,
    /// Refused as seen before.
    pub duplicate_count: u64,
    /// Refused for a full backlog.
    pub busy_count: u64,
    /// Sends that were repeated.
    pub retry_count: u64,
    /// Receipts that did not come in time.
    pub receipt_timeout_count: u64,
    /// Receipts that were not taken, since their sender has not signed them (section 13.6).
    pub refused_receipt_count: u64,
    /// Replies that were not taken, since the account asked has not signed them (section 13.7).
    pub refused_reply_count: u64,
    /// Handlers that ended, well or not.
    pub handled_count: u64,
    /// The time that they took in all.
    pub handled_time: Duration,
    /// Mean time in a handler, in milliseconds.
    pub avg_handle_ms: f64,
    /// Whether the circuit breaker is open.
    pub circuit_open: bool,
    /// Sends to accounts, from call to receipt.
    pub send_account: LatencySnapshot,
    /// Requests to accounts, from call to reply.
    pub request_account: LatencySnapshot,
    /// Resolving usernames.
    pub resolve_username: LatencySnapshot,
    /// The username cache.
    pub username_cache: UsernameCacheSnapshot,
}

impl MetricsSnapshot {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        Self {
            processed_count: metrics.processed.get(),
            dropped_count: metrics.dropped.get(),
            timeout_count: metrics.timeouts.get(),
            error_count: metrics.errors.get(),
            rate_limited_count: metrics.rate_limited.get(),
            expired_count: metrics.expired.get(),
            payload_rejected_count: metrics.payload_rejected.get(),
            duplicate_count: metrics.duplicates.get(),
            busy_count: metrics.busy.get(),
            retry_count: metrics.retries.get(),
            receipt_timeout_count: metrics.receipt_timeouts.get(),
            refused_receipt_count: metrics.refused_receipts.get(),
            refused_reply_count: metrics.refused_replies.get(),
            handled_count: metrics.handled.get(),
            handled_time: metrics.handled_time(),
            avg_handle_ms: metrics.average_handle_ms(),
            send_account: metrics.send_account.snapshot(),
            request_account: metrics.request_account.snapshot(),
            resolve_username: metrics.resolve_username.snapshot(),
            username_cache: UsernameCacheSnapshot {
                hits: metrics.cache_hits.get(),
                misses: metrics.cache_misses.get(),
                ..UsernameCacheSnapshot::default()
            },
            ..Self::default()
        }
    }

    /// As JSON, with the member names of the Python implementation.
    #[must_use]
    pub fn to_json(&self) -> String {
        let latency = |stats: &LatencySnapshot| {
            format!(
                r#"{{"count":{},"p50":{},"p95":{},"p99":{}}}"#,
                stats.count,
                float_text(stats.p50),
                float_text(stats.p95),
                float_text(stats.p99)
            )
        };
        let cache = &self.username_cache;
        let mut out = ObjectWriter::new();
        out.nullable_text("account_id", self.account_id.as_deref())
            .nullable_text("username", self.username.as_deref())
            .text("agent_id", &self.agent_id)
            .nullable_text("session_tag", self.session_tag.as_deref());
        for (name, value) in [
            ("inflight_count", self.inflight_count),
            ("pending_count", self.pending_count),
            ("processed_count", self.processed_count),
            ("dropped_count", self.dropped_count),
            ("timeout_count", self.timeout_count),
            ("error_count", self.error_count),
            ("rate_limited_count", self.rate_limited_count),
            ("expired_count", self.expired_count),
            ("payload_rejected_count", self.payload_rejected_count),
            ("duplicate_count", self.duplicate_count),
            ("busy_count", self.busy_count),
            ("retry_count", self.retry_count),
            ("receipt_timeout_count", self.receipt_timeout_count),
            ("refused_receipt_count", self.refused_receipt_count),
            ("refused_reply_count", self.refused_reply_count),
        ] {
            out.int(name, value);
        }
        out.float("avg_handle_ms", self.avg_handle_ms)
            .bool("circuit_open", self.circuit_open)
            .raw(
                "latency_ms",
                &format!(
                    r#"{{"send_account":{},"request_account":{},"resolve_username":{}}}"#,
                    latency(&self.send_account),
                    latency(&self.request_account),
                    latency(&self.resolve_username)
                ),
            )
            .raw(
                "username_cache",
                &format!(
                    r#"{{"ttl_seconds":{},"size":{},"hits":{},"misses":{}}}"#,
                    float_text(cache.ttl_seconds),
                    cache.size,
                    cache.hits,
                    cache.misses
                ),
            );
        out.finish()
    }
}
