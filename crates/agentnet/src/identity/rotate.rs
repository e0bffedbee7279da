//! Another key for an account (PROTOCOL.md section 13.5).
//!
//! 1. The new key is written beside the old one; 2. the registry binds it; 3. it takes the old one's place.
//!
//! Should the program end in between, either key may be the bound one: the next rotation, or the next start of a node, asks the registry
//! and continues from there.

use std::path::Path;

use agentnet_keys::{create, generate, load, next_path, remove};
use agentnet_protocol::rotation;
use agentnet_protocol::rpc::ResolveKeyRequest;
use agentnet_protocol::signature::SigningKey;

use super::error::RotateError;
use super::key_source::{off_thread, settle};
use crate::ids;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryError;

impl RegistryClient {
    /// Rotates the key in a file; the account must be bound to it. Goes on with a rotation that was interrupted.
    ///
    /// Returns the new public key. Nodes that run with the old key go on signing with it, and are refused from now on: stop them
    /// first, or use [`AgentNode::rotate_key`](crate::AgentNode::rotate_key).
    ///
    /// # Errors
    /// [`RotateError`]
    pub async fn rotate_key_file(&self, account_id: &str, path: &Path) -> Result<String, RotateError> {
        let read = off_thread(path.to_owned(), |path| Ok((load(path)?, load(&next_path(path))?)));
        let (old, next) = read.await?;
        let old = old.ok_or_else(|| RotateError::NoKey(path.to_owned()))?;
        let next = next.filter(|next| next.public_text() != old.public_text());
        let new = match next {
            Some(next) => match bound_key(self, account_id).await? {
                bound if bound == next.public_text() => {
                    return finish(path, next).await;
                }
                bound if bound == old.public_text() => next,
                _ => return Err(RotateError::Lost(path.to_owned())),
            },
            None => {
                off_thread(path.to_owned(), |path| {
                    let new = generate();
                    remove(&next_path(path))?;
                    create(&next_path(path), &new)?;
                    Ok(new)
                })
                .await?
            }
        };
        match request_rotation(self, account_id, &old, &new).await {
            Ok(()) => finish(path, new).await,
            Err(error) => {
                if let RotateError::Refused(_) = error {
                    off_thread(path.to_owned(), |path| remove(&next_path(path))).await?;
                }
                Err(error)
            }
        }
    }
}

async fn finish(path: &Path, new: SigningKey) -> Result<String, RotateError> {
    let public = new.public_text().to_owned();
    off_thread(path.to_owned(), move |path| settle(path, &new)).await?;
    Ok(public)
}

async fn bound_key(registry: &RegistryClient, account_id: &str) -> Result<String, RotateError> {
    let request = ResolveKeyRequest {
        account_id: account_id.to_owned(),
    };
    match registry.call(&request).await {
        Ok(reply) => Ok(reply.public_key),
        Err(RegistryError::Refused(text)) => Err(RotateError::Refused(text)),
        Err(error) => Err(RotateError::Unanswered(error)),
    }
}

/// Asks the registry to bind the new key.
pub(crate) async fn request_rotation(
    registry: &RegistryClient,
    account_id: &str,
    old: &SigningKey,
    new: &SigningKey,
) -> Result<(), RotateError> {
    let request = rotation::request(account_id, old, new, ids::now(), &ids::nonce());
    match registry.call(&request).await {
        Ok(_) => Ok(()),
        Err(RegistryError::Refused(text)) => Err(RotateError::Refused(text)),
        Err(error) => Err(RotateError::Unanswered(error)),
    }
}
