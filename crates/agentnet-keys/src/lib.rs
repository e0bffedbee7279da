//! Key files of signed identity (PROTOCOL.md section 13.1): made once, whole, readable by their owner alone, and never
//! replaced in silence.
//!
//! ```
//! # fn run() -> Result<(), agentnet_keys::KeyFileError> {
//! # let directory = std::env::temp_dir().join(format!("agentnet-keys-doc-{}", std::process::id()));
//! let path = directory.join("alice.json");
//! let key = agentnet_keys::load_or_create(&path)?;
//! assert_eq!(agentnet_keys::load_or_create(&path)?.public_text(), key.public_text());
//! # std::fs::remove_dir_all(&directory).ok();
//! # Ok(()) }
//! # run().unwrap();
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod error;
mod file;
mod member;
mod member_jwts;

pub use error::KeyFileError;
pub use file::{create, generate, load, load_or_create, next_path, remove, replace};
pub use member::MemberIdentity;
pub use member_jwts::MemberJwts;
