//! A node's counters in Prometheus' text format.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::MetricsSnapshot;

impl MetricsSnapshot {
    /// In Prometheus' text format 0.0.4, for a program that serves its own metrics. Every name begins with `agentnet_node_`,
    /// every sample has the label `agent_id`. A page holds the text of one node: two would tell the types twice.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let labels = [("agent_id".into(), self.agent_id.clone().into())];
        let mut registry = Registry::with_prefix_and_labels("agentnet_node", labels.into_iter());
        registry.register_collector(Box::new(Page(self.clone())));
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = prometheus_text::encode(&mut text, &registry);
        text
    }
}

#[derive(Debug)]
struct Page(MetricsSnapshot);

type Pairs<'a, const N: usize> = [(&'static str, &'a str); N];

impl Collector for Page {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let node = &self.0;
        encode_info(node, &mut out)?;
        encode_gauges(node, &mut out)?;
        encode_counters(node, &mut out)?;
        encode_rejections(node, &mut out)?;
        encode_times(node, &mut out)
    }
}

/// Which agent this is.
fn encode_info(node: &MetricsSnapshot, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    let (username, account_id) = (of(&node.username), of(&node.account_id));
    out.encode_descriptor("build", "Which agent this is, always 1", None, MetricType::Info)?
        .encode_info(&[
            ("username", username.as_str()),
            ("account_id", &account_id),
            ("version", env!("CARGO_PKG_VERSION")),
        ])?;
    Ok(())
}

/// The state of the node.
fn encode_gauges(node: &MetricsSnapshot, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            "running",
            "Whether the node is on the network",
            u64::from(node.session_tag.is_some()),
        ),
        ("inflight", "Handlers running", node.inflight_count),
        ("pending", "Accepted messages waiting for a handler", node.pending_count),
        (
            "circuit_open",
            "Whether the circuit breaker refuses messages",
            u64::from(node.circuit_open),
        ),
        (
            "username_cache_entries",
            "Usernames that are remembered",
            node.username_cache.size,
        ),
    ] {
        out.encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)?;
    }
    Ok(())
}

/// What the node has counted.
fn encode_counters(node: &MetricsSnapshot, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            "messages_processed",
            "Messages handled without failure",
            node.processed_count,
        ),
        (
            "messages_refused",
            "Messages refused, for whatever reason",
            node.dropped_count,
        ),
        (
            "messages_handled",
            "Handlers that ended, well or not",
            node.handled_count,
        ),
        ("handler_timeouts", "Handlers that took too long", node.timeout_count),
        ("handler_errors", "Handlers that failed", node.error_count),
        ("send_retries", "Sends that were repeated", node.retry_count),
        (
            "receipt_timeouts",
            "Receipts that did not come in time",
            node.receipt_timeout_count,
        ),
        (
            "receipts_refused",
            "Receipts that their sender has not signed",
            node.refused_receipt_count,
        ),
        (
            "replies_refused",
            "Replies that the account asked has not signed",
            node.refused_reply_count,
        ),
        (
            "username_cache_hits",
            "Look-ups that the cache answered",
            node.username_cache.hits,
        ),
        (
            "username_cache_misses",
            "Look-ups that went to the registry",
            node.username_cache.misses,
        ),
    ] {
        counter(out, name, help, value)?;
    }
    Ok(())
}

/// Refused messages by reason.
fn encode_rejections(node: &MetricsSnapshot, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut reasons = out.encode_descriptor(
        "messages_refused_by_reason",
        "Messages refused, those with a counter of their own",
        None,
        MetricType::Counter,
    )?;
    for (reason, count) in [
        ("rate_limited", node.rate_limited_count),
        ("expired", node.expired_count),
        ("unacceptable", node.payload_rejected_count),
        ("duplicate", node.duplicate_count),
        ("busy", node.busy_count),
    ] {
        let labels: Pairs<'_, 1> = [("reason", reason)];
        reasons.encode_family(&labels)?.encode_counter(&count, NO_EXEMPLAR)?;
    }
    Ok(())
}

/// The time in handlers, and percentiles of the last calls.
fn encode_times(node: &MetricsSnapshot, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    counter(
        out,
        "handling_seconds",
        "Time in handlers",
        node.handled_time.as_secs_f64(),
    )?;
    let mut latency = out.encode_descriptor(
        "recent_seconds",
        "Percentiles of the last calls: sends until their receipt, requests until their reply, resolving usernames",
        None,
        MetricType::Gauge,
    )?;
    for (operation, stats) in [
        ("send_account", &node.send_account),
        ("request_account", &node.request_account),
        ("resolve_username", &node.resolve_username),
    ] {
        for (quantile, millis) in [("0.5", stats.p50), ("0.95", stats.p95), ("0.99", stats.p99)] {
            if stats.count > 0 {
                let labels: Pairs<'_, 2> = [("operation", operation), ("quantile", quantile)];
                latency.encode_family(&labels)?.encode_gauge(&(millis / 1000.0))?;
            }
        }
    }
    Ok(())
}

const NO_EXEMPLAR: Option<&Exemplar<Pairs<'static, 0>, f64>> = None;

fn counter(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl prometheus_client::encoding::EncodeCounterValue,
) -> fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter(&value, NO_EXEMPLAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LatencySnapshot;

    #[test]
    fn every_figure_has_its_line() {
        let snapshot = MetricsSnapshot {
            agent_id: "a\"b\\c\nd".to_owned(),
            username: Some("bob".to_owned()),
            session_tag: Some("s".to_owned()),
            processed_count: 7,
            dropped_count: 3,
            busy_count: 2,
            handled_time: std::time::Duration::from_millis(1500),
            send_account: LatencySnapshot {
                count: 4,
                p50: 12.0,
                p95: 20.0,
                p99: 25.0,
            },
            ..MetricsSnapshot::default()
        };
        let text = snapshot.to_prometheus();
        let own = r#"agent_id="a\"b\\c\nd""#;
        for line in [
            format!("agentnet_node_messages_processed_total{{{own}}} 7"),
            format!("agentnet_node_messages_refused_total{{{own}}} 3"),
            format!("agentnet_node_messages_refused_by_reason_total{{{own},reason=\"busy\"}} 2"),
            format!("agentnet_node_handling_seconds_total{{{own}}} 1.5"),
            format!("agentnet_node_running{{{own}}} 1"),
            format!("agentnet_node_recent_seconds{{{own},operation=\"send_account\",quantile=\"0.95\"}} 0.02"),
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in {text}");
        }
        assert!(!text.contains("resolve_username"), "nothing was resolved: {text}");
    }
}
