//! An agent for unit tests.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{AgentConfig, LimitsConfig, MemoryConfig, ModelConfig, ReplyConfig};

/// A model of the provider `p`.
pub(crate) fn model(name: &str) -> ModelConfig {
    ModelConfig {
        provider: "p".into(),
        name: name.into(),
        temperature: None,
        max_tokens: 100,
        thinking: 0,
    }
}

/// An agent with the default limits and the model `m`.
pub(crate) fn agent(key: &str) -> AgentConfig {
    AgentConfig {
        key: key.into(),
        agent_id: key.into(),
        username: key.into(),
        name: key.into(),
        capabilities: Vec::new(),
        prompt: Arc::from(""),
        prompt_path: None,
        timezone: "UTC".into(),
        models: vec![model("m")],
        tools: Vec::new(),
        memory: MemoryConfig {
            uses_thread: true,
            max_messages: 40,
            max_tokens: 12_000,
            keep_tail: 24,
            compaction: None,
        },
        limits: LimitsConfig {
            max_steps: 8,
            max_tool_calls: 24,
            max_time: Duration::from_secs(240),
            tokens_per_request: None,
            tokens_per_day: None,
            usd_per_day: None,
            concurrency: 4,
            max_hops: 6,
        },
        reply: ReplyConfig {
            ttl_ms: 30_000,
            include_tool_results: false,
            events: false,
        },
        answer_direct: false,
        tasks: None,
        orchestrate: None,
    }
}
