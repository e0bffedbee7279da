//! Hears of messages that other registries have put in: requests that wait here are to get them, and agents that do not ask.
//!
//! Every client of the network can publish such events. One without cause costs a look into the store, as often as
//! `waiters` and `push` allow.

use std::sync::Arc;

use agentnet_protocol::mailbox::MailboxEventKind;
use agentnet_protocol::rpc::MailboxEvent;
use agentnet_protocol::subject::{ALL_MAILBOX_EVENTS, EVENTS_PREFIX};
use async_nats::{Client, Message, Subscriber};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::StartError;

/// The largest event: its ids, every character of them escaped.
const MAX_EVENT_BYTES: usize = 16 * 1024;

/// Receives events from now on.
///
/// # Errors
/// [`StartError::Nats`] if the client has ended.
pub(crate) async fn subscribe(client: &Client) -> Result<Subscriber, StartError> {
    let events = client.subscribe(ALL_MAILBOX_EVENTS).await;
    events.map_err(|error| StartError::Nats(error.to_string()))
}

/// Handles events until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, mut events: Subscriber, stop: CancellationToken) {
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        if let Some(account_id) = account_with_mail(&event) {
            ctx.mailbox.notices.wake(account_id);
        }
    }
}

/// The account that an event concerns, if a message waits for one of its two.
fn account_with_mail(event: &Message) -> Option<&str> {
    let account_id = event.subject.strip_prefix(EVENTS_PREFIX)?.strip_suffix(".mailbox")?;
    if event.payload.len() > MAX_EVENT_BYTES {
        return None;
    }
    let read = MailboxEvent::decode(&event.payload).ok()?;
    let waits = [MailboxEventKind::Queued, MailboxEventKind::Retry]
        .iter()
        .any(|kind| kind.as_str() == read.event);
    // The sender gets the event too; nothing waits for it.
    (waits && (read.from_account_id != account_id)).then_some(account_id)
}
