//! A NATS connection that only observes messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::ConnectError;
use agentnet_protocol::url::{Login, NatsUrl};
use async_nats::{Client, ConnectOptions, Event};

use crate::exit::Failure;
use crate::failures::connect_failure;

/// Connects as the SDK does, but with a bounded queue for each subscription, so that observed messages do not fill the
/// memory. Callers connect with the SDK first, which reports refused credentials.
pub(crate) async fn connect(url: &NatsUrl, name: &str, queue_capacity: usize) -> Result<Client, Failure> {
    let connected = Arc::new(AtomicBool::new(false));
    let options = || {
        let so_far = Arc::clone(&connected);
        let options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(url.inbox_prefix())
            .connection_timeout(url.attempt_timeout())
            .subscription_capacity(queue_capacity)
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempt| match so_far.load(Ordering::Relaxed) {
                // The client also calls this before its first attempts, which need no delay.
                false => Duration::ZERO,
                true => Duration::from_millis(100).saturating_mul(1 << attempt.min(3)),
            })
            .event_callback(|event| {
                // Without permission to subscribe, no messages come; the log must say why.
                if let Event::ServerError(error) = event {
                    tracing::warn!("{error}");
                }
                std::future::ready(())
            });
        match url.login() {
            Login::None => options,
            Login::Token(token) => options.token(token.clone()),
            Login::User { name, password } => options.user_and_password(name.clone(), password.clone()),
        }
    };
    let unreachable = |why: String| {
        connect_failure(ConnectError::Unreachable {
            url: url.redacted(),
            why,
        })
    };
    let timeout = url.connect_timeout();
    match tokio::time::timeout(timeout, agentnet::dial(url, options)).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", timeout.as_secs()))),
        Ok(result) => {
            connected.store(true, Ordering::Relaxed);
            result.map_err(|error| unreachable(error.to_string()))
        }
    }
}
