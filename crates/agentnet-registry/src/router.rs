//! One loop reads everything that depends on presence: `registry.*`, announcements of other registries, and messages to
//! inboxes (`offline_replies`). Presence events are applied in order; requests are answered concurrently.
//!
//! NATS delivers what one client publishes in order, but to different subscriptions. So before a request or a message is
//! handled, every presence event that arrived is applied: a hello followed by a list is in the list, and a message that
//! follows a goodbye finds its receiver offline.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use agentnet_nats::{Issuer, leave, rest};
use agentnet_protocol::rpc::RpcError;
use agentnet_protocol::subject::{
    REGISTRY_GROUP, REGISTRY_PREFIX, may_reply_to, may_reply_to_invite, may_reply_to_issuer, split_issuer,
};
use async_nats::{Client, Message, Subscriber};
use futures::stream::SelectAll;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Now;
use crate::connect::flushed;
use crate::context::Context;
use crate::error::StartError;
use crate::offline_replies::{Event, OfflineReplies};
use crate::peer_events;
use crate::presence::apply_events;
use crate::rpc::{Call, Rpc};
use crate::tasks::Phase;

/// Requests that are answered at the same time.
const CONCURRENCY: usize = 256;
/// Presence events that are applied before one request, so that a flood of them cannot hold requests up for ever.
const MAX_EVENTS_BEFORE_REQUEST: usize = 10_000;
/// The same of announcements, which every client can send.
const MAX_ANNOUNCEMENTS_BEFORE_REQUEST: usize = 1_000;
/// Messages to inboxes that are handled in one turn of the loop.
const MAX_MESSAGES_PER_TURN: usize = 64;

/// The presence events of agents.
#[derive(Debug, Clone, Copy)]
enum PresenceEvent {
    Hello,
    Goodbye,
}

/// A subscription, and the kind of its messages.
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

/// The subscriptions to presence events and announcements.
pub(crate) struct PresenceEvents {
    events: SelectAll<Tagged<PresenceEvent>>,
    announcements: Subscriber,
}

impl PresenceEvents {
    /// Receives events from now on.
    pub(crate) async fn subscribe(client: &Client, issuer: &Issuer) -> Result<Self, StartError> {
        let mut events = SelectAll::new();
        for (what, subject) in [
            (PresenceEvent::Hello, format!("{REGISTRY_PREFIX}hello")),
            (PresenceEvent::Goodbye, format!("{REGISTRY_PREFIX}goodbye")),
        ] {
            events.push(Tagged {
                what,
                messages: client
                    .subscribe(issuer.subscribe_subject(subject))
                    .await
                    .map_err(lost)?,
            });
        }
        Ok(Self {
            events,
            announcements: client.subscribe(peer_events::SUBJECT).await.map_err(lost)?,
        })
    }

    /// Applies the events that have arrived.
    fn apply_arrived(&mut self, ctx: &Arc<Context>) {
        for _ in 0..MAX_EVENTS_BEFORE_REQUEST {
            let Some((event, message)) = at_hand(&mut self.events) else {
                break;
            };
            apply(ctx, event, &message);
        }
        for _ in 0..MAX_ANNOUNCEMENTS_BEFORE_REQUEST {
            let Some(message) = at_hand(&mut self.announcements) else {
                return;
            };
            peer_events::dispatch::handle(ctx, &message.payload, Now::read());
        }
    }
}

/// The subscriptions to presence events, requests, and messages to inboxes.
pub(crate) struct Router {
    presence: PresenceEvents,
    requests: SelectAll<Tagged<Rpc>>,
    offline: OfflineReplies,
}

impl Router {
    /// Receives requests and messages too from now on; one of the registries gets each. The presence that they depend on has to
    /// be restored.
    pub(crate) async fn subscribe(presence: PresenceEvents, ctx: &Context) -> Result<Self, StartError> {
        // A registry that is warm from its start replies for offline agents from its first moment on.
        let offline = OfflineReplies::subscribe(ctx).await?;
        let mut requests = SelectAll::new();
        for what in Rpc::ALL {
            let subject = format!("{REGISTRY_PREFIX}{}", what.names().0);
            let subject = ctx.issuer.subscribe_subject(subject);
            let messages = ctx.client.queue_subscribe(subject, REGISTRY_GROUP.to_owned());
            requests.push(Tagged {
                what,
                messages: messages.await.map_err(lost)?,
            });
        }
        flushed(&ctx.client).await?;
        Ok(Self {
            presence,
            requests,
            offline,
        })
    }

    /// Handles what arrives until `stop`, and then what had arrived before.
    pub(crate) async fn run(mut self, ctx: Arc<Context>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONCURRENCY));
        let mut permit: Option<OwnedSemaphorePermit> = None;
        loop {
            let PresenceEvents { events, announcements } = &mut self.presence;
            tokio::select! {
                () = stop.cancelled() => break,
                Some((event, message)) = events.next() => apply(&ctx, event, &message),
                Some(message) = announcements.next() => {
                    peer_events::dispatch::handle(&ctx, &message.payload, Now::read());
                }
                event = self.offline.next(&ctx) => match event {
                    Event::Message(message) => self.handle_messages(&ctx, message),
                    Event::CertaintyChanged => self.offline.change_group(&ctx).await,
                },
                acquired = Arc::clone(&room).acquire_owned(), if permit.is_none() => permit = acquired.ok(),
                request = self.requests.next(), if permit.is_some() => {
                    self.presence.apply_arrived(&ctx);
                    let Some((rpc, message)) = request else { return };
                    answer(&ctx, rpc, message, permit.take());
                }
            }
        }
        drop(permit);
        // First the server gives no more to this registry; what it gave before is answered.
        self.offline.stop(&ctx);
        if ctx.is_connected() {
            for requests in self.requests.iter_mut() {
                leave(&mut requests.messages).await;
            }
        }
        let last = rest(&ctx.client, &mut self.requests).await;
        self.presence.apply_arrived(&ctx);
        for (rpc, message) in last {
            let permit = Arc::clone(&room).acquire_owned().await;
            answer(&ctx, rpc, message, permit.ok());
        }
    }

    /// Handles a message to an inbox, and some of those that arrived behind it.
    fn handle_messages(&mut self, ctx: &Arc<Context>, message: Message) {
        let mut next = Some(message);
        let mut handled = 0;
        while let Some(message) = next {
            self.presence.apply_arrived(ctx);
            self.offline.handle(ctx, message);
            handled += 1;
            next = if handled < MAX_MESSAGES_PER_TURN {
                self.offline.at_hand()
            } else {
                None
            };
        }
    }
}

/// What has arrived already.
fn at_hand<S: Stream + Unpin>(messages: &mut S) -> Option<S::Item> {
    tokio::task::unconstrained(messages.next()).now_or_never().flatten()
}

fn lost(error: impl ToString) -> StartError {
    StartError::Nats(error.to_string())
}

fn apply(ctx: &Arc<Context>, event: PresenceEvent, message: &Message) {
    let now = Now::read();
    match event {
        PresenceEvent::Hello => {
            let read = apply_events::hello(ctx, caller(ctx, message), &message.payload, now);
            ctx.metrics.handled(("hello", "handler.hello"), now.instant, !read);
        }
        PresenceEvent::Goodbye => {
            let read = apply_events::goodbye(ctx, caller(ctx, message), &message.payload, now);
            ctx.metrics.handled(("goodbye", "handler.goodbye"), now.instant, !read);
        }
    }
}

/// In secure mode, the account that the broker proves to have published a message (PROTOCOL.md section 23.1).
fn caller<'a>(ctx: &Context, message: &'a Message) -> Option<&'a str> {
    let issued = ctx.is_secure().then(|| split_issuer(&message.subject)).flatten();
    issued.map(|(_, issuer)| issuer)
}

/// Answers one request in a task of its own. One without a reply subject is ignored.
fn answer(ctx: &Arc<Context>, rpc: Rpc, message: Message, permit: Option<OwnedSemaphorePermit>) {
    let caller = caller(ctx, &message).map(str::to_owned);
    let Some(reply_to) = message.reply else { return };
    // The reply would be published with the rights of this registry.
    let may_reply = match &caller {
        // Who joins has no account yet: the last token is the invite. Who renews its credential has an inbox of the same kind.
        Some(caller) if matches!(rpc, Rpc::Enroll | Rpc::Renew) => may_reply_to_invite(&reply_to, caller),
        Some(caller) => may_reply_to_issuer(&reply_to, caller),
        None => may_reply_to(&reply_to),
    };
    if !may_reply {
        tracing::debug!("ignored a request with a reply subject that replies must not go to");
        return;
    }
    let mut call = Call {
        reply_to: reply_to.to_string(),
        caller,
        place: permit,
        waited: Duration::ZERO,
    };
    let names = rpc.names();
    let span = tracing::debug_span!("rpc", name = names.0, bytes = message.payload.len());
    let ctx = Arc::clone(ctx);
    let work = {
        let ctx = Arc::clone(&ctx);
        async move {
            let since = Instant::now();
            let outcome = AssertUnwindSafe(rpc.answer(&ctx, &message.payload, &mut call))
                .catch_unwind()
                .await;
            let outcome = outcome.unwrap_or_else(|_| {
                tracing::error!("the handler of a request panicked");
                Err(RpcError::fault("internal_error"))
            });
            ctx.metrics.handled(
                names,
                since + call.waited,
                outcome.as_ref().is_err_and(RpcError::is_fault),
            );
            let text = outcome.unwrap_or_else(|error| {
                tracing::debug!(%error, "rejected");
                error.encode()
            });
            if let Err(error) = ctx.client.publish(reply_to, text.into()).await {
                tracing::debug!(%error, "a reply could not be sent");
            }
            drop(call);
        }
    };
    ctx.tasks.spawn(Phase::Requests, work.instrument(span));
}
