//! The cancellation of a streamed reply by its reader.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentnet_protocol::Text;
use agentnet_protocol::compose::Draft;
use agentnet_protocol::stream::StreamCancel;
use agentnet_protocol::subject::control;
use tokio::time::Instant;

use super::stream_tasks::StreamTasks;

/// Where a cancellation goes.
#[derive(Debug)]
pub(crate) enum CancelSubject {
    /// Below the reply subject (section 11.6).
    OfReply(String),
    /// To the account that sends the frames, in secure mode (section 23.1); not known before the first frame of a capability.
    Control(OnceLock<Text>),
}

impl CancelSubject {
    /// A frame has come from this account.
    pub(crate) fn frame_from(&self, account_id: Option<&Text>) {
        if let (Self::Control(sender), Some(account_id)) = (self, account_id) {
            sender.get_or_init(|| account_id.clone());
        }
    }

    fn resolve(&self) -> Option<String> {
        match self {
            Self::OfReply(subject) => Some(subject.clone()),
            Self::Control(sender) => sender.get().map(|account_id| control(account_id)),
        }
    }
}

/// Cancels a streamed reply: the message and its subject.
#[derive(Debug)]
pub(crate) struct Cancellation {
    pub(crate) streams: Arc<StreamTasks>,
    pub(crate) subject: CancelSubject,
    pub(crate) draft: Draft,
    pub(crate) is_published: AtomicBool,
}

impl Cancellation {
    /// Publishes it, unless that was done before.
    pub(crate) fn publish(self: &Arc<Self>, stream_id: Option<String>) {
        if !self.is_published.swap(true, Ordering::AcqRel) {
            self.publish_again(stream_id);
        }
    }

    /// Publishes it, also if that was done before: the sender may not have been subscribed yet.
    pub(crate) fn publish_again(self: &Arc<Self>, stream_id: Option<String>) {
        let this = self.clone();
        self.streams.spawn(async move {
            let Some(subject) = this.subject.resolve() else {
                tracing::debug!("a stream without a frame has no sender that could be told of its cancellation");
                return;
            };
            let payload = StreamCancel { stream_id }.to_payload();
            let draft = this.draft.clone();
            let body = this.streams.composer.compose(Draft { payload, ..draft }).encode();
            if let Err(error) = this.streams.publisher.publish_last(&subject, body).await {
                tracing::warn!(%error, "the cancellation of a stream was not published");
            }
        });
    }
}

/// The last streams that were dropped by their reader: later frames of them are answered by the cancellation.
#[derive(Debug)]
pub(crate) struct DroppedStreams<C = Arc<Cancellation>> {
    by_number: HashMap<u64, DroppedStream<C>>,
    oldest_first: VecDeque<u64>,
}

#[derive(Debug)]
struct DroppedStream<C> {
    cancellation: C,
    /// When to publish it again at the earliest.
    due: Instant,
}

/// How many dropped streams are kept.
const MAX_DROPPED_STREAMS: usize = 1024;
/// Not every frame that was on its way is answered.
const MIN_CANCEL_INTERVAL: Duration = Duration::from_millis(200);

impl<C> Default for DroppedStreams<C> {
    fn default() -> Self {
        Self {
            by_number: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }
}

impl<C: Clone> DroppedStreams<C> {
    /// Keeps a stream. The sender of one that has had a frame is subscribed to its cancellation; of one without, the first
    /// frame is answered.
    pub(crate) fn remember(&mut self, number: u64, cancellation: C, had_frame: bool, now: Instant) {
        let due = if had_frame { now + MIN_CANCEL_INTERVAL } else { now };
        self.by_number.insert(number, DroppedStream { cancellation, due });
        self.oldest_first.push_back(number);
        if self.oldest_first.len() > MAX_DROPPED_STREAMS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_number.remove(&oldest);
        }
    }

    /// The cancellation that answers a frame of this number, if it is due.
    pub(crate) fn due(&mut self, number: u64, now: Instant) -> Option<C> {
        let dropped = self.by_number.get_mut(&number).filter(|it| it.due <= now)?;
        dropped.due = now + MIN_CANCEL_INTERVAL;
        Some(dropped.cancellation.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_continues_is_cancelled_again_but_not_for_each_frame() {
        let start = Instant::now();
        let mut dropped = DroppedStreams::<()>::default();
        dropped.remember(1, (), false, start);
        dropped.remember(2, (), true, start);
        let cases = [
            (1, 0, true),
            (1, 199, false),
            (1, 200, true),
            (1, 399, false),
            (1, 5000, true),
            (2, 0, false),
            (2, 200, true),
            (3, 0, false),
        ];
        for (number, millis, told) in cases {
            let now = start + Duration::from_millis(millis);
            assert_eq!(dropped.due(number, now).is_some(), told, "{number} at {millis} ms");
        }
    }

    #[test]
    fn only_the_last_are_remembered() {
        let now = Instant::now();
        let mut dropped = DroppedStreams::<()>::default();
        for number in 0..=MAX_DROPPED_STREAMS as u64 {
            dropped.remember(number, (), false, now);
        }
        assert!(dropped.due(0, now).is_none());
        assert!(dropped.due(1, now).is_some());
        assert_eq!(dropped.by_number.len(), MAX_DROPPED_STREAMS);
    }
}
