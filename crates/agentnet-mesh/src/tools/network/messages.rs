//! Messages to other agents, and notes to the agent itself.

use std::time::Duration;

use agentnet::protocol::mailbox::DEFAULT_LIFETIME_MS;
use agentnet::{MailboxDelivery, Message, RequestError, SendError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::agents::account_of;
use super::chain::CallChain;
use super::{MAX_TEXT_CHARS, ToolFailure, cut, following, own_account, read, registry_failure};
use crate::memory::entry;
use crate::tools::ToolContext;

/// Wait for an answer where the model names none, in seconds.
const DEFAULT_ASK_SECONDS: f64 = 90.0;
/// How long a message is kept for an agent that is offline.
const MAILBOX_LIFETIME: Duration = Duration::from_millis(DEFAULT_LIFETIME_MS.unsigned_abs());
/// Life of a note, which the registry keeps for ever.
const NOTE_TTL_MS: i64 = 30_000;
/// Characters of an error code that another agent sends.
const MAX_CODE_CHARS: usize = 64;
/// Characters of the detail of an error.
const MAX_DETAIL_CHARS: usize = 500;

#[derive(Deserialize)]
struct AskArguments {
    agent: String,
    text: String,
    timeout_seconds: Option<f64>,
}

pub(super) async fn ask(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let AskArguments {
        agent,
        text,
        timeout_seconds,
    } = read(arguments)?;
    let own = own_account(context)?;
    let chain = CallChain::of_context(context);
    chain.check_hops(context.max_hops)?;
    let account_id = account_of(&agent, context).await?;
    chain.check_ask(&own, &account_id, context.max_hops)?;
    let seconds = timeout_seconds.unwrap_or(DEFAULT_ASK_SECONDS).clamp(1.0, 300.0);
    let left = context.deadline.saturating_duration_since(Instant::now());
    let timeout = Duration::from_secs_f64(seconds).min(left);
    let tasks = context.task_allowance.take_part();
    let payload = json!({ "text": text, "mesh": chain.member_of_request(&own, tasks) });
    let request = context.node.request_account(account_id, payload);
    let reply = following!(request, context.message, context.task_id)
        .ttl_ms(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))
        .timeout(timeout)
        .await
        .map_err(|error| request_failure(&error, &agent));
    reply
        .and_then(|reply| read_reply(&reply, &agent))
        .map_err(|failure| with_alternatives(failure, context))
}

/// Says what may be done instead of a request, which an agent that is offline never gets.
fn with_alternatives(mut failure: ToolFailure, context: &ToolContext) -> ToolFailure {
    if failure.code != "recipient_offline" {
        return failure;
    }
    let tools = [
        (
            "network.task_assign",
            "gives it the work as a task, done when it is back",
        ),
        ("network.send", "leaves it a message"),
    ];
    let offers: Vec<String> = tools
        .iter()
        .filter_map(|(tool, what)| Some(format!("{} {what}", context.tools.model_name(tool)?)))
        .collect();
    if !offers.is_empty() {
        failure.detail = format!(
            "{}. A question is not kept for it: {}",
            failure.detail,
            offers.join("; ")
        );
    }
    failure
}

/// What an agent answered.
///
/// # Errors
/// The agent's own error.
fn read_reply(reply: &Message, agent: &str) -> Result<Value, ToolFailure> {
    let agent = cut(agent, 100);
    if let Some(code) = reply.error_code() {
        let payload = reply.payload().view();
        let detail = payload
            .as_object()
            .map(|payload| payload.get("detail").text().into_owned());
        let detail = detail.filter(|detail| !detail.is_empty()).unwrap_or_default();
        return Err(ToolFailure::new(
            cut(&code, MAX_CODE_CHARS),
            format!("{agent}: {}", cut(&detail, MAX_DETAIL_CHARS)),
        ));
    }
    let text = entry::shown_text(reply.payload()).unwrap_or_default();
    Ok(json!({ "from": agent, "text": cut(&text, MAX_TEXT_CHARS) }))
}

fn request_failure(error: &RequestError, agent: &str) -> ToolFailure {
    match error {
        RequestError::Send(error) => send_failure(error, agent),
        RequestError::NoResponders { .. } => {
            ToolFailure::new("recipient_offline", format!("{} is offline", cut(agent, 100)))
        }
        RequestError::Timeout { timeout, .. } | RequestError::Untrusted { timeout, .. } => ToolFailure::new(
            "timeout",
            format!(
                "{} did not answer within {:.0} s",
                cut(agent, 100),
                timeout.as_secs_f64()
            ),
        ),
        other => ToolFailure::new("not_answered", cut(&other.to_string(), MAX_DETAIL_CHARS)),
    }
}

fn send_failure(error: &SendError, agent: &str) -> ToolFailure {
    let agent = cut(agent, 100);
    match error {
        SendError::Rejected { code, detail, .. } | SendError::Mailbox { code, detail, .. } => ToolFailure::new(
            cut(code, MAX_CODE_CHARS),
            format!("{agent}: {}", cut(detail, MAX_DETAIL_CHARS)),
        ),
        SendError::AckTimeout { .. } => ToolFailure::new("timeout", format!("{agent} did not confirm the message")),
        SendError::NotRunning => ToolFailure::new("shutting_down", "this agent is leaving the network"),
        other => ToolFailure::new("not_sent", cut(&other.to_string(), MAX_DETAIL_CHARS)),
    }
}

#[derive(Deserialize)]
struct SendArguments {
    agent: String,
    text: String,
}

pub(super) async fn send(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let SendArguments { agent, text } = read(arguments)?;
    let own = own_account(context)?;
    let chain = CallChain::of_context(context);
    chain.check_hops(context.max_hops)?;
    let account_id = account_of(&agent, context).await?;
    if account_id == own {
        return Err(ToolFailure::new("bad_args", "network_note keeps a note for yourself"));
    }
    let tasks = context.task_allowance.take_part();
    let payload = json!({ "text": text, "mesh": chain.member_of_message(&own, tasks) });
    let message = context.node.send_to_account(account_id, payload);
    let sent = following!(message, context.message, context.task_id)
        .mailbox(MAILBOX_LIFETIME)
        .await
        .map_err(|error| send_failure(&error, &agent))?;
    let (delivery, note) = match sent.delivery {
        MailboxDelivery::Queued { detail } => (
            "queued",
            format!("not delivered yet, and kept for it: {}", cut(&detail, MAX_DETAIL_CHARS)),
        ),
        _ => ("delivered", "it has the message".to_owned()),
    };
    Ok(json!({ "to": cut(&agent, 100), "message_id": sent.sent.message_id, "delivery": delivery, "note": note }))
}

#[derive(Deserialize)]
struct NoteArguments {
    text: String,
}

/// A note is a message of the agent to itself, so that it is kept with the thread and every replica reads it.
pub(super) async fn note(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let NoteArguments { text } = read(arguments)?;
    let own = own_account(context)?;
    let note = json!({ "type": entry::NOTE_TYPE, "text": text });
    let message = context.node.send_to_account(own, note);
    let sent = following!(message, context.message, context.task_id)
        .kind("system")
        .ttl_ms(NOTE_TTL_MS)
        .without_ack()
        .await
        .map_err(|error| send_failure(&error, "this agent"))?;
    Ok(json!({ "message_id": sent.message_id }))
}

/// Whether the agent takes part in a thread.
pub(super) async fn takes_part(thread_id: &str, context: &ToolContext) -> Result<bool, ToolFailure> {
    let own = own_account(context)?;
    let status = context.node.thread_status(thread_id).await;
    let status = status.map_err(|error| registry_failure(&error, || "there is no such conversation".to_owned()))?;
    Ok(status.thread.participants.contains(&own))
}
