//! A NATS connection that only observes messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::ConnectError;
use agentnet_nats::{Backoff, NatsUrl};
use async_nats::{Client, Event};

use crate::exit::Failure;
use crate::failures::connect_failure;

/// Delays between attempts to reconnect.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_millis(800));

/// Connects as the SDK does, but with a bounded queue for each subscription, so that observed messages do not fill the
/// memory. Callers connect with the SDK first, which reports refused credentials.
pub(crate) async fn connect(url: &NatsUrl, name: &str, queue_capacity: usize) -> Result<Client, Failure> {
    let connected = Arc::new(AtomicBool::new(false));
    let options = || {
        let so_far = Arc::clone(&connected);
        agentnet_nats::options(url, name)
            .subscription_capacity(queue_capacity)
            .reconnect_delay_callback(move |attempt| match so_far.load(Ordering::Relaxed) {
                // The client calls this before its first attempts too, which must not be delayed.
                false => Duration::ZERO,
                true => RECONNECT.delay_of(attempt),
            })
            .event_callback(|event| {
                // Without permission to subscribe, no messages come; the log must say why.
                if let Event::ServerError(error) = event {
                    tracing::warn!("{error}");
                }
                std::future::ready(())
            })
    };
    let unreachable = |why: String| {
        connect_failure(ConnectError::Unreachable {
            url: url.redacted(),
            why,
        })
    };
    let connect_timeout = url.connect_timeout();
    match tokio::time::timeout(connect_timeout, agentnet_nats::dial(url, options)).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", connect_timeout.as_secs()))),
        Ok(result) => {
            connected.store(true, Ordering::Relaxed);
            result.map_err(|error| unreachable(error.to_string()))
        }
    }
}
