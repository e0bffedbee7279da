//! `agentnet-bench footprint`: how much memory things take.

use std::process::Stdio;
use std::time::Duration;

use agentnet::{AgentNode, Connection};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::Failure;
use crate::figure::{Figure, Target};
use crate::network::{self, Network, Registry, answer_registrations};
use crate::processes;
use crate::role::{Flavour, Player, Role, Stage};
use crate::sessions;

/// Sessions that a registry is to know.
const SESSIONS: u64 = 10_000;
/// Agents in one process.
const NODES: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// Agents in one process and on one connection, that wait for messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdleAgents {
    pub(crate) url: String,
}

impl IdleAgents {
    /// Is asked for more agents, and answers when they are online.
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let mut nodes = Vec::new();
        let connection = Connection::open(&self.url, "idle").await?;
        stage.ready().await?;
        while let Some(more) = stage.next::<usize>().await? {
            for _ in 0..more {
                let name = format!("idle_{}", nodes.len());
                let node = AgentNode::builder(&name)
                    .username(&name)
                    .connection(&connection)
                    .ignore_environment()
                    .on_message(|_, _| std::future::ready(Ok(())));
                nodes.push(node.start().await?);
            }
            stage.answer(&nodes.len()).await?;
        }
        Ok(())
    }
}

/// What a program takes that is one agent and waits for calls, in bytes.
async fn one_agent(url: &str) -> Result<u64, Failure> {
    let mut agent = network::example_agent(url)?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(agent.stdout.take().ok_or("no stdout")?).lines();
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .map_err(|_| "the agent does not come online")??;
    line.ok_or("the agent ended")?;
    processes::resident(agent.id().ok_or("the agent has ended")?)
}

pub(crate) async fn run() -> Result<Vec<Figure>, Failure> {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let figure =
        |name: &str, unit, value, limit| Figure::new("footprint", name, unit, value).target(Target::AtMost(limit));
    let network = Network::start(true).await?;
    let registry = Registry::start(&network).await?;
    let idle = processes::resident(registry.pid()?)?;
    sessions::bring_online(&network, &registry, SESSIONS).await?;
    let many = processes::resident(registry.pid()?)?;
    drop(registry);

    let network = Network::start(false).await?;
    answer_registrations(&network.url).await?;
    let url = network.url.clone();
    let agent = one_agent(&url).await?;
    let mut agents = Player::start(Role::IdleAgents(IdleAgents { url }), Flavour::MultiThread).await?;
    let _: usize = agents.ask(&1_usize).await?;
    let first = processes::resident(agents.pid()?)?;
    let _: usize = agents.ask(&NODES).await?;
    let each = processes::resident(agents.pid()?)?.saturating_sub(first) / NODES as u64;
    agents.dismiss().await?;
    Ok(vec![
        figure("registry, idle", "MB", mb(idle), 20.0),
        figure(&format!("registry, {SESSIONS} sessions"), "MB", mb(many), 40.0),
        figure("process with one agent, idle", "MB", mb(agent), 8.0),
        figure(
            &format!("each of {NODES} agents in one process"),
            "kB",
            each as f64 / 1e3,
            25.0,
        ),
    ])
}
