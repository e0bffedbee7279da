//! Events of `tracing` for Python's `logging`.
//!
//! Events go into a bounded queue, from which one Python thread takes them (`agentnet._logging`). So the runtime's threads do
//! not wait for the interpreter. When the queue is full, events are dropped and counted.

use std::fmt::Write as _;

use agentnet::protocol::preview::visible::{MAX_LOG_VALUE, write_escaped};
use parking_lot::{Condvar, Mutex, MutexGuard};
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// The largest number of events in the queue.
const QUEUE_CAPACITY: usize = 4096;

/// Level as a number of `logging`, the logger's name, the text.
type LogRecord = (u8, String, String);

struct LogQueue {
    records: std::collections::VecDeque<LogRecord>,
    dropped: u64,
    open: bool,
}

static QUEUE: Mutex<LogQueue> = Mutex::new(LogQueue {
    records: std::collections::VecDeque::new(),
    dropped: 0,
    open: false,
});
static FILLED: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, LogQueue> {
    QUEUE.lock()
}

/// Starts to collect events of a level of `logging` or above. False if the process already has another subscriber.
#[pyfunction]
pub(crate) fn open_logs(level: u8) -> bool {
    let collector = Collector {
        least: tracing_level(level),
    };
    let opened = tracing::subscriber::set_global_default(Registry::default().with(collector)).is_ok();
    queue().open = opened;
    opened
}

/// The next record, waiting for it; None when the logs were closed.
#[pyfunction]
pub(crate) fn next_log(py: Python<'_>) -> Option<LogRecord> {
    py.detach(|| {
        let mut queue = queue();
        loop {
            if let Some(record) = queue.records.pop_front() {
                return Some(record);
            }
            if !queue.open {
                return None;
            }
            if queue.dropped > 0 {
                let text = format!("{} log records were dropped", std::mem::take(&mut queue.dropped));
                return Some((30, "agentnet".to_owned(), text));
            }
            FILLED.wait(&mut queue);
        }
    })
}

/// Stops collecting; the records in the queue can still be taken.
#[pyfunction]
pub(crate) fn close_logs() {
    queue().open = false;
    FILLED.notify_all();
}

struct Collector {
    least: Level,
}

impl<S: Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _context: Context<'_, S>) -> bool {
        *metadata.level() <= self.least && metadata.target().starts_with("agentnet")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.least.into())
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut text = EventText::default();
        event.record(&mut text);
        let record = (
            python_level(*metadata.level()),
            metadata.target().replace("::", "."),
            text.message + &text.fields,
        );
        let mut queue = queue();
        if !queue.open {
            return;
        }
        if queue.records.len() < QUEUE_CAPACITY {
            queue.records.push_back(record);
        } else {
            queue.dropped += 1;
        }
        drop(queue);
        FILLED.notify_one();
    }
}

#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    /// Writes one line of bounded length, with control characters escaped.
    fn write(&mut self, field: &Field, value: std::fmt::Arguments<'_>) {
        let out = match field.name() {
            "message" => &mut self.message,
            name => {
                // Writing to a String cannot fail.
                let _ = write!(self.fields, " {name}=");
                &mut self.fields
            }
        };
        let _ = write_escaped(out, MAX_LOG_VALUE, value);
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, format_args!("{value}"));
    }
}

fn python_level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

fn tracing_level(level: u8) -> Level {
    match level {
        0..10 => Level::TRACE,
        10..20 => Level::DEBUG,
        20..30 => Level::INFO,
        30..40 => Level::WARN,
        _ => Level::ERROR,
    }
}
