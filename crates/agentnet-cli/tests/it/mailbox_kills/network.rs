//! A network of one registry, a sender, a receiver, and a tap.

use std::collections::HashSet;
use std::fs::{self, File};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::protocol::rpc::{MailboxStatusRequest, ResolveAccountRequest};
use agentnet::protocol::{Receipt, ReceiptStatus};
use agentnet::{AgentNode, RegistryClient, Until, json};
use agentnet_testkit::{NatsServer, Postgres, RawClient, eventually};
use futures::StreamExt as _;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::harness::{Service, WAIT_TIMEOUT, binary};
use crate::mailbox_kills::steps::{Case, Parties, Step, Victim};

const RECEIVER: &str = "bob";
/// Messages before the kill, and around it.
const MESSAGES: usize = 6;
/// The sender tries so long to leave one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// A lease of a killed receiver lasts 30 s, and what nats-server had not delivered waits for its sender.
const HANDLED_TIMEOUT: Duration = Duration::from_secs(120);

/// The database: a file, or a server that can be killed.
enum Database {
    File,
    Server(Box<Postgres>),
}

pub(crate) struct Network {
    case: Case,
    nats: NatsServer,
    database: Database,
    database_url: String,
    registry: Service,
    receiver: Option<Service>,
    lives: usize,
    sender: AgentNode,
    parties: Parties,
    /// Messages that the receiver said it has handled: a killed one may not have written so.
    processed: Arc<Mutex<HashSet<String>>>,
    /// Processes that were killed, for their logs.
    dead: Vec<Service>,
    folder: TempDir,
}

impl Network {
    pub(crate) async fn start(case: Case) -> Self {
        let folder = TempDir::new().unwrap();
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let (database, database_url) = match case.victim {
            Victim::Database => {
                let server = Postgres::launch_durable().await.unwrap();
                let url = server.create_database("mailbox").await.unwrap();
                (Database::Server(Box::new(server)), url)
            }
            _ => {
                let file = folder.path().join("agentnet.db");
                (Database::File, format!("sqlite://{}", file.display()))
            }
        };
        let registry = registry(&nats.url(), &database_url).await;
        let sender = AgentNode::builder("alice")
            .username("alice")
            .nats_url(nats.url())
            .start()
            .await
            .unwrap();
        let mut network = Self {
            case,
            nats,
            database,
            database_url,
            registry,
            receiver: None,
            lives: 0,
            parties: Parties::default(),
            processed: Arc::default(),
            sender,
            dead: Vec::new(),
            folder,
        };
        // Its account exists from now on.
        network.start_receiver().await;
        let client = network.client().await;
        let request = ResolveAccountRequest {
            username: RECEIVER.to_owned(),
        };
        network.parties = Parties {
            sender: network.sender.account_id().unwrap(),
            receiver: client.call(&request).await.unwrap().account_id,
        };
        network.note_processed().await;
        network
    }

    async fn client(&self) -> RegistryClient {
        let client = RegistryClient::connect(&self.nats.url()).await.unwrap();
        client.with_timeout(Duration::from_secs(10))
    }

    async fn start_receiver(&mut self) {
        self.lives += 1;
        let mut command = binary();
        command
            .args(["--nats-url", &self.nats.url(), "--json", "echo", "--username", RECEIVER])
            .args(["--rate-limit", "100000", "--rate-burst", "100000"]);
        let stdout = File::create(self.folder.path().join(format!("receiver-{}.jsonl", self.lives))).unwrap();
        self.receiver = Some(Service::spawn_into(command, stdout));
        if let Some(receiver) = &self.receiver {
            receiver.says("is online as").await;
        }
    }

    /// Ends the receiver in order.
    async fn stop_receiver(&mut self) {
        if let Some(mut receiver) = self.receiver.take() {
            receiver.signal(Signal::TERM);
            receiver.ended().await;
            self.dead.push(receiver);
        }
    }

    /// Leaves messages, kills at the step, and sees what becomes of them.
    pub(crate) async fn pass(&mut self) -> Result<(), String> {
        let Case { victim, step } = self.case;
        // A receiver that is killed while a message comes is there, and counts as online afterwards.
        let dies_online = victim == Victim::Receiver && step.is_before_delivery();
        if !dies_online {
            self.stop_receiver().await;
        }
        let mut confirmed = Vec::new();
        if step.is_before_delivery() {
            let shown = self.tap(step).await;
            let sender = self.sender.clone();
            let kill = async {
                self.await_step(shown).await?;
                self.kill().await;
                self.bring_back().await;
                Ok::<(), String>(())
            };
            let (left, killed) = tokio::join!(leave_all(&sender, 0..MESSAGES), kill);
            killed?;
            confirmed.extend(left?);
        } else {
            confirmed.extend(leave_all(&self.sender, 0..MESSAGES).await?);
            let shown = self.tap(step).await;
            self.start_receiver().await;
            self.await_step(shown).await?;
            self.kill().await;
            self.bring_back().await;
        }
        if self.receiver.is_none() {
            self.start_receiver().await;
        }
        // One more behind everything: the way is free again.
        confirmed.extend(leave_all(&self.sender, MESSAGES..MESSAGES + 1).await?);
        self.all_handled(&confirmed).await?;
        self.nothing_is_left().await
    }

    /// Notes which messages the receiver says it has handled.
    async fn note_processed(&self) {
        let client = RawClient::connect(&self.nats.url()).await.unwrap();
        let subject = format!("account.{}.receipts", self.parties.sender);
        let mut receipts = client.subscribe(subject).await.unwrap();
        client.flush().await.unwrap();
        let (processed, receiver) = (Arc::clone(&self.processed), self.parties.receiver.clone());
        tokio::spawn(async move {
            while let Some(message) = receipts.next().await {
                let Ok(receipt) = Receipt::decode(message.payload) else {
                    continue;
                };
                if receipt.status() == ReceiptStatus::Processed && receipt.from_account_id.as_deref() == Some(&receiver)
                {
                    processed.lock().unwrap().insert(receipt.message_id.to_string());
                }
            }
        });
    }

    /// Sends once when the step is seen on the wire.
    async fn tap(&self, step: Step) -> oneshot::Receiver<()> {
        let client = RawClient::connect(&self.nats.url()).await.unwrap();
        let mut all = client.subscribe(">").await.unwrap();
        client.flush().await.unwrap();
        let (tell, shown) = oneshot::channel();
        let parties = self.parties.clone();
        tokio::spawn(async move {
            while let Some(message) = all.next().await {
                if step.is_shown_by(&message.subject, &message.payload, &parties) {
                    // The test may have failed meanwhile.
                    let _ = tell.send(());
                    return;
                }
            }
        });
        shown
    }

    async fn await_step(&self, shown: oneshot::Receiver<()>) -> Result<(), String> {
        match timeout(WAIT_TIMEOUT, shown).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(format!("the step {:?} was not seen", self.case.step)),
        }
    }

    async fn kill(&mut self) {
        match self.case.victim {
            Victim::Receiver => {
                if let Some(mut receiver) = self.receiver.take() {
                    receiver.signal(Signal::KILL);
                    receiver.ended().await;
                    self.dead.push(receiver);
                }
            }
            Victim::Registry => {
                self.registry.signal(Signal::KILL);
                self.registry.ended().await;
            }
            Victim::Nats => self.nats.kill9(),
            Victim::Database => {
                if let Database::Server(server) = &mut self.database {
                    server.kill9();
                }
            }
        }
    }

    async fn bring_back(&mut self) {
        match self.case.victim {
            // It stays away until the messages are left.
            Victim::Receiver => {}
            Victim::Registry => {
                let again = registry(&self.nats.url(), &self.database_url).await;
                self.dead.push(std::mem::replace(&mut self.registry, again));
            }
            Victim::Nats => self.nats.restart().await.unwrap(),
            Victim::Database => {
                if let Database::Server(server) = &mut self.database {
                    server.start().await.unwrap();
                }
            }
        }
    }

    /// The ids of the messages that the receiver has handled, in order, in all its lives.
    fn handled(&self) -> Vec<String> {
        let lives = (1..=self.lives).map(|life| self.folder.path().join(format!("receiver-{life}.jsonl")));
        let text: Vec<String> = lives.map(|file| fs::read_to_string(file).unwrap()).collect();
        // A killed receiver may leave half a line.
        let lines = text.iter().flat_map(|text| text.lines());
        let messages = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        messages
            .filter_map(|message| message["message_id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Waits until every confirmed message is handled, and checks that they were so in their order.
    async fn all_handled(&self, confirmed: &[String]) -> Result<(), String> {
        let look = async || {
            let handled = self.handled();
            let processed = self.processed.lock().unwrap();
            let is_missing = |id: &&String| !handled.contains(id) && !processed.contains(*id);
            let missing = confirmed.iter().filter(is_missing).count();
            match missing {
                0 => Ok(handled),
                missing => Err(format!(
                    "{missing} of {} confirmed messages are not handled",
                    confirmed.len()
                )),
            }
        };
        let handled = eventually(HANDLED_TIMEOUT, look)
            .await
            .map_err(|error| error.to_string())?;
        let places = confirmed
            .iter()
            .filter_map(|id| handled.iter().position(|handled| handled == id));
        if places.is_sorted() {
            Ok(())
        } else {
            Err(format!("confirmed {confirmed:?}, handled {handled:?}"))
        }
    }

    async fn nothing_is_left(&self) -> Result<(), String> {
        let client = self.client().await;
        let request = MailboxStatusRequest {
            account_id: Some(self.parties.receiver.clone()),
            username: None,
        };
        let look = async || {
            let status = client.call(&request).await.map_err(|error| error.to_string())?;
            match (status.queued, status.leased, status.dead) {
                (0, 0, 0) => Ok(()),
                _ => Err(format!("{status:?}")),
            }
        };
        eventually(HANDLED_TIMEOUT, look)
            .await
            .map_err(|error| error.to_string())
    }

    /// The last lines of every log.
    pub(crate) fn logs(&self) -> String {
        let services = self.dead.iter().chain([&self.registry]).chain(&self.receiver);
        let logs = services.map(Service::stderr).chain([self.nats.log()]);
        let tail = |log: String| {
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n  ")
        };
        logs.map(tail).collect::<Vec<_>>().join("\n---\n  ")
    }

    /// Ends everything in order.
    pub(crate) async fn stop(mut self) {
        self.stop_receiver().await;
        self.sender.close().await;
        self.registry.signal(Signal::TERM);
        self.registry.ended().await;
    }
}

/// Leaves numbered messages one after the other, each until it is confirmed; their ids in order.
async fn leave_all(sender: &AgentNode, numbers: std::ops::Range<usize>) -> Result<Vec<String>, String> {
    let mut confirmed = Vec::new();
    for number in numbers {
        let look = async || {
            let message = sender.send(format!("@{RECEIVER}"), json!({ "number": number }));
            let left = message
                .mailbox(Duration::from_secs(3600))
                .until(Until::Processed)
                .processing_timeout(Duration::from_millis(500))
                .await;
            left.map(|left| left.sent.message_id)
        };
        let id = eventually(SEND_TIMEOUT, look).await;
        confirmed.push(id.map_err(|error| format!("message {number}: {error}"))?);
    }
    Ok(confirmed)
}

async fn registry(url: &str, database: &str) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url, "registry", "--database-url", database])
        .args(["--agent-ttl-seconds", "6"])
        .args(["--heartbeat-interval-seconds", "1"])
        .args(["--gc-interval-seconds", "1"]);
    let mut service = Service::spawn(command);
    let line = service.next_line().await;
    assert!(line.starts_with("registry ready:"), "{line}");
    service
}
