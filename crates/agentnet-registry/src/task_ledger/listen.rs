//! Hears of tasks that other registries have created or changed: requests that wait here are to get them.
//!
//! Every client of the network can publish such wake-ups. One without cause costs a look into the store, as often as the
//! requests that wait allow.

use std::sync::Arc;

use agentnet_protocol::json::Object;
use agentnet_protocol::limits::{MAX_CAPABILITY_BYTES, MAX_NAME_BYTES};
use agentnet_store::model::TaskTarget;
use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::notices::{SUBJECT, TaskNotices};
use crate::error::StartError;

/// The largest wake-up: its ids, every character of them escaped.
const MAX_WAKE_UP_BYTES: usize = 8 * 1024;

/// Receives wake-ups from now on.
///
/// # Errors
/// [`StartError::Nats`] if the client has ended.
pub(crate) async fn subscribe(client: &Client) -> Result<Subscriber, StartError> {
    let wake_ups = client.subscribe(SUBJECT).await;
    wake_ups.map_err(|error| StartError::Nats(error.to_string()))
}

/// Handles wake-ups until `stop`.
pub(crate) async fn run(notices: Arc<TaskNotices>, mut wake_ups: Subscriber, stop: CancellationToken) {
    while let Some(Some(wake_up)) = stop.run_until_cancelled(wake_ups.next()).await {
        if wake_up.payload.len() <= MAX_WAKE_UP_BYTES
            && let Ok(Some(object)) = Object::parse_body(&wake_up.payload)
        {
            handle(&notices, &object);
        }
    }
}

fn handle(notices: &TaskNotices, wake_up: &Object<'_>) {
    let text = |name: &str, max: usize| {
        let text = wake_up.get(name).as_str()?.into_owned();
        Some(text).filter(|text| !text.is_empty() && text.len() <= max)
    };
    let Some(task_id) = text("task_id", MAX_NAME_BYTES) else {
        return;
    };
    let account = text("account_id", MAX_NAME_BYTES).map(TaskTarget::Account);
    let target = account.or_else(|| text("capability", MAX_CAPABILITY_BYTES).map(TaskTarget::Capability));
    let from = text("from", MAX_NAME_BYTES).unwrap_or_default();
    notices.changed_elsewhere(&from, target.as_ref(), &task_id);
}
