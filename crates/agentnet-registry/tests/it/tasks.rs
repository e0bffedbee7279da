//! Tasks (PROTOCOL.md section 22), by raw clients against a real nats-server.

mod claims;
mod client;
mod ends;
mod family;
mod messages;
mod outage;
mod refusals;
mod registries;
mod reports;
mod signed;
