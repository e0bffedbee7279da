//! The one way in which a message is refused: receipt, error reply, metric and log line (PROTOCOL.md sections 5.2, 5.4, 12).

use std::sync::PoisonError;

use agentnet_protocol::compose::error_reply;
use agentnet_protocol::{Envelope, Receipt, ReceiptStatus, Reject, json, subject};

use bytes::Bytes;

use crate::ids;
use crate::metrics::Metrics;
use crate::session::Live;

/// Tells the sender that its message was refused, or that its handling failed.
pub(crate) async fn refuse(
    live: &Live,
    metrics: &Metrics,
    message: &Envelope,
    reply_to: Option<&str>,
    reject: &Reject,
) {
    metrics.refused(reject);
    tracing::debug!(
        message_id = %message.message_id,
        from = message.from_account_id.as_deref().unwrap_or_default(),
        code = reject.code(),
        detail = %reject.detail(),
        "message refused"
    );
    if is_own_failure(reject) || live.may_refuse(message) {
        acknowledge(live, message, ReceiptStatus::Rejected, Some(reject)).await;
    }
    if let Some(reply_to) = reply_to {
        let now = ids::now();
        let mut reply = error_reply(message, reject, &live.sender, ids::message_id(now), now);
        live.sign(&mut reply);
        if let Err(error) = live.publish_message(reply_to, reply.encode()).await {
            tracing::warn!(%error, "error reply not sent");
        }
    }
}

/// Whether the message was taken before it failed.
fn is_own_failure(reject: &Reject) -> bool {
    matches!(reject, Reject::Timeout | Reject::HandlerError | Reject::ShuttingDown)
}

impl Live {
    /// Whether the account that a message names is told of one more refusal now: anybody can name anybody, and what is refused
    /// is not to flood who has sent nothing.
    fn may_refuse(&self, message: &Envelope) -> bool {
        let Some(sender) = &message.from_account_id else {
            return false;
        };
        let mut rates = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(sender, self.monotonic())
    }
}

/// Publishes a receipt to the message's sender, if it named its account.
pub(crate) async fn acknowledge(live: &Live, message: &Envelope, status: ReceiptStatus, reject: Option<&Reject>) {
    // Composed outside: what is not needed while it is published is not carried along.
    let Some((subject, body)) = receipt(live, message, status, reject) else {
        return;
    };
    if let Err(error) = live.publish(subject, body).await {
        tracing::warn!(%error, "receipt not sent");
    }
}

/// Tells the sender of a request that it is accepted, together with what is published next ([`Live::postponed`]).
pub(crate) fn accept_request(live: &Live, message: &Envelope) {
    if let Some((subject, body)) = receipt(live, message, ReceiptStatus::Accepted, None) {
        live.postponed.add(subject, body);
    }
}

/// Where a receipt goes, and its text.
fn receipt(live: &Live, message: &Envelope, status: ReceiptStatus, reject: Option<&Reject>) -> Option<(String, Bytes)> {
    let sender = message.from_account_id.as_deref()?;
    if json::trim(sender).is_empty() {
        return None;
    }
    if !subject::routable_account(sender) {
        tracing::debug!(
            account_id = sender,
            "no receipt: the sender's account id cannot be part of a subject"
        );
        return None;
    }
    let own = &live.sender;
    let mut receipt = Receipt::for_message(message, status, reject, &own.account_id, &own.session_tag, ids::now());
    live.sign_receipt(&mut receipt);
    Some((subject::receipts(sender), receipt.encode()))
}
