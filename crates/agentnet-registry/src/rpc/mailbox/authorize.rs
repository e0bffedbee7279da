//! Who may take messages from a mailbox, and change it: under signed identity the account's owner (PROTOCOL.md section 13.8).

use agentnet_protocol::limits::check_nonce;
use agentnet_protocol::mailbox::code;
use agentnet_protocol::register_auth::RegisterAuthError;
use agentnet_protocol::rpc::{RpcError, SignedRequest};
use agentnet_protocol::signed_request;
use agentnet_store::model::Session;

use super::store_failed;
use crate::clock::Now;
use crate::context::Context;
use crate::mailbox::refusal::Refusal;
use crate::register_auth::announce_used;

/// Checks the signature of a request; without signed identity everybody may make it.
///
/// # Errors
/// The codes of registrations, each with a sentence.
pub(super) async fn authorize<R: SignedRequest + Sync>(ctx: &Context, request: &R) -> Result<(), RpcError> {
    if !ctx.config.dev_auth {
        return Ok(());
    }
    let now = Now::read();
    let (requester, auth) = (request.requester(), request.auth());
    check_nonce(auth.auth.as_ref())?;
    let account = ctx
        .store
        .account_by_id(requester.account_id)
        .await
        .map_err(store_failed)?;
    let bound_key = account.as_ref().and_then(|account| account.public_key.as_deref());
    let skew = u64::try_from(ctx.config.dev_auth_max_skew.as_millis()).unwrap_or(u64::MAX);
    let mut used = None;
    let checked = signed_request::check(
        auth.auth.as_ref(),
        requester,
        &auth.request_sha256,
        bound_key,
        now.time,
        skew,
        |nonce| {
            let new = ctx.nonces.remember(nonce, now.instant);
            used = new.then(|| nonce.to_owned());
            new
        },
    );
    announce_used(ctx, used).await;
    checked.map_err(|error| RpcError::with_text(Refusal::new(error.code(), sentence(error)).to_string()))
}

fn sentence(error: RegisterAuthError) -> &'static str {
    match error {
        RegisterAuthError::Required => "the request is not signed; the account's owner has to sign it",
        RegisterAuthError::Claims => "the signature is that of another request",
        RegisterAuthError::Account => "the signature is that of another account's request",
        RegisterAuthError::Timestamp | RegisterAuthError::Skew => {
            "the request was not signed just now; check the clock of the signer"
        }
        RegisterAuthError::Replayed => "the request was made before; sign it anew",
        RegisterAuthError::PublicKey => "the account is bound to another key, or to none",
        _ => "the signature of the request is not valid",
    }
}

/// Checks that a session is online, and of this account. One that another registry has issued may not be known here yet: the
/// store has it.
///
/// # Errors
/// `mailbox_session_unknown`
pub(super) async fn check_session(ctx: &Context, account_id: &str, session_tag: &str) -> Result<(), RpcError> {
    check(ctx, account_id, session_tag, |session| session.online).await
}

/// The same, of a session that may have been silent for a while: what it has done with its messages counts, unless it has said
/// goodbye.
///
/// # Errors
/// `mailbox_session_unknown`
pub(super) async fn check_known_session(ctx: &Context, account_id: &str, session_tag: &str) -> Result<(), RpcError> {
    check(ctx, account_id, session_tag, |_| true).await
}

async fn check(
    ctx: &Context,
    account_id: &str,
    session_tag: &str,
    accept: impl Fn(&Session) -> bool + Send,
) -> Result<(), RpcError> {
    if ctx.presence.is_session_of(session_tag, account_id) {
        return Ok(());
    }
    let session = match ctx.presence.has_ended(session_tag) {
        true => None,
        false => ctx.store.session(session_tag).await.map_err(store_failed)?,
    };
    match session {
        Some(session) if session.account_id.as_deref() == Some(account_id) && accept(&session) => Ok(()),
        _ => {
            let sentence = "the session is not online, or is of another account; register, or say hello, first";
            Err(RpcError::with_text(
                Refusal::new(code::SESSION_UNKNOWN, sentence).to_string(),
            ))
        }
    }
}
