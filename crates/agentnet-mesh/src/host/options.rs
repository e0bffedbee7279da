//! How a host is started, and why it does not start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use agentnet::{ConnectError, StartError};
use tokio::sync::mpsc;

use super::events::HostEvent;
use crate::config::{AgentConfig, Mesh};
use crate::usage::ledger::Ledger;
use crate::usage::ledger_path;

/// How a host is started.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Address of NATS. Default: that of the file, else [`DEFAULT_NATS_URL`](agentnet::DEFAULT_NATS_URL).
    pub nats_url: Option<String>,
    /// Keys of the agents to run; empty for all.
    pub only: Vec<String>,
    /// Directory of the ledger, `<data_dir>/mesh/usage.jsonl`. Without one, usage is counted in memory.
    pub data_dir: Option<PathBuf>,
    /// Whether agents sign. Default: as [`AgentBuilder::dev_auth`](agentnet::AgentBuilder::dev_auth).
    pub dev_auth: Option<bool>,
    /// Directory of the agents' key files. Default: as [`AgentBuilder::key_dir`](agentnet::AgentBuilder::key_dir).
    pub key_dir: Option<PathBuf>,
    /// How long [`Host::close`](super::Host::close) waits for messages at hand. Default 20 s.
    pub drain_timeout: Duration,
    /// Where the host tells of messages. Events that find the queue full are dropped.
    pub events: Option<mpsc::Sender<HostEvent>>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            nats_url: None,
            only: Vec::new(),
            data_dir: None,
            dev_auth: None,
            key_dir: None,
            drain_timeout: Duration::from_secs(20),
            events: None,
        }
    }
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Keys were selected that the file does not have.
    #[error("no agent with the key {} (known: {})", unknown.join(", "), known.join(", "))]
    UnknownAgents {
        /// Keys that no agent has.
        unknown: Vec<String>,
        /// Keys of the file.
        known: Vec<String>,
    },
    /// There is no agent to run.
    #[error("the file has no agent to run")]
    NoAgents,
    /// No HTTP client for the providers.
    #[error("HTTP cannot be used: {0}")]
    HttpClient(String),
    /// The ledger cannot be read or written.
    #[error("usage cannot be recorded in {}: {source}", path.display())]
    Ledger {
        /// The ledger's file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// No connection to NATS.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An agent cannot join.
    #[error("agent {agent}: {source}")]
    Start {
        /// Key of the agent.
        agent: String,
        /// The error of the SDK.
        source: StartError,
    },
    /// The caller of [`Host::start_until`](super::Host::start_until) has ended the start.
    #[error("the start was interrupted")]
    Interrupted,
}

/// Leaves the selected agents in the mesh: all, if no key is named.
pub(super) fn select(mesh: &mut Mesh, only: &[String]) -> Result<(), HostError> {
    let known: Vec<String> = mesh.agents.iter().map(|agent| agent.key.clone()).collect();
    let unknown: Vec<String> = only.iter().filter(|key| !known.contains(key)).cloned().collect();
    if !unknown.is_empty() {
        return Err(HostError::UnknownAgents { unknown, known });
    }
    mesh.agents.retain(|agent| only.is_empty() || only.contains(&agent.key));
    if mesh.agents.is_empty() {
        return Err(HostError::NoAgents);
    }
    Ok(())
}

/// Opens the ledger.
pub(super) fn open_ledger(options: &HostOptions, mesh: &Mesh) -> Result<Ledger, HostError> {
    let path = options.data_dir.as_deref().map(ledger_path);
    Ledger::open(path.clone(), mesh.prices.clone()).map_err(|source| HostError::Ledger {
        path: path.unwrap_or_default(),
        source,
    })
}

/// The variables of the agent's model keys that are not set.
pub(super) fn missing_variables(mesh: &Mesh, agent: &AgentConfig) -> Vec<String> {
    let mut missing = Vec::new();
    for model in &agent.models {
        let provider = mesh.providers.get(&model.provider);
        if let Some(Err(variable)) = provider.map(|provider| &provider.api_key)
            && !missing.contains(variable)
        {
            missing.push(variable.clone());
        }
    }
    missing
}
