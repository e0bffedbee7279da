//! Metrics and health of a program over HTTP, for Prometheus and for health checks.
//!
//! - `GET /metrics`: [`Source::metrics`] in Prometheus' text format 0.0.4.
//! - `GET /healthz`: `200 ok`, or `503` and the reason, as [`Source::health`] returns.
//!
//! A client that does not ask, or does not read the answer, is disconnected after a timeout; the number of connections is
//! limited.
//!
//! ```
//! use agentnet_metrics_http::{Server, Source};
//!
//! struct Shop;
//!
//! impl Source for Shop {
//!     fn metrics(&self) -> String {
//!         "# TYPE shop_open gauge\nshop_open 1\n".to_owned()
//!     }
//!
//!     async fn health(&self) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), agentnet_metrics_http::BindError> {
//! let server = Server::bind(([127, 0, 0, 1], 0).into()).await?;
//! println!("http://{}/metrics", server.address());
//! let serving = tokio::spawn(server.serve(Shop, std::future::pending()));
//! # serving.abort();
//! # Ok(()) }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod limited;
mod serve;

pub use serve::{BindError, CONTENT_TYPE, Server, Source};
