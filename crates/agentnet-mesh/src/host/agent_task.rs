//! One agent of the host on the network: its node, and the handler of its messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentnet::{
    AgentNode, ClaimedWork, Connection, Context, Handler, HandlerResult, Limits, Message, StartError, TaskContext,
    TaskHandler, TaskHandlerResult, json,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::events::HostEvent;
use super::in_flight::InFlight;
use crate::agent::{AgentParts, AnswerOutcome, Responder, task_message};
use crate::config::AgentConfig;

/// What a handler may take beyond the agent's `max_seconds`: the answer that says so.
const ANSWER_GRACE: Duration = Duration::from_secs(15);
/// Messages per second that one sender may send. Agents of a mesh ask one another more often than people do.
const RATE_PER_SENDER: f64 = 100.0;
/// Messages that one sender may send at once.
const BURST_PER_SENDER: u32 = 200;

/// What all agents of a host share.
#[derive(Clone)]
pub(super) struct AgentEnvironment {
    pub(super) connection: Connection,
    pub(super) dev_auth: Option<bool>,
    pub(super) key_dir: Option<PathBuf>,
    pub(super) events: Option<mpsc::Sender<HostEvent>>,
    /// Is cancelled when handlers must end.
    pub(super) stopping: CancellationToken,
    pub(super) in_flight: Arc<InFlight>,
}

/// An agent of the host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AgentStatus {
    /// Key in the file.
    pub key: String,
    /// Username that the registry gave.
    pub username: String,
    /// Id of its account.
    pub account_id: String,
    /// Environment variables of its models' keys that are not set. With any, its metadata say `degraded`.
    pub missing: Vec<String>,
}

/// An agent on the network.
pub(super) struct AgentTask {
    pub(super) config: Arc<AgentConfig>,
    /// Variables of its models' keys that are not set.
    pub(super) missing: Vec<String>,
    pub(super) node: AgentNode,
    responder: Arc<Responder>,
}

impl AgentTask {
    /// Joins the network.
    pub(super) async fn join(
        parts: AgentParts,
        missing: Vec<String>,
        environment: &AgentEnvironment,
    ) -> Result<Self, StartError> {
        let config = Arc::clone(&parts.config);
        let key: Arc<str> = Arc::from(config.key.as_str());
        let mut responder = Responder::new(parts).stopped_by(environment.stopping.clone());
        if let Some(events) = environment.events.clone() {
            let agent = Arc::clone(&key);
            responder = responder.observed_by(move |message, outcome, time| {
                tell(
                    &events,
                    outcome_event(Arc::clone(&agent), message.clone(), outcome, time),
                );
            });
        }
        let responder = Arc::new(responder);
        let handler = WorkHandler {
            agent: key,
            responder: Arc::clone(&responder),
            events: environment.events.clone(),
            in_flight: Arc::clone(&environment.in_flight),
        };
        let state = if missing.is_empty() { "ready" } else { "degraded" };
        let mut agent = AgentNode::builder(&config.agent_id)
            .name(&config.name)
            .username(&config.username)
            .capabilities(&config.capabilities)
            .metadata(json!({ "mesh": { "state": state } }))
            .connection(&environment.connection)
            .limits(|limits| raise(limits, &config))
            .handler(handler.clone());
        // An agent that cannot ask its model leaves tasks to other hosts.
        if let Some(tasks) = config.tasks.as_ref().filter(|_| missing.is_empty()) {
            agent = agent.task_handler(handler).task_concurrency(tasks.concurrency);
        }
        if let Some(on) = environment.dev_auth {
            agent = agent.dev_auth(on);
        }
        if let Some(directory) = &environment.key_dir {
            agent = agent.key_dir(directory);
        }
        let node = agent.start().await?;
        if let Some(username) = node.username().filter(|name| *name != config.username) {
            tracing::warn!(
                "the username {} of agent {} is taken: it is @{username}",
                config.username,
                config.key
            );
        }
        for variable in &missing {
            tracing::warn!(
                "agent {}: {variable} is not set; messages get the error config_error, and tasks are not taken",
                config.key
            );
        }
        Ok(Self {
            config,
            missing,
            node,
            responder,
        })
    }

    /// Answers with other parts from the next message on.
    pub(super) fn replace(&mut self, parts: AgentParts, missing: Vec<String>) {
        self.config = Arc::clone(&parts.config);
        self.missing = missing;
        self.responder.replace(parts);
    }

    /// Finishes its messages and leaves the network.
    pub(super) async fn drain(self) {
        self.node.close().await;
    }

    /// The agent as it is on the network.
    pub(super) fn status(&self) -> AgentStatus {
        AgentStatus {
            key: self.config.key.clone(),
            username: self.node.username().unwrap_or_default(),
            account_id: self.node.account_id().unwrap_or_default(),
            missing: self.missing.clone(),
        }
    }
}

/// The limits of the SDK: its defaults are for handlers that answer at once.
fn raise(limits: &mut Limits, config: &AgentConfig) {
    limits.max_concurrency = config.limits.concurrency;
    limits.work_timeout = config.limits.max_time + ANSWER_GRACE;
    // The host has a shorter one for its own end; a session that a reload replaces finishes its messages and tasks.
    let tasks = config.tasks.as_ref().map_or(Duration::ZERO, |tasks| tasks.max_time);
    limits.drain_timeout = config.limits.max_time.max(tasks) + ANSWER_GRACE;
    limits.rate_limit_per_sender_per_sec = RATE_PER_SENDER;
    limits.rate_limit_burst = BURST_PER_SENDER;
    limits.default_ttl_ms = config.reply.ttl_ms;
}

/// Hands messages and tasks to the responder.
#[derive(Clone)]
struct WorkHandler {
    agent: Arc<str>,
    responder: Arc<Responder>,
    events: Option<mpsc::Sender<HostEvent>>,
    in_flight: Arc<InFlight>,
}

impl WorkHandler {
    fn tell_received(&self, message: impl FnOnce() -> Message) {
        if let Some(events) = &self.events {
            let received = HostEvent::Received {
                agent: Arc::clone(&self.agent),
                message: message(),
            };
            tell(events, received);
        }
    }
}

impl Handler for WorkHandler {
    async fn handle(&self, message: Message, context: Context) -> HandlerResult {
        let _in_flight = self.in_flight.enter();
        self.tell_received(|| message.clone());
        self.responder.handle(message, context).await
    }
}

impl TaskHandler for WorkHandler {
    async fn handle(&self, claimed: ClaimedWork, context: TaskContext) -> TaskHandlerResult {
        let _in_flight = self.in_flight.enter();
        self.tell_received(|| task_message(&claimed));
        self.responder.work(claimed, context).await
    }
}

/// A reader that is too slow misses events.
fn tell(events: &mpsc::Sender<HostEvent>, event: HostEvent) {
    let _ = events.try_send(event);
}

fn outcome_event(agent: Arc<str>, message: Message, outcome: AnswerOutcome<'_>, time: Duration) -> HostEvent {
    match outcome {
        AnswerOutcome::Answered(text) => HostEvent::Answered {
            agent,
            message,
            text: text.to_owned(),
            time,
        },
        AnswerOutcome::Failed { code, detail } => {
            let (code, detail) = (code.to_owned(), detail.to_owned());
            HostEvent::Failed {
                agent,
                message,
                code,
                detail,
                time,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TasksConfig;
    use crate::usage::fixtures::agent;

    #[test]
    fn the_sdk_waits_longer_than_the_agent() {
        let mut config = agent("planner");
        config.limits.concurrency = 7;
        config.limits.max_time = Duration::from_secs(240);
        let mut limits = Limits::default();
        raise(&mut limits, &config);
        assert_eq!(
            (limits.max_concurrency, limits.work_timeout),
            (7, Duration::from_secs(255))
        );
        assert!(limits.rate_limit_per_sender_per_sec >= 100.0);
        assert_eq!(limits.drain_timeout, Duration::from_secs(255));
        config.tasks = Some(TasksConfig {
            concurrency: 1,
            max_steps: 8,
            max_tool_calls: 24,
            max_time: Duration::from_secs(3600),
        });
        raise(&mut limits, &config);
        // A session that a reload replaces finishes its tasks too.
        assert_eq!(limits.drain_timeout, Duration::from_secs(3615));
    }
}
