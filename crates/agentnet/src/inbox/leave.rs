//! Leaving the queue groups without losing what the server has sent already (PROTOCOL.md section 0.7).
//!
//! The client forgets a subscription as soon as it has asked the server to end it, and drops what is still on its way. So:
//!
//! 1. After a round trip everything sent so far is in hand, and our count of messages is the server's.
//! 2. The end is asked for some messages ahead of that count: server and client reach it at the same message.
//! 3. Where fewer come, the same with a smaller number; a subscription that has gone quiet is ended at once.
//!
//! Once the connection has been lost and come back, server and client count differently. Then the subscriptions are ended at
//! once, and the sender of a message that is on its way at that moment repeats it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::{Message, Subscriber, UnsubscribeError};
use futures::stream::SelectAll;
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Intake;

/// How many messages ahead the end is asked for, one after another.
const AHEAD: [u64; 3] = [256, 16, 1];
/// Without a message for so long, fewer will have to do.
const QUIET: Duration = Duration::from_millis(20);
/// The longest wait for those messages.
const LIMIT: Duration = Duration::from_millis(200);
/// The longest wait for the end of a subscription that was ended.
const LAST: Duration = Duration::from_millis(500);

/// One subscription of the intake, and how many messages it has given.
pub(super) struct Lane {
    subscriber: Subscriber,
    received: u64,
}

impl Lane {
    pub(super) fn new(subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            received: 0,
        }
    }
}

impl Stream for Lane {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let next = self.subscriber.poll_next_unpin(cx);
        if matches!(next, Poll::Ready(Some(_))) {
            self.received += 1;
        }
        next
    }
}

impl Intake {
    /// Ends every lane, and takes what comes until then.
    pub(super) async fn leave(&mut self, mut lanes: SelectAll<Lane>) {
        for ahead in AHEAD {
            if self.live.reconnections.count() != self.reconnections || !self.live.round_trip().await {
                break;
            }
            while let Some(Some(message)) = lanes.next().now_or_never() {
                self.take(message).await;
            }
            for lane in lanes.iter_mut() {
                log(lane.subscriber.unsubscribe_after(lane.received + ahead).await);
            }
            let end = Instant::now() + LIMIT;
            loop {
                match timeout_at(end.min(Instant::now() + QUIET), lanes.next()).await {
                    Ok(Some(message)) => self.take(message).await,
                    Ok(None) => return,
                    Err(_) => break,
                }
            }
        }
        for lane in lanes.iter_mut() {
            log(lane.subscriber.drain().await);
        }
        while let Ok(Some(message)) = timeout(LAST, lanes.next()).await {
            self.take(message).await;
        }
    }
}

fn log(asked: Result<(), UnsubscribeError>) {
    if let Err(error) = asked {
        tracing::debug!(%error, "cannot leave a queue group");
    }
}
