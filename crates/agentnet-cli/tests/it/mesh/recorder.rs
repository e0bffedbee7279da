//! A web server that answers every request with the same body, and keeps what it was asked.

use std::future::IntoFuture as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// Dropping it ends the server.
pub struct Recorder {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Answer {
    body: Arc<str>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// Answers 200 with this JSON text.
    pub async fn start(body: impl Into<Arc<str>>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Answer {
            body: body.into(),
            seen: seen.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(record).with_state(answer);
        let serving = axum::serve(listener, app).into_future();
        let task = tokio::spawn(async move {
            // Ends with the test.
            let _ = serving.await;
        });
        Self { url, seen, task }
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(
    State(answer): State<Answer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    answer.seen.lock().push(Seen {
        method: method.to_string(),
        target: uri.to_string(),
        headers,
        body,
    });
    (
        StatusCode::OK,
        [("content-type", "application/json")],
        answer.body.to_string(),
    )
}

/// The body of a page.
pub async fn get(url: &str) -> String {
    let url = url.to_owned();
    let getting = move || ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    tokio::task::spawn_blocking(getting).await.unwrap()
}
