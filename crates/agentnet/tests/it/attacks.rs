//! Attacks on a network with signed identity (`DEV_AUTH`), over raw NATS, on a real registry: each is refused with its code
//! and changes nothing (PROTOCOL.md sections 0.5, 0.6, 12, 13, 21 and 22).

mod harness;
mod keys;
mod mailbox;
mod messages;
mod presence;
mod receipts;
mod registration;
mod replies;
mod rotation;
mod streams;
mod tasks;
mod waiting;
