//! What is held, and when it is dropped or has to be stored. Pure: time is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Heard;
use super::leader::Leader;

/// Messages younger than this are not dropped though the leader answers: it may not have written them, or not on enough
/// servers, yet.
const MARGIN: Duration = Duration::from_secs(3);
/// Messages that come so soon after a new leader answers are stored: not every server may send it messages yet.
const SETTLE: Duration = Duration::from_secs(2);
/// A backlog of messages that were sent while nobody led is worked off first, for so long at most: should the database not
/// keep up with storing everything twice, that must end.
const CATCH_UP: Duration = Duration::from_secs(30);
/// Bytes that are held; what is beyond is stored.
const LIMIT: usize = 64 << 20;
/// What a held message takes beside its body, subject and headers in the client's buffer included.
const EACH: usize = 160;

/// Held messages, in the order in which they were heard.
#[derive(Debug)]
pub(super) struct Shelf {
    limit: usize,
    bytes: usize,
    /// To be stored.
    due: VecDeque<Heard>,
    /// The stream should have them.
    held: VecDeque<Heard>,
    trust: Trust,
    /// Messages of the stream that went on to the store since the last change; a registry's start is none.
    stored: Option<usize>,
}

/// Whether the stream gets every message.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// Nobody is known to lead it.
    Doubt,
    /// Since this time somebody does.
    Settling(Leader, Instant),
    /// The same leader has answered every time, the last time when it was asked then.
    Sure(Leader, Instant),
}

/// What people should know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// The stream may lack what was held.
    Doubt {
        held: usize,
    },
    /// The stream gets every message again. So many were stored past it.
    Sure {
        leader: String,
        stored: usize,
    },
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            bytes: 0,
            due: VecDeque::new(),
            held: VecDeque::new(),
            trust: Trust::Doubt,
            stored: None,
        }
    }
}

fn size(heard: &Heard) -> usize {
    heard.body.len() + EACH
}

impl Shelf {
    /// Takes a message.
    pub(super) fn hear(&mut self, heard: Heard) {
        self.bytes += size(&heard);
        if heard.streamed && matches!(self.trust, Trust::Sure(..)) {
            self.held.push_back(heard);
            if self.is_full()
                && let Some(oldest) = self.held.pop_front()
            {
                self.is_due(oldest);
            }
        } else {
            self.is_due(heard);
        }
    }

    fn is_due(&mut self, heard: Heard) {
        if heard.streamed
            && let Some(stored) = &mut self.stored
        {
            *stored += 1;
        }
        self.due.push_back(heard);
    }

    /// Whether there is no room for more until something was handed on or dropped.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// The leader was asked and has answered, or nobody did.
    pub(super) fn look(&mut self, asked: Instant, answered: Instant, leader: Option<Leader>) -> Change {
        let Some(leader) = leader else {
            return self.doubt();
        };
        match &mut self.trust {
            Trust::Sure(known, last) if *known == leader => {
                *last = asked;
                while self.held.front().is_some_and(|oldest| oldest.at + MARGIN <= asked) {
                    self.bytes -= self.held.pop_front().as_ref().map_or(0, size);
                }
                Change::None
            }
            Trust::Settling(known, _) if *known == leader => Change::None,
            _ => {
                let change = self.doubt();
                self.trust = Trust::Settling(leader, answered);
                change
            }
        }
    }

    /// The stream may have missed messages: what is held has to be stored, and what comes until a leader has settled.
    pub(super) fn doubt(&mut self) -> Change {
        let was_sure = matches!(self.trust, Trust::Sure(..));
        self.trust = Trust::Doubt;
        if !was_sure {
            return Change::None;
        }
        let held = self.held.len();
        self.stored = Some(held);
        self.due.append(&mut self.held);
        Change::Doubt { held }
    }

    /// Trusts a leader that has settled. `caught_up`: all that the taps have heard so far is here.
    pub(super) fn settle(&mut self, now: Instant, caught_up: bool) -> Change {
        let Trust::Settling(leader, since) = &self.trust else {
            return Change::None;
        };
        let took = now.saturating_duration_since(*since);
        if took < SETTLE || (!caught_up && took < SETTLE + CATCH_UP) {
            return Change::None;
        }
        let (leader, since) = (leader.clone(), *since);
        let change = match self.stored.take() {
            Some(stored) => Change::Sure {
                leader: leader.name.clone(),
                stored,
            },
            None => Change::None,
        };
        self.trust = Trust::Sure(leader, since);
        change
    }

    /// Whether the stream gets every message, by an answer to a question that was asked at `since` or later.
    pub(super) fn is_sure(&self, since: Instant) -> bool {
        matches!(self.trust, Trust::Sure(_, asked) if asked >= since)
    }

    /// Whether something has to be stored.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The next message that has to be stored.
    pub(super) fn next_due(&mut self) -> Option<Heard> {
        let heard = self.due.pop_front()?;
        self.bytes -= size(&heard);
        Some(heard)
    }

    /// Everything that is here.
    pub(super) fn into_rest(self) -> impl Iterator<Item = Heard> {
        self.due.into_iter().chain(self.held)
    }
}

#[cfg(test)]
mod tests;
