//! `registry.mailbox_put` (PROTOCOL.md section 21.3); the requests of receivers and operators are below.

pub(super) mod acks;
pub(super) mod admin;
mod authorize;
pub(super) mod lease;

use std::sync::Arc;

use agentnet_protocol::limits::check_nonce;
use agentnet_protocol::mailbox::{MailboxState, code};
use agentnet_protocol::message_auth::MessageAuthError;
use agentnet_protocol::rpc::{MailboxPutReply, MailboxPutRequest, Reply as _, RpcError};
use agentnet_protocol::{Envelope, RawJson};
use agentnet_store::StoreError;

use super::{Call, blob_shares, failed_with};
use crate::clock::{Now, now_text};
use crate::context::Context;
use crate::mailbox::Kept;
use crate::mailbox::refusal::{KeepError, Refusal, STORE_FAILED};
use crate::message_signature::{SignatureError, verify};
use crate::task_ledger::messages::CapturedTask;

/// The state of a reply whose message is not kept, since its receiver can take it.
const LIVE: &str = "live";
/// The state of a message that was put in before, and has been delivered.
const DELIVERED: &str = "delivered";

/// Keeps a message until its receiver takes it.
pub(super) async fn put(ctx: &Arc<Context>, request: MailboxPutRequest, call: &Call) -> Result<String, RpcError> {
    let now = Now::read();
    let body = request.envelope;
    let envelope = Envelope::decode(body.get().to_owned()).map_err(|error| {
        let refusal = Refusal::new(code::NOT_STORABLE, format!("the message cannot be read: {error}"));
        refused(KeepError::from(refusal))
    })?;
    call.check_own(envelope.from_account_id.as_deref().unwrap_or_default())?;
    let storable = ctx.mailbox.check(&body, &envelope, now.time).await.map_err(refused)?;
    if ctx.config.dev_auth {
        verify_sender(ctx, &envelope).await?;
    }
    let receiver = [storable.account_id()];
    call.check_may_send_to(ctx, storable.account_id())?;
    blob_shares::note(ctx, call, &[envelope.payload.get()], &receiver).await?;
    let message_id = envelope.message_id.to_string();
    if request.direct && is_free(ctx, storable.account_id()).await? {
        return Ok(MailboxPutReply {
            message_id,
            state: LIVE.to_owned(),
            generated_at: now_text(),
            ..MailboxPutReply::default()
        }
        .encode());
    }
    let pending = ctx.mailbox.enqueue(storable).await;
    let kept = ctx.mailbox.kept(pending).await.map_err(refused)?;
    // It is in the history, and never in the stream.
    if let Some(task) = CapturedTask::read(&envelope, now.time) {
        ctx.task_ledger.messages.apply(&[&task]).await.map_err(store_failed)?;
    }
    Ok(put_reply(message_id, kept).encode())
}

/// Whether messages for an account can be published to its inbox: a session of it is online, and nothing waits for it.
async fn is_free(ctx: &Context, account_id: &str) -> Result<bool, RpcError> {
    if ctx.presence.online(account_id) == 0 {
        return Ok(false);
    }
    let counts = ctx.store.mailbox_counts(Some(account_id)).await;
    let counts = counts.map_err(|error| failed_with(&error, STORE_FAILED))?;
    Ok(counts.queued + counts.leased == 0)
}

fn put_reply(message_id: String, kept: Kept) -> MailboxPutReply {
    let state = match kept.state {
        MailboxState::Queued | MailboxState::Leased => MailboxState::Queued.as_str(),
        MailboxState::Done => DELIVERED,
        MailboxState::Dead => MailboxState::Dead.as_str(),
    };
    MailboxPutReply {
        message_id,
        state: state.to_owned(),
        position: kept.position,
        queued_at: Some(kept.queued_at.to_string()),
        expires_at: Some(kept.expires_at.to_string()),
        generated_at: now_text(),
    }
}

/// Under signed identity only the account that a message names as its sender may leave it.
async fn verify_sender(ctx: &Context, envelope: &Envelope) -> Result<(), RpcError> {
    check_nonce(envelope.auth.as_ref())?;
    verify(&ctx.senders, envelope).await.map_err(|error| match error {
        SignatureError::Invalid(error) => {
            let refusal = Refusal::new(error.code(), sentence(error));
            refused(KeepError::from(refusal))
        }
        SignatureError::Store(error) => failed_with(&error, STORE_FAILED),
    })
}

fn sentence(error: MessageAuthError) -> &'static str {
    match error {
        MessageAuthError::FromAccount => "the message names no account as its sender",
        MessageAuthError::Missing => "the message is not signed",
        MessageAuthError::KeyNotFound => "no key is bound to the sender's account",
        MessageAuthError::PublicKey => "the message is signed with another key than that of its sender's account",
        MessageAuthError::Claims => "the signature is that of another message",
        _ => "the signature of the message is not valid",
    }
}

/// The error reply to a message that is not kept.
fn refused(error: KeepError) -> RpcError {
    match error {
        KeepError::Refused(refusal) => RpcError::with_text(refusal.to_string()),
        KeepError::Store(error) => failed_with(&error, STORE_FAILED),
    }
}

/// The error of a request that names an account that does not exist.
fn unknown_account() -> RpcError {
    let refusal = Refusal::new(code::UNKNOWN_ACCOUNT, "there is no such account");
    RpcError::with_text(refusal.to_string())
}

/// The JSON of a kept message, which was checked when it was put in; `None` if the row was damaged.
fn readable(body: String) -> Option<RawJson> {
    RawJson::parse(body).ok()
}

/// The error of a failed call to the store.
fn store_failed(error: StoreError) -> RpcError {
    failed_with(&error, STORE_FAILED)
}
