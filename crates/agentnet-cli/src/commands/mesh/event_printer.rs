//! Prints what happens to messages in a thread of its own: whoever reads stdout may stop reading, and neither the agents nor
//! signals wait for that.

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use agentnet_mesh::host::HostEvent;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::output::log_block::{BlockLog, LogBlock};

/// Events that may wait to be printed. Those beyond are not printed.
const QUEUE_CAPACITY: usize = 256;
/// How long the end of the program waits until the last events are printed.
const LAST_EVENTS_TIMEOUT: Duration = Duration::from_secs(1);

/// Prints events in their order.
pub(super) struct EventPrinter {
    queue: SyncSender<HostEvent>,
    printed: oneshot::Receiver<()>,
    dropped: u64,
}

impl EventPrinter {
    /// Prints something first, then events. When the reader of the output has gone, nothing is printed any more.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        print_first: impl FnOnce() -> io::Result<()> + Send + 'static,
        log: BlockLog,
    ) -> io::Result<Self> {
        let (queue, events) = sync_channel::<HostEvent>(QUEUE_CAPACITY);
        let (ended, printed) = oneshot::channel();
        thread::Builder::new().name("mesh-printer".to_owned()).spawn(move || {
            let mut prints = print_first().is_ok();
            for event in events {
                prints = prints && print(&event, log).is_ok();
            }
            // Nobody waits where the program ends by a failure.
            let _ = ended.send(());
        })?;
        Ok(Self {
            queue,
            printed,
            dropped: 0,
        })
    }

    /// Hands an event to the printing thread.
    pub(super) fn print(&mut self, event: HostEvent) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(event) {
            if self.dropped == 0 {
                tracing::warn!("stdout is read too slowly: messages are left out of it, and answered all the same");
            }
            self.dropped += 1;
        }
    }

    /// Waits until everything is printed, for a second at most.
    pub(super) async fn finish(self) {
        drop(self.queue);
        if timeout(LAST_EVENTS_TIMEOUT, self.printed).await.is_err() {
            tracing::warn!("the last messages are not printed: stdout is not read");
        }
        if self.dropped > 0 {
            tracing::warn!(dropped = self.dropped, "messages were left out of stdout");
        }
    }
}

/// Prints a message that an agent got, or what became of it.
fn print(event: &HostEvent, log: BlockLog) -> io::Result<()> {
    let seconds = |time: &Duration| format!("{:.1}", time.as_secs_f64());
    let (agent, label, message, time, text) = match event {
        HostEvent::Received { agent, message } => {
            let text = message.text().unwrap_or_else(|| message.payload().get().to_owned());
            (agent, "RECV", message, String::new(), text)
        }
        HostEvent::Answered {
            agent,
            message,
            text,
            time,
        } => (agent, "SEND", message, seconds(time), text.clone()),
        HostEvent::Failed {
            agent,
            message,
            code,
            detail,
            time,
        } => (agent, "ERROR", message, seconds(time), format!("{code}: {detail}")),
        _ => return Ok(()),
    };
    let facts = [
        ("peer", &*message.from_agent),
        ("kind", &*message.kind),
        ("thread", message.thread_id.as_deref().unwrap_or_default()),
        ("trace", message.trace_id.as_deref().unwrap_or_default()),
        ("seconds", time.as_str()),
    ];
    let facts: Vec<_> = facts
        .into_iter()
        .filter(|(_, value): &(&str, &str)| !value.is_empty())
        .collect();
    log.print(&LogBlock {
        role: agent,
        label,
        turn: None,
        facts: &facts,
        text: &text,
    })
}
