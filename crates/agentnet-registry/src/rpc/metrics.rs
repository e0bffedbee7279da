//! `registry.metrics` (PROTOCOL.md section 6).

use std::sync::Arc;

use agentnet_protocol::rpc::{
    CaptureStats, MetricsReply, MetricsRequest, Reply as _, Request as _, RpcError, WriteQueueStats,
};

use crate::clock::now_text;
use crate::context::Context;

/// The registry's counters. Everything is in memory: asking costs the store nothing.
pub(super) fn metrics(ctx: &Arc<Context>) -> Result<String, RpcError> {
    let (config, metrics) = (&ctx.config, &ctx.metrics);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut handlers = metrics.handlers();
    // This call is one of them.
    handlers.entry(MetricsRequest::NAME.to_owned()).or_default().calls += 1;
    Ok(MetricsReply {
        generated_at: now_text(),
        server_id: config.server_id.clone(),
        window_size: count(config.metrics_window_size),
        store_enabled: true,
        db_write_queue: WriteQueueStats {
            enabled: config.db_write_batch_enabled,
            size: count(ctx.capture.queue.len()),
            max: count(config.db_write_queue_max),
            batch_size: count(config.db_write_batch_size),
            flush_ms: config.db_write_flush.as_secs_f64() * 1000.0,
            overflow_count: metrics.overflow.get() + i64::try_from(ctx.dropped()).unwrap_or(i64::MAX),
        },
        latency_ms: metrics.latencies(),
        handlers,
        store_backend: Some(ctx.store.backend().to_owned()),
        online_sessions: Some(count(ctx.presence.len())),
        capture: Some(CaptureStats {
            mode: ctx.capture.mode.to_string(),
            stored: metrics.stored.get(),
            duplicates: metrics.duplicates.get(),
            refused: metrics.refused.get(),
            ignored: metrics.ignored.get(),
            lag: metrics.lag.get(),
            recovered: metrics.recovered.get(),
        }),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    }
    .encode())
}
