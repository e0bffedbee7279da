//! Sessions, with the real registry: several nodes of one account, closing and starting again, and what happens when server
//! or registry go away (PROTOCOL.md sections 0.7 and 14).

mod absent;
mod closing;
mod heartbeat;
mod outages;
mod sharing;
mod starting;
