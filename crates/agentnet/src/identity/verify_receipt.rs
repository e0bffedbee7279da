//! Who signed a receipt (PROTOCOL.md section 13.6).
//!
//! The Python implementation does not sign receipts. So an account that signs them states this when it registers: from such an
//! account only signed receipts are accepted. From the others unsigned ones are accepted too, as on a network without signed
//! identity, while they have a live session: an account that is offline gives no receipts. For a message to an unreachable
//! account the registry gives one, signed.

use std::sync::Arc;

use agentnet_protocol::reject::UNREACHABLE_CODES;
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Receipt, ReceiptStatus, Text};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::Identity;
use super::key_cache::KeyLookup;
use crate::mailbox::codes::is_mailbox_code;
use crate::metrics::Metrics;

/// Receipts that may wait for keys; those beyond are ignored, and the message is sent again.
const MAX_PENDING_RECEIPTS: usize = 256;

/// While it lives, receipts for the message are expected.
pub(crate) struct ReceiptExpectation {
    identity: Arc<Identity>,
    message_id: Text,
}

impl Drop for ReceiptExpectation {
    fn drop(&mut self) {
        self.identity.expected_receipts.remove(&self.message_id);
    }
}

/// From now on receipts for a message are accepted from this account; for a message to a capability, from any account. A node
/// that does not sign accepts all receipts.
pub(crate) fn expect_receipts(
    identity: Option<&Arc<Identity>>,
    message_id: &Text,
    account_id: Option<&Text>,
) -> Option<ReceiptExpectation> {
    let identity = identity?.clone();
    identity
        .expected_receipts
        .insert(message_id.clone(), account_id.cloned());
    Some(ReceiptExpectation {
        identity,
        message_id: message_id.clone(),
    })
}

/// Checks receipts for the one task that takes them in.
pub(crate) struct ReceiptChecks {
    identity: Option<Arc<Identity>>,
    metrics: Arc<Metrics>,
    waiting: FuturesUnordered<BoxFuture<'static, Receipt>>,
}

/// What a check of a receipt found.
enum ReceiptVerdict {
    Valid,
    /// No send waits for it: a later receipt of a message that is done.
    Unwanted,
    Rejected(&'static str),
    Ask(Text),
}

impl ReceiptChecks {
    pub(crate) fn new(identity: Option<Arc<Identity>>, metrics: Arc<Metrics>) -> Self {
        Self {
            identity,
            metrics,
            waiting: FuturesUnordered::new(),
        }
    }

    /// Returns the receipt if it is accepted. One whose sender's key is not cached waits for the look-up.
    pub(crate) fn check(&mut self, receipt: Receipt) -> Option<Receipt> {
        let Some(identity) = &self.identity else {
            return Some(receipt);
        };
        match judge(identity, &receipt, true) {
            ReceiptVerdict::Valid => return Some(receipt),
            ReceiptVerdict::Unwanted => {}
            ReceiptVerdict::Rejected(why) => self.ignore(&receipt, why),
            ReceiptVerdict::Ask(_) if self.waiting.len() >= MAX_PENDING_RECEIPTS => {
                self.ignore(&receipt, "too many wait")
            }
            ReceiptVerdict::Ask(account_id) => {
                let lookup = identity.keys.ask(&account_id);
                self.waiting.push(Box::pin(async move {
                    lookup.await;
                    receipt
                }));
            }
        }
        None
    }

    /// The next receipt that is accepted after it has waited. Does not return while none waits.
    pub(crate) async fn looked_up(&mut self) -> Receipt {
        loop {
            let Some(receipt) = self.waiting.next().await else {
                return std::future::pending().await;
            };
            let Some(identity) = &self.identity else {
                return receipt;
            };
            match judge(identity, &receipt, false) {
                ReceiptVerdict::Valid => return receipt,
                ReceiptVerdict::Unwanted => {}
                ReceiptVerdict::Rejected(why) => self.ignore(&receipt, why),
                ReceiptVerdict::Ask(_) => self.ignore(&receipt, "auth_key_not_found"),
            }
        }
    }

    fn ignore(&self, receipt: &Receipt, why: &'static str) {
        self.metrics.refused_receipts.add_one();
        tracing::warn!(
            message_id = %receipt.message_id,
            from = receipt.from_account_id.as_deref().unwrap_or_default(),
            why,
            "ignored a receipt that its sender did not give"
        );
    }
}

fn judge(identity: &Identity, receipt: &Receipt, may_ask: bool) -> ReceiptVerdict {
    let Some(expected) = identity.expected_receipts.get(&receipt.message_id) else {
        return ReceiptVerdict::Unwanted;
    };
    let Some(sender) = receipt.from_account_id.clone() else {
        return ReceiptVerdict::Rejected("receipt_sender_mismatch");
    };
    let by_registry = sender.starts_with(REGISTRY_ACCOUNT_PREFIX) && is_of_registry(receipt);
    if !by_registry && expected.is_some_and(|expected| expected != sender) {
        return ReceiptVerdict::Rejected("receipt_sender_mismatch");
    }
    if receipt
        .to_account_id
        .as_deref()
        .is_some_and(|to| to != &*identity.own_account_id)
    {
        return ReceiptVerdict::Rejected("receipt_recipient_mismatch");
    }
    let known = match identity.keys.cached(&sender) {
        None if may_ask => return ReceiptVerdict::Ask(sender),
        None | Some(KeyLookup::Failed) => return ReceiptVerdict::Rejected("auth_key_not_found"),
        // An account without a key signs nothing.
        Some(KeyLookup::NoKey { live }) if live && !by_registry => return ReceiptVerdict::Valid,
        Some(KeyLookup::NoKey { .. }) => return ReceiptVerdict::Rejected("auth_key_not_found"),
        Some(KeyLookup::Key(known)) => known,
    };
    if receipt.auth.is_none() && !known.signs.receipts && !by_registry {
        return match identity.keys.was_asked_lately(&sender) || !may_ask {
            true if known.live => ReceiptVerdict::Valid,
            true => ReceiptVerdict::Rejected("receipt_sender_offline"),
            false => ReceiptVerdict::Ask(sender),
        };
    }
    let signed_by = receipt.signed_by();
    if signed_by.as_ref() == Some(&known.public_key) {
        return ReceiptVerdict::Valid;
    }
    // The key may be another one by now, or a session of the account that signs no receipts may have come.
    if may_ask && (receipt.auth.is_none() || signed_by.is_some()) {
        return ReceiptVerdict::Ask(sender);
    }
    ReceiptVerdict::Rejected(match (&receipt.auth, signed_by) {
        (None, _) => "auth_missing",
        (Some(_), None) => "auth_signature_invalid",
        (Some(_), Some(_)) => "auth_public_key_mismatch",
    })
}

/// Whether a receipt is one that a registry gives: for an unreachable account (PROTOCOL.md section 0.9), or about a message in
/// a mailbox (sections 21.2 and 21.5).
fn is_of_registry(receipt: &Receipt) -> bool {
    match receipt.status() {
        ReceiptStatus::Queued => true,
        ReceiptStatus::Rejected => receipt
            .code
            .as_deref()
            .is_some_and(|code| UNREACHABLE_CODES.contains(&code) || is_mailbox_code(code)),
        _ => false,
    }
}
