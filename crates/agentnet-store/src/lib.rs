//! Durable storage of accounts, sessions, threads and messages.
//!
//! [`Store`] is the contract, `model` the data, `sqlite` the embedded backend, `open` the way in.

pub mod error;
pub mod model;
pub mod store;

pub use error::StoreError;
pub use store::{Accounts, Messages, Sessions, Store, Threads};
