//! The receipt for a message that nobody can take, to its sender.
//!
//! Who sent a message is what the message says. On a network with signed identity only what its sender has signed is
//! answered; on others anybody can name anybody, so the receipts for one account are bounded in rate, and each in size.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::limits::check_envelope;
use agentnet_protocol::message_auth::SignedMessage;
use agentnet_protocol::subject::{self, registry_account};
use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use agentnet_protocol::{Envelope, Receipt, ReceiptStatus, Reject, Text, json};
use ahash::{AHashMap, RandomState};

use crate::clock::Now;
use crate::context::Context;
use crate::together::AccountLookups;

/// Receipts for one account, a second and at once.
const PER_SECOND: f64 = 200.0;
const BURST: u32 = 500;
/// Accounts whose rate is remembered.
const ACCOUNTS: usize = 10_000;
/// Kinds that nobody waits for: what answers something, and what is told.
const UNANSWERED: [&str; 3] = [kind::REPLY, kind::ERROR, kind::SYSTEM];

/// Gives receipts in the place of agents that are gone.
#[derive(Debug)]
pub(super) struct Receipts {
    limit: RateLimit,
    start: Instant,
    hashes: RandomState,
    buckets: Mutex<AHashMap<u64, TokenBucket>>,
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            limit: RateLimit::new(PER_SECOND, BURST),
            start: Instant::now(),
            hashes: RandomState::new(),
            buckets: Mutex::default(),
        }
    }
}

impl Receipts {
    /// The account that waits for a receipt of the message, if there may be one.
    pub(super) fn addressee(&self, message: &Envelope) -> Option<Text> {
        addressee(message).filter(|sender| self.may_have_one_more(sender))
    }

    fn may_have_one_more(&self, account_id: &str) -> bool {
        let now = self.start.elapsed().as_secs_f64();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.hashes.hash_one(account_id);
        if buckets.len() >= ACCOUNTS && !buckets.contains_key(&key) {
            buckets.clear();
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| TokenBucket::full(&self.limit, now));
        bucket.take(&self.limit, now)
    }
}

/// Tells the sender of a message that nobody can take it.
pub(super) async fn reject(
    ctx: &Context,
    accounts: &AccountLookups,
    sender: &str,
    mut message: Envelope,
    reject: &Reject,
) {
    if !is_proven(ctx, accounts, sender, &message).await {
        return;
    }
    if message.thread_id.is_none() {
        message.thread_id = Some(default_thread_id(message.trace_or_message_id()));
    }
    let own = Text::from(registry_account(&ctx.config.server_id));
    let (status, now) = (ReceiptStatus::Rejected, Now::read().time);
    let mut receipt = Receipt::for_message(&message, status, Some(reject), &own, &Text::new(), now);
    if let Some(identity) = &ctx.identity {
        identity.sign_receipt(&mut receipt);
    }
    let published = ctx.client.publish(subject::receipts(sender), receipt.encode());
    if let Err(error) = published.await {
        tracing::debug!(%error, "a receipt could not be sent");
    }
}

/// The account that waits for a receipt of the message, if anybody does.
fn addressee(message: &Envelope) -> Option<Text> {
    let sender = message.from_account_id.clone()?;
    let waits = subject::routable_account(&sender)
        && !message.message_id.is_empty()
        && !UNANSWERED.contains(&json::trim(&message.kind))
        && check_envelope(message).is_ok();
    waits.then_some(sender)
}

/// Whether the message is from whom it names, as far as this network can tell.
async fn is_proven(ctx: &Context, accounts: &AccountLookups, sender: &str, message: &Envelope) -> bool {
    if ctx.identity.is_none() {
        return true;
    }
    let Ok(signed) = SignedMessage::read(message) else {
        return false;
    };
    match accounts.ask(sender.to_owned()).await {
        Ok(Some(account)) => signed.verify(account.public_key.as_deref(), message).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Envelope {
        Envelope::decode(json.to_owned()).unwrap()
    }

    #[test]
    fn whoever_may_wait_for_a_receipt_is_told() {
        for (text, told) in [
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
            assert_eq!(addressee(&message(text)).is_some(), told, "{text}");
        }
        let long = format!(r#"{{"message_id":"{}","from_account_id":"a"}}"#, "m".repeat(2000));
        assert_eq!(addressee(&message(&long)), None);
    }

    #[test]
    fn the_receipts_for_one_account_are_bounded_and_so_are_the_accounts() {
        let receipts = Receipts::default();
        let given = (0..10 * BURST).filter(|_| receipts.may_have_one_more("acct_a")).count();
        assert!((BURST as usize..5 * BURST as usize).contains(&given), "{given}");
        for number in 0..3 * ACCOUNTS {
            assert!(receipts.may_have_one_more(&format!("acct_{number}")));
        }
        assert!(receipts.buckets.lock().unwrap().len() <= ACCOUNTS);
    }
}
