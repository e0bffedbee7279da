//! What a reload changes, compared by key.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{AgentConfig, Mesh};

/// What a reload did, by keys of agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReloadReport {
    /// Not changed.
    pub kept: Vec<String>,
    /// Answer the next message with another prompt, model, tools or limits.
    pub changed: Vec<String>,
    /// Joined anew, with another identity.
    pub rejoined: Vec<String>,
    /// New in the file.
    pub added: Vec<String>,
    /// Left the network.
    pub removed: Vec<String>,
    /// Could not join, and why.
    pub failed: Vec<(String, String)>,
}

impl ReloadReport {
    /// Whether the reload changed nothing.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let lists = [&self.changed, &self.rejoined, &self.added, &self.removed];
        lists.iter().all(|list| list.is_empty()) && self.failed.is_empty()
    }
}

impl std::fmt::Display for ReloadReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_unchanged() {
            return formatter.write_str("nothing changed");
        }
        let mut separator = "";
        for (what, keys) in [
            ("changed", &self.changed),
            ("joined anew", &self.rejoined),
            ("added", &self.added),
            ("removed", &self.removed),
        ] {
            if !keys.is_empty() {
                write!(formatter, "{separator}{what}: {}", keys.join(", "))?;
                separator = "; ";
            }
        }
        for (key, why) in &self.failed {
            write!(formatter, "{separator}{key} cannot join: {why}")?;
            separator = "; ";
        }
        Ok(())
    }
}

/// What a reload does with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It stays as it is.
    Keep,
    /// It answers the next message with other parts.
    Swap,
    /// It joins the network anew.
    Rejoin,
}

/// How two meshes differ, besides their agents.
pub(super) struct Changes {
    /// Whether any tool or MCP server differs, so that all agents get the new ones.
    pub(super) tools: bool,
    providers: BTreeSet<String>,
}

impl Changes {
    pub(super) fn between(old: &Mesh, new: &Mesh) -> Self {
        Self {
            tools: old.tools != new.tools || old.mcp_servers != new.mcp_servers,
            providers: differing(&old.providers, &new.providers),
        }
    }

    /// What happens to an agent. `same_state`: its metadata tell the same state as before.
    pub(super) fn of(&self, old: &AgentConfig, new: &AgentConfig, same_state: bool) -> Change {
        if !same_state || identity(old) != identity(new) {
            return Change::Rejoin;
        }
        let has_other_provider = providers(new).any(|name| self.providers.contains(name));
        if old != new || has_other_provider || self.tools {
            return Change::Swap;
        }
        Change::Keep
    }
}

/// Names whose values differ, or that only one side has.
fn differing<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> BTreeSet<String> {
    let names = old.keys().chain(new.keys());
    names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// What an agent is on the network, and what its node is built with.
fn identity(agent: &AgentConfig) -> impl PartialEq + '_ {
    (
        (&agent.agent_id, &agent.username, &agent.name, &agent.capabilities),
        (agent.limits.concurrency, agent.limits.max_time, agent.reply.ttl_ms),
        agent.tasks.as_ref().map(|tasks| (tasks.concurrency, tasks.max_time)),
    )
}

/// Names of the providers that an agent uses.
fn providers(agent: &AgentConfig) -> impl Iterator<Item = &str> {
    let compaction = agent
        .memory
        .compaction
        .as_ref()
        .and_then(|compaction| compaction.model.as_ref());
    agent
        .models
        .iter()
        .chain(compaction)
        .map(|model| model.provider.as_str())
}

#[cfg(test)]
mod tests;
