//! The mailboxes of accounts: how many messages wait there, by the registry's answers. Events say when to ask again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::rpc::MailboxStatusReply;

/// Maximum number of accounts whose counts are kept.
const MAX_MAILBOXES: usize = 10_000;
/// Maximum number of accounts that wait to be asked about.
const MAX_CHANGED: usize = 256;
/// How long the counts of an account without events are used.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Messages of one mailbox, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MailCounts {
    /// Messages that are queued or leased.
    pub(crate) waiting: u64,
    /// Messages that cannot be delivered.
    pub(crate) dead: u64,
}

impl From<&MailboxStatusReply> for MailCounts {
    fn from(status: &MailboxStatusReply) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Self {
            waiting: count(status.queued).saturating_add(count(status.leased)),
            dead: count(status.dead),
        }
    }
}

/// The known mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    accounts: HashMap<Box<str>, (MailCounts, Duration)>,
    /// Accounts with events since the last answer, oldest event first.
    changed: VecDeque<Box<str>>,
    /// Of all accounts.
    total: Option<MailCounts>,
}

impl Mailboxes {
    /// The counts of an account; `None` if they are not known.
    pub(crate) fn get(&self, account_id: &str) -> Option<MailCounts> {
        self.accounts.get(account_id).map(|(counts, _)| *counts)
    }

    /// The counts of all accounts together; `None` if they are not known.
    pub(crate) fn total(&self) -> Option<MailCounts> {
        self.total
    }

    /// Applies an event of the mailbox of this account.
    pub(crate) fn event(&mut self, account_id: &str) {
        let is_new = !self.changed.iter().any(|changed| **changed == *account_id);
        if is_new && account_id.len() <= MAX_NAME_BYTES && self.changed.len() < MAX_CHANGED {
            self.changed.push_back(account_id.into());
        }
    }

    /// Applies the registry's counts of an account, or of all.
    pub(crate) fn counted(&mut self, account_id: Option<&str>, counts: MailCounts, now: Duration) {
        let Some(account_id) = account_id else {
            self.total = Some(counts);
            return;
        };
        if self.accounts.len() >= MAX_MAILBOXES && !self.accounts.contains_key(account_id) {
            self.accounts.clear();
        }
        self.accounts.insert(account_id.into(), (counts, now));
    }

    /// At most so many accounts to ask about: those with events, then those of `shown` that were not asked about for a while.
    pub(crate) fn next_checks<'a>(
        &self,
        shown: impl Iterator<Item = &'a str>,
        limit: usize,
        now: Duration,
    ) -> Vec<String> {
        let is_old = |account_id: &&str| {
            let known = self.accounts.get(*account_id);
            known.is_none_or(|(_, asked)| now.saturating_sub(*asked) >= RECHECK_INTERVAL)
        };
        let mut next: Vec<String> = self.changed.iter().take(limit).map(|id| id.to_string()).collect();
        for account_id in shown.filter(is_old) {
            if next.len() >= limit {
                break;
            }
            if !next.iter().any(|other| other == account_id) {
                next.push(account_id.to_owned());
            }
        }
        next
    }

    /// The account is being asked about: later events count again.
    pub(crate) fn asked(&mut self, account_id: &str) {
        self.changed.retain(|changed| **changed != *account_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn counts(waiting: u64) -> MailCounts {
        MailCounts { waiting, dead: 0 }
    }

    #[test]
    fn events_come_before_what_is_shown() {
        let mut mailboxes = Mailboxes::default();
        mailboxes.event("acct_b");
        mailboxes.event("acct_b");
        mailboxes.counted(Some("acct_c"), counts(1), NOW);
        let shown = || ["acct_a", "acct_b", "acct_c"].into_iter();
        assert_eq!(mailboxes.next_checks(shown(), 9, NOW), ["acct_b", "acct_a"]);
        assert_eq!(mailboxes.next_checks(shown(), 1, NOW), ["acct_b"]);
        mailboxes.asked("acct_b");
        mailboxes.counted(Some("acct_b"), counts(2), NOW);
        assert_eq!(mailboxes.get("acct_b"), Some(counts(2)));
        assert_eq!(mailboxes.next_checks(shown(), 9, NOW), ["acct_a"]);
        assert_eq!(mailboxes.next_checks(shown(), 9, NOW + RECHECK_INTERVAL).len(), 3);
    }

    #[test]
    fn everything_is_bounded() {
        let mut mailboxes = Mailboxes::default();
        for number in 0..2 * MAX_MAILBOXES {
            let id = format!("acct_{number}");
            mailboxes.event(&id);
            mailboxes.counted(Some(&id), counts(1), NOW);
        }
        mailboxes.event(&"a".repeat(MAX_NAME_BYTES + 1));
        assert_eq!(mailboxes.changed.len(), MAX_CHANGED);
        assert!(mailboxes.accounts.len() <= MAX_MAILBOXES);
    }

    #[test]
    fn leased_messages_wait_too() {
        let status = MailboxStatusReply {
            queued: 2,
            leased: 1,
            dead: -1,
            ..MailboxStatusReply::default()
        };
        assert_eq!(MailCounts::from(&status), counts(3));
        let mut mailboxes = Mailboxes::default();
        mailboxes.counted(None, counts(7), NOW);
        assert_eq!((mailboxes.total(), mailboxes.get("")), (Some(counts(7)), None));
    }
}
