//! A model that answers by a script, and agents around it, for unit tests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{AgentConfig, LimitsConfig, MemoryConfig, ModelConfig, ReplyConfig};

/// An agent with the defaults of the file.
pub(crate) fn agent_config() -> AgentConfig {
    AgentConfig {
        key: "planner".into(),
        agent_id: "planner".into(),
        username: "planner".into(),
        name: "Planner".into(),
        capabilities: Vec::new(),
        prompt: "Be brief.".into(),
        prompt_path: None,
        timezone: "UTC".into(),
        models: vec![ModelConfig {
            provider: "fake".into(),
            name: "fake-1".into(),
            temperature: None,
            max_tokens: 4_096,
            thinking: 0,
        }],
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
        reply: ReplyConfig { ttl_ms: 30_000, include_tool_results: false, events: false },
        answer_direct: false,
        orchestrate: None,
    }
}
