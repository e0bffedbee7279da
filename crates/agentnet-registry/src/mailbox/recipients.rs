//! The accounts for which messages may wait: those to which a registry may have to deliver messages itself.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;

/// Accounts that are remembered; further ones are found when the store is read again.
const MAX_ACCOUNTS: usize = 100_000;

/// Accounts for which messages may wait. Events name them, which every client can publish; the store is read again and again,
/// and what it does not confirm is forgotten.
///
/// An account is due when it comes here, and again when its sessions change: whether it can take messages is looked at then, and
/// not all the time for each.
#[derive(Debug, Default)]
pub(crate) struct Recipients(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    accounts: AHashMap<String, Recipient>,
    /// Those that are due, in their order, and some that are not any more.
    due: VecDeque<String>,
    readings: u64,
}

#[derive(Debug)]
struct Recipient {
    /// The number of the reading since which the account is known.
    since: u64,
    is_due: bool,
}

/// What has changed of the sessions of accounts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionChanges {
    /// The accounts whose sessions are others, or say something else of the mailbox.
    pub(crate) accounts: AHashSet<String>,
    /// Another registry came or went: all accounts may have got another owner.
    pub(crate) owners: bool,
}

impl Known {
    fn add(&mut self, account_id: &str) {
        let readings = self.readings;
        if let Some(recipient) = self.accounts.get_mut(account_id) {
            recipient.since = readings;
        } else if self.accounts.len() < MAX_ACCOUNTS {
            let recipient = Recipient {
                since: readings,
                is_due: false,
            };
            self.accounts.insert(account_id.to_owned(), recipient);
        }
        self.make_due(account_id);
    }

    /// An account that is not known is not due.
    fn make_due(&mut self, account_id: &str) {
        if let Some(recipient) = self.accounts.get_mut(account_id)
            && !std::mem::replace(&mut recipient.is_due, true)
        {
            self.due.push_back(account_id.to_owned());
        }
    }
}

impl Recipients {
    /// A message for this account was put in, or waits again.
    pub(crate) fn add(&self, account_id: &str) {
        self.0.lock().add(account_id);
    }

    /// The same of several accounts.
    pub(super) fn add_all(&self, account_ids: &[String]) {
        let mut known = self.0.lock();
        for account_id in account_ids {
            known.add(account_id);
        }
    }

    /// The sessions of accounts have changed.
    pub(super) fn recheck(&self, changes: &SessionChanges) {
        let mut known = self.0.lock();
        if changes.owners {
            let all: Vec<String> = known.accounts.keys().cloned().collect();
            all.iter().for_each(|account_id| known.make_due(account_id));
            return;
        }
        for account_id in &changes.accounts {
            known.make_due(account_id);
        }
    }

    /// The store is read from now on: what is added meanwhile stays.
    pub(super) fn begin_reading(&self) {
        self.0.lock().readings += 1;
    }

    /// The accounts that the store has named.
    pub(super) fn end_reading(&self, account_ids: &[String]) {
        let mut known = self.0.lock();
        let readings = known.readings;
        known.accounts.retain(|_, recipient| recipient.since == readings);
        for account_id in account_ids {
            known.add(account_id);
        }
    }

    /// The store is about to be asked for messages of this account.
    pub(super) fn remove(&self, account_id: &str) {
        self.0.lock().accounts.remove(account_id);
    }

    /// Takes the next accounts that are due, at most so many. They stay known.
    pub(super) fn take_due(&self, max: usize) -> Vec<String> {
        let mut known = self.0.lock();
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(account_id) = known.due.pop_front() else {
                break;
            };
            if let Some(recipient) = known.accounts.get_mut(&account_id)
                && std::mem::replace(&mut recipient.is_due, false)
            {
                taken.push(account_id);
            }
        }
        taken
    }

    /// Accounts that were taken, and for which there was no place: they are the next ones.
    pub(super) fn put_back(&self, account_ids: Vec<String>) {
        let mut known = self.0.lock();
        for account_id in account_ids.into_iter().rev() {
            if let Some(recipient) = known.accounts.get_mut(&account_id)
                && !std::mem::replace(&mut recipient.is_due, true)
            {
                known.due.push_front(account_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(recipients: &Recipients) -> Vec<String> {
        let mut taken = recipients.take_due(usize::MAX);
        taken.sort_unstable();
        taken
    }

    #[test]
    fn what_the_store_does_not_confirm_is_forgotten() {
        let recipients = Recipients::default();
        recipients.add("old");
        recipients.begin_reading();
        recipients.add("new");
        recipients.end_reading(&["stored".to_owned()]);
        assert_eq!(taken(&recipients), ["new", "stored"]);
        recipients.remove("new");
        let owners = SessionChanges {
            owners: true,
            ..SessionChanges::default()
        };
        recipients.recheck(&owners);
        assert_eq!(taken(&recipients), ["stored"]);
        for number in 0..MAX_ACCOUNTS + 10 {
            recipients.add(&number.to_string());
        }
        assert_eq!(taken(&recipients).len(), MAX_ACCOUNTS - 1);
    }

    /// An account that cannot take messages costs nothing until its sessions change.
    #[test]
    fn an_account_is_due_once_and_when_its_sessions_change() {
        let recipients = Recipients::default();
        recipients.add_all(&["a".to_owned(), "b".to_owned()]);
        recipients.add("a");
        assert_eq!(taken(&recipients), ["a", "b"]);
        assert!(taken(&recipients).is_empty());
        let changes = SessionChanges {
            accounts: AHashSet::from(["b".to_owned(), "unknown".to_owned()]),
            owners: false,
        };
        recipients.recheck(&changes);
        assert_eq!(taken(&recipients), ["b"]);
    }

    #[test]
    fn accounts_have_their_turns_in_order() {
        let recipients = Recipients::default();
        for account_id in ["a", "b", "c", "d"] {
            recipients.add(account_id);
        }
        let due = recipients.take_due(3);
        assert_eq!(due, ["a", "b", "c"]);
        recipients.put_back(due[1..].to_vec());
        recipients.add("a");
        assert_eq!(recipients.take_due(9), ["b", "c", "d", "a"]);
    }
}
