//! How a requester says that it wants no more of an answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentnet_protocol::compose::Draft;
use agentnet_protocol::stream::StreamCancel;
use tokio::time::Instant;

use super::outlet::compose;
use crate::session::Live;

/// What is said, and where, when the answer to one request is wanted no more.
#[derive(Debug)]
pub(crate) struct Cancellation {
    pub(crate) subject: String,
    pub(crate) draft: Draft,
    pub(crate) said: AtomicBool,
}

impl Cancellation {
    /// Says it, unless it was said before.
    pub(crate) fn say(self: &Arc<Self>, live: &Arc<Live>, stream_id: Option<String>) {
        if !self.said.swap(true, Ordering::AcqRel) {
            self.say_again(live, stream_id);
        }
    }

    /// Says it, also if it was said before: the sender may not have been listening yet.
    pub(crate) fn say_again(self: &Arc<Self>, live: &Arc<Live>, stream_id: Option<String>) {
        let (this, said_by) = (self.clone(), live.clone());
        live.streams.spawn(async move {
            let payload = StreamCancel { stream_id }.to_payload();
            let body = compose(&said_by, this.draft.clone(), payload).encode();
            if let Err(error) = said_by.publish_last(&this.subject, body).await {
                tracing::warn!(%error, "the sender of a stream was not told that it is wanted no more");
            }
        });
    }
}

/// The last streams that were given up: who still sends frames of them is told once more.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    by_number: HashMap<u64, Remembered>,
    oldest_first: VecDeque<u64>,
}

#[derive(Debug)]
struct Remembered {
    cancellation: Arc<Cancellation>,
    /// When to say it again at the earliest.
    due: Instant,
}

/// How many are remembered.
const REMEMBERED: usize = 1024;
/// The frames that were under way already need no answer each.
const PAUSE: Duration = Duration::from_millis(200);

impl Dropped {
    /// Remembers a stream. One of which a frame was seen has a sender that listens; one without needs an answer to the first.
    pub(crate) fn remember(&mut self, number: u64, cancellation: Arc<Cancellation>, heard: bool, now: Instant) {
        let due = if heard { now + PAUSE } else { now };
        self.by_number.insert(number, Remembered { cancellation, due });
        self.oldest_first.push_back(number);
        if self.oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_number.remove(&oldest);
        }
    }

    /// What to say to a frame of this number.
    pub(crate) fn due(&mut self, number: u64, now: Instant) -> Option<Arc<Cancellation>> {
        let remembered = self.by_number.get_mut(&number).filter(|it| it.due <= now)?;
        remembered.due = now + PAUSE;
        Some(remembered.cancellation.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancellation() -> Arc<Cancellation> {
        Arc::new(Cancellation {
            subject: "x.cancel".to_owned(),
            draft: Draft::default(),
            said: AtomicBool::new(true),
        })
    }

    #[test]
    fn who_goes_on_sending_is_told_again_but_not_for_each_frame() {
        let start = Instant::now();
        let mut dropped = Dropped::default();
        dropped.remember(1, cancellation(), false, start);
        dropped.remember(2, cancellation(), true, start);
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
        let mut dropped = Dropped::default();
        for number in 0..=REMEMBERED as u64 {
            dropped.remember(number, cancellation(), false, now);
        }
        assert!(dropped.due(0, now).is_none());
        assert!(dropped.due(1, now).is_some());
        assert_eq!(dropped.by_number.len(), REMEMBERED);
    }
}
