//! A network for one test, agents with scripted models, and a user.

use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::rpc::{HistoryMessage, ThreadMessagesRequest};
use agentnet::{AgentNode, Message};
use agentnet_mesh::agent::{AgentParts, Responder};
use agentnet_mesh::config::{AgentConfig, CompactionConfig, LimitsConfig, MemoryConfig, ModelConfig, ReplyConfig};
use agentnet_mesh::model::{ChainModel, ModelChain};
use agentnet_mesh::tools::network::network_tools;
use agentnet_mesh::tools::{Tool, ToolSet};
use agentnet_mesh::usage::ledger::Ledger;
use agentnet_mesh::usage::metrics::MeshMetrics;
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::OpenOptions;
use agentnet_testkit::{NatsServer, TestDatabase, eventually};
use serde_json::{Value, json};

use crate::agent::scripted_model::ScriptedModel;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Messages that an agent handles at the same time.
pub(crate) const MAX_CONCURRENCY: usize = 16;

/// A server and a registry, both real.
pub(crate) struct Network {
    nats: NatsServer,
    registry: Option<RegistryHandle>,
    _database: TestDatabase,
}

/// An agent with a scripted model.
pub(crate) struct TestAgent {
    pub(crate) node: AgentNode,
    pub(crate) responder: Arc<Responder>,
    pub(crate) metrics: Arc<MeshMetrics>,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let config = RegistryConfig {
            nats_url: nats.url(),
            heartbeat_interval: Duration::from_secs(1),
            ..RegistryConfig::default()
        };
        let registry = Registry::start(config, store).await.unwrap();
        Self {
            nats,
            registry: Some(registry),
            _database: database,
        }
    }

    /// Stops the registry.
    pub(crate) async fn stop_registry(&mut self) {
        self.registry.take().unwrap().shutdown().await;
    }

    /// Somebody who asks.
    pub(crate) async fn user(&self, name: &str) -> AgentNode {
        let node = AgentNode::builder(name)
            .username(name)
            .nats_url(self.nats.url())
            .ignore_environment();
        node.on_message(|_, _| async { Ok(()) }).start().await.unwrap()
    }

    /// An agent with all tools of the network.
    pub(crate) async fn agent(&self, config: AgentConfig, model: &Arc<ScriptedModel>) -> TestAgent {
        self.agent_with(config, model, network_tools()).await
    }

    /// An agent with these tools.
    pub(crate) async fn agent_with(
        &self,
        config: AgentConfig,
        model: &Arc<ScriptedModel>,
        tools: Vec<Arc<dyn Tool>>,
    ) -> TestAgent {
        let metrics = Arc::new(MeshMetrics::new());
        let parts = parts(config, model, tools, metrics.clone());
        let config = parts.config.clone();
        let responder = Arc::new(Responder::new(parts));
        let (answering, working) = (responder.clone(), responder.clone());
        let agent = AgentNode::builder(&config.agent_id)
            .username(&config.username)
            .name(&config.name)
            .capabilities(&config.capabilities)
            .nats_url(self.nats.url())
            .ignore_environment()
            .limits(|limits| {
                limits.max_concurrency = MAX_CONCURRENCY;
                limits.work_timeout = config.limits.max_time + Duration::from_secs(15);
                limits.rate_limit_per_sender_per_sec = 1e6;
                limits.rate_limit_burst = 1_000_000;
                limits.max_pending = 10_000;
            })
            .on_message(move |message, context| {
                let answering = answering.clone();
                async move { answering.handle(message, context).await }
            });
        let node = match &config.tasks {
            Some(tasks) => agent.task_concurrency(tasks.concurrency).on_task(move |task, context| {
                let working = working.clone();
                async move { working.work(task, context).await }
            }),
            None => agent,
        };
        let node = node.start().await.unwrap();
        TestAgent {
            node,
            responder,
            metrics,
        }
    }
}

/// What an agent is made of.
pub(crate) fn parts(
    config: AgentConfig,
    model: &Arc<ScriptedModel>,
    tools: Vec<Arc<dyn Tool>>,
    metrics: Arc<MeshMetrics>,
) -> AgentParts {
    let chain = || {
        ModelChain::from_models([ChainModel {
            config: config.models[0].clone(),
            max_retries: 0,
            model: model.clone(),
        }])
    };
    AgentParts {
        models: chain(),
        compaction_models: chain(),
        tools: ToolSet::of(tools),
        ledger: Arc::new(Ledger::open(None, Default::default()).unwrap()),
        metrics,
        config: Arc::new(config),
    }
}

/// An agent with the defaults of the file.
pub(crate) fn config(key: &str) -> AgentConfig {
    AgentConfig {
        key: key.into(),
        agent_id: key.into(),
        username: key.into(),
        name: key.to_uppercase(),
        capabilities: Vec::new(),
        prompt: format!("You are the {key}.").into(),
        prompt_path: None,
        timezone: "UTC".into(),
        models: vec![ModelConfig {
            provider: "scripted".into(),
            name: "scripted-1".into(),
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
            compaction: Some(CompactionConfig {
                at_tokens: 16_000,
                model: None,
                max_messages: 400,
            }),
        },
        limits: LimitsConfig {
            max_steps: 8,
            max_tool_calls: 24,
            max_time: Duration::from_secs(60),
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

/// Asks an agent in a thread.
pub(crate) async fn ask(user: &AgentNode, agent: &str, thread: &str, payload: Value) -> Message {
    let request = user.request(agent, payload).thread(thread).timeout(DEADLINE);
    request.await.unwrap()
}

/// Asks an agent in a thread, and gives the payload of its reply, which must not be an error.
pub(crate) async fn answer(user: &AgentNode, agent: &str, thread: &str, text: &str) -> Value {
    let reply = ask(user, agent, thread, json!({ "text": text })).await;
    assert_eq!(reply.error_code(), None, "{}", reply.payload());
    reply.json().unwrap()
}

/// The messages of a thread, the oldest first.
pub(crate) async fn history(node: &AgentNode, thread: &str) -> Vec<HistoryMessage> {
    let mut request = ThreadMessagesRequest {
        thread_id: thread.into(),
        limit: 200,
        cursor: None,
    };
    let mut messages = Vec::new();
    loop {
        let page = node.thread_messages(&request).await.unwrap();
        messages.extend(page.messages);
        match page.next_cursor {
            None => break,
            cursor => request.cursor = cursor,
        }
    }
    messages.reverse();
    messages
}

/// Waits until the registry has stored so many messages of a thread.
pub(crate) async fn until_stored(node: &AgentNode, thread: &str, count: usize) -> Vec<HistoryMessage> {
    eventually(DEADLINE, async || {
        let messages = history(node, thread).await;
        if messages.len() >= count {
            Ok(messages)
        } else {
            Err(format!("{} of {count} messages are stored", messages.len()))
        }
    })
    .await
    .unwrap()
}
