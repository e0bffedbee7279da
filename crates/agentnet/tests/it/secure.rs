//! The secure mode (PROTOCOL.md section 23), on a real nats-server whose users are the members of our registry.

mod attacks;
mod authorities;
mod blobs;
mod history;
mod lost_blobs;
mod members;
mod network;
mod policy;
mod talk;
