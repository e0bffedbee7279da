//! A whole network in one process and one child: nats-server, registry, storage.
//!
//! 1. [`lock`]: the data directory is taken, so that no other `up` writes there
//! 2. [`locate`]: a nats-server is found
//! 3. [`nats`]: it runs as a child that cannot outlive us ([`spawn`]) and is started again when it dies
//! 4. [`stack`]: the registry runs on top; stopped in the opposite order
//! 5. [`banner`]: what runs where, told to the user

pub(crate) mod banner;
pub(crate) mod locate;
pub(crate) mod lock;
pub(crate) mod nats;
pub(crate) mod nats_config;
pub(crate) mod spawn;
pub(crate) mod stack;
