//! `agentnet-bench hello`: how many heartbeats a second one registry handles without a growing backlog.

use std::time::{Duration, Instant};

use agentnet_testkit::RawClient;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::database::{Backend, Database};
use crate::measurement::{Measurement, Target};
use crate::network::{Network, Registry};
use crate::runtime_flavor::RuntimeFlavor;
use crate::sessions;
use crate::worker_process::{Worker, WorkerIo, WorkerTask};

/// Duration of one step, which sends at a constant rate.
const STEP_DURATION: Duration = Duration::from_secs(2);
const SEND_INTERVAL: Duration = Duration::from_millis(2);
/// A registry that handles the last hello within this time has no backlog.
const MAX_LAG: Duration = Duration::from_millis(100);
const FIRST_RATE: f64 = 50_000.0;
const RATE_FACTOR: f64 = 1.15;
const MAX_STEPS: usize = 12;

/// Sends hellos for sessions in turn. A command is a rate; the reply is the number of hellos and the seconds they took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HelloSender {
    pub(crate) url: String,
    pub(crate) sessions: u64,
}

impl WorkerTask for HelloSender {
    const NAME: &'static str = "hello_sender";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        let hellos: Vec<_> = (0..self.sessions).map(sessions::hello).collect();
        io.ready().await?;
        while let Some(rate) = io.next_command::<f64>().await? {
            let began = Instant::now();
            let mut sent = 0_usize;
            let mut tick = tokio::time::interval(SEND_INTERVAL);
            while began.elapsed() < STEP_DURATION {
                tick.tick().await;
                let due = began.elapsed().as_secs_f64() * rate;
                while (sent as f64) < due {
                    client
                        .publish("registry.hello", hellos[sent % hellos.len()].clone())
                        .await?;
                    sent += 1;
                }
                client.flush().await?;
            }
            io.reply(&(sent as u64, began.elapsed().as_secs_f64())).await?;
        }
        Ok(())
    }
}

pub(crate) async fn run(count: u64) -> Result<Vec<Measurement>, Failure> {
    let database = Database::start(Backend::Postgres).await?;
    sessions::fill_accounts(&database, count).await?;
    let network = Network::start(true).await?;
    let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    sessions::bring_online(&network, &registry, count).await?;
    let sender = HelloSender {
        url: network.url.clone(),
        sessions: count,
    };
    let mut sender = Worker::start(sender, RuntimeFlavor::MultiThread).await?;
    let (mut rate, mut best, mut offered) = (FIRST_RATE, 0.0_f64, 0.0);
    for _ in 0..MAX_STEPS {
        let (absorbed, sent) = step(&mut sender, &registry, rate).await?;
        offered = sent;
        if absorbed {
            best = best.max(sent);
            // The sender cannot go faster.
            if sent < 0.9 * rate {
                break;
            }
            rate *= RATE_FACTOR;
        } else if best > 0.0 {
            break;
        } else {
            rate /= RATE_FACTOR;
        }
    }
    sender.stop().await?;
    let online = registry.client().list_online().await?.len() as u64;
    if online != count {
        return Err(format!("{count} sessions say hello, {online} are online").into());
    }
    Ok(vec![
        Measurement::new("hello", format!("{count} sessions, absorbed"), "/s", best).target(Target::AtLeast(50_000.0)),
        Measurement::new("hello", format!("{count} sessions, offered last"), "/s", offered),
    ])
}

/// Whether the registry kept up, and the rate that was sent. The registry must handle every hello in the end.
async fn step(sender: &mut Worker, registry: &Registry, rate: f64) -> Result<(bool, f64), Failure> {
    let before = sessions::handled_hellos(registry).await?;
    let (sent, seconds): (u64, f64) = sender.ask(&rate).await?;
    let since = Instant::now();
    loop {
        let asked = since.elapsed();
        let heard = sessions::handled_hellos(registry).await? - before;
        if heard == sent {
            return Ok((asked < MAX_LAG, sent as f64 / seconds));
        }
        if since.elapsed() > Duration::from_secs(10) {
            // The registry's subscription was full and dropped messages.
            return Ok((false, sent as f64 / seconds));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
