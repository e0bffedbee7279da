//! What tests call tools with.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Envelope, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::network::allowance::TaskAllowance;
use super::{ToolContext, ToolSet};
use crate::model::{ToolCall, ToolSpec};

/// A context of a node that is not started, with a minute of time.
pub(crate) fn context() -> ToolContext {
    let node = AgentNode::builder("tester").ignore_environment().build().unwrap();
    let envelope = Envelope::decode(r#"{"message_id":"msg_1","from_agent":"asker"}"#).unwrap();
    ToolContext {
        node: Arc::new(node),
        message: Message::from(envelope),
        task_id: None,
        task_allowance: TaskAllowance::default(),
        tools: ToolSet::of(Vec::new()),
        hops: 0,
        max_hops: 6,
        chain: Arc::new([]),
        deadline: Instant::now() + Duration::from_secs(60),
        cancelled: CancellationToken::new(),
    }
}

/// A call as a model makes it.
pub(crate) fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: "call_1".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

/// A tool without a description that takes any arguments.
pub(crate) fn any_spec(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object"}),
    }
}

/// Characters that mean something to shells, URLs, JSON or templates, and some that do not.
pub(crate) const NASTY: [char; 44] = [
    '\'', '"', '`', '$', '(', ')', '{', '}', '[', ']', '<', '>', '|', '&', ';', '*', '?', '!', '~', '#', '%', '\\',
    '/', '.', '-', '=', '+', ':', '@', ',', '^', ' ', '\t', '\n', '\r', 'a', 'B', '0', 'é', '中', '😀', '\u{7f}',
    '\u{1}', '\u{202e}',
];

/// A text of such characters.
pub(crate) fn nasty_text(random: &mut impl rand::Rng, max_len: usize) -> String {
    use rand::RngExt;
    let len = random.random_range(0..=max_len);
    (0..len).map(|_| NASTY[random.random_range(0..NASTY.len())]).collect()
}
