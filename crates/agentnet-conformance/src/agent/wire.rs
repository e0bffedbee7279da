//! Everything that reaches the senders, as it comes.

use std::collections::HashMap;

use agentnet_protocol::subject;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::compose::{Names, Sent};
use super::records::Seen;
use super::registry::Network;
use crate::error::ConformanceError;

/// A record that came.
#[derive(Debug)]
pub(super) struct Event {
    subject: String,
    pub(super) record: Value,
    place: Place,
    /// It belongs to an exchange that has been judged.
    taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Receipts,
    Replies,
    Elsewhere,
}

/// The subscriptions, and what came on them.
#[derive(Debug)]
pub(super) struct Wire {
    messages: SelectAll<Subscriber>,
    reply_prefix: String,
    events: Vec<Event>,
}

impl Wire {
    pub(super) async fn listen(client: &Client, network: &Network, run: &str) -> Result<Self, ConformanceError> {
        let reply_prefix = Names::reply_prefix(run);
        let subjects = [
            subject::receipts(&network.peer.account_id),
            subject::receipts(&network.stranger.account_id),
            subject::inbox(&network.peer.account_id),
            format!("{reply_prefix}.>"),
            format!("{}.>", Names::elsewhere_prefix(run)),
        ];
        let mut subscriptions = Vec::new();
        for subject in subjects {
            subscriptions.push(client.subscribe(subject).await.map_err(ConformanceError::connection)?);
        }
        client.flush().await.map_err(ConformanceError::connection)?;
        Ok(Self {
            messages: select_all(subscriptions),
            reply_prefix,
            events: Vec::new(),
        })
    }

    /// Waits for the next record; `false` if none came in time.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<bool, ConformanceError> {
        match timeout_at(deadline, self.messages.next()).await {
            Ok(Some(message)) => {
                let text = || Value::String(String::from_utf8_lossy(&message.payload).into_owned());
                let record = serde_json::from_slice(&message.payload).unwrap_or_else(|_| text());
                let place = match message.subject.as_str() {
                    subject if subject.starts_with(&self.reply_prefix) => Place::Replies,
                    subject if subject.ends_with(".receipts") => Place::Receipts,
                    _ => Place::Elsewhere,
                };
                self.events.push(Event {
                    subject: message.subject.to_string(),
                    record,
                    place,
                    taken: false,
                });
                Ok(true)
            }
            Ok(None) => Err(ConformanceError::Connection("the subscriptions ended".to_owned())),
            Err(_) => Ok(false),
        }
    }

    /// What came for a message and has not been taken.
    pub(super) fn seen(&self, sent: &Sent) -> Seen {
        let mut seen = Seen::default();
        for event in self
            .events
            .iter()
            .filter(|event| !event.taken && event.belongs_to(sent))
        {
            let series = match event.place {
                Place::Receipts => &mut seen.receipts,
                Place::Replies => &mut seen.replies,
                Place::Elsewhere => &mut seen.elsewhere,
            };
            series.push(event.record.clone());
        }
        seen
    }

    /// What came last on each reply subject, of all that has not been taken.
    pub(super) fn last_replies(&self) -> HashMap<&str, &Value> {
        let replies = self
            .events
            .iter()
            .filter(|event| !event.taken && event.place == Place::Replies);
        replies.map(|event| (event.subject.as_str(), &event.record)).collect()
    }

    /// Marks what came for a message as dealt with.
    pub(super) fn take(&mut self, sent: &Sent) {
        for event in self.events.iter_mut().filter(|event| event.belongs_to(sent)) {
            event.taken = true;
        }
    }

    /// What came for a message after it was dealt with.
    pub(super) fn left(&self, sent: &Sent) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(|event| !event.taken && event.belongs_to(sent))
    }
}

impl Event {
    fn belongs_to(&self, sent: &Sent) -> bool {
        let names = |member: &str| !sent.message_id.is_empty() && self.record[member] == sent.message_id.as_str();
        match self.place {
            Place::Receipts => names("message_id"),
            Place::Replies => self.subject == sent.reply_subject,
            Place::Elsewhere => self.subject == sent.elsewhere || names("parent_message_id"),
        }
    }

    /// Whether it is a receipt.
    pub(super) fn is_receipt(&self) -> bool {
        self.place == Place::Receipts
    }
}
