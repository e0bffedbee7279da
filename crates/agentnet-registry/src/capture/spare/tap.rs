//! Hearing everything on two servers at once.
//!
//! A tap is a connection of its own to one server. Its subscriptions are in a queue group that has the server's name, so
//! that of all registries with a tap there one gets each message, and each message is heard on every server that has taps.
//! A tap whose connection is lost is not repaired: another one is made, on whatever server the other tap is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_NATS_REPLIES, ALL_REPLIES};
use agentnet_protocol::url::NatsUrl;
use async_nats::connection::State;
use async_nats::{Client, Event, Message, ReconnectToServer, Subscriber};
use futures::StreamExt as _;
use futures::stream::SelectAll;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::convert;
use super::super::stream::STREAM;
use super::{Heard, Word};
use crate::clock::Now;
use crate::connect::{self, Connection};
use crate::error::StartError;
use crate::metrics::Metrics;

/// Taps of one registry.
const TAPS: usize = 2;
/// A server that says nothing for some of these is taken for dead.
const PING: Duration = Duration::from_secs(5);
/// The pauses between two attempts to find a server for a tap that is missing.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];
const INBOX: &str = "_INBOX.";
const ADVISORY: &str = "$JS.EVENT.ADVISORY.";

/// The taps of this registry.
pub(super) struct Taps {
    url: NatsUrl,
    /// The registry's own connection: it knows servers, too.
    main: Client,
    out: mpsc::Sender<Word>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    /// The servers that are tapped.
    open: Vec<Place>,
    /// Each ends with the place that it was on.
    running: JoinSet<Place>,
    /// Whether people have been told that one tap is missing.
    told: bool,
}

/// Where a tap is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As the server calls itself; another one after its restart.
    server_id: String,
    address: String,
    /// Other servers that this one knows of.
    others: Vec<String>,
}

impl Taps {
    /// Opens them; an error if not even one can be.
    pub(super) async fn open(
        url: &NatsUrl,
        connection: &Connection,
        out: mpsc::Sender<Word>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let mut taps = Self {
            url: url.clone(),
            main: connection.client.clone(),
            out,
            metrics,
            stop,
            open: Vec::new(),
            running: JoinSet::new(),
            told: false,
        };
        match taps.fill().await {
            Some(problem) if taps.open.is_empty() => Err(problem),
            _ => Ok(taps),
        }
    }

    /// Keeps them open until the stop; then they have said everything.
    pub(super) async fn keep(mut self) {
        let mut pause = PAUSES[0];
        loop {
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.running.join_next() => {
                    if let Ok(place) = ended {
                        self.open.retain(|open| *open != place);
                    }
                    pause = PAUSES[0];
                }
                () = tokio::time::sleep(pause), if self.open.len() < TAPS => pause = (pause * 2).min(PAUSES[1]),
            }
            let _ = stop.run_until_cancelled(self.fill()).await;
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Opens taps that are missing, on servers where there is none yet; the last problem if one is still missing.
    async fn fill(&mut self) -> Option<StartError> {
        let mut problem = None;
        for address in self.candidates() {
            if self.open.len() == TAPS {
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
        let complete = self.open.len() == TAPS;
        if std::mem::replace(&mut self.told, !complete) == complete {
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

    /// Addresses of servers that have no tap, the configured ones first.
    fn candidates(&self) -> Vec<String> {
        let known = self.main.server_info().connect_urls;
        let others = self.open.iter().flat_map(|place| &place.others);
        let all = self.url.servers().iter().chain(&known).chain(others);
        let mut candidates: Vec<String> = Vec::new();
        for address in all {
            let taken = self.open.iter().any(|place| host(&place.address) == host(address));
            if !taken && !candidates.iter().any(|known| host(known) == host(address)) {
                candidates.push(address.clone());
            }
        }
        candidates
    }

    /// Opens a tap there, unless it turns out to be a server that is tapped already.
    async fn tap(&mut self, address: &str) -> Result<(), StartError> {
        let lost = CancellationToken::new();
        let client = self.connect(address, lost.clone()).await?;
        let info = client.server_info();
        if self.open.iter().any(|place| place.server_id == info.server_id) {
            return Ok(());
        }
        let group = format!("agentnet-registry-spare-{}", info.server_id);
        let nats = |error: async_nats::SubscribeError| StartError::Nats(error.to_string());
        let mut messages = SelectAll::new();
        for subject in [ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES, ALL_NATS_REPLIES] {
            messages.push(client.queue_subscribe(subject, group.clone()).await.map_err(nats)?);
        }
        let elected = format!("{ADVISORY}STREAM.LEADER_ELECTED.{STREAM}");
        messages.push(client.subscribe(elected).await.map_err(nats)?);
        connect::settled(&client).await?;
        let place = Place {
            server_id: info.server_id,
            address: address.to_owned(),
            others: info.connect_urls,
        };
        tracing::debug!(address, "a NATS server is tapped");
        self.open.push(place.clone());
        let (out, stop) = (self.out.clone(), self.stop.clone());
        self.running.spawn(async move {
            follow(client, messages, out, lost, stop).await;
            place
        });
        Ok(())
    }

    /// A connection to this server and no other. `lost` tells its end.
    async fn connect(&self, address: &str, lost: CancellationToken) -> Result<Client, StartError> {
        let metrics = Arc::clone(&self.metrics);
        let options = connect::options(&self.url)
            .ignore_discovered_servers()
            .ping_interval(PING)
            // Ends the client's own attempts; without the callback it would log an error then.
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
                    // Not counted with what the registry's own connection dropped: presence has missed nothing.
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

/// Says what comes until the stop or the end of the connection.
async fn follow(
    client: Client,
    mut messages: SelectAll<Subscriber>,
    out: mpsc::Sender<Word>,
    lost: CancellationToken,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = lost.cancelled() => break,
            () = stop.cancelled() => break,
            message = messages.next() => match message {
                Some(message) => say(message, &out).await,
                None => break,
            },
        }
    }
    if !lost.is_cancelled() && client.connection_state() == State::Connected {
        for subscription in &mut messages {
            connect::leave(subscription).await;
        }
    }
    for message in connect::rest(&client, &mut messages).await {
        say(message, &out).await;
    }
}

async fn say(message: Message, out: &mpsc::Sender<Word>) {
    let word = if message.subject.starts_with(ADVISORY) {
        Word::Elected
    } else {
        let streamed = !message.subject.starts_with(INBOX);
        if !streamed && !convert::may_be_message(&message.payload) {
            return;
        }
        Word::Heard(Heard {
            body: message.payload,
            at: Instant::now(),
            received_at: Now::read().time,
            streamed,
        })
    };
    // Nobody listens any more only when the registry ends at once.
    let _ = out.send(word).await;
}
