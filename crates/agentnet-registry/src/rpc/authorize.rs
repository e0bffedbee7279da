//! Who may make a request for an account: under signed identity its owner (PROTOCOL.md section 13.8); and which sessions are its
//! own.

use agentnet_protocol::limits::check_nonce;
use agentnet_protocol::register_auth::RegisterAuthError;
use agentnet_protocol::rpc::{RpcError, SignedRequest};
use agentnet_protocol::signed_request;
use agentnet_store::model::Session;

use super::failed;
use crate::clock::Now;
use crate::context::Context;
use crate::register_auth::announce_used;

/// Checks the signature of a request; without signed identity everybody may make it.
///
/// # Errors
/// The codes of registrations, each with a sentence; `store_failed` if the store failed.
pub(super) async fn authorize<R: SignedRequest + Sync>(
    ctx: &Context,
    request: &R,
    store_failed: &'static str,
) -> Result<(), RpcError> {
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
        .map_err(failed(store_failed))?;
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
    checked.map_err(|error| RpcError::with_text(format!("{}: {}", error.code(), sentence(error))))
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

/// Whether a session is of this account, and accepted where only the store knows it: one that another registry has issued may
/// not be known here yet.
///
/// # Errors
/// `store_failed` if the store failed.
pub(super) async fn has_session(
    ctx: &Context,
    account_id: &str,
    session_tag: &str,
    store_failed: &'static str,
    accept: impl Fn(&Session) -> bool + Send,
) -> Result<bool, RpcError> {
    if ctx.presence.is_session_of(session_tag, account_id) {
        return Ok(true);
    }
    let session = match ctx.presence.has_ended(session_tag) {
        true => None,
        false => ctx.store.session(session_tag).await.map_err(failed(store_failed))?,
    };
    Ok(session.is_some_and(|session| session.account_id.as_deref() == Some(account_id) && accept(&session)))
}
