//! The replay buffer: messages of the last seconds, each of which is dropped when the stream has it, or stored. Pure: time is
//! passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TappedMessage;
use super::leader::Leader;

/// Younger messages are not dropped although the leader answers: it may not have written them, or not on enough servers, yet.
const CONFIRM_AGE: Duration = Duration::from_secs(3);
/// Messages that come within this time after a new leader answers are stored: not every server may send it messages yet.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// The backlog of messages that were sent without a leader is stored first, for so long at most: a database that cannot keep up
/// with storing everything twice must not prolong that for ever.
const MAX_CATCH_UP_TIME: Duration = Duration::from_secs(30);
/// Bytes that are held; messages beyond are stored.
const MAX_BYTES: usize = 64 << 20;
/// The memory of a held message without its body, with subject and headers in the client's buffer.
const BYTES_PER_MESSAGE: usize = 160;

/// Messages, in the order in which they came.
#[derive(Debug)]
pub(super) struct ReplayBuffer {
    limit: usize,
    bytes: usize,
    /// To be stored.
    due: VecDeque<TappedMessage>,
    /// The stream should have them: dropped when its leader confirms that.
    held: VecDeque<TappedMessage>,
    leadership: Leadership,
    /// Messages with a captured subject that were stored since the leader was lost; `None` at the start of a registry.
    stored: Option<usize>,
}

/// Whether the stream gets every message.
#[derive(Debug, PartialEq, Eq)]
enum Leadership {
    /// No leader is known.
    None,
    /// A new leader, since this time.
    Settling(Leader, Instant),
    /// The same leader has answered every time; with the time of the last question.
    Settled(Leader, Instant),
}

/// A change that is logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// The stream may lack the messages that were held.
    LeaderLost {
        held: usize,
    },
    /// The stream gets every message again; `stored` messages were stored past it.
    LeaderSettled {
        leader: String,
        stored: usize,
    },
}

impl Default for ReplayBuffer {
    fn default() -> Self {
        Self {
            limit: MAX_BYTES,
            bytes: 0,
            due: VecDeque::new(),
            held: VecDeque::new(),
            leadership: Leadership::None,
            stored: None,
        }
    }
}

fn size(message: &TappedMessage) -> usize {
    message.body.len() + BYTES_PER_MESSAGE
}

impl ReplayBuffer {
    /// Adds a message.
    pub(super) fn push(&mut self, message: TappedMessage) {
        self.bytes += size(&message);
        if message.streamed && matches!(self.leadership, Leadership::Settled(..)) {
            self.held.push_back(message);
            if self.is_full()
                && let Some(oldest) = self.held.pop_front()
            {
                self.add_due(oldest);
            }
        } else {
            self.add_due(message);
        }
    }

    fn add_due(&mut self, message: TappedMessage) {
        if message.streamed
            && let Some(stored) = &mut self.stored
        {
            *stored += 1;
        }
        self.due.push_back(message);
    }

    /// Whether there is no room until a message was stored or dropped.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// The leader was asked; `leader` is `None` if none answered.
    pub(super) fn leader_answered(&mut self, asked: Instant, answered: Instant, leader: Option<Leader>) -> Change {
        let Some(leader) = leader else {
            return self.lose_leader();
        };
        match &mut self.leadership {
            Leadership::Settled(known, last) if *known == leader => {
                *last = asked;
                while self.held.front().is_some_and(|oldest| oldest.at + CONFIRM_AGE <= asked) {
                    self.bytes -= self.held.pop_front().as_ref().map_or(0, size);
                }
                Change::None
            }
            Leadership::Settling(known, _) if *known == leader => Change::None,
            _ => {
                let change = self.lose_leader();
                self.leadership = Leadership::Settling(leader, answered);
                change
            }
        }
    }

    /// The stream may lack messages: those that are held, and those that come until a leader has settled, have to be stored.
    pub(super) fn lose_leader(&mut self) -> Change {
        let was_settled = matches!(self.leadership, Leadership::Settled(..));
        self.leadership = Leadership::None;
        if !was_settled {
            return Change::None;
        }
        let held = self.held.len();
        self.stored = Some(held);
        self.due.append(&mut self.held);
        Change::LeaderLost { held }
    }

    /// Settles a new leader after some time. `caught_up`: every message of the taps is here.
    pub(super) fn settle(&mut self, now: Instant, caught_up: bool) -> Change {
        let Leadership::Settling(leader, since) = &self.leadership else {
            return Change::None;
        };
        let took = now.saturating_duration_since(*since);
        if took < SETTLE_TIME || (!caught_up && took < SETTLE_TIME + MAX_CATCH_UP_TIME) {
            return Change::None;
        }
        let (leader, since) = (leader.clone(), *since);
        let change = match self.stored.take() {
            Some(stored) => Change::LeaderSettled {
                leader: leader.name.clone(),
                stored,
            },
            None => Change::None,
        };
        self.leadership = Leadership::Settled(leader, since);
        change
    }

    /// Whether a settled leader has answered a question that was asked at `since` or later.
    pub(super) fn is_settled(&self, since: Instant) -> bool {
        matches!(self.leadership, Leadership::Settled(_, asked) if asked >= since)
    }

    /// Whether a message has to be stored.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The next message that has to be stored.
    pub(super) fn next_due(&mut self) -> Option<TappedMessage> {
        let message = self.due.pop_front()?;
        self.bytes -= size(&message);
        Some(message)
    }

    /// All messages, to be stored.
    pub(super) fn into_rest(self) -> impl Iterator<Item = TappedMessage> {
        self.due.into_iter().chain(self.held)
    }
}

#[cfg(test)]
mod tests;
