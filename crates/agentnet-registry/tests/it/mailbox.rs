//! Messages that are kept for agents that are offline (PROTOCOL.md section 21), by raw clients against a real nats-server.

mod client;
mod ends;
mod keeping;
mod leases;
mod push;
mod push_ends;
mod refusals;
mod signed;
mod told;
