//! A whole network in one process and one child: nats-server, registry, storage.
//!
//! 1. [`lock`]: locks the data directory, so that no other `up` writes there
//! 2. [`locate`]: finds a nats-server
//! 3. [`nats`]: runs it as a child process that ends with this one ([`spawn`]), and restarts it when it dies
//! 4. [`stack`]: runs the registry on top; stops all in the opposite order
//! 5. [`banner`]: prints addresses, files and the next steps
//!
//! [`secure`]: credentials of a network in secure mode. [`websocket`]: settings of the listener for browsers.

pub(crate) mod address;
pub(crate) mod banner;
pub(crate) mod locate;
pub(crate) mod lock;
pub(crate) mod nats;
pub(crate) mod nats_config;
pub(crate) mod own_server;
pub(crate) mod secure;
pub(crate) mod spawn;
pub(crate) mod stack;
mod uninterrupted;
pub(crate) mod websocket;
