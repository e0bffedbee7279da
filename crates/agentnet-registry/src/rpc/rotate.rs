//! `registry.rotate_key` (PROTOCOL.md section 13.5).

use std::sync::Arc;

use agentnet_protocol::limits::check_nonce;
use agentnet_protocol::rotation;
use agentnet_protocol::rpc::{Reply as _, RotateKeyReply, RotateKeyRequest, RpcError};
use agentnet_store::StoreError;

use super::{Call, failed};
use crate::clock::Now;
use crate::context::Context;
use crate::register_auth::announce_used;

/// Binds another key to an account, at a request signed with the bound key. The store's transaction compares the bound key
/// once more.
pub(super) async fn rotate_key(ctx: &Arc<Context>, request: RotateKeyRequest, call: &Call) -> Result<String, RpcError> {
    call.check_own(&request.account_id)?;
    let now = Now::read();
    check_nonce(request.auth.as_ref())?;
    let found = ctx.store.account_by_id(&request.account_id).await;
    let account = found.map_err(failed("rotate_failed"))?.ok_or(RpcError::NOT_FOUND)?;
    let skew = u64::try_from(ctx.config.dev_auth_max_skew.as_millis()).unwrap_or(u64::MAX);
    let mut used = None;
    let checked = rotation::check(&request, account.public_key.as_deref(), now.time, skew, |nonce| {
        let new = ctx.nonces.remember(nonce, now.instant);
        used = new.then(|| nonce.to_owned());
        new
    });
    announce_used(ctx, used).await;
    let old = checked.map_err(|error| RpcError::new(error.code()))?;
    let rotated = ctx
        .store
        .rotate_key(&request.account_id, &old, &request.new_public_key, now.time)
        .await
        .map_err(|error| match error {
            StoreError::KeyMismatch => RpcError::new("auth_public_key_mismatch"),
            error => failed("rotate_failed")(error),
        })?
        .ok_or(RpcError::NOT_FOUND)?;
    ctx.presence.set_profile(rotated);
    ctx.peer_events.key_rotated(&request.account_id).await;
    tracing::info!(account_id = %request.account_id, "the account has a new key");
    Ok(RotateKeyReply {
        account_id: request.account_id,
        public_key: request.new_public_key,
        rotated_at: now.time.to_string(),
    }
    .encode())
}
