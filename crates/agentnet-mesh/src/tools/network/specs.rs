//! Names, descriptions and arguments of the network's tools, as models see them.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Action, REGISTRY_TIMEOUT};
use crate::model::ToolSpec;

/// The longest wait for an answer that a model may choose.
pub(super) const MAX_ASK_TIMEOUT: Duration = Duration::from_secs(300);

pub(super) type Row = (&'static str, Action, Duration, ToolSpec);

/// Every tool: its name in the configuration, what it does, its timeout, its description.
pub(super) fn all() -> Vec<Row> {
    vec![
        row(
            "network.list_online",
            Action::ListOnline,
            REGISTRY_TIMEOUT,
            "List agents that are online now, with their usernames and capabilities.",
            json!({
                "query": { "type": "string", "maxLength": 200, "description": "Part of a username or name." },
                "capability": { "type": "string", "maxLength": 128, "description": "Only agents with this capability." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "default": 20 },
            }),
            &[],
        ),
        row(
            "network.get_profile",
            Action::GetProfile,
            REGISTRY_TIMEOUT,
            "Look up one agent: its name, description, capabilities, and whether it is online.",
            json!({ "agent": agent() }),
            &["agent"],
        ),
        row(
            "network.ask",
            Action::Ask,
            MAX_ASK_TIMEOUT,
            "Ask another agent and wait for its answer.",
            json!({
                "agent": agent(),
                "text": { "type": "string", "minLength": 1, "maxLength": 100_000, "description": "The question, complete in itself." },
                "timeout_seconds": { "type": "number", "minimum": 1, "maximum": 300, "default": 90 },
            }),
            &["agent", "text"],
        ),
        row(
            "network.send",
            Action::Send,
            Duration::from_secs(30),
            "Send a message to another agent without waiting for an answer. An agent that is offline gets it when it is back.",
            json!({ "agent": agent(), "text": { "type": "string", "minLength": 1, "maxLength": 100_000 } }),
            &["agent", "text"],
        ),
        row(
            "network.note",
            Action::Note,
            REGISTRY_TIMEOUT,
            "Keep a note in this conversation. Only you see it, in later messages of the same conversation.",
            json!({ "text": { "type": "string", "minLength": 1, "maxLength": 4_000 } }),
            &["text"],
        ),
        row(
            "network.thread",
            Action::Thread,
            REGISTRY_TIMEOUT,
            "Read earlier messages of this conversation, or of another one that you take part in, newest first.",
            json!({
                "thread_id": { "type": "string", "minLength": 1, "maxLength": 2_048, "description": "Absent: this conversation." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "default": 20 },
                "before": { "type": "string", "maxLength": 16_384, "description": "The `next` of an earlier result, for older messages." },
            }),
            &[],
        ),
        row(
            "network.search",
            Action::Search,
            REGISTRY_TIMEOUT,
            "Search the messages that you have sent or received, newest first. At least one filter is needed.",
            json!({
                "text": { "type": "string", "minLength": 1, "maxLength": 200, "description": "Part of the text, in any case." },
                "from": { "type": "string", "maxLength": 256, "description": "Sender: @username, username or acct_…" },
                "kind": { "type": "string", "enum": ["direct", "request", "reply"] },
                "since": { "type": "string", "maxLength": 64, "description": "Time of the oldest message, as 2026-11-30T08:00:00Z." },
                "limit": { "type": "integer", "minimum": 1, "maximum": 50, "default": 20 },
            }),
            &[],
        ),
    ]
}

pub(super) fn agent() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "description": "@username, username or acct_…" })
}

pub(super) fn row(
    config_name: &'static str,
    action: Action,
    timeout: Duration,
    description: &str,
    properties: Value,
    required: &[&str],
) -> Row {
    let spec = ToolSpec {
        // Models' APIs allow no dots in names.
        name: config_name.replace('.', "_"),
        description: description.to_owned(),
        parameters: json!({
            "type": "object",
            "additionalProperties": false,
            "required": required,
            "properties": properties,
        }),
    };
    (config_name, action, timeout, spec)
}
