//! `agentnet-bench footprint`: how much memory things take.

use std::time::Duration;

use agentnet::protocol::rpc::MetricsRequest;
use agentnet::{AgentNode, Connection, json};
use agentnet_testkit::RawClient;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::figure::{Figure, Target};
use crate::network::{Network, Registry};
use crate::processes;
use crate::role::{Flavour, Player, Role, Stage};

/// Sessions that a registry is to know.
const SESSIONS: usize = 10_000;
/// Agents in one process.
const NODES: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

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

pub(crate) async fn run() -> Result<Vec<Figure>, Failure> {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let figure =
        |name: &str, unit, value, limit| Figure::new("footprint", name, unit, value).target(Target::AtMost(limit));
    let network = Network::start(true).await?;
    let registry = Registry::start(&network).await?;
    let idle = processes::resident(registry.pid()?)?;

    let mut agents = Player::start(
        Role::IdleAgents(IdleAgents {
            url: network.url.clone(),
        }),
        Flavour::MultiThread,
    )
    .await?;
    let _: usize = agents.ask(&1_usize).await?;
    let agent = processes::resident(agents.pid()?)?;
    let _: usize = agents.ask(&NODES).await?;
    let each = processes::resident(agents.pid()?)?.saturating_sub(agent) / NODES as u64;
    agents.dismiss().await?;

    let client = RawClient::connect(&network.url).await?;
    for session in 0..SESSIONS {
        let hello = json!({
            "agent_id": "worker",
            "name": format!("Worker {session}"),
            "capabilities": ["work"],
            "metadata": { "team": "bench" },
            "account_id": format!("acct_bench{session:020}"),
            "username": format!("worker_{session}"),
            "session_tag": format!("registry_BENCH{session:020}"),
        });
        client.publish("registry.hello", hello.to_string().into()).await?;
    }
    client.flush().await?;
    let online = agentnet_testkit::eventually(PATIENCE, async || {
        let metrics = registry
            .client()
            .call(&MetricsRequest)
            .await
            .map_err(|error| error.to_string())?;
        match metrics.online_sessions {
            Some(online) if online >= SESSIONS as i64 => Ok(online),
            other => Err(format!("{other:?} of {SESSIONS} sessions are online")),
        }
    })
    .await?;
    let many = processes::resident(registry.pid()?)?;
    Ok(vec![
        figure("registry, idle", "MB", mb(idle), 20.0),
        figure(&format!("registry, {online} sessions"), "MB", mb(many), 40.0),
        figure("process with one agent, idle", "MB", mb(agent), 8.0),
        figure(
            &format!("each of {NODES} agents in one process"),
            "kB",
            each as f64 / 1e3,
            25.0,
        ),
    ])
}
