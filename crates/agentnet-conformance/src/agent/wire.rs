//! Subscribes as the senders and collects the received records.

use std::collections::HashMap;

use agentnet_protocol::subject;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::compose::{MessageComposer, SentMessage};
use super::expectations::ReceivedRecords;
use super::registry::Participants;
use crate::error::ConformanceError;

/// A received record.
#[derive(Debug)]
pub(super) struct ReceivedRecord {
    subject: String,
    pub(super) body: Value,
    source: RecordSource,
    /// Whether it belongs to an exchange that has been compared.
    taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordSource {
    Receipts,
    Replies,
    Elsewhere,
}

/// The subscriptions and the records received on them.
#[derive(Debug)]
pub(super) struct Wire {
    messages: SelectAll<Subscriber>,
    reply_prefix: String,
    records: Vec<ReceivedRecord>,
}

impl Wire {
    pub(super) async fn listen(client: &Client, network: &Participants, run: &str) -> Result<Self, ConformanceError> {
        let reply_prefix = MessageComposer::reply_prefix(run);
        let subjects = [
            subject::receipts(&network.peer.account_id),
            subject::receipts(&network.stranger.account_id),
            subject::inbox(&network.peer.account_id),
            format!("{reply_prefix}.>"),
            format!("{}.>", MessageComposer::elsewhere_prefix(run)),
        ];
        let mut subscriptions = Vec::new();
        for subject in subjects {
            subscriptions.push(client.subscribe(subject).await.map_err(ConformanceError::connection)?);
        }
        client.flush().await.map_err(ConformanceError::connection)?;
        Ok(Self {
            messages: select_all(subscriptions),
            reply_prefix,
            records: Vec::new(),
        })
    }

    /// Waits for the next record; `false` if none arrives in time.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<bool, ConformanceError> {
        match timeout_at(deadline, self.messages.next()).await {
            Ok(Some(message)) => {
                let text = || Value::String(String::from_utf8_lossy(&message.payload).into_owned());
                let body = serde_json::from_slice(&message.payload).unwrap_or_else(|_| text());
                let source = match message.subject.as_str() {
                    subject if subject.starts_with(&self.reply_prefix) => RecordSource::Replies,
                    subject if subject.ends_with(".receipts") => RecordSource::Receipts,
                    _ => RecordSource::Elsewhere,
                };
                self.records.push(ReceivedRecord {
                    subject: message.subject.to_string(),
                    body,
                    source,
                    taken: false,
                });
                Ok(true)
            }
            Ok(None) => Err(ConformanceError::Connection("the subscriptions ended".to_owned())),
            Err(_) => Ok(false),
        }
    }

    /// The records for a message that have not been taken.
    pub(super) fn seen(&self, sent: &SentMessage) -> ReceivedRecords {
        let mut seen = ReceivedRecords::default();
        for record in self
            .records
            .iter()
            .filter(|record| !record.taken && record.belongs_to(sent))
        {
            let series = match record.source {
                RecordSource::Receipts => &mut seen.receipts,
                RecordSource::Replies => &mut seen.replies,
                RecordSource::Elsewhere => &mut seen.elsewhere,
            };
            series.push(record.body.clone());
        }
        seen
    }

    /// The last reply on each reply subject that has not been taken.
    pub(super) fn last_replies(&self) -> HashMap<&str, &Value> {
        let replies = self
            .records
            .iter()
            .filter(|record| !record.taken && record.source == RecordSource::Replies);
        replies.map(|record| (record.subject.as_str(), &record.body)).collect()
    }

    /// Marks the records for a message as taken.
    pub(super) fn take(&mut self, sent: &SentMessage) {
        for record in self.records.iter_mut().filter(|record| record.belongs_to(sent)) {
            record.taken = true;
        }
    }

    /// The records for a message that arrived after it was taken.
    pub(super) fn left(&self, sent: &SentMessage) -> impl Iterator<Item = &ReceivedRecord> {
        self.records
            .iter()
            .filter(|record| !record.taken && record.belongs_to(sent))
    }
}

impl ReceivedRecord {
    fn belongs_to(&self, sent: &SentMessage) -> bool {
        let names = |member: &str| !sent.message_id.is_empty() && self.body[member] == sent.message_id.as_str();
        match self.source {
            RecordSource::Receipts => names("message_id"),
            RecordSource::Replies => self.subject == sent.reply_subject,
            RecordSource::Elsewhere => self.subject == sent.elsewhere || names("parent_message_id"),
        }
    }

    /// Whether it is a receipt.
    pub(super) fn is_receipt(&self) -> bool {
        self.source == RecordSource::Receipts
    }
}
