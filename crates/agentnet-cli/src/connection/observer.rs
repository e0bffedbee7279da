//! A connection to look at what passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet::ConnectError;
use agentnet_protocol::url::{Login, NatsUrl};
use async_nats::{Client, ConnectOptions, Event};

use crate::exit::Failure;
use crate::failures::connect_failure;

/// As the SDK connects, but with short queues: on each subscription so many messages may wait, for what is only looked at
/// must not fill the memory. Another connection was made already: credentials that are refused are told by that one.
pub(crate) async fn connect(url: &NatsUrl, name: &str, waiting: usize) -> Result<Client, Failure> {
    let connected = Arc::new(AtomicBool::new(false));
    let options = || {
        let so_far = Arc::clone(&connected);
        let options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(url.inbox_prefix())
            .connection_timeout(url.attempt_timeout())
            .subscription_capacity(waiting)
            .max_reconnects(None)
            .reconnect_delay_callback(move |attempt| match so_far.load(Ordering::Relaxed) {
                // The client asks before its first attempts too, and nobody is to wait for those.
                false => Duration::ZERO,
                true => Duration::from_millis(100).saturating_mul(1 << attempt.min(3)),
            })
            .event_callback(|event| {
                // Without the right to hear something this only waits, and looks as if nothing was said.
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
    let patience = url.connect_timeout();
    match tokio::time::timeout(patience, agentnet::dial(url, options)).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", patience.as_secs()))),
        Ok(result) => {
            connected.store(true, Ordering::Relaxed);
            result.map_err(|error| unreachable(error.to_string()))
        }
    }
}
