//! Durable storage of accounts, sessions, threads and messages.
//!
//! [`Store`] is the contract, [`model`] the data, [`open()`] the way in: it takes a URL and gives an `Arc<dyn Store>`.
//! Each backend has a directory of its own with the same files: `sqlite` is the embedded one, `postgres` the one that several
//! registries share. The rules that both follow (`bisect`, `username_suffix`, `case_fold`, `thread_deltas`, `mailbox_admission`,
//! `lease_selection`, `task_rules`, `task_admission`, `task_batch`, `visibility`) stand beside them, and `contract` is the suite that both pass.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! use agentnet_store::{OpenOptions, open};
//!
//! let store = open("sqlite::memory:", &OpenOptions::default()).await?;
//! assert!(store.thread("thread_1", None).await?.is_none());
//! store.close().await;
//! # Ok::<(), agentnet_store::StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bisect;
mod case_fold;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod dead_letters;
pub mod error;
mod lease_selection;
mod mailbox_admission;
pub mod model;
pub mod open;
mod page;
mod postgres;
mod sqlite;
pub mod store;
mod task_admission;
mod task_batch;
#[cfg(test)]
mod task_histories;
mod task_rules;
mod thread_deltas;
mod username_suffix;
mod visibility;

pub use case_fold::fold_case;
pub use error::StoreError;
pub use open::{OpenOptions, TlsMode, open, sqlite_url};
pub use store::{Accounts, Blobs, Mailboxes, Members, Messages, Registries, Sessions, Store, Tasks, Threads};
