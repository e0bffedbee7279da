//! `agentnet-bench footprint`: memory of a registry and of agents.

use std::process::Stdio;
use std::time::Duration;

use agentnet::{AgentNode, Connection};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::Failure;
use crate::measurement::{Measurement, Target};
use crate::network::{self, Network, Registry, answer_registrations};
use crate::processes;
use crate::runtime_flavor::RuntimeFlavor;
use crate::sessions;
use crate::worker_process::{Worker, WorkerIo, WorkerTask};

/// Online sessions of the large registry.
const SESSIONS: u64 = 10_000;
/// Agents in one process.
const NODES: usize = 1_000;
const ONLINE_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle agents that share one process and one connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdleAgents {
    pub(crate) url: String,
}

impl WorkerTask for IdleAgents {
    const NAME: &'static str = "idle_agents";

    /// Each command is a number of agents to add; the reply comes when they are online.
    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let mut nodes = Vec::new();
        let connection = Connection::open(&self.url, "idle").await?;
        io.ready().await?;
        while let Some(more) = io.next_command::<usize>().await? {
            for _ in 0..more {
                let name = format!("idle_{}", nodes.len());
                let node = AgentNode::builder(&name)
                    .username(&name)
                    .connection(&connection)
                    .ignore_environment()
                    .on_message(|_, _| std::future::ready(Ok(())));
                nodes.push(node.start().await?);
            }
            io.reply(&nodes.len()).await?;
        }
        Ok(())
    }
}

/// Memory of a process with one idle agent, in bytes.
async fn one_agent(url: &str) -> Result<u64, Failure> {
    let mut agent = network::example_agent(url)?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(agent.stdout.take().ok_or("no stdout")?).lines();
    let line = timeout(ONLINE_TIMEOUT, lines.next_line())
        .await
        .map_err(|_| "the agent does not come online")??;
    line.ok_or("the agent ended")?;
    processes::resident(agent.id().ok_or("the agent has ended")?)
}

pub(crate) async fn run() -> Result<Vec<Measurement>, Failure> {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let measurement =
        |name: &str, unit, value, limit| Measurement::new("footprint", name, unit, value).target(Target::AtMost(limit));
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
    let mut agents = Worker::start(IdleAgents { url }, RuntimeFlavor::MultiThread).await?;
    let _: usize = agents.ask(&1_usize).await?;
    let first = processes::resident(agents.pid()?)?;
    let _: usize = agents.ask(&NODES).await?;
    let each = processes::resident(agents.pid()?)?.saturating_sub(first) / NODES as u64;
    agents.stop().await?;
    Ok(vec![
        measurement("registry, idle", "MB", mb(idle), 20.0),
        measurement(&format!("registry, {SESSIONS} sessions"), "MB", mb(many), 40.0),
        measurement("process with one agent, idle", "MB", mb(agent), 8.0),
        measurement(
            &format!("each of {NODES} agents in one process"),
            "kB",
            each as f64 / 1e3,
            25.0,
        ),
    ])
}
