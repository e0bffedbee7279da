//! What the NATS server does not permit this connection's user.
//!
//! The server drops what it denies and reports that on the connection, not to the call. So each call that publishes or
//! subscribes looks here for a denial since its start, instead of waiting for an answer that cannot come.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// Denials that are kept.
const MAX_RECENT_DENIALS: usize = 128;
/// Bytes of a subject that are shown.
const MAX_SHOWN_BYTES: usize = 256;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Publish,
    Subscribe,
}

/// An operation that the server has denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) action: Action,
    pub(crate) subject: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
        };
        let shown = &self.subject[..self.subject.floor_char_boundary(MAX_SHOWN_BYTES)];
        write!(
            f,
            "permissions violation: NATS does not permit this user to {action} to {shown:?}"
        )
    }
}

impl Denied {
    /// Reads the server's word: `Permissions Violation for Publish to "registry.list"`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const OPENING: &str = "permissions violation for ";
        let rest = text.get(OPENING.len()..)?;
        if !text.get(..OPENING.len())?.eq_ignore_ascii_case(OPENING) {
            return None;
        }
        let action = match rest.get(..7)?.to_ascii_lowercase().as_str() {
            "publish" => Action::Publish,
            "subscri" => Action::Subscribe,
            _ => return None,
        };
        // A queue group may follow the subject.
        let subject = rest.split('"').nth(1)?.to_owned();
        Some(Self { action, subject })
    }

    pub(crate) fn is(&self, action: Action, subject: &str) -> bool {
        self.action == action && self.subject == subject
    }
}

/// The refusals of one connection, numbered.
#[derive(Debug)]
pub(crate) struct Denials {
    recent: Mutex<VecDeque<(u64, Denied)>>,
    count: watch::Sender<u64>,
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            recent: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

/// Up to here refusals are old.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

impl Denials {
    /// Keeps a denial; false if it was reported before.
    pub(crate) fn note(&self, denied: Denied) -> bool {
        let mut recent = self.recent();
        let is_new = recent.iter().all(|(_, known)| *known != denied);
        let number = *self.count.borrow() + 1;
        if recent.len() == MAX_RECENT_DENIALS {
            recent.pop_front();
        }
        recent.push_back((number, denied));
        drop(recent);
        self.count.send_replace(number);
        is_new
    }

    /// What is refused from now on counts.
    pub(crate) fn mark(&self) -> Mark {
        Mark(*self.count.borrow())
    }

    /// A refusal since the mark.
    pub(crate) fn since(&self, mark: Mark, concerns: impl Fn(&Denied) -> bool) -> Option<Denied> {
        let recent = self.recent();
        let mut young = recent.iter().filter(|(number, _)| *number > mark.0);
        young
            .find(|(_, denied)| concerns(denied))
            .map(|(_, denied)| denied.clone())
    }

    /// Waits for a refusal since the mark.
    pub(crate) async fn wait(&self, mark: Mark, concerns: impl Fn(&Denied) -> bool) -> Denied {
        let mut count = self.count.subscribe();
        loop {
            count.mark_unchanged();
            if let Some(denied) = self.since(mark, &concerns) {
                return denied;
            }
            if count.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(u64, Denied)>> {
        self.recent.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_word_is_read() {
        for (text, expected) in [
            (
                r#"Permissions Violation for Publish to "registry.list""#,
                Some((Action::Publish, "registry.list")),
            ),
            (
                r#"Permissions Violation for Subscription to "account.a.inbox" using queue "agentnet-account-a""#,
                Some((Action::Subscribe, "account.a.inbox")),
            ),
            (
                r#"permissions violation for subscription to "_AGENTNET.>""#,
                Some((Action::Subscribe, "_AGENTNET.>")),
            ),
            ("Permissions Violation for ", None),
            ("Maximum Connections Exceeded", None),
            ("é", None),
        ] {
            let expected = expected.map(|(action, subject)| Denied {
                action,
                subject: subject.to_owned(),
            });
            assert_eq!(Denied::parse(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn only_what_is_refused_since_counts() {
        let denials = Denials::default();
        let denied = |number: usize| Denied {
            action: Action::Publish,
            subject: format!("s{number}"),
        };
        assert!(denials.note(denied(0)));
        let mark = denials.mark();
        assert_eq!(denials.since(mark, |_| true), None);
        let (seen, ()) = tokio::join!(denials.wait(mark, |denied| denied.is(Action::Publish, "s1")), async {
            assert!(denials.note(denied(2)));
            assert!(denials.note(denied(1)));
        });
        assert_eq!(seen, denied(1));
        assert!(!denials.note(denied(0)), "said before");
        for number in 0..3 * MAX_RECENT_DENIALS {
            denials.note(denied(number));
        }
        assert_eq!(denials.recent().len(), MAX_RECENT_DENIALS);
    }

    #[test]
    fn long_subjects_are_shown_shortened() {
        let denied = Denied {
            action: Action::Subscribe,
            subject: "é".repeat(10_000),
        };
        assert!(denied.to_string().len() < 400, "{denied}");
    }
}
