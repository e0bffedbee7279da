//! The metrics of tasks over HTTP.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::metrics::Metrics;

type Labels<'a> = [(&'static str, &'a str); 1];
const NO_EXEMPLAR: Option<&Exemplar<[(&'static str, &'static str); 0], f64>> = None;

/// The counters of tasks; those of the tasks that are there now are a few seconds old.
pub(super) struct TaskCollector(pub(super) Arc<Metrics>);

impl fmt::Debug for TaskCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCollector").finish_non_exhaustive()
    }
}

impl Collector for TaskCollector {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let tasks = &self.0.tasks;
        let mut states = out.encode_descriptor("tasks", "Tasks by state", None, MetricType::Gauge)?;
        for (state, count) in tasks.counts() {
            let labels: Labels<'_> = [("state", state)];
            states.encode_family(&labels)?.encode_gauge(&count)?;
        }
        let mut events = out.encode_descriptor(
            "task_events",
            "Events of tasks that this registry has caused",
            None,
            MetricType::Counter,
        )?;
        for (kind, count) in tasks.events() {
            let labels: Labels<'_> = [("type", kind)];
            events.encode_family(&labels)?.encode_counter(&count, NO_EXEMPLAR)?;
        }
        Ok(())
    }
}
