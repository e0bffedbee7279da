//! Connections to NATS as every part of agentnet makes them (PROTOCOL.md section 1).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backoff;
mod client_end;
mod connect;
mod issuer;
mod member;
mod renewal;
mod subscription;
mod url;

pub use backoff::Backoff;
pub use client_end::ClientEnd;
pub use connect::{dial, is_refusal, options};
pub use issuer::Issuer;
pub use member::MemberLogin;
pub use subscription::{end, flushed, is_up, leave, rest};
pub use url::{DEFAULT_NATS_URL, DEVELOPMENT_TOKEN, IDENTITY_SCHEME, Login, NatsUrl, NatsUrlError};
