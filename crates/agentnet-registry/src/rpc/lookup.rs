//! `registry.resolve_account` and `registry.resolve_key` (PROTOCOL.md section 6).

use std::sync::Arc;

use agentnet_protocol::rpc::{
    Reply as _, ResolveAccountReply, ResolveAccountRequest, ResolveKeyReply, ResolveKeyRequest, RpcError,
};

use super::failed;
use crate::clock::now_text;
use crate::context::Context;

/// The account behind a username.
pub(super) async fn resolve_account(ctx: &Arc<Context>, request: ResolveAccountRequest) -> Result<String, RpcError> {
    let found = ctx.account_ids.load(request.username.clone()).await;
    let found = found.map_err(|error| super::failed_with(&error, "resolve_failed"))?;
    Ok(ResolveAccountReply {
        account_id: found.ok_or(RpcError::NOT_FOUND)?,
        username: request.username,
        resolved_at: now_text(),
    }
    .encode())
}

/// The public key bound to an account.
pub(super) async fn resolve_key(ctx: &Arc<Context>, request: ResolveKeyRequest) -> Result<String, RpcError> {
    let found = ctx
        .store
        .account_by_id(&request.account_id)
        .await
        .map_err(failed("resolve_failed"))?;
    let account = found.ok_or(RpcError::NOT_FOUND)?;
    let public_key = account.public_key.ok_or(RpcError::NOT_FOUND)?;
    Ok(ResolveKeyReply {
        signs: ctx.presence.signs(&account.account_id).unwrap_or(account.signs),
        account_id: account.account_id,
        public_key,
        resolved_at: now_text(),
    }
    .encode())
}
