//! The two pages and the listener that they are served on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::limited::{LimitedListener, Limits};

/// The type of `/metrics`: Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long the answers at hand may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The content of the pages.
pub trait Source: Send + Sync + 'static {
    /// The metrics as they are now, in Prometheus' text format 0.0.4.
    fn metrics(&self) -> String;

    /// Whether everything works; if not, why. It should bound its own waits.
    fn health(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}: {source}")]
pub struct BindError {
    /// Address and port that could not be bound.
    pub address: SocketAddr,
    /// The operating system's error.
    pub source: io::Error,
}

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`]: the port is taken, or the address is not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, and then what was asked before it, for at most two seconds.
    pub async fn serve(self, source: impl Source, stop: impl Future<Output = ()> + Send + 'static) {
        self.serve_within(Limits::default(), source, stop).await;
    }

    async fn serve_within(self, limits: Limits, source: impl Source, stop: impl Future<Output = ()> + Send + 'static) {
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let pages = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(health))
            .with_state(Arc::new(source));
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let deadline = async {
            let _ = stopped.await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            // It never fails: accepting is retried.
            _ = axum::serve(LimitedListener::new(self.listener, limits), pages).with_graceful_shutdown(stop) => {}
            () = deadline => {}
        }
    }
}

async fn metrics<S: Source>(State(source): State<Arc<S>>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], source.metrics()).into_response()
}

async fn health<S: Source>(State(source): State<Arc<S>>) -> Response {
    match source.health().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    struct Shop;

    impl Source for Shop {
        fn metrics(&self) -> String {
            "shop_open 1\n".to_owned()
        }

        async fn health(&self) -> Result<(), String> {
            Ok(())
        }
    }

    async fn shop(limits: Limits) -> SocketAddr {
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve_within(limits, Shop, std::future::pending()));
        address
    }

    /// Reads until the server closes the connection.
    async fn until_closed(client: &mut TcpStream) -> String {
        let mut all = Vec::new();
        let mut some = [0; 1024];
        while let Ok(count @ 1..) = timeout(DEADLINE, client.read(&mut some)).await.unwrap() {
            all.extend_from_slice(&some[..count]);
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn who_does_not_ask_in_time_is_cut_off() {
        let address = shop(Limits {
            connections: 2,
            idle: Duration::from_millis(200),
        })
        .await;
        for begun in ["", "GET /metrics HTTP/1.1\r\nHost: shop\r\nX-Slow: "] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(begun.as_bytes()).await.unwrap();
            let answer = until_closed(&mut client).await;
            assert!(!answer.contains("shop_open"), "{answer}");
        }
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_its_turn() {
        let address = shop(Limits {
            connections: 1,
            idle: Duration::from_millis(500),
        })
        .await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut asking = TcpStream::connect(address).await.unwrap();
        asking
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let answer = until_closed(&mut asking).await;
        assert!(answer.contains("shop_open 1"), "{answer}");
        assert_eq!(until_closed(&mut silent).await, "", "its time was over before");
    }
}
