//! The registry's metrics and health over HTTP, for Prometheus and other monitoring.
//!
//! The counters are those of the `metrics` call, since the start of this registry; the names are listed in
//! docs/OPERATIONS.md.

use std::fmt;
use std::sync::Arc;

use agentnet_metrics_http::Source;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::context::Context;
use crate::health::{self, Health, store_problem};
use crate::metrics::Metrics;
use crate::metrics::mailbox_page::MailboxCollector;
use crate::metrics::tasks_page::TaskCollector;

/// The pages `/metrics` and `/healthz`.
pub(crate) struct Page(pub(crate) Arc<Context>);

impl Source for Page {
    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("agentnet_registry");
        registry.register_collector(Box::new(RegistryCollector(Arc::clone(&self.0))));
        let mut mailboxes = Registry::with_prefix("agentnet_mailbox");
        mailboxes.register_collector(Box::new(MailboxCollector(Arc::clone(&self.0.metrics))));
        let mut tasks = Registry::with_prefix("agentnet");
        tasks.register_collector(Box::new(TaskCollector(Arc::clone(&self.0.metrics))));
        let mut text = String::new();
        for registry in [registry, mailboxes, tasks] {
            // Writing to a `String` does not fail.
            let _ = prometheus_text::encode(&mut text, &registry);
        }
        text
    }

    /// A registry is healthy if it is connected to NATS and has no [`Health::problem`].
    async fn health(&self) -> Result<(), String> {
        let ctx = &self.0;
        if !ctx.is_connected() {
            return Err("no connection to NATS".to_owned());
        }
        let health = Health {
            store_problem: store_problem(ctx).await,
            ..health::without_store(ctx)
        };
        health.problem().map_or(Ok(()), Err)
    }
}

struct RegistryCollector(Arc<Context>);

impl fmt::Debug for RegistryCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCollector").finish_non_exhaustive()
    }
}

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];
const NO_EXEMPLAR: Option<&Exemplar<Labels<'static, 0>, f64>> = None;

impl Collector for RegistryCollector {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let ctx = &*self.0;
        let health = health::without_store(ctx);
        encode_build(ctx, &mut out)?;
        for (name, help, value) in gauges(ctx, &health) {
            out.encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        for (name, help, value) in counters(ctx) {
            out.encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter(&value, NO_EXEMPLAR)?;
        }
        encode_handlers(&ctx.metrics, &mut out)?;
        encode_durations(&ctx.metrics, &mut out)
    }
}

/// Name, help text and value.
type Sample = (&'static str, &'static str, u64);

fn encode_build(ctx: &Context, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mode = ctx.capture.mode.to_string();
    out.encode_descriptor("build", "Which registry this is, always 1", None, MetricType::Info)?
        .encode_info(&[
            ("server_id", ctx.config.server_id.as_str()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("store", ctx.store.backend()),
            ("capture", &mode),
        ])
}

fn gauges(ctx: &Context, health: &Health) -> Vec<Sample> {
    let verified = health.registries.iter().filter(|peer| peer.verified).count();
    let mut gauges = vec![
        ("online_sessions", "Sessions that are online", count(ctx.presence.len())),
        (
            "nats_connected",
            "Whether there is a connection to NATS",
            u64::from(ctx.is_connected()),
        ),
        (
            "store_up",
            "Whether the store answers, and took the last messages",
            u64::from(ctx.database.is_up() && ctx.database.write_failure().is_none()),
        ),
        ("registries", "Other registries on this database", count(verified)),
        (
            "other_databases",
            "Other registries that say that they use another database",
            count(health.other_databases().count()),
        ),
        (
            "same_server_id",
            "Other registries that have this one's server id",
            count(health.same_server_id().count()),
        ),
        (
            "capture_lag",
            "Messages in the stream that are not stored yet",
            ctx.metrics.lag.total(),
        ),
        (
            "capture_paused",
            "Whether the consumer of the stream is paused",
            u64::from(health.is_paused),
        ),
        (
            "write_queue_messages",
            "Messages that wait in memory to be stored",
            count(ctx.capture.queue.len()),
        ),
        (
            "write_queue_limit",
            "How many may wait",
            count(ctx.config.db_write_queue_max),
        ),
    ];
    if let Some(space) = health.disk_space {
        gauges.push(("store_free_bytes", "Free bytes on the disk of the database", space.free));
    }
    gauges
}

fn counters(ctx: &Context) -> [Sample; 8] {
    let metrics = &ctx.metrics;
    [
        ("capture_stored", "Messages stored", metrics.stored.total()),
        (
            "capture_duplicates",
            "Messages that were known already",
            metrics.duplicates.total(),
        ),
        (
            "capture_refused",
            "Messages that the store refused",
            metrics.refused.total(),
        ),
        (
            "capture_recovered",
            "Messages stored past the stream because it may lack them",
            metrics.recovered.total(),
        ),
        (
            "capture_ignored",
            "What was captured and is no message",
            metrics.ignored.total(),
        ),
        (
            "write_queue_overflows",
            "How often the write queue was full",
            metrics.overflow.total(),
        ),
        (
            "announcements_dropped",
            "Announcements of other registries, or of who pretends to be one, that were not read",
            metrics.announcements_dropped.total(),
        ),
        (
            "dropped",
            "Messages lost because they were not read in time",
            ctx.dropped(),
        ),
    ]
}

fn encode_handlers(metrics: &Metrics, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let handlers = metrics.handlers();
    for (name, help, errors) in [
        ("calls", "Calls of a handler", false),
        ("call_errors", "Calls that could not be dealt with", true),
    ] {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (handler, stats) in &handlers {
            let value = if errors { stats.errors } else { stats.calls };
            let labels: Labels<'_, 1> = [("handler", handler)];
            let value = u64::try_from(value).unwrap_or_default();
            family.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
        }
    }
    Ok(())
}

fn encode_durations(metrics: &Metrics, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = out.encode_descriptor(
        "duration_seconds",
        "How long handlers and writes to the store took, by the names of the metrics call",
        None,
        MetricType::Histogram,
    )?;
    for (name, histogram) in metrics.histograms() {
        let labels: Labels<'_, 1> = [("name", name)];
        histogram.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
