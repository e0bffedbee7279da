//! Errors of key files.

use std::io;
use std::path::PathBuf;

use agentnet_protocol::signature::KeyError;

/// Why a key file cannot be used. Each text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {source}", path.display())]
    Read {
        /// Path of the key file that could not be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its content is no key. It is left as it is: another key in its place would be another identity.
    #[error(
        "the key file {} is damaged: {why}. It is not replaced, since its account is bound to the key that it held: \
         restore it from a backup, or move it away to join as somebody new",
        path.display()
    )]
    Damaged {
        /// Path of the damaged key file.
        path: PathBuf,
        /// What is wrong with it.
        why: KeyError,
    },
    /// The content of an identity file of secure mode is damaged. It is left as it is.
    #[error(
        "the identity file {} is damaged: {why}. Restore it from a backup, or ask for a new invite (agentnet invite NAME)",
        path.display()
    )]
    DamagedIdentity {
        /// Path of the damaged file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Others than its owner may read or change it.
    #[error(
        "the key file {path} may be read or changed by others (mode {mode:04o}): run `chmod 600 {path}`, and rotate the \
         key if somebody may have read it",
        path = path.display()
    )]
    Exposed {
        /// Path of the exposed key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is one already, and it was not to be replaced.
    #[error("the key file {} exists already: move it away first, or rotate the key", path.display())]
    Exists {
        /// Path of the existing key file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the key file {}: {source}", path.display())]
    Write {
        /// Path of the key file that could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
