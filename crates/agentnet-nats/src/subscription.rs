//! The end of subscriptions without losing what is on its way.

use std::pin::pin;
use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{Client, Message, Request, Subscriber};
use futures::{FutureExt as _, Stream, StreamExt as _};

/// A message of a connection to itself is back within this time, unless the connection has no echo or the server is busy.
const ECHO_TIME: Duration = Duration::from_millis(250);
/// What nats-server answers to every user, whoever subscribes to it besides.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";
/// How long the end of a subscription may take.
const UNSUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
/// More than the nine digits that the server reads as a number of messages: it ends the subscription at once, while the
/// client still delivers messages that are on their way. (The client's own `drain` drops messages behind its command.)
const UNREACHABLE_COUNT: u64 = 1_000_000_000_000_000;
/// Messages that were assigned to a subscription before its end come within this time.
const QUIET_TIME: Duration = Duration::from_millis(50);

/// Returns when the server has handled everything that was sent to it, subscriptions above all: it handles a connection's
/// commands in order.
///
/// The last of them is a message of the connection to itself. To a connection without echo the server says instead that nobody
/// has received it, unless another client subscribes to everything: then the server is asked for what it answers to everybody.
///
/// # Errors
/// The connection was lost meanwhile.
pub async fn flushed(client: &Client) -> Result<(), RequestError> {
    let own = client.new_inbox();
    let to_itself = client.send_request(own.clone(), Request::new().inbox(own));
    let of_the_server = async {
        tokio::time::sleep(ECHO_TIME).await;
        client.request(USER_INFO, bytes::Bytes::new()).await
    };
    let answer = tokio::select! {
        answer = to_itself => answer,
        answer = of_the_server => answer,
    };
    match answer {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the client is connected now.
#[must_use]
pub fn is_up(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

/// Ends a subscription at the server. What was assigned to it before may still come, see [`rest`].
pub async fn leave(messages: &mut Subscriber) {
    if let Err(error) = messages.unsubscribe_after(UNREACHABLE_COUNT).await {
        tracing::debug!(%error, "a subscription could not be ended");
    }
}

/// Returns the messages that were assigned to subscriptions before [`leave`]; without a connection, those already received.
pub async fn rest<S: Stream + Unpin>(client: &Client, messages: &mut S) -> Vec<S::Item> {
    let mut rest = Vec::new();
    if is_up(client) {
        // Until the server has done what it was asked to, messages are collected so that the connection is not held up.
        let until_left = async {
            let mut left = pin!(flushed(client));
            loop {
                tokio::select! {
                    _ = &mut left => break,
                    Some(message) = messages.next() => rest.push(message),
                }
            }
            while let Ok(Some(message)) = tokio::time::timeout(QUIET_TIME, messages.next()).await {
                rest.push(message);
            }
        };
        let _ = tokio::time::timeout(UNSUBSCRIBE_TIMEOUT, until_left).await;
    }
    while let Some(Some(message)) = tokio::task::unconstrained(messages.next()).now_or_never() {
        rest.push(message);
    }
    rest
}

/// Ends a subscription and returns the messages that were delivered before its end; without a connection, those already received.
pub async fn end(client: &Client, messages: &mut Subscriber) -> Vec<Message> {
    if is_up(client) {
        leave(messages).await;
    }
    rest(client, messages).await
}
