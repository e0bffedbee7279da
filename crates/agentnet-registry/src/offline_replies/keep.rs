//! Keeps a message for an account that is offline, at the wish of its sender (PROTOCOL.md section 21.2).

use agentnet_protocol::mailbox::{MailboxState, code};
use agentnet_protocol::{Envelope, RawJson, ReceiptStatus, Text};
use bytes::Bytes;

use super::turns::Turn;
use crate::clock::Now;
use crate::context::Context;
use crate::mailbox::refusal::{KeepError, Refusal};
use crate::mailbox::{Kept, PendingPut, Storable};

/// Puts a message into the mailbox of the account to whose inbox it came, and tells its sender: with a receipt `queued`, or with
/// `rejected` if a rule keeps it out. `offline` says since when the account is offline.
///
/// Where the store fails, the sender gets no receipt: it asks a registry to keep the message, and hears then what is wrong.
/// The same holds for a message that was put in before and has been delivered, or cannot be.
pub(super) async fn keep(
    ctx: &Context,
    account_id: &str,
    body: Bytes,
    envelope: Envelope,
    offline: String,
    turn: &mut Option<Turn>,
) {
    let outcome: Result<Kept, KeepError> = async {
        let storable = check(ctx, account_id, body, &envelope).await?;
        let pending = enqueue(ctx, storable, turn).await;
        ctx.mailbox.kept(pending).await
    }
    .await;
    match outcome {
        Ok(kept) if matches!(kept.state, MailboxState::Queued | MailboxState::Leased) => {
            let detail = format!("{offline}; the message is kept until {}", kept.expires_at);
            ctx.receipts.send(envelope, ReceiptStatus::Queued, None, detail).await;
        }
        Ok(_) => {}
        Err(KeepError::Refused(Refusal { code, sentence })) => {
            tracing::debug!(code, %sentence, "a message for an offline agent is not kept");
            let (code, detail) = (Some(code), sentence.into_owned());
            ctx.receipts.send(envelope, ReceiptStatus::Rejected, code, detail).await;
        }
        Err(KeepError::Store(error)) => tracing::debug!(%error, "a message for an offline agent could not be kept"),
    }
}

async fn check(ctx: &Context, account_id: &str, body: Bytes, envelope: &Envelope) -> Result<Storable, KeepError> {
    if envelope
        .to_account_id
        .as_deref()
        .is_some_and(|receiver| receiver != account_id)
    {
        let sentence = "the message names another receiver than the inbox to which it was sent";
        return Err(Refusal::new(code::NOT_STORABLE, sentence).into());
    }
    let unreadable = || Refusal::new(code::NOT_STORABLE, "the message cannot be read");
    let text = Text::try_from(body).map_err(|_| unreadable())?;
    let body = RawJson::parse(text).map_err(|_| unreadable())?;
    ctx.mailbox.check(&body, envelope, Now::read().time).await
}

/// Puts a message into the queue to the store when those before it are there; then the next one may follow.
async fn enqueue(ctx: &Context, storable: Storable, turn: &mut Option<Turn>) -> PendingPut {
    if let Some(turn) = turn {
        turn.come().await;
    }
    let pending = ctx.mailbox.enqueue(storable).await;
    turn.take();
    pending
}
