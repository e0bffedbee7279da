//! Blobs that requests name to other accounts, as messages do (PROTOCOL.md section 23.13): a message for a mailbox, and what
//! coordinators and workers tell each other about a task.

use std::sync::Arc;

use agentnet_protocol::blob::named_ids;
use agentnet_protocol::ids;
use agentnet_protocol::permissions::{CAPABILITY_PREFIX, grantable_capability};
use agentnet_protocol::rpc::{BlobShareReply, BlobShareRequest, Reply as _, RpcError};
use agentnet_store::model::{BlobShare, TaskTarget};

use super::Call;
use super::blobs::{blobs as kept_blobs, readable, store_failed};
use crate::blobs;
use crate::clock::now_text;
use crate::context::Context;

/// Notes the blobs that texts of a request name, for these receivers: account ids, or `capability:<name>`.
pub(super) async fn note(ctx: &Context, call: &Call, texts: &[&str], receivers: &[&str]) -> Result<(), RpcError> {
    let (Some(_), Some(caller)) = (&ctx.blobs, call.caller.as_deref()) else {
        return Ok(());
    };
    let mut shares: Vec<BlobShare> = Vec::new();
    for text in texts {
        shares.extend(
            receivers
                .iter()
                .flat_map(|receiver| blobs::shares(text, caller, receiver)),
        );
    }
    ctx.store.share_blobs(&shares).await.map_err(store_failed)
}

/// Notes the blobs that are named in what somebody tells about a task: for its coordinator, and for who does it.
pub(super) async fn note_of_task(
    ctx: &Context,
    call: &Call,
    texts: &[Option<&str>],
    task_id: &str,
) -> Result<(), RpcError> {
    let texts: Vec<&str> = texts.iter().copied().flatten().collect();
    if ctx.blobs.is_none() || texts.iter().all(|text| named_ids(text).is_empty()) {
        return Ok(());
    }
    let Some(task) = ctx.store.task(task_id).await.map_err(store_failed)? else {
        return Ok(());
    };
    let target = receiver(&task.target);
    note(ctx, call, &texts, &[&task.coordinator_account_id, &target]).await
}

/// The text that stands for who does a task.
pub(super) fn receiver(target: &TaskTarget) -> String {
    match target {
        TaskTarget::Account(account_id) => account_id.clone(),
        TaskTarget::Capability(name) => format!("{CAPABILITY_PREFIX}{name}"),
    }
}

/// Lets others read a blob.
pub(super) async fn share(ctx: &Arc<Context>, request: BlobShareRequest, call: &Call) -> Result<String, RpcError> {
    let blobs = kept_blobs(ctx)?;
    readable(ctx, blobs, &request.blob_id, call).await?;
    let is_receiver = |receiver: &String| match receiver.strip_prefix(CAPABILITY_PREFIX) {
        Some(capability) => grantable_capability(capability),
        None => ids::valid_account_id(receiver),
    };
    if !request.to.iter().all(is_receiver) {
        return Err(RpcError::new("to must be account ids, or `capability:` and a name"));
    }
    let from_account = call.caller.clone().unwrap_or_default();
    let share = |receiver: &String| BlobShare {
        blob_id: request.blob_id.clone(),
        from_account: from_account.clone(),
        receiver: receiver.clone(),
    };
    let shares: Vec<BlobShare> = request.to.iter().map(share).collect();
    ctx.store.share_blobs(&shares).await.map_err(store_failed)?;
    Ok(BlobShareReply {
        blob_id: request.blob_id,
        to: request.to,
        generated_at: now_text(),
    }
    .encode())
}
