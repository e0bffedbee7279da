//! `metrics` (PROTOCOL.md section 6).

use std::collections::BTreeMap;

use super::record::{Nested, Omitted, record, reply};
use super::{Request, RpcError};
use crate::json::Object;

/// `registry.metrics`; the body is ignored.
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

record! {
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
}

record! {
    /// Percentiles of a window of samples, in milliseconds.
    #[derive(Debug, Clone, Copy, PartialEq, Default)]
    pub struct LatencyStats {
        /// Samples in the window.
        pub count: i64,
        /// 50th percentile (median).
        pub p50: f64,
        /// 95th percentile.
        pub p95: f64,
        /// 99th percentile.
        pub p99: f64,
    }
}

record! {
    /// Calls of a handler.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct HandlerStats {
        /// Number of calls, failed ones included.
        pub calls: i64,
        /// Calls that failed ([`RpcError::is_fault`]).
        pub errors: i64,
    }
}

record! {
    /// Counters of the capture since the registry started (an addition to the Python protocol, section 0.10).
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
}

record! {
    /// The registry's counters.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub struct MetricsReply {
        /// Time of the reply, UTC.
        pub generated_at: String,
        /// Server id of the registry that replies.
        pub server_id: String,
        /// Samples that percentiles are taken over.
        pub window_size: i64,
        /// Whether a database keeps the history.
        pub store_enabled: bool,
        /// The write queue.
        pub db_write_queue: WriteQueueStats as Nested,
        /// By name.
        pub latency_ms: BTreeMap<String, LatencyStats>,
        /// By name.
        pub handlers: BTreeMap<String, HandlerStats>,
        /// `sqlite` or `postgres`; absent from the Python registry.
        pub store_backend: Option<String> as Omitted,
        /// Live sessions; absent from the Python registry.
        pub online_sessions: Option<i64>,
        /// Absent from the Python registry.
        pub capture: Option<CaptureStats>,
        /// The version of the registry's program; absent from the Python registry.
        pub version: Option<String> as Omitted,
    }
}

reply!(MetricsReply, ["latency_ms", "handlers"]);
