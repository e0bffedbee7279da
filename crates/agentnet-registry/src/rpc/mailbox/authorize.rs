//! Who may take messages from a mailbox, and change it: under signed identity the account's owner (PROTOCOL.md section 13.8).

use agentnet_protocol::mailbox::code;
use agentnet_protocol::rpc::{RpcError, SignedRequest};
use agentnet_store::model::Session;

use crate::context::Context;
use crate::mailbox::refusal::{Refusal, STORE_FAILED};
use crate::rpc::authorize::has_session;

/// Checks the signature of a request; without signed identity everybody may make it.
///
/// # Errors
/// The codes of registrations, each with a sentence.
pub(super) async fn authorize<R: SignedRequest + Sync>(ctx: &Context, request: &R) -> Result<(), RpcError> {
    crate::rpc::authorize::authorize(ctx, request, STORE_FAILED).await
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
    if has_session(ctx, account_id, session_tag, STORE_FAILED, accept).await? {
        return Ok(());
    }
    let sentence = "the session is not online, or is of another account; register, or say hello, first";
    let refusal = Refusal::new(code::SESSION_UNKNOWN, sentence);
    Err(RpcError::with_text(refusal.to_string()))
}
