//! Replies in the place of agents that are offline, so that messages to them fail at once (PROTOCOL.md section 0, decision 9).
//!
//! While a registry captures messages, NATS sees interest in every inbox and capability, so a request to an agent that is gone
//! would run into its timeout. One of the registries, a member of a queue group, therefore reads each message. If the account
//! has no live session, or no live session has the capability, it replies: with an error envelope to a request, with a
//! `rejected` receipt to any other message (`receipt`). The message itself stays in the history. One whose sender asks for it is
//! kept in the receiver's mailbox instead (`keep`, in the order of `turns`).
//!
//! No message is rejected by mistake: only registries that are warm reply (`presence::offline_certainty`). One that is not
//! warm reads messages only to record those that the stream may lack (`recorder`), in a queue group of its own.
//!
//! The router reads messages in the same loop as goodbyes: whatever arrived before a message is applied before it.

mod keep;
mod receipt;
mod recorder;
mod reject;
mod turns;

use std::future;
use std::sync::Arc;
use std::time::Instant;

use agentnet_nats::{Issuer, is_up, leave, rest};
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES};
use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::stream::SelectAll;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use self::recorder::{Recorder, record_directly};
use self::reject::Rejections;
use crate::clock::Now;
use crate::context::Context;
use crate::error::StartError;
use crate::tasks::Phase;

/// The queue group of registries that reply. Not the group of the capture: of two subscriptions in one group, NATS would serve
/// only one.
const REPLY_GROUP: &str = "agentnet-registry-bounce";
/// The queue group of registries that only record.
const RECORD_GROUP: &str = "agentnet-registry-hidden";

/// What the router has to do next.
pub(crate) enum Event {
    /// Handle a message to an inbox or a capability.
    Message(Message),
    /// Change the queue group: the registry has become warm, or is not warm any more.
    CertaintyChanged,
}

/// Reads the messages to all inboxes and capabilities.
pub(crate) struct OfflineReplies {
    messages: Messages,
    warm_from: watch::Receiver<Option<Instant>>,
    recorder: Recorder,
    rejections: Arc<Rejections>,
}

/// The subscriptions, in one of the two queue groups.
struct Messages {
    /// Whether this registry replies.
    replies: bool,
    subscriptions: SelectAll<Subscriber>,
}

impl OfflineReplies {
    /// Receives messages from now on.
    pub(crate) async fn subscribe(ctx: &Context) -> Result<Self, StartError> {
        let recorder = Recorder::start(&ctx.capture, &ctx.tasks);
        let messages = Messages::subscribe(&ctx.client, &ctx.issuer, is_sure(ctx), &recorder).await;
        Ok(Self {
            messages: messages.map_err(|error| StartError::Nats(error.to_string()))?,
            warm_from: ctx.presence.warm_from(),
            recorder,
            rejections: Arc::new(Rejections::new(&ctx.store)),
        })
    }

    /// Waits for the next event. Cancellation loses nothing.
    pub(crate) async fn next(&mut self, ctx: &Context) -> Event {
        let Self {
            messages,
            warm_from,
            recorder,
            ..
        } = self;
        let message = async {
            recorder.room().await;
            match messages.subscriptions.next().await {
                Some(message) => message,
                None => future::pending().await,
            }
        };
        tokio::select! {
            message = message => Event::Message(message),
            () = becomes_sure(ctx, warm_from, !messages.replies) => Event::CertaintyChanged,
        }
    }

    /// A message that is here already, if there is room for it.
    pub(crate) fn at_hand(&mut self) -> Option<Message> {
        if !self.recorder.has_room() {
            return None;
        }
        let next = self.messages.subscriptions.next();
        tokio::task::unconstrained(next).now_or_never().flatten()
    }

    /// Records a message if the stream may lack it, and replies if its receiver is offline. All presence events that arrived
    /// before it have to be applied.
    pub(crate) fn handle(&self, ctx: &Arc<Context>, message: Message) {
        self.recorder.record(&message);
        if self.messages.replies {
            self.rejections.check(ctx, message);
        }
    }

    /// Joins the queue group that fits what this registry knows now. The new subscriptions begin before the old ones end, so
    /// that no message falls between them.
    pub(crate) async fn change_group(&mut self, ctx: &Arc<Context>) {
        let replies = !self.messages.replies;
        let next = Messages::subscribe(&ctx.client, &ctx.issuer, replies, &self.recorder).await;
        let next = next.unwrap_or_else(|error| {
            // Only a client that has ended refuses a subscription.
            tracing::debug!(%error, "messages to offline agents are not read any more");
            Messages {
                replies,
                subscriptions: SelectAll::new(),
            }
        });
        let last = std::mem::replace(&mut self.messages, next);
        self.drain(ctx, last);
    }

    /// Leaves the queue group, and handles what was delivered before.
    pub(crate) fn stop(&mut self, ctx: &Arc<Context>) {
        let last = Messages {
            replies: self.messages.replies,
            subscriptions: std::mem::take(&mut self.messages.subscriptions),
        };
        self.drain(ctx, last);
    }

    /// Ends subscriptions in a task of its own: the server's answer takes a round trip.
    fn drain(&self, ctx: &Arc<Context>, mut last: Messages) {
        let (owner, rejections) = (Arc::clone(ctx), Arc::clone(&self.rejections));
        ctx.tasks.spawn(Phase::Requests, async move {
            if is_up(&owner.client) {
                for subscription in last.subscriptions.iter_mut() {
                    leave(subscription).await;
                }
            }
            for message in rest(&owner.client, &mut last.subscriptions).await {
                record_directly(&owner.capture, &message).await;
                if last.replies {
                    rejections.check(&owner, message);
                }
            }
        });
    }
}

impl Messages {
    async fn subscribe(
        client: &Client,
        issuer: &Issuer,
        replies: bool,
        recorder: &Recorder,
    ) -> Result<Self, SubscribeError> {
        let mut subscriptions = SelectAll::new();
        if replies || recorder.is_needed() {
            let group = if replies { REPLY_GROUP } else { RECORD_GROUP };
            for subject in [ALL_INBOXES, ALL_CAPABILITIES] {
                let subject = issuer.subscribe_subject(subject.to_owned());
                subscriptions.push(client.queue_subscribe(subject, group.to_owned()).await?);
            }
        }
        Ok(Self { replies, subscriptions })
    }
}

/// Whether this registry replies for offline agents now.
fn is_sure(ctx: &Context) -> bool {
    ctx.config.offline_replies && ctx.presence.is_warm(Now::read())
}

/// Returns when the registry replies for offline agents, or does not any more.
async fn becomes_sure(ctx: &Context, warm_from: &mut watch::Receiver<Option<Instant>>, wanted: bool) {
    loop {
        let (from, now) = (*warm_from.borrow_and_update(), Instant::now());
        let sure = ctx.config.offline_replies && from.is_some_and(|from| from <= now);
        if sure == wanted {
            return;
        }
        let warm = async {
            match from.filter(|from| *from > now) {
                Some(from) => tokio::time::sleep_until(from.into()).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = warm => {}
            changed = warm_from.changed() => if changed.is_err() {
                // Presence ends with the registry.
                return future::pending().await;
            },
        }
    }
}
