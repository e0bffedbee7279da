//! What comes in on `registry.*`, in one loop: requests are answered concurrently, presence is applied in order.
//!
//! NATS delivers what one client publishes in order, but to different subscriptions. So whatever was heard of presence
//! before a request is applied before the request is looked at: a hello followed by a list is in the list.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use agentnet_protocol::rpc::RpcError;
use agentnet_protocol::subject::{REGISTRY_GROUP, REGISTRY_PREFIX, may_reply_to};
use async_nats::{Client, Message, Subscriber};
use futures::stream::SelectAll;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::announce;
use crate::clock::Now;
use crate::connect::{leave, rest, settled};
use crate::context::Context;
use crate::error::StartError;
use crate::presence::hear;
use crate::rpc::Rpc;

/// Requests that may be answered at the same time.
const CONCURRENCY: usize = 256;
/// Presence that is applied at once before a request, so that a flood of it cannot hold requests up for ever.
const BURST: usize = 10_000;
/// The same of announcements, of which those of strangers prove nothing.
const ANNOUNCEMENT_BURST: usize = 1_000;

/// What every registry hears of agents.
#[derive(Debug, Clone, Copy)]
enum Presence {
    Hello,
    Goodbye,
}

/// A subscription and what its messages are.
struct Tagged<T> {
    what: T,
    messages: Subscriber,
}

impl<T: Copy + Unpin> Stream for Tagged<T> {
    type Item = (T, Message);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let what = self.what;
        self.messages
            .poll_next_unpin(cx)
            .map(|message| message.map(|message| (what, message)))
    }
}

/// The subscriptions to `registry.*`.
pub(crate) struct Router {
    requests: SelectAll<Tagged<Rpc>>,
    presence: SelectAll<Tagged<Presence>>,
    announcements: Subscriber,
}

impl Router {
    /// Hears presence from now on. Requests are taken later: what they ask for has to be there first.
    pub(crate) async fn subscribe(client: &Client) -> Result<Self, StartError> {
        let mut presence = SelectAll::new();
        for (what, subject) in [
            (Presence::Hello, format!("{REGISTRY_PREFIX}hello")),
            (Presence::Goodbye, format!("{REGISTRY_PREFIX}goodbye")),
        ] {
            presence.push(Tagged {
                what,
                messages: client.subscribe(subject).await.map_err(lost)?,
            });
        }
        Ok(Self {
            requests: SelectAll::new(),
            presence,
            announcements: client.subscribe(announce::SUBJECT).await.map_err(lost)?,
        })
    }

    /// Takes requests from now on; of all registries one gets each.
    pub(crate) async fn open(&mut self, client: &Client) -> Result<(), StartError> {
        for what in Rpc::ALL {
            let subject = format!("{REGISTRY_PREFIX}{}", what.names().0);
            let messages = client
                .queue_subscribe(subject, REGISTRY_GROUP.to_owned())
                .await
                .map_err(lost)?;
            self.requests.push(Tagged { what, messages });
        }
        settled(client).await
    }

    /// Answers until `stop`, and then what has come before it.
    pub(crate) async fn run(mut self, ctx: Arc<Context>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONCURRENCY));
        let mut permit: Option<OwnedSemaphorePermit> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some((what, message)) = self.presence.next() => apply(&ctx, what, &message),
                Some(message) = self.announcements.next() => announce::hear(&ctx, &message.payload, Now::read()),
                acquired = Arc::clone(&room).acquire_owned(), if permit.is_none() => permit = acquired.ok(),
                request = self.requests.next(), if permit.is_some() => {
                    self.apply_heard(&ctx);
                    let Some((rpc, message)) = request else { return };
                    answer(&ctx, rpc, message, permit.take());
                }
            }
        }
        drop(permit);
        // First nothing more is given to this registry; what was is answered.
        if ctx.is_connected() {
            for requests in self.requests.iter_mut() {
                leave(&mut requests.messages).await;
            }
        }
        let last = rest(&ctx.client, &mut self.requests).await;
        self.apply_heard(&ctx);
        for (rpc, message) in last {
            let permit = Arc::clone(&room).acquire_owned().await;
            answer(&ctx, rpc, message, permit.ok());
        }
    }

    /// Applies all presence that is already here.
    fn apply_heard(&mut self, ctx: &Arc<Context>) {
        for _ in 0..BURST {
            let Some((what, message)) = at_hand(&mut self.presence) else {
                break;
            };
            apply(ctx, what, &message);
        }
        for _ in 0..ANNOUNCEMENT_BURST {
            let Some(message) = at_hand(&mut self.announcements) else {
                return;
            };
            announce::hear(ctx, &message.payload, Now::read());
        }
    }
}

/// What has come already.
fn at_hand<S: Stream + Unpin>(messages: &mut S) -> Option<S::Item> {
    tokio::task::unconstrained(messages.next()).now_or_never().flatten()
}

fn lost(error: impl ToString) -> StartError {
    StartError::Nats(error.to_string())
}

fn apply(ctx: &Arc<Context>, what: Presence, message: &Message) {
    let now = Now::read();
    match what {
        Presence::Hello => {
            let read = hear::hello(ctx, &message.payload, now);
            ctx.metrics.handled(("hello", "handler.hello"), now.instant, !read);
        }
        Presence::Goodbye => {
            let read = hear::goodbye(ctx, &message.payload, now);
            ctx.metrics.handled(("goodbye", "handler.goodbye"), now.instant, !read);
        }
    }
}

/// Answers one request beside the others. Without a reply subject there is nobody to answer.
fn answer(ctx: &Arc<Context>, rpc: Rpc, message: Message, permit: Option<OwnedSemaphorePermit>) {
    let Some(reply_to) = message.reply else { return };
    // It would be published there with this registry's rights.
    if !may_reply_to(&reply_to) {
        tracing::debug!("a request is ignored whose reply subject nobody may be answered on");
        return;
    }
    let asked_on = reply_to.clone();
    let names = rpc.names();
    let span = tracing::debug_span!("rpc", name = names.0, bytes = message.payload.len());
    let ctx = Arc::clone(ctx);
    let work = {
        let ctx = Arc::clone(&ctx);
        async move {
            let since = Instant::now();
            let outcome = AssertUnwindSafe(rpc.answer(&ctx, &message.payload, &asked_on))
                .catch_unwind()
                .await;
            let outcome = outcome.unwrap_or_else(|_| {
                tracing::error!("a request's handler panicked");
                Err(RpcError::fault("internal_error"))
            });
            ctx.metrics
                .handled(names, since, outcome.as_ref().is_err_and(RpcError::is_fault));
            let text = outcome.unwrap_or_else(|error| {
                tracing::debug!(%error, "refused");
                error.encode()
            });
            if let Err(error) = ctx.client.publish(reply_to, text.into()).await {
                tracing::debug!(%error, "a reply could not be sent");
            }
            drop(permit);
        }
    };
    ctx.tasks.spawn(work.instrument(span));
}
