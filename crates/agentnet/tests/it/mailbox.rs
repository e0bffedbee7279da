//! The mailbox (PROTOCOL.md section 21): what a sender is told, how a session takes what waits for it, and both on a real
//! registry.

mod calls;
mod duplicates;
mod leasing;
mod network;
mod offline;
mod order;
mod outages;
mod returning;
mod scripted;
mod sending;
mod waiting;
