//! The accounts for which messages may wait: those to which a registry may have to deliver messages itself.

use ahash::AHashMap;
use parking_lot::Mutex;

/// Accounts that are remembered; further ones are found when the store is read again.
const MAX_ACCOUNTS: usize = 100_000;

/// Accounts for which messages may wait. Events name them, which every client can publish; the store is read again and again,
/// and what it does not confirm is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Recipients(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// With the number of the reading since which an account is known.
    accounts: AHashMap<String, u64>,
    readings: u64,
}

impl Recipients {
    /// A message for this account was put in, or waits again.
    pub(crate) fn add(&self, account_id: &str) {
        let mut known = self.0.lock();
        let readings = known.readings;
        if let Some(since) = known.accounts.get_mut(account_id) {
            *since = readings;
        } else if known.accounts.len() < MAX_ACCOUNTS {
            known.accounts.insert(account_id.to_owned(), readings);
        }
    }

    /// The store is read from now on: what is added meanwhile stays.
    pub(super) fn begin_reading(&self) {
        self.0.lock().readings += 1;
    }

    /// The accounts that the store has named.
    pub(super) fn end_reading(&self, account_ids: Vec<String>) {
        let mut known = self.0.lock();
        let readings = known.readings;
        known.accounts.retain(|_, since| *since == readings);
        let room = MAX_ACCOUNTS.saturating_sub(known.accounts.len());
        let named = account_ids
            .into_iter()
            .take(room)
            .map(|account_id| (account_id, readings));
        known.accounts.extend(named);
    }

    /// The store is about to be asked for messages of this account.
    pub(super) fn remove(&self, account_id: &str) {
        self.0.lock().accounts.remove(account_id);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().accounts.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_does_not_confirm_is_forgotten() {
        let recipients = Recipients::default();
        recipients.add("old");
        recipients.begin_reading();
        recipients.add("new");
        recipients.end_reading(vec!["stored".to_owned()]);
        let mut all = recipients.all();
        all.sort_unstable();
        assert_eq!(all, ["new", "stored"]);
        recipients.remove("new");
        assert_eq!(recipients.all(), ["stored"]);
        for number in 0..MAX_ACCOUNTS + 10 {
            recipients.add(&number.to_string());
        }
        assert_eq!(recipients.all().len(), MAX_ACCOUNTS);
    }
}
