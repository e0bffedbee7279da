//! Why a key was not rotated.

use std::path::PathBuf;

use agentnet_keys::KeyFileError;

use crate::registry::error::RegistryError;

/// Why a key was not rotated. The old one stays unless the text states otherwise.
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
