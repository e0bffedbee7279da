//! The one way in which a message is refused: receipt, error reply, metric and log line (PROTOCOL.md sections 5.2, 5.4, 12).

use agentnet_protocol::compose::error_reply;
use agentnet_protocol::{Envelope, Receipt, ReceiptStatus, Reject, json, subject};

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
    acknowledge(live, message, ReceiptStatus::Rejected, Some(reject)).await;
    if let Some(reply_to) = reply_to {
        let now = ids::now();
        let mut reply = error_reply(message, reject, &live.sender, ids::message_id(now), now);
        live.sign(&mut reply);
        if let Err(error) = live.publish_message(reply_to, reply.encode()).await {
            tracing::warn!(%error, "error reply not sent");
        }
    }
}

/// Publishes a receipt to the message's sender, if it named its account.
pub(crate) async fn acknowledge(live: &Live, message: &Envelope, status: ReceiptStatus, reject: Option<&Reject>) {
    let Some(sender) = message
        .from_account_id
        .as_deref()
        .filter(|id| !json::trim(id).is_empty())
    else {
        return;
    };
    if !subject::routable_account(sender) {
        tracing::debug!(
            account_id = sender,
            "no receipt: the sender's account id cannot be part of a subject"
        );
        return;
    }
    let sender_account = &live.sender;
    let mut receipt = Receipt::for_message(
        message,
        status,
        reject,
        &sender_account.account_id,
        &sender_account.session_tag,
        ids::now(),
    );
    live.sign_receipt(&mut receipt);
    if let Err(error) = live.publish(&subject::receipts(sender), receipt.encode()).await {
        tracing::warn!(%error, "receipt not sent");
    }
}
