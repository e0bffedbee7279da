//! Blobs: the local store, the network's object store behind a real server, and references between agents.

mod agents;
mod broken;
mod local;
mod network;
mod pattern;
