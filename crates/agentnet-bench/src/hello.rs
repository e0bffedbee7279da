//! `agentnet-bench hello`: how many heartbeats a second one registry takes in without falling behind.

use std::time::{Duration, Instant};

use agentnet_testkit::RawClient;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::database::{Backend, Database};
use crate::figure::{Figure, Target};
use crate::network::{Network, Registry};
use crate::role::{Flavour, Player, Role, Stage};
use crate::sessions;

/// What one step offers for so long.
const STEP: Duration = Duration::from_secs(2);
const SLICE: Duration = Duration::from_millis(2);
/// A registry that has dealt with everything so soon after the last hello has not fallen behind.
const SOON: Duration = Duration::from_millis(100);
const FIRST_RATE: f64 = 50_000.0;
const FACTOR: f64 = 1.15;
const MOST_STEPS: usize = 12;

/// Says hello for sessions in turn: asked for a rate, it answers how many it said and how many seconds it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HelloSayer {
    pub(crate) url: String,
    pub(crate) sessions: u64,
}

impl HelloSayer {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        let hellos: Vec<_> = (0..self.sessions).map(sessions::hello).collect();
        stage.ready().await?;
        while let Some(rate) = stage.next::<f64>().await? {
            let began = Instant::now();
            let mut said = 0_usize;
            let mut tick = tokio::time::interval(SLICE);
            while began.elapsed() < STEP {
                tick.tick().await;
                let due = began.elapsed().as_secs_f64() * rate;
                while (said as f64) < due {
                    client
                        .publish("registry.hello", hellos[said % hellos.len()].clone())
                        .await?;
                    said += 1;
                }
                client.flush().await?;
            }
            stage.answer(&(said as u64, began.elapsed().as_secs_f64())).await?;
        }
        Ok(())
    }
}

pub(crate) async fn run(count: u64) -> Result<Vec<Figure>, Failure> {
    let database = Database::start(Backend::Postgres).await?;
    sessions::fill_accounts(&database, count).await?;
    let network = Network::start(true).await?;
    let registry = Registry::start_with(&network, &["--database-url", &database.url()]).await?;
    sessions::bring_online(&network, &registry, count).await?;
    let sayer = HelloSayer {
        url: network.url.clone(),
        sessions: count,
    };
    let mut sayer = Player::start(Role::HelloSayer(sayer), Flavour::MultiThread).await?;
    let (mut rate, mut best, mut offered) = (FIRST_RATE, 0.0_f64, 0.0);
    for _ in 0..MOST_STEPS {
        let (absorbed, said) = step(&mut sayer, &registry, rate).await?;
        offered = said;
        if absorbed {
            best = best.max(said);
            // More cannot be said from here.
            if said < 0.9 * rate {
                break;
            }
            rate *= FACTOR;
        } else if best > 0.0 {
            break;
        } else {
            rate /= FACTOR;
        }
    }
    sayer.dismiss().await?;
    let online = registry.client().list_online().await?.len() as u64;
    if online != count {
        return Err(format!("{count} sessions say hello, {online} are online").into());
    }
    Ok(vec![
        Figure::new("hello", format!("{count} sessions, absorbed"), "/s", best).target(Target::AtLeast(50_000.0)),
        Figure::new("hello", format!("{count} sessions, offered last"), "/s", offered),
    ])
}

/// Whether the registry kept up, and how many a second were said. Every hello must have been heard in the end.
async fn step(sayer: &mut Player, registry: &Registry, rate: f64) -> Result<(bool, f64), Failure> {
    let before = sessions::heard(registry).await?;
    let (said, seconds): (u64, f64) = sayer.ask(&rate).await?;
    let since = Instant::now();
    loop {
        let asked = since.elapsed();
        let heard = sessions::heard(registry).await? - before;
        if heard == said {
            return Ok((asked < SOON, said as f64 / seconds));
        }
        if since.elapsed() > Duration::from_secs(10) {
            // The client's queue was full: some were dropped.
            return Ok((false, said as f64 / seconds));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
