//! The registry's metrics (PROTOCOL.md section 6, `metrics`).

mod mailbox;
mod mailbox_page;
pub(crate) mod page;
mod tasks;
mod tasks_page;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use agentnet_protocol::percentile::Percentiles;
use agentnet_protocol::rpc::{HandlerStats, LatencyStats};
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::histogram::Histogram;

use self::mailbox::MailboxMetrics;
use self::tasks::TaskMetrics;

/// Latencies by name, calls by handler, and the capture's counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    window: usize,
    samples: Mutex<BTreeMap<&'static str, Samples>>,
    handlers: Mutex<BTreeMap<&'static str, HandlerStats>>,
    pub(crate) stored: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) refused: Counter,
    pub(crate) ignored: Counter,
    /// Messages that the standby handed to the store.
    pub(crate) recovered: Counter,
    /// How often the queue between capture and store was full.
    pub(crate) overflow: Counter,
    /// Messages in the stream that are not stored yet.
    pub(crate) lag: Counter,
    /// Whether the consumer that hands the stream to the registries is paused.
    pub(crate) is_paused: AtomicBool,
    /// Announcements that were not read: too long, or too many without proof.
    pub(crate) announcements_dropped: Counter,
    pub(crate) mailbox: MailboxMetrics,
    pub(crate) tasks: TaskMetrics,
}

/// Durations under one name: the last ones for percentiles, in milliseconds; all of them for Prometheus, in seconds.
#[derive(Debug)]
struct Samples {
    window: VecDeque<f64>,
    all: Histogram,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            window: VecDeque::new(),
            all: Histogram::new(BUCKETS),
        }
    }
}

/// Upper bounds, in seconds: from a lookup in memory to a call that timed out.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A counter that many tasks share.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicI64);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0
            .fetch_add(i64::try_from(more).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The value, never below zero.
    pub(crate) fn total(&self) -> u64 {
        u64::try_from(self.get()).unwrap_or_default()
    }
}

impl Metrics {
    /// Percentiles are taken over the last `window` samples of a name.
    pub(crate) fn new(window: usize) -> Self {
        Self {
            window,
            samples: Mutex::default(),
            handlers: Mutex::default(),
            stored: Counter::default(),
            duplicates: Counter::default(),
            refused: Counter::default(),
            ignored: Counter::default(),
            recovered: Counter::default(),
            overflow: Counter::default(),
            lag: Counter::default(),
            is_paused: AtomicBool::default(),
            announcements_dropped: Counter::default(),
            mailbox: MailboxMetrics::default(),
            tasks: TaskMetrics::default(),
        }
    }

    /// Notes how long something took.
    pub(crate) fn sample(&self, name: &'static str, took: Duration) {
        let mut samples = lock(&self.samples);
        let Samples { window, all } = samples.entry(name).or_default();
        all.observe(took.as_secs_f64());
        if window.len() == self.window {
            window.pop_front();
        }
        window.push_back(took.as_secs_f64() * 1000.0);
    }

    /// Notes a handler's call. `names` are its own name and that of its latency.
    pub(crate) fn handled(&self, names: (&'static str, &'static str), since: Instant, failed: bool) {
        self.sample(names.1, since.elapsed());
        let mut handlers = lock(&self.handlers);
        let stats = handlers.entry(names.0).or_default();
        stats.calls += 1;
        stats.errors += i64::from(failed);
    }

    pub(crate) fn latencies(&self) -> BTreeMap<String, LatencyStats> {
        let windows: Vec<(&'static str, Vec<f64>)> = lock(&self.samples)
            .iter()
            .map(|(name, samples)| (*name, samples.window.iter().copied().collect()))
            .collect();
        windows
            .into_iter()
            .map(|(name, samples)| {
                let figures = Percentiles::of(&samples);
                let count = i64::try_from(figures.count).unwrap_or(i64::MAX);
                (
                    name.to_owned(),
                    LatencyStats {
                        count,
                        p50: figures.p50,
                        p95: figures.p95,
                        p99: figures.p99,
                    },
                )
            })
            .collect()
    }

    /// The durations since the start, by name.
    pub(crate) fn histograms(&self) -> BTreeMap<&'static str, Histogram> {
        let samples = lock(&self.samples);
        samples
            .iter()
            .map(|(name, samples)| (*name, samples.all.clone()))
            .collect()
    }

    pub(crate) fn handlers(&self) -> BTreeMap<String, HandlerStats> {
        lock(&self.handlers)
            .iter()
            .map(|(name, stats)| ((*name).to_owned(), *stats))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_the_last_samples() {
        let metrics = Metrics::new(3);
        for millis in [1, 2, 3, 4] {
            metrics.sample("handler.list", Duration::from_millis(millis));
        }
        let latency = metrics.latencies();
        assert_eq!(latency.keys().collect::<Vec<_>>(), ["handler.list"]);
        assert_eq!((latency["handler.list"].count, latency["handler.list"].p50), (3, 3.0));
    }

    #[test]
    fn calls_and_errors_are_counted_by_handler() {
        let metrics = Metrics::new(32);
        metrics.handled(("list", "handler.list"), Instant::now(), false);
        metrics.handled(("list", "handler.list"), Instant::now(), true);
        assert_eq!(metrics.handlers()["list"], HandlerStats { calls: 2, errors: 1 });
        assert_eq!(metrics.latencies()["handler.list"].count, 2);
    }
}
