//! The network: nats-server, PostgreSQL, three registries and the receiver, each a process of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use agentnet::RegistryClient;
use agentnet::protocol::rpc::{MetricsReply, MetricsRequest, ResolveAccountRequest};
use agentnet_testkit::{NatsServer, Postgres, RawClient, eventually};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::sleep_until;

use crate::chaos::ledger::{Ledger, Outcome};
use crate::chaos::schedule::{Outage, Part, Schedule};
use crate::harness::{Service, WAIT_TIMEOUT, binary};

/// The receiver's username.
pub(crate) const RECEIVER: &str = "receiver";
const REGISTRIES: [&str; 3] = ["chaos_a", "chaos_b", "chaos_c"];
/// The one that is killed.
const VICTIM: usize = 0;
/// What a killed registry had fetched is delivered to others after 10 s.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(120);
const STREAM: &str = "AGENTNET_HISTORY";

pub(crate) struct Network {
    nats: NatsServer,
    postgres: Postgres,
    /// URL of the database.
    pub(crate) database: String,
    registries: Vec<Service>,
    receiver: Service,
    receiver_account: String,
    /// Processes that were killed, for their logs.
    dead: Vec<(String, Service)>,
    folder: TempDir,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (nats, postgres) = tokio::join!(NatsServer::builder().jetstream(true).start(), Postgres::launch());
        let (nats, postgres) = (nats.unwrap(), postgres.unwrap());
        let database = postgres.create_database("chaos").await.unwrap();
        let mut registries = Vec::new();
        for server_id in REGISTRIES {
            registries.push(registry(&nats.url(), &database, server_id).await);
        }
        let receiver = receiver(&nats.url(), &folder, 1).await;
        let client = RegistryClient::connect(&nats.url()).await.unwrap();
        let request = ResolveAccountRequest {
            username: RECEIVER.to_owned(),
        };
        let receiver_account = client.call(&request).await.unwrap().account_id;
        Self {
            nats,
            postgres,
            database,
            registries,
            receiver,
            receiver_account,
            dead: Vec::new(),
            folder,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    pub(crate) fn receiver_account(&self) -> String {
        self.receiver_account.clone()
    }

    /// Goes through the schedule.
    pub(crate) async fn suffer(&mut self, schedule: &Schedule, start: Instant) -> Vec<Outage> {
        let mut outages = Vec::new();
        for fault in &schedule.faults {
            sleep_until((start + fault.down).into()).await;
            let down = Instant::now();
            self.take(fault.part).await;
            sleep_until((start + fault.back).into()).await;
            let back = Instant::now();
            self.bring_back(fault.part).await;
            outages.push(Outage {
                part: fault.part,
                down,
                back,
                ready: Instant::now(),
            });
        }
        outages
    }

    async fn take(&mut self, part: Part) {
        match part {
            Part::Registry => kill(&mut self.registries[VICTIM]).await,
            Part::Postgres => self.postgres.stop().await,
            Part::Nats => self.nats.kill9(),
            Part::Receiver => kill(&mut self.receiver).await,
        }
    }

    async fn bring_back(&mut self, part: Part) {
        match part {
            Part::Registry => {
                let again = registry(&self.nats.url(), &self.database, REGISTRIES[VICTIM]).await;
                let dead = std::mem::replace(&mut self.registries[VICTIM], again);
                self.dead.push((format!("{}, killed", REGISTRIES[VICTIM]), dead));
            }
            Part::Postgres => self.postgres.start().await.unwrap(),
            Part::Nats => self.nats.restart().await.unwrap(),
            Part::Receiver => {
                let again = receiver(&self.nats.url(), &self.folder, 2).await;
                let dead = std::mem::replace(&mut self.receiver, again);
                self.dead.push(("receiver, killed".to_owned(), dead));
            }
        }
    }

    /// Waits until the stream is empty, so that everything captured is in the database.
    pub(crate) async fn caught_up(&self) -> Result<(), String> {
        let client = RawClient::connect(&self.url())
            .await
            .map_err(|error| error.to_string())?;
        let jetstream = async_nats::jetstream::new(client);
        let look = async || {
            let mut stream = jetstream.get_stream(STREAM).await.map_err(|error| error.to_string())?;
            match stream.info().await.map_err(|error| error.to_string())?.state.messages {
                0 => Ok(()),
                left => Err(format!("{left} messages of the stream are not in the history")),
            }
        };
        eventually(CATCH_UP_TIMEOUT, look)
            .await
            .map_err(|error| error.to_string())
    }

    /// What each registry counted since it was started.
    pub(crate) async fn registry_metrics(&self, client: &RegistryClient) -> BTreeMap<String, MetricsReply> {
        let mut found = BTreeMap::new();
        let look = async || {
            let metrics = client.call(&MetricsRequest).await.map_err(|error| error.to_string())?;
            found.insert(metrics.server_id.clone(), metrics);
            if found.len() == REGISTRIES.len() {
                Ok(())
            } else {
                Err(format!("only {:?} answer", found.keys()))
            }
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
        found
    }

    /// Ends the receiver in order; what both of its lives handled.
    pub(crate) async fn stop_receiver(&mut self) -> Handled {
        self.receiver.signal(Signal::TERM);
        self.receiver.ended().await;
        let lives = [1, 2].map(|life| {
            let text = fs::read_to_string(self.folder.path().join(life_file(life))).unwrap();
            let mut handled = HashMap::new();
            // A killed receiver may leave half a line.
            for message in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
                let message: serde_json::Value = message;
                let id = message["message_id"].as_str().unwrap_or_default();
                *handled.entry(id.to_owned()).or_default() += 1;
            }
            handled
        });
        Handled(lives)
    }

    /// Ends everything in order.
    pub(crate) async fn stop(mut self) {
        for registry in &mut self.registries {
            registry.signal(Signal::TERM);
        }
        for registry in &mut self.registries {
            let status = registry.ended().await;
            assert!(status.success(), "{status}: {}", registry.stderr());
        }
    }

    /// The last lines of every log.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, log: &str| {
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n  ");
            let _ = writeln!(text, "--- {name}\n  {tail}");
        };
        for (name, service) in &self.dead {
            add(name, &service.stderr());
        }
        for (name, service) in REGISTRIES.iter().zip(&self.registries) {
            add(name, &service.stderr());
        }
        add(RECEIVER, &self.receiver.stderr());
        add("nats-server", &self.nats.log());
        add("PostgreSQL", &self.postgres.log());
        text
    }
}

async fn kill(service: &mut Service) {
    service.signal(Signal::KILL);
    service.ended().await;
}

async fn registry(url: &str, database: &str, server_id: &str) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url, "registry", "--database-url", database])
        .args(["--server-id", server_id])
        // So short that a ghost would be gone, or not, within the test.
        .args(["--agent-ttl-seconds", "6"])
        .args(["--heartbeat-interval-seconds", "1"])
        .args(["--gc-interval-seconds", "1"]);
    let mut service = Service::spawn(command);
    let line = service.next_line().await;
    assert!(line.starts_with("registry ready:"), "{line}");
    service
}

async fn receiver(url: &str, folder: &TempDir, life: u32) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url, "--json", "echo", "--username", RECEIVER])
        .args(["--rate-limit", "100000", "--rate-burst", "100000"])
        .args(["--max-pending", "100000"]);
    let stdout = File::create(folder.path().join(life_file(life))).unwrap();
    let service = Service::spawn_into(command, stdout);
    service.says("is online as").await;
    service
}

fn life_file(life: u32) -> String {
    format!("receiver-{life}.jsonl")
}

/// How often each life of the receiver handled each message id.
pub(crate) struct Handled([HashMap<String, usize>; 2]);

impl Handled {
    /// A message is handled once in one life. What a sender was told is accepted is handled, unless the receiver was killed
    /// before it came to it.
    pub(crate) fn check(&self, ledger: &Ledger) -> Vec<String> {
        let twice = self.0.iter().flatten().filter(|(_, times)| **times > 1);
        let mut problems: Vec<String> = twice
            .map(|(id, times)| format!("message {id} was handled {times} times by one receiver"))
            .collect();
        let back = ledger.outage(Part::Receiver).back;
        let forgotten = ledger.tries.iter().filter(|one| match &one.outcome {
            Outcome::Sent(id) => one.ended > back && self.times(id) == 0,
            Outcome::Failed { .. } => false,
        });
        problems.extend(forgotten.map(|one| format!("never handled: {}", ledger.describe(one))));
        problems
    }

    /// Messages that both lives handled: the first one's receipt was lost with it.
    pub(crate) fn by_both(&self) -> usize {
        self.0[0].keys().filter(|id| self.0[1].contains_key(*id)).count()
    }

    /// Messages that were accepted, and lost by the receiver with its life.
    pub(crate) fn lost_with_the_receiver(&self, ledger: &Ledger) -> usize {
        let sent = ledger.tries.iter().filter_map(|one| match &one.outcome {
            Outcome::Sent(id) => Some(id),
            Outcome::Failed { .. } => None,
        });
        sent.filter(|id| self.times(id) == 0).count()
    }

    fn times(&self, id: &str) -> usize {
        self.0.iter().filter_map(|life| life.get(id)).sum()
    }
}
