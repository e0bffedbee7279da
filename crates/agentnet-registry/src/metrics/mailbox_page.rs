//! The metrics of mailboxes over HTTP.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::metrics::Metrics;

type Labels<'a> = [(&'static str, &'a str); 1];
const NO_EXEMPLAR: Option<&Exemplar<[(&'static str, &'static str); 0], f64>> = None;

/// The counters of mailboxes; those of the messages that are there now are a few seconds old.
pub(super) struct MailboxCollector(pub(super) Arc<Metrics>);

impl fmt::Debug for MailboxCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxCollector").finish_non_exhaustive()
    }
}

impl Collector for MailboxCollector {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let mailbox = &self.0.mailbox;
        let counts = mailbox.counts();
        let mut messages = out.encode_descriptor("messages", "Messages in all mailboxes", None, MetricType::Gauge)?;
        for (state, count) in [
            ("queued", counts.queued),
            ("leased", counts.leased),
            ("dead", counts.dead),
        ] {
            let labels: Labels<'_> = [("state", state)];
            messages.encode_family(&labels)?.encode_gauge(&count)?;
        }
        out.encode_descriptor(
            "bytes",
            "Size of the messages in all mailboxes",
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&counts.bytes)?;
        out.encode_descriptor(
            "delivered",
            "Messages delivered from mailboxes",
            None,
            MetricType::Counter,
        )?
        .encode_counter(&mailbox.delivered.total(), NO_EXEMPLAR)?;
        let mut dead = out.encode_descriptor(
            "dead",
            "Messages that were given up: dead letters, and those that expired",
            None,
            MetricType::Counter,
        )?;
        for (code, count) in mailbox.dead() {
            let labels: Labels<'_> = [("code", code)];
            dead.encode_family(&labels)?.encode_counter(&count, NO_EXEMPLAR)?;
        }
        Ok(())
    }
}
