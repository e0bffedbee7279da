//! The order of messages to one account: each waits until the one before it is on its way to the store.
//!
//! Messages are checked in tasks of their own, side by side. Those that are kept in a mailbox are to have the order in which
//! they came.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The last message of each account that is being handled.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<AHashMap<String, Last>>);

#[derive(Debug)]
struct Last {
    number: u64,
    /// Ends when the message is handled.
    handled: oneshot::Receiver<()>,
}

/// The place of a message behind those that came before; dropped when it is handled, after its turn has [come](Turn::come): its
/// successor waits for it alone.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    account_id: String,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    _handled: oneshot::Sender<()>,
}

impl Turns {
    /// The next place for an account.
    pub(super) fn take(self: &Arc<Self>, account_id: &str) -> Turn {
        let (done, handled) = oneshot::channel();
        let mut last = self.0.lock();
        let before = last.remove(account_id);
        let number = before.as_ref().map_or(0, |before| before.number + 1);
        last.insert(account_id.to_owned(), Last { number, handled });
        Turn {
            turns: Arc::clone(self),
            account_id: account_id.to_owned(),
            number,
            before: before.map(|before| before.handled),
            _handled: done,
        }
    }
}

impl Turn {
    /// Returns when the messages before are handled.
    pub(super) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: the channel ends.
            let _ = before.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut last = self.turns.0.lock();
        if last
            .get(&self.account_id)
            .is_some_and(|last| last.number == self.number)
        {
            last.remove(&self.account_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn messages_to_one_account_take_turns() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a");
        let mut second = turns.take("a");
        let mut third = turns.take("a");
        let mut other = turns.take("b");
        assert!(other.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none());
        drop(first);
        drop(second);
        assert!(third.come().now_or_never().is_some());
        drop(third);
        drop(other);
        assert!(turns.0.lock().is_empty());
    }
}
