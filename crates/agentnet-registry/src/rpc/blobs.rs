//! `registry.blob_*`: blobs of the members of a secure network (PROTOCOL.md section 23.13). A blob that is not there and one that the
//! caller may not read get the same answer.

use std::sync::Arc;

use agentnet_protocol::blob::{self, BlobRef, NATS_OBJECT_STORAGE};
use agentnet_protocol::ids;
use agentnet_protocol::permissions::Role;
use agentnet_protocol::rpc::{
    BlobDeleteReply, BlobDeleteRequest, BlobEnd, BlobGetReply, BlobGetRequest, BlobPutReply, BlobPutRequest,
    BlobStatReply, BlobStatRequest, MAX_BLOB_CHUNK_BYTES, Reply as _, RpcError, blob_error_code as code,
};
use agentnet_store::StoreError;
use agentnet_store::model::Blob;
use bytes::Bytes;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256};
use tokio::sync::SemaphorePermit;

use super::caller::forbidden;
use super::{Call, failed};
use crate::blobs::bucket::{BucketError, Entry};
use crate::blobs::{Blobs, MAX_OPEN};
use crate::clock::{Now, now_text};
use crate::context::Context;

const STORE_FAILED: &str = "blob_failed: the registry's database did not take the request; try again later";
/// Bytes of a request or reply besides its piece.
const FRAME_BYTES: usize = 1024;

fn refused(code: &str, sentence: impl std::fmt::Display) -> RpcError {
    RpcError::with_text(format!("{code}: {sentence}"))
}

pub(super) fn blobs(ctx: &Context) -> Result<&Blobs, RpcError> {
    ctx.blobs.as_ref().ok_or_else(|| {
        refused(
            "not_secure",
            "agents of this network reach the object store by themselves",
        )
    })
}

pub(super) fn store_failed(error: StoreError) -> RpcError {
    failed(STORE_FAILED)(error)
}

fn unavailable(error: BucketError) -> RpcError {
    tracing::warn!(%error, "the object store of the NATS server fails");
    refused(
        code::UNAVAILABLE,
        "the object store of the NATS server does not answer; try again later",
    )
}

/// A place among those that move pieces.
fn transfer(blobs: &Blobs) -> Result<SemaphorePermit<'_>, RpcError> {
    let place = blobs.transfers.try_acquire();
    place.map_err(|_| refused(code::BUSY, "the registry moves as many pieces as it can; try again"))
}

/// Bytes of a piece whose text fits into one message.
fn max_chunk(ctx: &Context) -> usize {
    MAX_BLOB_CHUNK_BYTES.min(ctx.max_reply().saturating_sub(FRAME_BYTES) / 4 * 3)
}

/// Begins a blob, adds a piece to it, completes it.
pub(super) async fn put(ctx: &Arc<Context>, request: BlobPutRequest, call: &Call) -> Result<String, RpcError> {
    let blobs = blobs(ctx)?;
    let caller = call.caller.as_deref().unwrap_or_default();
    let Some(blob_id) = request.blob_id else {
        if !request.data.is_empty() || request.end.is_some() {
            return Err(RpcError::new("blob_id is required"));
        }
        return begin(ctx, blobs, caller, call).await;
    };
    let found = blobs.store.blob(&blob_id).await.map_err(store_failed)?;
    let own = found.filter(|blob| blob.account_id == caller);
    let mut blob = own.ok_or(RpcError::NOT_FOUND)?;
    if !request.data.is_empty() && blob.reference.is_none() {
        let _place = transfer(blobs)?;
        blob = add(ctx, blobs, blob, request.chunk, request.data.into()).await?;
    }
    match request.end {
        Some(end) => complete(blobs, &mut blob, end).await?,
        None if blob.reference.is_some() => return Err(refused(code::ORDER, "the blob is complete")),
        None => {}
    }
    Ok(put_reply(ctx, blob))
}

fn put_reply(ctx: &Context, blob: Blob) -> String {
    let state = match blob.reference {
        Some(_) => BlobPutReply::STORED,
        None => BlobPutReply::OPEN,
    };
    BlobPutReply {
        blob_id: blob.blob_id,
        state: state.to_owned(),
        chunks: blob.chunks,
        size: blob.size,
        max_chunk_bytes: i64::try_from(max_chunk(ctx)).unwrap_or(i64::MAX),
        blob: blob.reference,
        generated_at: now_text(),
    }
    .encode()
}

async fn begin(ctx: &Context, blobs: &Blobs, caller: &str, call: &Call) -> Result<String, RpcError> {
    if call.role(ctx) == Some(Role::Observer) {
        return Err(forbidden("an observer sends nothing, and so no blobs"));
    }
    let usage = blobs.store.blob_usage(caller).await.map_err(store_failed)?;
    let (max_blobs, max_bytes) = (ctx.config.blob_account_max, ctx.config.blob_account_max_bytes);
    let over = match usage {
        usage if usage.open >= MAX_OPEN => Some(format!(
            "{MAX_OPEN} blobs that are not complete; complete or delete one"
        )),
        usage if usage.blobs >= max_blobs => {
            Some(format!("{max_blobs} blobs (AGENTNET_BLOB_ACCOUNT_MAX); delete some"))
        }
        usage if usage.bytes >= max_bytes => Some(format!(
            "blobs of {max_bytes} bytes (AGENTNET_BLOB_ACCOUNT_MAX_BYTES); delete some"
        )),
        _ => None,
    };
    if let Some(over) = over {
        return Err(refused(code::QUOTA, format_args!("the account has {over}")));
    }
    let now = Now::read().time;
    let blob = Blob::begun(
        ids::prefixed(blob::ID_PREFIX, now.as_unix_millis(), rand::random()),
        caller.to_owned(),
        format!("{:032X}", rand::random::<u128>()),
        Sha256::new().serialize().to_vec(),
        now,
    );
    match blobs.store.begin_blob(&blob).await.map_err(store_failed)? {
        true => Ok(put_reply(ctx, blob)),
        // Eighty random bits are not drawn twice.
        false => Err(RpcError::fault("internal_error")),
    }
}

/// Adds a piece; one that is there already changes nothing.
async fn add(ctx: &Context, blobs: &Blobs, blob: Blob, chunk: i64, piece: Bytes) -> Result<Blob, RpcError> {
    if chunk != blob.chunks {
        return match chunk.checked_add(1) == Some(blob.chunks) {
            true => Ok(blob),
            false => Err(refused(code::ORDER, format_args!("piece {} is next", blob.chunks))),
        };
    }
    let bytes = i64::try_from(piece.len()).unwrap_or(i64::MAX);
    let size = blob.size.saturating_add(bytes);
    let (max, max_account) = (ctx.config.blob_max_bytes, ctx.config.blob_account_max_bytes);
    if size > max {
        return Err(refused(
            code::TOO_LARGE,
            format_args!("a blob may have {max} bytes (AGENTNET_BLOB_MAX_BYTES)"),
        ));
    }
    let usage = blobs.store.blob_usage(&blob.account_id).await.map_err(store_failed)?;
    if usage.bytes.saturating_add(bytes) > max_account {
        return Err(refused(
            code::QUOTA,
            format_args!("the blobs of an account may have {max_account} bytes (AGENTNET_BLOB_ACCOUNT_MAX_BYTES)"),
        ));
    }
    let mut hash = hash_of(&blob)?;
    hash.update(&piece);
    let after = u64::try_from(blob.last_sequence).unwrap_or_default();
    let stored = match blobs.bucket.append(&blob.object, after, piece.clone()).await {
        // It may have been stored for a request that was not answered.
        Err(BucketError::NotNext) => blobs
            .bucket
            .find(&blob.object, after, &piece)
            .await
            .map_err(unavailable)?,
        stored => Some(stored.map_err(unavailable)?),
    };
    let Some(sequence) = stored else {
        return Err(refused(code::DAMAGED, "pieces of it were lost; put it again"));
    };
    let next = Blob {
        size,
        chunks: blob.chunks + 1,
        last_sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        hash: hash.serialize().to_vec(),
        touched_at: Now::read().time,
        ..blob
    };
    if blobs.store.advance_blob(&next).await.map_err(store_failed)? {
        return Ok(next);
    }
    // A request for the same piece was quicker.
    let known = blobs.store.blob(&next.blob_id).await.map_err(store_failed)?;
    let Some(known) = known else {
        // It was removed meanwhile, and the piece came behind that.
        blobs
            .bucket
            .remove(&next.blob_id, &next.object)
            .await
            .map_err(unavailable)?;
        return Err(RpcError::NOT_FOUND);
    };
    match known.chunks == next.chunks && known.reference.is_none() {
        true => Ok(known),
        false => Err(refused(code::ORDER, format_args!("piece {} is next", known.chunks))),
    }
}

/// The hash so far. Its state is that of the library that wrote it.
fn hash_of(blob: &Blob) -> Result<Sha256, RpcError> {
    let state = blob.hash.as_slice().try_into().ok();
    let hash = state.and_then(|state| Sha256::deserialize(state).ok());
    hash.ok_or_else(|| {
        refused(
            code::DAMAGED,
            "another version of the registry has begun it; put it again",
        )
    })
}

/// Completes a blob whose size and hash are those of its pieces; one that is complete stays as it is.
async fn complete(blobs: &Blobs, blob: &mut Blob, end: BlobEnd) -> Result<(), RpcError> {
    let damaged = "its pieces have another size or SHA-256; put it again";
    if let Some(reference) = &blob.reference {
        let known = BlobRef::parse(&reference.view()).ok().flatten();
        return match known.is_some_and(|known| known.sha256.as_deref() == Some(&end.sha256)) {
            true => Ok(()),
            false => Err(refused(code::DAMAGED, "it is complete, with another SHA-256")),
        };
    }
    let digest = agentnet_protocol::hex::encode(&hash_of(blob)?.finalize());
    if digest != end.sha256 || blob.size != end.size {
        remove(blobs, blob).await?;
        return Err(refused(code::DAMAGED, damaged));
    }
    let now = Now::read().time;
    let reference = BlobRef {
        filename: end.filename,
        mime_type: end.mime_type,
        size: u64::try_from(blob.size).unwrap_or_default(),
        sha256: Some(digest),
        created_at: Some(now.to_string()),
        metadata: end.metadata,
        ..BlobRef::new(blob.blob_id.clone(), NATS_OBJECT_STORAGE)
    };
    let completed = blobs.bucket.complete(&blob.object, blob.chunks, &reference).await;
    completed.map_err(unavailable)?;
    let reference = reference.to_payload();
    let noted = blobs
        .store
        .complete_blob(&blob.blob_id, blob.chunks, &reference, now)
        .await;
    match noted.map_err(store_failed)? {
        true => {
            blob.reference = Some(reference);
            Ok(())
        }
        false => {
            let known = blobs.store.blob(&blob.blob_id).await.map_err(store_failed)?;
            let known = known.filter(|known| known.reference.is_some());
            *blob = known.ok_or_else(|| refused(code::ORDER, "another request changes it"))?;
            Ok(())
        }
    }
}

async fn remove(blobs: &Blobs, blob: &Blob) -> Result<(), RpcError> {
    let removed = blobs.bucket.remove(&blob.blob_id, &blob.object).await;
    removed.map_err(unavailable)?;
    blobs.store.delete_blob(&blob.blob_id).await.map_err(store_failed)?;
    Ok(())
}

/// A blob that the caller may read.
pub(super) enum Readable {
    /// One that a member has put.
    Kept(Box<Blob>),
    /// One of the time when the network was in token mode: it belongs to nobody.
    Unowned(Box<Entry>),
}

impl Readable {
    fn object(&self) -> &str {
        match self {
            Self::Kept(blob) => &blob.object,
            Self::Unowned(entry) => &entry.object,
        }
    }
}

/// The blob, complete or not, if the caller may read it.
pub(super) async fn readable(ctx: &Context, blobs: &Blobs, blob_id: &str, call: &Call) -> Result<Readable, RpcError> {
    let (caller, reads_everything) = (call.caller.as_deref().unwrap_or_default(), call.reads_everything(ctx));
    let found = blobs.store.blob(blob_id).await.map_err(store_failed)?;
    match (found, &ctx.members) {
        (Some(blob), Some(members)) => {
            let may = reads_everything || blobs.may_read(members, &blob, caller).await.map_err(store_failed)?;
            may.then(|| Readable::Kept(Box::new(blob))).ok_or(RpcError::NOT_FOUND)
        }
        (None, _) if reads_everything && blob::valid_id(blob_id) => {
            let entry = blobs.bucket.entry(blob_id).await.map_err(unavailable)?;
            entry
                .map(|entry| Readable::Unowned(Box::new(entry)))
                .ok_or(RpcError::NOT_FOUND)
        }
        _ => Err(RpcError::NOT_FOUND),
    }
}

/// One piece of a blob.
pub(super) async fn get(ctx: &Arc<Context>, request: BlobGetRequest, call: &Call) -> Result<String, RpcError> {
    let blobs = blobs(ctx)?;
    let found = readable(ctx, blobs, &request.blob_id, call).await?;
    if matches!(&found, Readable::Kept(blob) if blob.reference.is_none()) {
        return Err(RpcError::NOT_FOUND);
    }
    let _place = transfer(blobs)?;
    let after = u64::try_from(request.after).unwrap_or_default();
    let piece = blobs.bucket.read(found.object(), after).await.map_err(unavailable)?;
    let (next, data) = match (piece, &found) {
        (Some(piece), _) => piece,
        // The sweep forgets what has expired. Here the record stays: the bucket may be that of another NATS account, as after a
        // change of the authority, and come back with it.
        (None, Readable::Kept(blob)) if after == 0 && blob.chunks > 0 => return Err(RpcError::NOT_FOUND),
        (None, _) => (after, Bytes::new()),
    };
    Ok(BlobGetReply {
        blob_id: request.blob_id,
        data: data.into(),
        next: i64::try_from(next).unwrap_or(i64::MAX),
        generated_at: now_text(),
    }
    .encode())
}

/// What is known of a blob.
pub(super) async fn stat(ctx: &Arc<Context>, request: BlobStatRequest, call: &Call) -> Result<String, RpcError> {
    let (blob, account_id) = match readable(ctx, blobs(ctx)?, &request.blob_id, call).await? {
        Readable::Kept(blob) => (blob.reference.ok_or(RpcError::NOT_FOUND)?, Some(blob.account_id)),
        Readable::Unowned(entry) => (entry.reference.to_payload(), None),
    };
    Ok(BlobStatReply {
        blob: Some(blob),
        account_id,
        generated_at: now_text(),
    }
    .encode())
}

/// Removes a blob.
pub(super) async fn delete(ctx: &Arc<Context>, request: BlobDeleteRequest, call: &Call) -> Result<String, RpcError> {
    let blobs = blobs(ctx)?;
    let is_operator = call.role(ctx) == Some(Role::Operator);
    match readable(ctx, blobs, &request.blob_id, call).await? {
        Readable::Kept(blob) if is_operator || call.caller.as_deref() == Some(&blob.account_id) => {
            remove(blobs, &blob).await?;
        }
        Readable::Unowned(entry) if is_operator => {
            let removed = blobs.bucket.remove(&request.blob_id, &entry.object).await;
            removed.map_err(unavailable)?;
        }
        _ => return Err(forbidden("only its uploader and operators delete a blob")),
    }
    Ok(BlobDeleteReply {
        blob_id: request.blob_id,
        deleted: true,
        generated_at: now_text(),
    }
    .encode())
}
