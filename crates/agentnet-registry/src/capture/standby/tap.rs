//! Taps: plain subscriptions to every subject, on two servers at once.
//!
//! A tap is a connection of its own to one server. Its subscriptions are in a queue group with the server's id: of all
//! registries with a tap there, one gets each message, and each message is read on every server that has taps. A tap that loses
//! its connection is not repaired: it is replaced by another one, on a server without a tap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::{Backoff, Issuer, NatsUrl};
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_NATS_REPLIES, ALL_REPLIES};
use async_nats::connection::State;
use async_nats::{Client, Event, Message, ReconnectToServer, Subscriber};
use futures::StreamExt as _;
use futures::stream::SelectAll;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::proof::Proof;
use super::super::stream::STREAM;
use super::super::{captured_subjects, decode};
use super::{TapEvent, TappedMessage};
use crate::clock::Now;
use crate::connect::{self, Connection};
use crate::error::StartError;
use crate::metrics::Metrics;

/// Taps of one registry.
const TAP_COUNT: usize = 2;
/// The interval of pings to a server; one that misses several counts as dead.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The first and the longest delay between two attempts to replace a tap.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
const INBOX: &str = "_INBOX.";
const ADVISORY: &str = "$JS.EVENT.ADVISORY.";

/// The taps of this registry.
pub(super) struct Taps {
    url: NatsUrl,
    /// The registry's own connection, which knows servers of the cluster too.
    main: Client,
    issuer: Issuer,
    out: mpsc::Sender<TapEvent>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    /// The servers with a tap.
    open: Vec<TappedServer>,
    /// The running taps; each returns its server.
    running: JoinSet<TappedServer>,
    /// Whether a missing tap was logged.
    warned: bool,
}

/// The server of a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TappedServer {
    /// Its id; another one after a restart.
    server_id: String,
    address: String,
    /// The addresses of other servers that it knows.
    others: Vec<String>,
}

impl Taps {
    /// Opens the taps; an error if not even one can be opened.
    pub(super) async fn open(
        url: &NatsUrl,
        connection: &Connection,
        out: mpsc::Sender<TapEvent>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let mut taps = Self {
            url: url.clone(),
            main: connection.client.clone(),
            issuer: connection.issuer.clone(),
            out,
            metrics,
            stop,
            open: Vec::new(),
            running: JoinSet::new(),
            warned: false,
        };
        match taps.fill().await {
            Some(problem) if taps.open.is_empty() => Err(problem),
            _ => Ok(taps),
        }
    }

    /// Keeps the taps open until the stop; then every message that they read was sent.
    pub(super) async fn keep(mut self) {
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        loop {
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.running.join_next() => {
                    if let Ok(server) = ended {
                        self.open.retain(|open| *open != server);
                    }
                    backoff.reset();
                }
                () = tokio::time::sleep(backoff.delay()), if self.open.len() < TAP_COUNT => {
                    backoff.next_delay();
                }
            }
            let _ = stop.run_until_cancelled(self.fill()).await;
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Opens the missing taps, on servers without one; returns the last problem if one is still missing.
    async fn fill(&mut self) -> Option<StartError> {
        let mut problem = None;
        for address in self.candidates() {
            if self.open.len() == TAP_COUNT {
                break;
            }
            match self.tap(&address).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(address, %error, "a NATS server cannot be tapped");
                    problem = Some(error);
                }
            }
        }
        let complete = self.open.len() == TAP_COUNT;
        if std::mem::replace(&mut self.warned, !complete) == complete {
            if complete {
                tracing::info!("messages are heard on two NATS servers again");
            } else {
                tracing::warn!(
                    servers = self.open.len(),
                    "messages are not heard on two NATS servers: should one die that leads the message stream, what is sent \
                     until another leads may be missing from the history"
                );
            }
        }
        problem.filter(|_| !complete)
    }

    /// Addresses of servers without a tap, the configured ones first.
    fn candidates(&self) -> Vec<String> {
        let known = self.main.server_info().connect_urls;
        let others = self.open.iter().flat_map(|server| &server.others);
        let all = self.url.servers().iter().chain(&known).chain(others);
        let mut candidates: Vec<String> = Vec::new();
        for address in all {
            let taken = self.open.iter().any(|server| host(&server.address) == host(address));
            if !taken && !candidates.iter().any(|known| host(known) == host(address)) {
                candidates.push(address.clone());
            }
        }
        candidates
    }

    /// Opens a tap, unless the address turns out to be that of a server with a tap.
    async fn tap(&mut self, address: &str) -> Result<(), StartError> {
        let lost = CancellationToken::new();
        let client = self.connect(address, lost.clone()).await?;
        let info = client.server_info();
        if self.open.iter().any(|server| server.server_id == info.server_id) {
            return Ok(());
        }
        let group = format!("agentnet-registry-spare-{}", info.server_id);
        let nats = |error: async_nats::SubscribeError| StartError::Nats(error.to_string());
        let mut messages = SelectAll::new();
        let subjects = [ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES, ALL_NATS_REPLIES];
        for subject in captured_subjects(&self.issuer, &subjects) {
            messages.push(client.queue_subscribe(subject, group.clone()).await.map_err(nats)?);
        }
        let elected = format!("{ADVISORY}STREAM.LEADER_ELECTED.{STREAM}");
        messages.push(client.subscribe(elected).await.map_err(nats)?);
        connect::flushed(&client).await?;
        let server = TappedServer {
            server_id: info.server_id,
            address: address.to_owned(),
            others: info.connect_urls,
        };
        tracing::debug!(address, "a NATS server is tapped");
        self.open.push(server.clone());
        let (out, stop, issuer) = (self.out.clone(), self.stop.clone(), self.issuer.clone());
        self.running.spawn(async move {
            follow(client, issuer, messages, out, lost, stop).await;
            server
        });
        Ok(())
    }

    /// A connection to this server and no other. `lost` is cancelled at its end.
    async fn connect(&self, address: &str, lost: CancellationToken) -> Result<Client, StartError> {
        let metrics = Arc::clone(&self.metrics);
        let options = connect::options(&self.url)
            .ignore_discovered_servers()
            .ping_interval(PING_INTERVAL)
            // Disables reconnects; without the callback the client would log an error.
            .max_reconnects(1)
            .reconnect_to_server_callback(|servers, _| async move {
                let addr = servers.first()?.addr.clone();
                Some(ReconnectToServer {
                    addr,
                    delay: Some(Duration::ZERO),
                })
            })
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed => lost.cancel(),
                    // Not counted with the messages that the registry's own connection dropped: presence has missed nothing.
                    Event::SlowConsumer(_) => metrics.overflow.add(1),
                    _ => {}
                }
                std::future::ready(())
            });
        let client = options.connect(address).await;
        client.map_err(|error| StartError::Connect {
            url: address.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// Host and port.
fn host(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, host)| host)
}

/// Sends what is read until the stop or the end of the connection.
async fn follow(
    client: Client,
    issuer: Issuer,
    mut messages: SelectAll<Subscriber>,
    out: mpsc::Sender<TapEvent>,
    lost: CancellationToken,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = lost.cancelled() => break,
            () = stop.cancelled() => break,
            message = messages.next() => match message {
                Some(message) => send(message, &issuer, &out).await,
                None => break,
            },
        }
    }
    if !lost.is_cancelled() && client.connection_state() == State::Connected {
        for subscription in &mut messages {
            agentnet_nats::leave(subscription).await;
        }
    }
    for message in agentnet_nats::rest(&client, &mut messages).await {
        send(message, &issuer, &out).await;
    }
}

async fn send(message: Message, issuer: &Issuer, out: &mpsc::Sender<TapEvent>) {
    let event = if message.subject.starts_with(ADVISORY) {
        TapEvent::Elected
    } else {
        let streamed = !message.subject.starts_with(INBOX);
        if !streamed && !decode::may_be_message(&message.payload) {
            return;
        }
        TapEvent::Message(TappedMessage {
            proof: Proof::of(issuer, &message.subject),
            body: message.payload,
            at: Instant::now(),
            received_at: Now::read().time,
            streamed,
        })
    };
    // An error means that the registry ends at once.
    let _ = out.send(event).await;
}
