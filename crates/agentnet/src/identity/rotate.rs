//! Another key for an account (PROTOCOL.md section 13.5).
//!
//! 1. The new key is written beside the old one; 2. the registry binds it; 3. it takes the old one's place.
//!
//! Should the program end in between, either key may be the bound one: the next rotation, or the next start of a node, asks the registry
//! and goes on from there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use agentnet_keys::{KeyFileError, create, generate, load, next_path, remove};
use agentnet_protocol::rotation;
use agentnet_protocol::rpc::ResolveKeyRequest;
use agentnet_protocol::signature::SigningKey;

use super::source::{KeySource, off_thread, settle};
use crate::error::{RegistryError, SendError};
use crate::ids;
use crate::node::AgentNode;
use crate::registry::RegistryClient;

/// Why a key was not rotated. The old one stays unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The node does not run, or does not sign.
    #[error("the node has no key to rotate: start it with signed identity (DEV_AUTH=true)")]
    NotSigning,
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is no key file to rotate.
    #[error("there is no key file {}: nothing to rotate", .0.display())]
    NoKey(PathBuf),
    /// The registry refused, e.g. with `auth_public_key_mismatch`.
    #[error("the registry did not rotate the key: {0}")]
    Refused(String),
    /// The registry did not answer: whether it has bound the new key is not known. Rotating once more finds out.
    #[error(
        "whether the key was rotated is not known, the registry did not answer ({0}): rotate once more to find out"
    )]
    Unanswered(#[source] RegistryError),
    /// The account is bound to a key that is in neither file.
    #[error("the account is bound to another key than those in {} and beside it", .0.display())]
    Lost(PathBuf),
}

impl RegistryClient {
    /// Rotates the key in a file; the account must be bound to it. Goes on with a rotation that was interrupted.
    ///
    /// Returns the new public key. Nodes that run with the old key go on signing with it, and are refused from now on: stop them
    /// first, or use [`AgentNode::rotate_key`].
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
        match ask(self, account_id, &old, &new).await {
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

async fn ask(
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

impl AgentNode {
    /// Binds a new key to the node's account in the place of its own, and signs with it from then on. Other nodes of the
    /// account have to be started again.
    ///
    /// Returns the new public key. A key file is replaced; a key that the program gave is replaced in memory.
    ///
    /// # Errors
    /// [`RotateError`]
    pub async fn rotate_key(&self) -> Result<String, RotateError> {
        let live = self.live().map_err(|_: SendError| RotateError::NotSigning)?;
        let (Some(identity), Some(source)) = (&live.identity, self.key_source()) else {
            return Err(RotateError::NotSigning);
        };
        let account_id = &live.sender.account_id;
        match source {
            KeySource::File(path) => {
                let public = live.registry.rotate_key_file(account_id, path).await?;
                let key = off_thread(path.clone(), load).await?;
                identity.set_key(Arc::new(key.ok_or_else(|| RotateError::NoKey(path.clone()))?));
                Ok(public)
            }
            KeySource::Memory(place) => {
                let new = generate();
                ask(&live.registry, account_id, &identity.key(), &new).await?;
                let public = new.public_text().to_owned();
                let new = Arc::new(new);
                *place.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
                identity.set_key(new);
                Ok(public)
            }
        }
    }
}
