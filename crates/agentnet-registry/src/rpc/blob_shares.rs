//! Blobs that requests name to other accounts, as messages do (PROTOCOL.md section 23.13): a message for a mailbox, and what
//! coordinators and workers tell each other about a task.

use agentnet_protocol::blob::named_ids;
use agentnet_protocol::permissions::CAPABILITY_PREFIX;
use agentnet_protocol::rpc::RpcError;
use agentnet_store::model::{BlobShare, TaskTarget};

use super::{Call, failed};
use crate::blobs;
use crate::context::Context;

const STORE_FAILED: &str = "blob_failed: the registry's database did not take the request; try again later";

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
    ctx.store.share_blobs(&shares).await.map_err(failed(STORE_FAILED))
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
    let Some(task) = ctx.store.task(task_id).await.map_err(failed(STORE_FAILED))? else {
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
