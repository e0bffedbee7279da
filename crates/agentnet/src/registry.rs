//! Calling the registry (PROTOCOL.md section 6).

pub(crate) mod error;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::Backoff;
use agentnet_protocol::json::Object;
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{
    ListRequest, MailboxAckRequest, MailboxActionRequest, MailboxExtendRequest, MailboxLeaseRequest, RegisterRequest,
    ReplyError, Request, RotateKeyRequest, TaskCancelRequest, TaskClaimRequest, TaskCreateRequest, TaskEventsRequest,
    TaskFinishRequest, TaskHeartbeatRequest, TaskInputRequest, TaskRetryRequest, check_reply, decode_reply,
};
use agentnet_protocol::{AgentInfo, DecodeError};
use async_nats::connection::State;
use async_nats::{Client, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use parking_lot::{Mutex, MutexGuard};

use self::error::RegistryError;
use crate::connect::denials::{Action, Denied};
use crate::connect::{ConnectError, Connection, Connections, NO_CONNECTION};
use agentnet_nats::Issuer;

/// How often a request is made at most, within the call's timeout.
const MAX_ATTEMPTS: u32 = 3;
/// A request without a reply is made again after a third of the timeout, or after this time if that is shorter.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// The shortest and the longest pause between two requests to a registry that has just been lost.
const NO_RESPONDERS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));
/// How long a registry that stopped answering is waited for.
const RESTART_GRACE: Duration = Duration::from_secs(5);

/// A typed client of the registry's RPCs.
///
/// A registry may stop or fail at any time while others serve the same network. So a request without a reply is made again
/// after a third of the timeout, up to three times in all; the call as a whole does not take longer than its timeout. On a
/// network without a registry a call fails at once, unless one has answered this client before and was lost within the last
/// five seconds: then the call waits for it within the timeout, since it may be restarting.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use agentnet::{DEFAULT_NATS_URL, RegistryClient};
/// let registry = RegistryClient::connect(DEFAULT_NATS_URL).await?;
/// for agent in registry.list_online().await? {
///     println!("{}", agent.name);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RegistryClient {
    client: Client,
    timeout: Duration,
    sightings: Arc<Sightings>,
    /// Whether a registry that was lost lately is waited for.
    may_wait: bool,
    /// Absent on a client that the caller has connected.
    connections: Option<Arc<Connections>>,
    issuer: Issuer,
}

impl RegistryClient {
    /// How long a call waits for its reply by default.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Opens a connection of its own.
    ///
    /// # Errors
    /// [`ConnectError`], within about three seconds.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Ok(Self::on(&Connection::open(url, "agentnet-registry-client").await?))
    }

    /// Uses an existing connection.
    #[must_use]
    pub fn on(connection: &Connection) -> Self {
        let mut client = Self::new(connection.client.clone());
        client.connections = Some(connection.connections.clone());
        client.issuer = connection.issuer.clone();
        client
    }

    /// Uses an existing client. Calls that the NATS server does not permit its user time out.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            timeout: Self::DEFAULT_TIMEOUT,
            sightings: Arc::default(),
            may_wait: true,
            connections: None,
            issuer: Issuer::default(),
        }
    }

    /// Waits so long for each reply instead of two seconds, all attempts together.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long each reply is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Fails at once where no registry answers, also if one did before.
    pub(crate) fn fail_fast(mut self) -> Self {
        self.may_wait = false;
        self
    }

    /// The NATS client of the connection.
    #[must_use]
    pub fn nats(&self) -> &Client {
        &self.client
    }

    /// Calls the RPC that the request's type names.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, RegistryError> {
        self.ask(request, |body| match decode_reply::<R>(&body) {
            Err(ReplyError::Invalid(why)) => Err(why),
            Err(refused) => Ok(Err(RegistryError::Refused(refused.to_string()))),
            Ok(reply) => Ok(Ok(reply)),
        })
        .await?
    }

    /// All agents online, by agent id and session; follows the pages of a large network.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn list_online(&self) -> Result<Vec<AgentInfo>, RegistryError> {
        let mut online = Vec::new();
        let mut request = ListRequest::default();
        let mut walk = PageWalk::default();
        loop {
            let page = self.call(&request).await?;
            let next = walk.follow(page.next_cursor, page.agents.len());
            online.extend(page.agents);
            match next.map_err(RegistryError::endless::<ListRequest>)? {
                Some(cursor) => request.cursor = Some(cursor),
                None => return Ok(online),
            }
        }
    }

    /// As [`RegistryClient::call`], but gives the reply's exact text, errors of the registry included.
    ///
    /// # Errors
    /// [`RegistryError`] where no reply came.
    pub async fn call_raw<R: Request>(&self, request: &R) -> Result<Bytes, RegistryError> {
        self.ask(request, |body| match check_reply::<R>(&body) {
            Err(ReplyError::Invalid(why)) => Err(why),
            _ => Ok(body),
        })
        .await
    }

    /// Asks within the timeout. `read` decodes an answer.
    async fn ask<R: Request, T>(
        &self,
        request: &R,
        read: impl Fn(Bytes) -> Result<T, DecodeError>,
    ) -> Result<T, RegistryError> {
        let rpc = R::NAME;
        let mut missed = Missed::default();
        let asked = self.ask_until_answered::<R, T>(Bytes::from(request.encode()), read, &mut missed);
        if let Ok(outcome) = tokio::time::timeout(self.timeout, asked).await {
            return outcome;
        }
        Err(match missed {
            Missed {
                unreadable: Some(why), ..
            } => RegistryError::Invalid { rpc, why },
            Missed {
                no_responders: true, ..
            } => RegistryError::NoRegistry { rpc },
            _ => self.timed_out::<R>(),
        })
    }

    /// Asks, and asks again while no answer comes. The first answer counts, whichever request it is for, so that a slow
    /// registry can answer too.
    async fn ask_until_answered<R: Request, T>(
        &self,
        body: Bytes,
        read: impl Fn(Bytes) -> Result<T, DecodeError>,
        missed: &mut Missed,
    ) -> Result<T, RegistryError> {
        let rpc = R::NAME;
        let failed = |error: &dyn std::fmt::Display| RegistryError::Connection {
            rpc,
            why: error.to_string(),
        };
        let mut left = if is_repeatable::<R>(&body) { MAX_ATTEMPTS } else { 1 };
        let retry_interval = (self.timeout / MAX_ATTEMPTS).min(MAX_RETRY_INTERVAL);
        let mut backoff = NO_RESPONDERS_BACKOFF;
        let inbox = self.client.new_inbox();
        let (subject, watched) = (self.issuer.publish_subject(R::subject()), self.connections.as_deref());
        let mark = watched.map(|connections| connections.denials.mark());
        let mut denied = std::pin::pin!(async {
            match (watched, mark) {
                (Some(connections), Some(mark)) => {
                    let concerns =
                        |denied: &Denied| denied.is(Action::Publish, &subject) || denied.is(Action::Subscribe, &inbox);
                    connections.denials.wait(mark, concerns).await
                }
                _ => std::future::pending().await,
            }
        });
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(&error))?;
        loop {
            let publishing = self
                .client
                .publish_with_reply(subject.clone(), inbox.clone(), body.clone());
            publishing.await.map_err(|error| failed(&error))?;
            left -= 1;
            let ask_again = Instant::now() + retry_interval;
            loop {
                let answer = tokio::select! {
                    answer = answers.next() => answer.ok_or_else(|| failed(&"the connection is closed"))?,
                    denied = &mut denied => {
                        let why = denied.to_string();
                        return Err(RegistryError::Denied { rpc, why });
                    }
                    () = tokio::time::sleep_until(ask_again.into()), if left > 0 => break,
                };
                if answer.status == Some(StatusCode::NO_RESPONDERS) {
                    if !self.may_wait || !self.sightings.may_come_back(Instant::now()) {
                        return Err(RegistryError::NoRegistry { rpc });
                    }
                    // No registry has received it: this does not count as an attempt.
                    missed.no_responders = true;
                    left += 1;
                    tokio::time::sleep(backoff.next_delay()).await;
                    break;
                }
                match read(answer.payload) {
                    Ok(answer) => {
                        self.sightings.answered();
                        return Ok(answer);
                    }
                    Err(why) => {
                        tracing::debug!(rpc, %why, "ignored an answer that is not the registry's");
                        missed.unreadable = Some(why);
                    }
                }
            }
        }
    }

    fn timed_out<R: Request>(&self) -> RegistryError {
        match self.client.connection_state() {
            State::Connected => RegistryError::Timeout {
                rpc: R::NAME,
                timeout: self.timeout,
            },
            _ => RegistryError::Connection {
                rpc: R::NAME,
                why: NO_CONNECTION.to_owned(),
            },
        }
    }
}

/// Requests that may be signed.
const SIGNED: [&str; 7] = [
    RegisterRequest::NAME,
    RotateKeyRequest::NAME,
    MailboxAckRequest::NAME,
    MailboxExtendRequest::NAME,
    MailboxActionRequest::NAME,
    TaskCreateRequest::NAME,
    TaskFinishRequest::NAME,
];

/// Requests that are made once, signed or not: a second one takes more messages or tasks for a reply that nobody reads, is
/// refused because of the first, or is held with it.
const ONCE: [&str; 7] = [
    MailboxLeaseRequest::NAME,
    // Its sender repeats it, under the same id.
    TaskClaimRequest::NAME,
    TaskHeartbeatRequest::NAME,
    TaskCancelRequest::NAME,
    TaskInputRequest::NAME,
    TaskRetryRequest::NAME,
    TaskEventsRequest::NAME,
];

/// Whether a request may be made more than once. A signed one may not: its nonce counts once. A registration that was made twice
/// leaves a session without heartbeats, which expires by itself.
fn is_repeatable<R: Request>(body: &[u8]) -> bool {
    let is_signed =
        || matches!(Object::parse_body(body), Ok(Some(request)) if request.get("auth").as_object().is_some());
    let is_once = ONCE.contains(&R::NAME) || SIGNED.contains(&R::NAME) && is_signed();
    !is_once
}

/// What came instead of a reply.
#[derive(Debug, Default)]
struct Missed {
    /// The subject had no responders.
    no_responders: bool,
    /// What is wrong with a reply that cannot be read.
    unreadable: Option<DecodeError>,
}

/// When a registry answered on this network last.
#[derive(Debug, Default)]
struct Sightings(Mutex<Sighting>);

#[derive(Debug, Clone, Copy, Default)]
enum Sighting {
    /// None answered yet.
    #[default]
    Never,
    /// One has answered, and has not been missed since.
    Answered,
    /// It was missed first at this time.
    Missed(Instant),
}

impl Sightings {
    fn lock(&self) -> MutexGuard<'_, Sighting> {
        self.0.lock()
    }

    fn answered(&self) {
        *self.lock() = Sighting::Answered;
    }

    /// No registry answers now: whether to wait for one.
    fn may_come_back(&self, now: Instant) -> bool {
        let mut sighting = self.lock();
        match *sighting {
            Sighting::Never => false,
            Sighting::Answered => {
                *sighting = Sighting::Missed(now);
                true
            }
            Sighting::Missed(since) => now.saturating_duration_since(since) < RESTART_GRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_was_there_may_come_back_for_a_while() {
        let start = Instant::now();
        let sightings = Sightings::default();
        assert!(!sightings.may_come_back(start), "it was never there");
        for round in 0..2 {
            let start = start + 100 * round * RESTART_GRACE;
            sightings.answered();
            assert!(sightings.may_come_back(start));
            assert!(sightings.may_come_back(start + RESTART_GRACE / 2));
            assert!(!sightings.may_come_back(start + RESTART_GRACE));
        }
    }

    #[test]
    fn a_signed_request_is_made_once() {
        for (body, repeatable) in [
            (r#"{"agent_id":"a"}"#, true),
            (r#"{"agent_id":"a","auth":null}"#, true),
            (r#"{"agent_id":"a","auth":{"scheme":"x"}}"#, false),
        ] {
            assert_eq!(is_repeatable::<RegisterRequest>(body.as_bytes()), repeatable, "{body}");
        }
        assert!(is_repeatable::<ListRequest>(br#"{"auth":{}}"#));
        assert!(is_repeatable::<MailboxAckRequest>(b"{}"));
        assert!(!is_repeatable::<MailboxAckRequest>(br#"{"auth":{}}"#));
        assert!(!is_repeatable::<MailboxLeaseRequest>(b"{}"));
        assert!(!is_repeatable::<TaskClaimRequest>(b"{}"));
        assert!(is_repeatable::<TaskFinishRequest>(b"{}"));
        assert!(!is_repeatable::<TaskFinishRequest>(br#"{"auth":{}}"#));
    }
}
