//! Runs a server: connects, keeps its list of tools current, connects again.
//!
//! ```text
//! idle --wanted--> connecting --list of tools--> ready --connection ends--> down --pause--> connecting
//!                      '----------- failed --------------------------------> down
//! ```

use std::sync::Arc;
use std::time::Duration;

use rmcp::service::Subscription;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Handshake, ServerAddress};
use super::listing::{RemoteTool, list_tools};
use super::state::{LiveConnection, ServerPublisher};

/// Wait for a connection with its first list; `npx` may have to fetch a package.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait for a list of tools.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// The list is read again after this, for servers that do not tell of changes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);
/// Pause between the notice of a change and the next list, so that many changes cost one list.
const CHANGE_DELAY: Duration = Duration::from_millis(100);
/// Pause after the first failure; it doubles with each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A connection that lasted this long counts as good: the pauses begin anew.
const STABLE_TIME: Duration = Duration::from_secs(60);

/// The task of one server.
pub(super) struct Supervisor {
    address: ServerAddress,
    publisher: ServerPublisher,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// How an attempt ended.
enum Ended {
    /// No connection, or no list of tools.
    Failed(String),
    /// There was a connection.
    Lost(&'static str),
}

impl Supervisor {
    /// `stop` ends the server in order, `kill` at once.
    pub(super) fn new(
        address: ServerAddress,
        publisher: ServerPublisher,
        stop: CancellationToken,
        kill: CancellationToken,
    ) -> Self {
        Self {
            address,
            publisher,
            stop,
            kill,
        }
    }

    /// Runs until it is stopped or killed.
    pub(super) async fn run(self) {
        let work = async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = self.publisher.wanted() => self.keep_connected().await,
            }
        };
        // Dropping the work drops the connection, which kills the child.
        self.kill.run_until_cancelled(work).await;
        self.publisher.set_stopped();
    }

    async fn keep_connected(&self) {
        let mut handshake = Handshake::Probe;
        let mut failures = 0_u32;
        loop {
            self.publisher.set_connecting();
            let began = Instant::now();
            let ended = self.attempt(handshake).await;
            if self.stop.is_cancelled() {
                return;
            }
            let problem = match &ended {
                Ended::Failed(problem) => {
                    handshake = handshake.other();
                    problem.as_str()
                }
                Ended::Lost(problem) => *problem,
            };
            if began.elapsed() >= STABLE_TIME {
                failures = 0;
            }
            let retry_at = Instant::now() + backoff(failures, rand::random_range(0.5..=1.0));
            failures = failures.saturating_add(1);
            tracing::warn!(
                server = self.publisher.name(),
                problem,
                "an MCP server is down; it is started again"
            );
            self.publisher.set_down(problem, retry_at);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep_until(retry_at) => {}
            }
        }
    }

    /// Connects, and stays connected as long as it goes.
    async fn attempt(&self, handshake: Handshake) -> Ended {
        let (mut connection, tools) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ended::Lost("stopped"),
            opened = tokio::time::timeout(START_TIMEOUT, self.open(handshake)) => match opened {
                Ok(Ok(opened)) => opened,
                Ok(Err(problem)) => return Ended::Failed(problem),
                Err(_) => return Ended::Failed(format!("no answer within {} s", START_TIMEOUT.as_secs())),
            },
        };
        let live = LiveConnection::new(connection.peer.clone());
        tracing::info!(
            server = self.publisher.name(),
            tools = tools.len(),
            "an MCP server is connected"
        );
        self.publisher.set_ready(live.clone(), tools);
        let problem = self.serve(&mut connection, &live).await;
        if !self.stop.is_cancelled() {
            self.publisher.set_connecting();
        }
        connection.close().await;
        Ended::Lost(problem)
    }

    async fn open(&self, handshake: Handshake) -> Result<(Connection, Vec<Arc<RemoteTool>>), String> {
        let name = self.publisher.name();
        let connection = self.address.connect(name, handshake).await?;
        let tools = list_tools(&connection.peer, name, self.address.redactor()).await;
        match tools {
            Ok(tools) => Ok((connection, tools)),
            Err(error) => Err(self.address.redactor().clean(&format!("no list of tools: {error}"))),
        }
    }

    /// Keeps the list current until the connection ends; says why it ended.
    async fn serve(&self, connection: &mut Connection, live: &LiveConnection) -> &'static str {
        let Connection {
            peer,
            ended,
            tools_changed,
            ..
        } = connection;
        let subscribe = Connection::subscribe(peer);
        let mut subscription = self.stop.run_until_cancelled(subscribe).await.flatten();
        let mut refresh = tokio::time::interval_at(Instant::now() + REFRESH_INTERVAL, REFRESH_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return "stopped",
                () = &mut *ended => {
                    // It is awaited again when the connection is closed.
                    *ended = Box::pin(std::future::ready(()));
                    return "the server closed the connection";
                }
                () = live.broken() => return "requests could not be sent",
                () = tools_changed.notified() => tokio::time::sleep(CHANGE_DELAY).await,
                () = next_change(&mut subscription) => tokio::time::sleep(CHANGE_DELAY).await,
                _ = refresh.tick() => {
                    if subscription.is_none() {
                        let subscribe = Connection::subscribe(peer);
                        subscription = self.stop.run_until_cancelled(subscribe).await.flatten();
                    }
                }
            }
            let server = self.publisher.name();
            let listing = list_tools(peer, server, self.address.redactor());
            let listing = tokio::time::timeout(LIST_TIMEOUT, listing);
            match self.stop.run_until_cancelled(listing).await {
                None => return "stopped",
                Some(Ok(Ok(tools))) => self.publisher.set_tools(tools),
                Some(Ok(Err(_)) | Err(_)) => {
                    tracing::warn!(
                        server,
                        "an MCP server does not list its tools again; the earlier list stays"
                    );
                }
            }
        }
    }
}

/// Waits for the next notice of a subscription, or its end; for ever without one.
async fn next_change(subscription: &mut Option<Subscription>) {
    let Some(open) = subscription else {
        return std::future::pending().await;
    };
    if !matches!(open.next().await, Ok(Some(_))) {
        *subscription = None;
    }
}

/// The pause after so many failures before; `jitter` is between 0.5 and 1.
fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    doubled.min(MAX_BACKOFF).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_limit() {
        let pauses: Vec<u128> = [0, 1, 2, 5, 6, 100, u32::MAX]
            .map(|failures| backoff(failures, 1.0).as_millis())
            .to_vec();
        assert_eq!(pauses, [500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff(0, 0.5), Duration::from_millis(250));
    }
}
