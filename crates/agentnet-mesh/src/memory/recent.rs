//! The latest messages that this process sent or received: the registry stores messages a moment after they are sent,
//! and a question may follow an answer sooner.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::estimate::cut;
use super::history::Entry;

/// Messages that are kept.
const MAX_RECENT: usize = 16;
/// How long a message is kept: the registry has it by then, or is down.
const RECENT_TTL: Duration = Duration::from_secs(20);
/// Characters of a message that are kept.
const MAX_TEXT_CHARS: usize = 8_000;

/// The latest messages of one agent.
#[derive(Debug, Default)]
pub(super) struct RecentMessages(Mutex<VecDeque<RecentMessage>>);

#[derive(Debug)]
struct RecentMessage {
    thread_id: String,
    entry: Entry,
    at: Instant,
}

impl RecentMessages {
    /// Keeps a message of a thread.
    pub(super) fn add(&self, thread_id: &str, mut entry: Entry, now: Instant) {
        entry.text = cut(&entry.text, MAX_TEXT_CHARS);
        let mut recent = self.0.lock();
        forget_old(&mut recent, now);
        if recent.len() >= MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(RecentMessage {
            thread_id: thread_id.to_owned(),
            entry,
            at: now,
        });
    }

    /// The messages of a thread, the oldest first.
    pub(super) fn of(&self, thread_id: &str, now: Instant) -> Vec<Entry> {
        let mut recent = self.0.lock();
        forget_old(&mut recent, now);
        let of_thread = recent.iter().filter(|message| message.thread_id == thread_id);
        of_thread.map(|message| message.entry.clone()).collect()
    }
}

fn forget_old(recent: &mut VecDeque<RecentMessage>, now: Instant) {
    while recent
        .front()
        .is_some_and(|message| now.duration_since(message.at) > RECENT_TTL)
    {
        recent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_for_a_while_by_thread() {
        let start = Instant::now();
        let recent = RecentMessages::default();
        for number in 0..2 * MAX_RECENT {
            let thread_id = if number % 2 == 0 { "even" } else { "odd" };
            let entry = Entry {
                id: number.to_string(),
                text: "x".repeat(2 * MAX_TEXT_CHARS),
                ..Entry::default()
            };
            recent.add(thread_id, entry, start);
        }
        let even = recent.of("even", start);
        assert_eq!((even.len(), &*even[0].id), (MAX_RECENT / 2, "16"));
        assert_eq!(even[0].text.chars().count(), MAX_TEXT_CHARS);
        assert!(recent.of("other", start).is_empty());
        assert!(
            recent
                .of("even", start + RECENT_TTL + Duration::from_secs(1))
                .is_empty()
        );
    }
}
