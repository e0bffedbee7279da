//! The one way in which a message is rejected: receipt, error reply, metric and log line (PROTOCOL.md sections 5.2, 5.4, 12).

use agentnet_protocol::{Envelope, ReceiptStatus, Reject, json, subject};
use bytes::Bytes;

use crate::session::Session;

/// Tells the sender that its message was rejected, or that its handling failed.
pub(crate) async fn reject(session: &Session, message: &Envelope, reply_to: Option<&str>, reject: &Reject) {
    session.metrics.refused(reject);
    tracing::debug!(
        message_id = %message.message_id,
        from = message.from_account_id.as_deref().unwrap_or_default(),
        code = reject.code(),
        detail = %reject.detail(),
        "message refused"
    );
    if is_own_failure(reject) || may_send_receipt(session, message) {
        acknowledge(session, message, ReceiptStatus::Rejected, Some(reject)).await;
    }
    if let Some(reply_to) = reply_to {
        let reply = session.composer.error_reply(message, reject).encode();
        if let Err(error) = session.publisher.publish_message(reply_to, reply).await {
            tracing::warn!(%error, "error reply not sent");
        }
    }
}

/// Whether the message was accepted before it failed.
fn is_own_failure(reject: &Reject) -> bool {
    matches!(reject, Reject::Timeout | Reject::HandlerError | Reject::ShuttingDown)
}

fn may_send_receipt(session: &Session, message: &Envelope) -> bool {
    let sender = message.from_account_id.as_deref();
    sender.is_some_and(|sender| session.may_send_rejection(sender))
}

/// Publishes a receipt to the message's sender, if the message names its account.
pub(crate) async fn acknowledge(session: &Session, message: &Envelope, status: ReceiptStatus, reject: Option<&Reject>) {
    // Composed outside, so that the future that publishes it is small.
    let Some((subject, body)) = receipt(session, message, status, reject) else {
        return;
    };
    if let Err(error) = session.publisher.publish(subject, body).await {
        tracing::warn!(%error, "receipt not sent");
    }
}

/// Publishes the receipt `accepted` of a request together with what is published next.
pub(crate) fn accept_request(session: &Session, message: &Envelope) {
    if let Some((subject, body)) = receipt(session, message, ReceiptStatus::Accepted, None) {
        session.publisher.defer_receipt(subject, body);
    }
}

/// The subject and the text of a receipt.
fn receipt(
    session: &Session,
    message: &Envelope,
    status: ReceiptStatus,
    reject: Option<&Reject>,
) -> Option<(String, Bytes)> {
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
    let receipt = session.composer.receipt(message, status, reject);
    Some((subject::receipts(sender), receipt.encode()))
}
