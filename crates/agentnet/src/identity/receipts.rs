//! Who signed a receipt (PROTOCOL.md section 13.6).
//!
//! The original does not sign receipts. So an account that does says so when it registers; from such an account only signed
//! ones count, from the others those without a signature too, as on a network without signed identity, while they have a live
//! session: an account that is not there gives no receipts. For a message that nobody can take the registry gives one, signed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Receipt, ReceiptStatus, Text};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::keys::Looked;
use super::{Identity, UNREACHED};
use crate::session::Live;

/// Receipts that may wait for keys; those beyond are lost, and the message is sent again.
const WAITING: usize = 256;

/// From whom receipts are expected, by message id.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<HashMap<Text, Option<Text>>>);

impl Awaited {
    fn lock(&self) -> MutexGuard<'_, HashMap<Text, Option<Text>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it lives, receipts for the message are expected.
pub(crate) struct Expectation {
    identity: Arc<Identity>,
    message_id: Text,
}

impl Drop for Expectation {
    fn drop(&mut self) {
        self.identity.awaited.lock().remove(&self.message_id);
    }
}

impl Live {
    /// Receipts for a message count from now on if the account gave them; for a message to a capability, any account.
    pub(crate) fn expect_receipts(&self, message_id: &Text, account_id: Option<&Text>) -> Option<Expectation> {
        let identity = self.identity.clone()?;
        identity.awaited.lock().insert(message_id.clone(), account_id.cloned());
        Some(Expectation {
            identity,
            message_id: message_id.clone(),
        })
    }
}

/// Checks receipts for the one task that takes them in.
pub(crate) struct ReceiptChecks {
    live: Arc<Live>,
    waiting: FuturesUnordered<BoxFuture<'static, Receipt>>,
}

/// What is to be thought of a receipt.
enum Verdict {
    Genuine,
    /// Nobody waits for it: a later one of a message that is done.
    Unwanted,
    Refused(&'static str),
    Ask(Text),
}

impl ReceiptChecks {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            waiting: FuturesUnordered::new(),
        }
    }

    /// Gives the receipt back if it counts. One whose sender's key is not known waits for it.
    pub(crate) fn check(&mut self, receipt: Receipt) -> Option<Receipt> {
        let Some(identity) = &self.live.identity else {
            return Some(receipt);
        };
        match judge(identity, &receipt, &self.live.sender.account_id, true) {
            Verdict::Genuine => return Some(receipt),
            Verdict::Unwanted => {}
            Verdict::Refused(why) => self.refuse(&receipt, why),
            Verdict::Ask(_) if self.waiting.len() >= WAITING => self.refuse(&receipt, "too many wait"),
            Verdict::Ask(account_id) => {
                let question = identity.keys.ask(&account_id);
                self.waiting.push(Box::pin(async move {
                    question.await;
                    receipt
                }));
            }
        }
        None
    }

    /// The next receipt that waited and counts. Never returns while none waits.
    pub(crate) async fn looked_up(&mut self) -> Receipt {
        loop {
            let Some(receipt) = self.waiting.next().await else {
                return std::future::pending().await;
            };
            let Some(identity) = &self.live.identity else {
                return receipt;
            };
            match judge(identity, &receipt, &self.live.sender.account_id, false) {
                Verdict::Genuine => return receipt,
                Verdict::Unwanted => {}
                Verdict::Refused(why) => self.refuse(&receipt, why),
                Verdict::Ask(_) => self.refuse(&receipt, "auth_key_not_found"),
            }
        }
    }

    fn refuse(&self, receipt: &Receipt, why: &'static str) {
        self.live.metrics.refused_receipts.add_one();
        tracing::warn!(
            message_id = %receipt.message_id,
            from = receipt.from_account_id.as_deref().unwrap_or_default(),
            why,
            "ignored a receipt that its sender did not give"
        );
    }
}

fn judge(identity: &Identity, receipt: &Receipt, own_account_id: &str, may_ask: bool) -> Verdict {
    let Some(expected) = identity.awaited.lock().get(&receipt.message_id).cloned() else {
        return Verdict::Unwanted;
    };
    let Some(sender) = receipt.from_account_id.clone() else {
        return Verdict::Refused("receipt_sender_mismatch");
    };
    let of_registry = sender.starts_with(REGISTRY_ACCOUNT_PREFIX) && says_unreached(receipt);
    if !of_registry && expected.is_some_and(|expected| expected != sender) {
        return Verdict::Refused("receipt_sender_mismatch");
    }
    if receipt.to_account_id.as_deref().is_some_and(|to| to != own_account_id) {
        return Verdict::Refused("receipt_recipient_mismatch");
    }
    let known = match identity.keys.cached(&sender) {
        None if may_ask => return Verdict::Ask(sender),
        None | Some(Looked::Failed) => return Verdict::Refused("auth_key_not_found"),
        // An account without a key signs nothing.
        Some(Looked::NoKey { live }) if live && !of_registry => return Verdict::Genuine,
        Some(Looked::NoKey { .. }) => return Verdict::Refused("auth_key_not_found"),
        Some(Looked::Key(known)) => known,
    };
    if receipt.auth.is_none() && !known.signs.receipts && !of_registry {
        return match identity.keys.asked_lately(&sender) || !may_ask {
            true if known.live => Verdict::Genuine,
            true => Verdict::Refused("receipt_sender_offline"),
            false => Verdict::Ask(sender),
        };
    }
    let signed_by = receipt.signed_by();
    if signed_by.as_ref() == Some(&known.public_key) {
        return Verdict::Genuine;
    }
    // The key may be another one by now, or a session of the account that signs no receipts may have come.
    if may_ask && (receipt.auth.is_none() || signed_by.is_some()) {
        return Verdict::Ask(sender);
    }
    Verdict::Refused(match (&receipt.auth, signed_by) {
        (None, _) => "auth_missing",
        (Some(_), None) => "auth_signature_invalid",
        (Some(_), Some(_)) => "auth_public_key_mismatch",
    })
}

/// Whether a receipt says what a registry says in the place of those who are gone (PROTOCOL.md section 0.9).
fn says_unreached(receipt: &Receipt) -> bool {
    receipt.status() == ReceiptStatus::Rejected && receipt.code.as_deref().is_some_and(|code| UNREACHED.contains(&code))
}
