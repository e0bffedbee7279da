//! The secure mode (PROTOCOL.md section 23): who is a member, and what the broker lets each one do.
//!
//! - `members`: the members of the store, in memory; every request is judged by them
//! - `local_member`: members that the program of the registry makes by itself
//! - `authority`: the settings of what tells the broker who may do what; `broker` is it at work
//! - `users_file`: the authority `file`, the users of a nats-server in a file that its configuration includes
//! - `jwt_issuer`: the authority `jwt`, JWTs for servers in operator mode; `sys` asks their system account
//! - `operator_mode`: a server in operator mode of the network's own
//! - `callout`: the authority `callout`, the answers to servers that ask about each client
//!
//! The registry is in secure mode if its own credential is that of a member.

pub(crate) mod authority;
pub(crate) mod broker;
pub(crate) mod callout;
pub(crate) mod jwt_issuer;
pub(crate) mod local_member;
pub(crate) mod members;
pub(crate) mod operator_mode;
pub(crate) mod start;
mod sys;
pub(crate) mod users_file;

pub use self::authority::{Authority, SigningAuthority};
