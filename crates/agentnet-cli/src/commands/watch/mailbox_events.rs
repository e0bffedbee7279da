//! Events of mailboxes: what happens to messages that wait for their receivers (PROTOCOL.md section 21.6).

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use agentnet_protocol::mailbox::MailboxEventKind;
use agentnet_protocol::rpc::MailboxEvent;
use agentnet_protocol::subject::EVENTS_PREFIX;

use crate::output::Tint;
use crate::output::sanitize::clean;

/// Maximum number of events that are remembered.
const MAX_SEEN_EVENTS: usize = 10_000;

/// The account of a subject of mailbox events.
pub(crate) fn account(subject: &str) -> Option<&str> {
    let account = subject.strip_prefix(EVENTS_PREFIX)?.strip_suffix(".mailbox")?;
    (!account.is_empty() && !account.contains('.')).then_some(account)
}

/// Recognises the second copy of an event: it is published for the receiver, then for the sender.
#[derive(Debug, Default)]
pub(super) struct SeenEvents {
    /// Hashes, because the texts of others may be long.
    seen: HashSet<u64>,
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl SeenEvents {
    /// Adds an event. Returns whether it is new.
    pub(super) fn insert(&mut self, event: &MailboxEvent) -> bool {
        let event = (&event.message_id, &event.event, &event.at, event.attempt);
        let hash = self.hasher.hash_one(event);
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_SEEN_EVENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// Event and code: `retry busy`.
pub(super) fn described(event: &MailboxEvent) -> String {
    match event.code.as_deref().filter(|code| !code.is_empty()) {
        Some(code) => format!("{} {}", clean(&event.event), clean(code)),
        None => clean(&event.event).into_owned(),
    }
}

/// The colour of an event.
pub(super) fn tint(event: &MailboxEvent) -> Tint {
    match event.event.parse() {
        Ok(MailboxEventKind::Queued) => Tint::Cyan,
        Ok(MailboxEventKind::Delivered) => Tint::Green,
        Ok(MailboxEventKind::Retry) => Tint::Yellow,
        Ok(MailboxEventKind::Dead | MailboxEventKind::Expired | MailboxEventKind::Dropped) => Tint::Red,
        Err(_) => Tint::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, event: &str, attempt: i64) -> MailboxEvent {
        MailboxEvent {
            event: event.into(),
            message_id: id.into(),
            attempt,
            ..MailboxEvent::default()
        }
    }

    #[test]
    fn the_subject_names_the_account() {
        for (subject, name) in [
            ("agentnet.events.acct_1.mailbox", Some("acct_1")),
            ("agentnet.events..mailbox", None),
            ("agentnet.events.a.b.mailbox", None),
            ("agentnet.events.acct_1.task", None),
            ("account.acct_1.inbox", None),
        ] {
            assert_eq!(account(subject), name, "{subject}");
        }
    }

    #[test]
    fn the_second_copy_of_an_event_is_recognised() {
        let mut seen = SeenEvents::default();
        assert!(seen.insert(&event("m1", "queued", 0)));
        assert!(!seen.insert(&event("m1", "queued", 0)));
        assert!(seen.insert(&event("m1", "retry", 1)));
        assert!(seen.insert(&event("m1", "retry", 2)));
        for number in 0..MAX_SEEN_EVENTS {
            seen.insert(&event(&format!("n{number}"), "queued", 0));
        }
        assert_eq!((seen.seen.len(), seen.order.len()), (MAX_SEEN_EVENTS, MAX_SEEN_EVENTS));
        assert!(seen.insert(&event("m1", "queued", 0)), "the oldest has made room");
    }

    #[test]
    fn an_event_has_its_code() {
        assert_eq!(described(&event("m", "queued", 0)), "queued");
        let failed = MailboxEvent {
            code: Some("handler\u{1b}error".into()),
            ..event("m", "dead", 8)
        };
        assert_eq!(described(&failed), "dead handler\u{fffd}error");
    }
}
