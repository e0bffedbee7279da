//! A scripted HTTP server: its answers are exact bytes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::stream;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A step of an answer's body.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Closes the connection without ending the body.
    Break,
    /// Sends nothing more, and keeps the connection open.
    Hang,
    /// Sends bytes again and again.
    Forever(Vec<u8>),
}

/// An answer of the scripted server.
#[derive(Debug, Clone)]
pub(super) struct Script {
    status: u16,
    headers: Vec<(String, String)>,
    steps: Vec<Step>,
    is_silent: bool,
}

/// A request that came in.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// The server. It ends when it is dropped.
pub(super) struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    received: Mutex<Vec<Received>>,
    /// Answers whose bodies were given up or sent to their end.
    ended: watch::Sender<usize>,
}

impl Script {
    pub(super) fn new(status: u16, content_type: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self {
            status,
            headers,
            steps: Vec::new(),
            is_silent: false,
        }
    }

    /// A stream of events, sent in pieces of `size` bytes.
    pub(super) fn sse(text: impl AsRef<[u8]>, size: usize) -> Self {
        Self::new(200, "text/event-stream").pieces(text, size)
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json").then(Step::Send(body.to_string().into_bytes()))
    }

    /// Accepts the request, and never answers.
    pub(super) fn silent() -> Self {
        Self {
            is_silent: true,
            ..Self::new(200, "text/event-stream")
        }
    }

    pub(super) fn pieces(mut self, text: impl AsRef<[u8]>, size: usize) -> Self {
        self.steps
            .extend(text.as_ref().chunks(size).map(|piece| Step::Send(piece.to_vec())));
        self
    }

    pub(super) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl ScriptedServer {
    /// Starts a server that gives these answers, one after the other.
    pub(super) async fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let shared = Arc::new(Shared {
            scripts: Mutex::new(scripts.into_iter().collect()),
            received: Mutex::new(Vec::new()),
            ended: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            address,
            shared,
            serving,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    pub(super) fn bodies(&self) -> Vec<Value> {
        self.received().into_iter().map(|received| received.body).collect()
    }

    /// Waits until so many answers have ended, because they were sent or because the client went away.
    pub(super) async fn wait_for_ends(&self, count: usize) {
        let mut ended = self.shared.ended.subscribe();
        let waiting = ended.wait_for(|ended| *ended >= count);
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .expect("the answer ends")
            .unwrap();
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Counts an answer when its body, or the request that waits for one, is dropped.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let guard = EndGuard(shared.clone());
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
    shared.received.lock().push(Received {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let script = shared.scripts.lock().pop_front();
    let script = script.unwrap_or_else(|| Script::new(418, "text/plain").pieces("no more answers", 64));
    if script.is_silent {
        std::future::pending::<Infallible>().await;
    }
    let mut response = Response::builder().status(StatusCode::from_u16(script.status).unwrap());
    for (name, value) in &script.headers {
        response = response.header(name, value);
    }
    let steps = stream::unfold(
        (script.steps.into_iter(), None, guard),
        |(mut steps, repeated, guard)| async move {
            // Gives the server the time to send what it has: pieces arrive as pieces.
            tokio::task::yield_now().await;
            let step = match repeated {
                Some(bytes) => Step::Forever(bytes),
                None => steps.next()?,
            };
            match step {
                Step::Send(bytes) => Some((Ok(Bytes::from(bytes)), (steps, None, guard))),
                Step::Forever(bytes) => Some((Ok(Bytes::from(bytes.clone())), (steps, Some(bytes), guard))),
                Step::Break => Some((Err(std::io::Error::other("break")), (steps, None, guard))),
                Step::Hang => std::future::pending().await,
            }
        },
    );
    response.body(Body::from_stream(steps)).unwrap()
}
