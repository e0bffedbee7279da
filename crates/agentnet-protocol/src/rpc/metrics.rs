//! `metrics` (PROTOCOL.md section 6).

use std::collections::BTreeMap;

use super::{Reply, Request, RpcError, count, float, owned};
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter};

/// `registry.metrics`; the body is never looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetricsRequest;

impl Request for MetricsRequest {
    const NAME: &'static str = "metrics";
    type Reply = MetricsReply;

    fn encode(&self) -> String {
        "{}".to_owned()
    }

    fn decode(_: Option<&Object<'_>>) -> Result<Self, RpcError> {
        Ok(Self)
    }
}

/// The queue between capture and store.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WriteQueueStats {
    /// Whether writes are batched.
    pub enabled: bool,
    /// Messages waiting.
    pub size: i64,
    /// Messages that may wait.
    pub max: i64,
    /// Messages in one transaction at most.
    pub batch_size: i64,
    /// How long a batch waits to fill, in milliseconds.
    pub flush_ms: f64,
    /// How often the queue was full.
    pub overflow_count: i64,
}

/// Percentiles of a window of samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencyStats {
    /// Samples in the window.
    pub count: i64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// How often a handler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandlerStats {
    /// Calls.
    pub calls: i64,
    /// Calls that could not be dealt with ([`RpcError::is_fault`]).
    pub errors: i64,
}

/// What the capture of messages did since the registry started (an addition of ours, section 0.10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureStats {
    /// `jetstream` or `core`.
    pub mode: String,
    /// Messages stored.
    pub stored: i64,
    /// Messages whose id was in the history already.
    pub duplicates: i64,
    /// Messages that the database refused.
    pub refused: i64,
    /// Bodies that are no messages.
    pub ignored: i64,
    /// Messages in the stream that are not stored yet.
    pub lag: i64,
    /// On a NATS cluster: messages that were stored past the stream because it may lack them. Those that it had as well are
    /// among the `duplicates`.
    pub recovered: i64,
}

/// The registry's counters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsReply {
    /// When.
    pub generated_at: String,
    /// Which registry.
    pub server_id: String,
    /// Samples that percentiles are taken over.
    pub window_size: i64,
    /// Whether a database keeps the history.
    pub store_enabled: bool,
    /// The write queue.
    pub db_write_queue: WriteQueueStats,
    /// By name.
    pub latency_ms: BTreeMap<String, LatencyStats>,
    /// By name.
    pub handlers: BTreeMap<String, HandlerStats>,
    /// `sqlite` or `postgres`; absent from the original registry.
    pub store_backend: Option<String>,
    /// Live sessions; absent from the original registry.
    pub online_sessions: Option<i64>,
    /// Absent from the original registry.
    pub capture: Option<CaptureStats>,
    /// The version of the registry's program; absent from the original registry.
    pub version: Option<String>,
}

impl Reply for MetricsReply {
    const MEMBERS: &'static [&'static str] = &["latency_ms", "handlers"];

    fn encode(&self) -> String {
        let queue = &self.db_write_queue;
        let mut queue_out = ObjectWriter::new();
        queue_out
            .bool("enabled", queue.enabled)
            .int("size", queue.size)
            .int("max", queue.max)
            .int("batch_size", queue.batch_size)
            .float("flush_ms", queue.flush_ms)
            .int("overflow_count", queue.overflow_count);
        let mut latency = ObjectWriter::new();
        for (name, stats) in &self.latency_ms {
            let mut one = ObjectWriter::new();
            one.int("count", stats.count)
                .float("p50", stats.p50)
                .float("p95", stats.p95)
                .float("p99", stats.p99);
            latency.raw(name, &one.finish());
        }
        let mut handlers = ObjectWriter::new();
        for (name, stats) in &self.handlers {
            let mut one = ObjectWriter::new();
            one.int("calls", stats.calls).int("errors", stats.errors);
            handlers.raw(name, &one.finish());
        }
        let mut out = ObjectWriter::new();
        out.text("generated_at", &self.generated_at)
            .text("server_id", &self.server_id)
            .int("window_size", self.window_size)
            .bool("store_enabled", self.store_enabled)
            .raw("db_write_queue", &queue_out.finish())
            .raw("latency_ms", &latency.finish())
            .raw("handlers", &handlers.finish())
            .opt_text("store_backend", self.store_backend.as_deref());
        if let Some(sessions) = self.online_sessions {
            out.int("online_sessions", sessions);
        }
        if let Some(capture) = &self.capture {
            let mut one = ObjectWriter::new();
            one.text("mode", &capture.mode)
                .int("stored", capture.stored)
                .int("duplicates", capture.duplicates)
                .int("refused", capture.refused)
                .int("ignored", capture.ignored)
                .int("lag", capture.lag)
                .int("recovered", capture.recovered);
            out.raw("capture", &one.finish());
        }
        out.opt_text("version", self.version.as_deref());
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let members = |name: &str| {
            object
                .get(name)
                .as_object()
                .map(|object| object.unique())
                .unwrap_or_default()
        };
        let queue = object.get("db_write_queue").as_object();
        let in_queue = |name: &str| queue.as_ref().map_or(0, |queue| count(queue.get(name)));
        Ok(Self {
            generated_at: owned(object.get("generated_at")),
            server_id: owned(object.get("server_id")),
            window_size: count(object.get("window_size")),
            store_enabled: object.get("store_enabled").is_truthy(),
            db_write_queue: WriteQueueStats {
                enabled: queue.as_ref().is_some_and(|queue| queue.get("enabled").is_truthy()),
                size: in_queue("size"),
                max: in_queue("max"),
                batch_size: in_queue("batch_size"),
                flush_ms: queue
                    .as_ref()
                    .and_then(|queue| float(queue.get("flush_ms")))
                    .unwrap_or(0.0),
                overflow_count: in_queue("overflow_count"),
            },
            latency_ms: members("latency_ms")
                .into_iter()
                .filter_map(|(name, value)| {
                    let stats = value.as_object()?;
                    let percentile = |name| float(stats.get(name)).unwrap_or(0.0);
                    Some((
                        owned(name),
                        LatencyStats {
                            count: count(stats.get("count")),
                            p50: percentile("p50"),
                            p95: percentile("p95"),
                            p99: percentile("p99"),
                        },
                    ))
                })
                .collect(),
            handlers: members("handlers")
                .into_iter()
                .filter_map(|(name, value)| {
                    let stats = value.as_object()?;
                    Some((
                        owned(name),
                        HandlerStats {
                            calls: count(stats.get("calls")),
                            errors: count(stats.get("errors")),
                        },
                    ))
                })
                .collect(),
            store_backend: super::opt_owned(object.get("store_backend")),
            version: super::opt_owned(object.get("version")),
            online_sessions: object
                .get("online_sessions")
                .int()
                .ok()
                .flatten()
                .and_then(|n| i64::try_from(n).ok()),
            capture: object.get("capture").as_object().map(|capture| CaptureStats {
                mode: owned(capture.get("mode")),
                stored: count(capture.get("stored")),
                duplicates: count(capture.get("duplicates")),
                refused: count(capture.get("refused")),
                ignored: count(capture.get("ignored")),
                lag: count(capture.get("lag")),
                recovered: count(capture.get("recovered")),
            }),
        })
    }
}
