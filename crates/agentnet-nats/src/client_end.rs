//! When a client has ended for good.

use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Event;
use tokio_util::sync::CancellationToken;

/// Cancels a token when the client that holds it has ended for good: every handle on the client was dropped, or its task has
/// panicked over what it was sent.
///
/// The event callback of the client owns it and passes every event to [`ClientEnd::on_event`]. An attempt that never came to a
/// connection cancels nothing.
#[derive(Debug)]
pub struct ClientEnd {
    connected: AtomicBool,
    ended: CancellationToken,
}

impl ClientEnd {
    /// Cancels `ended` at the end of the client.
    #[must_use]
    pub const fn new(ended: CancellationToken) -> Self {
        Self {
            connected: AtomicBool::new(false),
            ended,
        }
    }

    /// Takes notice of an event.
    pub fn on_event(&self, event: &Event) {
        if let Event::Connected = event {
            self.connected.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        if *self.connected.get_mut() {
            self.ended.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_was_connected_ends() {
        for (event, is_cancelled) in [
            (None, false),
            (Some(Event::Disconnected), false),
            (Some(Event::Connected), true),
        ] {
            let ended = CancellationToken::new();
            let end = ClientEnd::new(ended.clone());
            if let Some(event) = &event {
                end.on_event(event);
            }
            assert!(!ended.is_cancelled(), "{event:?}");
            drop(end);
            assert_eq!(ended.is_cancelled(), is_cancelled, "{event:?}");
        }
    }
}
