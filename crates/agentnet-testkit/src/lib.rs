//! Real servers for tests: nats-server, PostgreSQL, and aimock as a provider of language models, on free ports. Dropping a
//! handle stops its server.
//!
//! A test starts the servers that it needs, records messages with a [`Capture`], and waits for conditions with
//! [`eventually`] instead of sleeping:
//!
//! ```no_run
//! use std::time::Duration;
//! use agentnet_testkit::{Capture, NatsServer, RawClient};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let nats = NatsServer::builder().token("secret").jetstream(true).start().await?;
//! let client = RawClient::connect(&nats.url()).await?;
//! let capture = Capture::subscribe(&client, "account.>").await?;
//! client.publish("account.acct_1.inbox", "{}".into()).await?;
//! let seen = capture.wait_for(|m| m.subject == "account.acct_1.inbox", Duration::from_secs(5)).await?;
//! assert_eq!(seen.payload, "{}");
//! # Ok(()) }
//! ```
//!
//! Servers run as children of the test process. They are killed when the handle is dropped, also by a panic. On
//! Linux the kernel also kills them when the test process itself is killed (through util-linux's `setpriv`). On other
//! systems, a test process that is killed by SIGKILL leaves its servers running.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod aimock;
mod capture;
mod cluster;
mod database;
mod error;
mod locate;
mod nats;
mod port;
mod postgres;
mod process;
mod raw_client;
mod template;
mod wait;

pub use aimock::Aimock;
pub use capture::{Capture, CaptureError, Captured};
pub use cluster::NatsCluster;
pub use database::{TEST_STORE_VARIABLE, TestDatabase};
pub use error::StartError;
pub use locate::{find_nats_server, find_postgres};
pub use nats::{NatsServer, NatsServerBuilder, UNREADABLE_HEADER_BLOCKS};
pub use postgres::Postgres;
pub use raw_client::{RawClient, RawClientError};
pub use wait::{WaitError, eventually, eventually_true};
