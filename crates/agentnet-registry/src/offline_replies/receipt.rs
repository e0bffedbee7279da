//! The receipt for a message without a receiver, sent to the sender of the message.
//!
//! The sender is the account that the message names. With signed identity, only a message that its sender has signed gets a
//! receipt. Without, every client can name any account, so the receipts to one account are limited in rate, and each in size.

use std::time::Instant;

use agentnet_protocol::envelope::kind;
use agentnet_protocol::limits::check_envelope;
use agentnet_protocol::subject;
use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use agentnet_protocol::{Envelope, ReceiptStatus, Reject, Text, json};
use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;

use crate::batch_lookup::AccountLoader;
use crate::context::Context;
use crate::message_signature::verify;

/// Receipts to one account, per second and in a burst.
const RECEIPTS_PER_SECOND: f64 = 200.0;
const MAX_BURST: u32 = 500;
/// Accounts with a bucket.
const MAX_BUCKETS: usize = 10_000;
/// Kinds whose sender does not wait for a receipt: replies and notifications.
const KINDS_WITHOUT_RECEIPT: [&str; 3] = [kind::REPLY, kind::ERROR, kind::SYSTEM];

/// Limits the rate of receipts to one account.
#[derive(Debug)]
pub(super) struct ReceiptLimit {
    limit: RateLimit,
    start: Instant,
    hashes: RandomState,
    buckets: Mutex<AHashMap<u64, TokenBucket>>,
}

impl Default for ReceiptLimit {
    fn default() -> Self {
        Self {
            limit: RateLimit::new(RECEIPTS_PER_SECOND, MAX_BURST),
            start: Instant::now(),
            hashes: RandomState::new(),
            buckets: Mutex::default(),
        }
    }
}

impl ReceiptLimit {
    /// The account that gets a receipt for the message; `None` if none does, or the limit is reached.
    pub(super) fn receiver(&self, message: &Envelope) -> Option<Text> {
        receiver(message).filter(|sender| self.take(sender))
    }

    fn take(&self, account_id: &str) -> bool {
        let now = self.start.elapsed().as_secs_f64();
        let mut buckets = self.buckets.lock();
        let key = self.hashes.hash_one(account_id);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            buckets.clear();
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| TokenBucket::full(&self.limit, now));
        bucket.take(&self.limit, now)
    }
}

/// Sends the `rejected` receipt for a message.
pub(super) async fn send(ctx: &Context, message: Envelope, reject: &Reject) {
    let (code, detail) = (Some(reject.code()), reject.detail().into_owned());
    ctx.receipts.send(message, ReceiptStatus::Rejected, code, detail).await;
}

/// The account that gets a receipt for the message, if one does.
fn receiver(message: &Envelope) -> Option<Text> {
    let sender = message.from_account_id.clone()?;
    let waits = subject::routable_account(&sender)
        && !message.message_id.is_empty()
        && !KINDS_WITHOUT_RECEIPT.contains(&json::trim(&message.kind))
        && check_envelope(message).is_ok();
    waits.then_some(sender)
}

/// Whether the message is signed by the account that it names; without signed identity always.
pub(super) async fn is_authentic(ctx: &Context, accounts: &AccountLoader, message: &Envelope) -> bool {
    ctx.identity.is_none() || verify(accounts, message).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Envelope {
        Envelope::decode(json.to_owned()).unwrap()
    }

    #[test]
    fn senders_that_wait_for_a_receipt_get_one() {
        for (text, expected) in [
            (r#"{"message_id":"m","from_account_id":"acct_a"}"#, true),
            (
                r#"{"message_id":"m","from_account_id":"acct_a","kind":"request"}"#,
                true,
            ),
            (r#"{"message_id":"m","from_account_id":"acct_a","kind":"stream"}"#, true),
            (r#"{"message_id":"m","from_account_id":"acct_a","kind":"reply"}"#, false),
            (r#"{"message_id":"m","from_account_id":"acct_a","kind":"error"}"#, false),
            (
                r#"{"message_id":"m","from_account_id":"acct_a","kind":" system "}"#,
                false,
            ),
            (r#"{"message_id":"","from_account_id":"acct_a"}"#, false),
            (r#"{"message_id":"m"}"#, false),
            (r#"{"message_id":"m","from_account_id":"a.b"}"#, false),
        ] {
            assert_eq!(receiver(&message(text)).is_some(), expected, "{text}");
        }
        let long = format!(r#"{{"message_id":"{}","from_account_id":"a"}}"#, "m".repeat(2000));
        assert_eq!(receiver(&message(&long)), None);
    }

    #[test]
    fn the_receipts_to_one_account_are_bounded_and_so_are_the_accounts() {
        let receipts = ReceiptLimit::default();
        let given = (0..10 * MAX_BURST).filter(|_| receipts.take("acct_a")).count();
        assert!((MAX_BURST as usize..5 * MAX_BURST as usize).contains(&given), "{given}");
        for number in 0..3 * MAX_BUCKETS {
            assert!(receipts.take(&format!("acct_{number}")));
        }
        assert!(receipts.buckets.lock().len() <= MAX_BUCKETS);
    }
}
