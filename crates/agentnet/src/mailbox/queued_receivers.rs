//! The accounts for which messages of this node wait: what it sends to them next is put behind those (PROTOCOL.md section 21.2).

use agentnet_protocol::Text;
use parking_lot::Mutex;

use crate::bounded_cache::{BoundedCache, bounded_cache};

/// Accounts that are remembered. A message to one that is forgotten is published first again, and may overtake others.
const MAX_ACCOUNTS: usize = 10_000;

/// The accounts to which the node puts messages directly.
pub(crate) struct QueuedReceivers(Mutex<BoundedCache<Text, Waiting>>);

/// What is known of one account.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    /// A message waits for it.
    is_certain: bool,
    /// Messages of which it is not decided yet whether they wait.
    undecided: u32,
}

impl Default for QueuedReceivers {
    fn default() -> Self {
        Self(Mutex::new(bounded_cache(MAX_ACCOUNTS)))
    }
}

impl QueuedReceivers {
    /// A message for this account may wait from now on.
    pub(crate) fn hold(&self, account_id: &Text) -> Hold<'_> {
        self.change(account_id, |waiting| {
            waiting.undecided = waiting.undecided.saturating_add(1)
        });
        Hold {
            receivers: self,
            account_id: account_id.clone(),
            is_delivered: false,
        }
    }

    /// Nothing waits for this account any more, except what is undecided.
    pub(crate) fn remove(&self, account_id: &Text) {
        self.change(account_id, |waiting| waiting.is_certain = false);
    }

    /// Whether messages for this account may wait.
    pub(crate) fn contains(&self, account_id: &Text) -> bool {
        self.0.lock().get(account_id).is_some()
    }

    fn change(&self, account_id: &Text, change: impl FnOnce(&mut Waiting)) {
        let mut accounts = self.0.lock();
        let mut waiting = accounts.get(account_id).copied().unwrap_or_default();
        change(&mut waiting);
        if waiting.is_certain || waiting.undecided > 0 {
            accounts.insert(account_id.clone(), waiting);
        } else {
            accounts.remove(account_id);
        }
    }
}

/// A message that may wait. If it is dropped, the message waits, as far as the node knows.
pub(crate) struct Hold<'a> {
    receivers: &'a QueuedReceivers,
    account_id: Text,
    is_delivered: bool,
}

impl Hold<'_> {
    /// The message does not wait: it is delivered, or was not kept.
    pub(crate) fn release(mut self) {
        self.is_delivered = true;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.receivers.change(&self.account_id, |waiting| {
            waiting.undecided = waiting.undecided.saturating_sub(1);
            waiting.is_certain |= !self.is_delivered;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_while_a_message_may_wait() {
        let receivers = QueuedReceivers::default();
        let bob = Text::from("acct_bob");
        assert!(!receivers.contains(&bob));
        let (first, second) = (receivers.hold(&bob), receivers.hold(&bob));
        first.release();
        assert!(receivers.contains(&bob), "the second is undecided");
        second.release();
        assert!(!receivers.contains(&bob));
        drop(receivers.hold(&bob));
        receivers.hold(&bob).release();
        assert!(receivers.contains(&bob), "the one that was dropped waits");
        let third = receivers.hold(&bob);
        receivers.remove(&bob);
        assert!(receivers.contains(&bob), "the third is undecided");
        third.release();
        assert!(!receivers.contains(&bob));
    }
}
