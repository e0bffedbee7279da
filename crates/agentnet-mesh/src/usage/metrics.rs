//! The host's counters in Prometheus' text format. Every name begins with `agentnet_mesh_`.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use crate::model::TokenUsage;

/// Upper bounds of the buckets for the duration of a message or a call, in seconds.
const SECONDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 240.0];

/// The same for the attempt of a task.
const TASK_SECONDS: [f64; 9] = [1.0, 5.0, 15.0, 60.0, 240.0, 900.0, 3600.0, 14_400.0, 86_400.0];

/// Counters of one host. Labels are names of the configuration, or of a fixed list: nothing that other agents send.
#[derive(Debug)]
pub struct MeshMetrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<AgentLabels, Histogram>,
    tasks: Family<RequestLabels, Counter>,
    task_seconds: Family<AgentLabels, Histogram>,
    model_calls: Family<ModelCallLabels, Counter>,
    model_seconds: Family<ModelLabels, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    cost_usd: Family<CostLabels, Counter<f64, AtomicU64>>,
    tool_calls: Family<ToolLabels, Counter>,
    checkpoints: Family<CheckpointLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    agents: Family<StateLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabels {
    agent: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    agent: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    provider: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelCallLabels {
    provider: String,
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    agent: String,
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CostLabels {
    agent: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabels {
    tool: String,
    ok: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckpointLabels {
    agent: String,
    summary: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    ok: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

impl Default for MeshMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl MeshMetrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("agentnet_mesh"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            tasks: Family::default(),
            task_seconds: Family::new_with_constructor(task_seconds),
            model_calls: Family::default(),
            model_seconds: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            cost_usd: Family::default(),
            tool_calls: Family::default(),
            checkpoints: Family::default(),
            reloads: Family::default(),
            agents: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Messages answered, by outcome", self.requests.clone());
        registry.register(
            "request_seconds",
            "Time until the whole answer",
            self.request_seconds.clone(),
        );
        registry.register("tasks", "Attempts of tasks that ended, by outcome", self.tasks.clone());
        registry.register(
            "task_seconds",
            "Time of an attempt of a task",
            self.task_seconds.clone(),
        );
        registry.register("model_calls", "Calls of models, by outcome", self.model_calls.clone());
        registry.register("model_seconds", "Time of a model's answer", self.model_seconds.clone());
        registry.register(
            "tokens",
            "Tokens read, written, and read from caches",
            self.tokens.clone(),
        );
        registry.register("cost_usd", "Dollars, of models with a price", self.cost_usd.clone());
        registry.register("tool_calls", "Calls of tools", self.tool_calls.clone());
        registry.register(
            "checkpoints",
            "Summaries of threads that were written",
            self.checkpoints.clone(),
        );
        registry.register("reloads", "Reloads of the configuration", self.reloads.clone());
        registry.register("agents", "Agents of the host, by state", self.agents.clone());
    }

    /// A message was answered: `outcome` is `ok` or the code of the error reply.
    pub fn record_request(&self, agent: &str, outcome: &'static str, time: Duration) {
        let agent = agent.to_owned();
        self.requests
            .get_or_create(&RequestLabels {
                agent: agent.clone(),
                outcome,
            })
            .inc();
        self.request_seconds
            .get_or_create(&AgentLabels { agent })
            .observe(time.as_secs_f64());
    }

    /// An attempt of a task has ended: `outcome` is `ok` or the code of its failure.
    pub fn record_task(&self, agent: &str, outcome: &'static str, time: Duration) {
        let agent = agent.to_owned();
        self.task_seconds
            .get_or_create(&AgentLabels { agent: agent.clone() })
            .observe(time.as_secs_f64());
        self.tasks.get_or_create(&RequestLabels { agent, outcome }).inc();
    }

    /// A model was called: `outcome` is `ok` or a kind of failure.
    pub fn record_model_call(&self, provider: &str, model: &str, outcome: &'static str, time: Duration) {
        let (provider, model) = (provider.to_owned(), model.to_owned());
        let labels = ModelLabels {
            provider: provider.clone(),
            model: model.clone(),
        };
        self.model_seconds.get_or_create(&labels).observe(time.as_secs_f64());
        self.model_calls
            .get_or_create(&ModelCallLabels {
                provider,
                model,
                outcome,
            })
            .inc();
    }

    /// Tokens of a call, and its dollars if the model has a price.
    pub fn record_tokens(&self, agent: &str, model: &str, tokens: TokenUsage, usd: Option<f64>) {
        for (kind, count) in [
            ("input", tokens.input),
            ("output", tokens.output),
            ("cached_input", tokens.cached_input),
        ] {
            let labels = TokenLabels {
                agent: agent.to_owned(),
                model: model.to_owned(),
                kind,
            };
            self.tokens.get_or_create(&labels).inc_by(count);
        }
        if let Some(usd) = usd {
            let labels = CostLabels {
                agent: agent.to_owned(),
                model: model.to_owned(),
            };
            self.cost_usd.get_or_create(&labels).inc_by(usd);
        }
    }

    /// A tool was called. `tool` is the name of a tool that exists: one that a model made up would be a new label each time.
    pub fn record_tool_call(&self, tool: &str, ok: bool) {
        self.tool_calls
            .get_or_create(&ToolLabels {
                tool: tool.to_owned(),
                ok,
            })
            .inc();
    }

    /// A checkpoint was written; `summary` is `model` or `extract`.
    pub fn record_checkpoint(&self, agent: &str, summary: &'static str) {
        self.checkpoints
            .get_or_create(&CheckpointLabels {
                agent: agent.to_owned(),
                summary,
            })
            .inc();
    }

    /// The configuration was read again, or refused.
    pub fn record_reload(&self, ok: bool) {
        self.reloads.get_or_create(&ReloadLabels { ok }).inc();
    }

    /// How many agents are in a state: `online`, `degraded`.
    pub fn set_agents(&self, state: &'static str, count: usize) {
        self.agents
            .get_or_create(&StateLabels { state })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// All counters in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn task_seconds() -> Histogram {
    Histogram::new(TASK_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_line() {
        let metrics = MeshMetrics::new();
        metrics.record_request("planner", "ok", Duration::from_secs(2));
        metrics.record_task("planner", "model_unavailable", Duration::from_secs(70));
        metrics.record_model_call("local", "qwen", "rate_limited", Duration::from_millis(70));
        let tokens = TokenUsage {
            input: 100,
            output: 20,
            cached_input: 40,
        };
        metrics.record_tokens("planner", "qwen", tokens, Some(0.25));
        metrics.record_tokens("planner", "qwen", tokens, None);
        metrics.record_tool_call("network.ask", false);
        metrics.record_checkpoint("planner", "extract");
        metrics.record_reload(true);
        metrics.set_agents("online", 3);
        let text = metrics.encode();
        for line in [
            r#"agentnet_mesh_requests_total{agent="planner",outcome="ok"} 1"#,
            r#"agentnet_mesh_request_seconds_bucket{agent="planner",le="2.5"} 1"#,
            r#"agentnet_mesh_tasks_total{agent="planner",outcome="model_unavailable"} 1"#,
            r#"agentnet_mesh_task_seconds_bucket{agent="planner",le="240"} 1"#,
            r#"agentnet_mesh_model_calls_total{provider="local",model="qwen",outcome="rate_limited"} 1"#,
            r#"agentnet_mesh_tokens_total{agent="planner",model="qwen",kind="input"} 200"#,
            r#"agentnet_mesh_tokens_total{agent="planner",model="qwen",kind="cached_input"} 80"#,
            r#"agentnet_mesh_cost_usd_total{agent="planner",model="qwen"} 0.25"#,
            r#"agentnet_mesh_tool_calls_total{tool="network.ask",ok="false"} 1"#,
            r#"agentnet_mesh_checkpoints_total{agent="planner",summary="extract"} 1"#,
            r#"agentnet_mesh_reloads_total{ok="true"} 1"#,
            r#"agentnet_mesh_agents{state="online"} 3"#,
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in {text}");
        }
    }

    #[test]
    fn a_label_cannot_forge_a_line() {
        let metrics = MeshMetrics::new();
        metrics.record_tool_call("a\"} 1\nagentnet_mesh_reloads_total{ok=\"true", true);
        let text = metrics.encode();
        assert!(
            !text
                .lines()
                .any(|line| line.starts_with("agentnet_mesh_reloads_total{")),
            "{text}"
        );
    }
}
