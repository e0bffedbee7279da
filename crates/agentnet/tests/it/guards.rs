//! A node driven over raw NATS through every row of the receiver's table (PROTOCOL.md section 12 with section 0.7): receipts,
//! error replies, codes, details and counters, compared member by member.

mod admission;
mod form;
mod handling;
mod harness;
mod routing;
