//! What the task of a server tells the tools: its phase, its connection, its tools.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rmcp::{Peer, RoleClient};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::clip::Redactor;
use super::listing::RemoteTool;

/// Requests in a row that may fail to be sent before the connection counts as broken.
const MAX_SEND_FAILURES: u32 = 2;

/// The state of a server.
#[derive(Clone)]
struct ServerState {
    phase: Phase,
    /// Attempts to connect that have succeeded or failed.
    attempts: u64,
    tools: Arc<[Arc<RemoteTool>]>,
    /// Changes with `tools`.
    version: u64,
}

/// What a server is doing.
#[derive(Clone)]
enum Phase {
    /// No agent has wanted it yet.
    Idle,
    Connecting,
    Ready(LiveConnection),
    Down {
        problem: Arc<str>,
        retry_at: Instant,
    },
    Stopped,
}

/// A connection that takes requests.
#[derive(Clone)]
pub(super) struct LiveConnection {
    pub(super) peer: Peer<RoleClient>,
    broken: CancellationToken,
    send_failures: Arc<AtomicU32>,
}

impl LiveConnection {
    pub(super) fn new(peer: Peer<RoleClient>) -> Self {
        Self {
            peer,
            broken: CancellationToken::new(),
            send_failures: Arc::default(),
        }
    }

    /// Waits until requests could not be sent.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Notes that a request was answered.
    pub(super) fn note_answer(&self) {
        self.send_failures.store(0, Ordering::Relaxed);
    }

    /// Notes that a request could not be sent; some of them in a row end the connection.
    pub(super) fn note_send_failure(&self) {
        let failures = self.send_failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= MAX_SEND_FAILURES {
            self.note_end();
        }
    }

    /// Notes that the connection has ended, so that no other call uses it.
    pub(super) fn note_end(&self) {
        self.broken.cancel();
    }

    fn has_ended(&self) -> bool {
        self.broken.is_cancelled() || self.peer.is_transport_closed()
    }
}

/// The side of the task.
pub(super) struct ServerPublisher {
    name: Arc<str>,
    state: watch::Sender<ServerState>,
    wanted: Arc<Notify>,
}

/// The side of the tools. Cloning gives another link to the same server.
#[derive(Clone)]
pub(super) struct ServerLink {
    name: Arc<str>,
    state: watch::Receiver<ServerState>,
    wanted: Arc<Notify>,
    redactor: Arc<Redactor>,
}

/// Both sides of the state of a server.
pub(super) fn server_state(name: &str, redactor: Redactor) -> (ServerPublisher, ServerLink) {
    let initial = ServerState {
        phase: Phase::Idle,
        attempts: 0,
        tools: Arc::new([]),
        version: 0,
    };
    let (state, receiver) = watch::channel(initial);
    let (name, wanted) = (Arc::<str>::from(name), Arc::new(Notify::new()));
    let publisher = ServerPublisher {
        name: Arc::clone(&name),
        state,
        wanted: Arc::clone(&wanted),
    };
    (
        publisher,
        ServerLink {
            name,
            state: receiver,
            wanted,
            redactor: Arc::new(redactor),
        },
    )
}

impl ServerPublisher {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until an agent wants the server.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn set_connecting(&self) {
        self.state.send_modify(|state| state.phase = Phase::Connecting);
    }

    pub(super) fn set_ready(&self, connection: LiveConnection, tools: Vec<Arc<RemoteTool>>) {
        self.state.send_modify(|state| {
            state.phase = Phase::Ready(connection);
            state.attempts += 1;
            state.set_tools(tools);
        });
    }

    pub(super) fn set_down(&self, problem: &str, retry_at: Instant) {
        self.state.send_modify(|state| {
            state.phase = Phase::Down {
                problem: problem.into(),
                retry_at,
            };
            state.attempts += 1;
        });
    }

    pub(super) fn set_tools(&self, tools: Vec<Arc<RemoteTool>>) {
        self.state.send_modify(|state| state.set_tools(tools));
    }

    pub(super) fn set_stopped(&self) {
        self.state.send_modify(|state| state.phase = Phase::Stopped);
    }
}

impl ServerState {
    fn set_tools(&mut self, tools: Vec<Arc<RemoteTool>>) {
        if *self.tools != *tools {
            self.tools = tools.into();
            self.version += 1;
        }
    }
}

impl ServerLink {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    pub(super) fn version(&self) -> u64 {
        self.state.borrow().version
    }

    pub(super) fn tools(&self) -> Arc<[Arc<RemoteTool>]> {
        Arc::clone(&self.state.borrow().tools)
    }

    /// Secrets of the server's configuration.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(super) async fn first_attempt(&self, timeout: Duration) {
        let mut state = self.state.clone();
        let attempted = state.wait_for(|state| state.attempts > 0 || matches!(state.phase, Phase::Stopped));
        if tokio::time::timeout(timeout, attempted).await.is_err() {
            tracing::warn!(
                server = self.name(),
                "an MCP server has not connected yet; its tools are added when it does"
            );
        }
    }

    /// The connection; if there is none, waits a moment for it. The error says why there is none.
    pub(super) async fn connection(&self, wait: Duration) -> Result<LiveConnection, String> {
        self.want();
        let mut state = self.state.clone();
        let give_up_at = Instant::now() + wait;
        let settled = async {
            let is_settled = |state: &ServerState| match &state.phase {
                Phase::Ready(connection) => !connection.has_ended(),
                Phase::Stopped => true,
                Phase::Down { retry_at, .. } => *retry_at > give_up_at,
                Phase::Idle | Phase::Connecting => false,
            };
            state.wait_for(is_settled).await.map(|state| state.phase.clone()).ok()
        };
        let phase = tokio::time::timeout_at(give_up_at, settled).await.ok().flatten();
        let phase = phase.unwrap_or_else(|| self.state.borrow().phase.clone());
        match phase {
            Phase::Ready(connection) if connection.has_ended() => {
                Err("the server has closed the connection".to_owned())
            }
            Phase::Ready(connection) => Ok(connection),
            Phase::Stopped => Err("the mesh is being closed".to_owned()),
            Phase::Idle | Phase::Connecting => Err("the server is still starting; try again later".to_owned()),
            Phase::Down { problem, retry_at } => {
                let seconds = retry_at.saturating_duration_since(Instant::now()).as_secs();
                Err(format!(
                    "the server is down ({problem}); it is started again in {seconds} s"
                ))
            }
        }
    }
}
