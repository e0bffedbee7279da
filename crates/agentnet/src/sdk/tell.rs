//! Sending with the high-level SDK.

use std::future::IntoFuture;
use std::time::Duration;

use futures::future::BoxFuture;

use super::parent::Parent;
use super::{AgentSdk, SdkError, SdkResult};
use crate::deliver::Until;
use crate::message_options::{IntoPayload, message_options};
use crate::route::Destination;
use crate::send::SendMessage;

impl AgentSdk {
    /// Sends `{"text": text}`.
    pub fn send_text(&self, to: impl Into<String>, text: impl Into<String>) -> Tell {
        self.send_json(to, text_payload(&text.into()))
    }

    /// Sends any JSON.
    pub fn send_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Tell {
        Tell::new(self.clone(), to.into(), payload)
    }
}

/// A message to be sent; await it to send it, see [`AgentSdk::send_text`] and [`AgentSdk::send_json`].
///
/// Without a thread it opens one of its own.
///
/// # Errors
/// When awaited, [`SdkError`].
#[derive(Debug)]
#[must_use = "await it to send the message"]
pub struct Tell {
    sdk: AgentSdk,
    pub(super) send: SendMessage,
    follows: Option<Parent>,
    /// How long it may wait in the mailbox.
    lifetime: Option<Duration>,
}

impl Tell {
    pub(super) fn new(sdk: AgentSdk, to: String, payload: impl IntoPayload) -> Self {
        let send = SendMessage::new(sdk.node().clone(), Destination::SdkText(to), payload);
        Self {
            sdk,
            send,
            follows: None,
            lifetime: None,
        }
    }

    /// In a conversation: follows its last message, and becomes it.
    pub(crate) fn following(mut self, parent: Parent) -> Self {
        self.follows = Some(parent);
        self
    }

    message_options!(send.options);

    /// How far to wait for the message, see [`SendMessage::until`].
    pub fn until(mut self, until: Until) -> Self {
        self.send = self.send.until(until);
        self
    }

    /// Publishes the message and returns, without waiting for a receipt: [`Until::Published`].
    pub fn without_ack(self) -> Self {
        self.until(Until::Published)
    }

    /// How often to repeat when no receipt comes, see [`SendMessage::retry_attempts`].
    pub fn retry_attempts(mut self, attempts: u32) -> Self {
        self.send = self.send.retry_attempts(attempts);
        self
    }

    /// How long to wait for each receipt, see [`SendMessage::receipt_timeout`].
    pub fn receipt_timeout(mut self, timeout: Duration) -> Self {
        self.send = self.send.receipt_timeout(timeout);
        self
    }

    /// Has the message kept while its receiver cannot take it, see [`SendMessage::mailbox`]; the result says whether it waits
    /// ([`SdkResult::queued`]).
    pub fn mailbox(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    async fn run(mut self) -> Result<SdkResult, SdkError> {
        let options = &mut self.send.options;
        options.thread_id.get_or_insert_with(|| self.sdk.new_thread_id());
        if let Some(parent) = &self.follows {
            options.parent_message_id = options.parent_message_id.take().or_else(|| parent.get());
        }
        let parent_message_id = options.parent_message_id.clone();
        let result = match self.lifetime {
            None => SdkResult::sent(self.send.await?, parent_message_id),
            Some(lifetime) => SdkResult::kept(self.send.mailbox(lifetime).await?, parent_message_id),
        };
        if let Some(parent) = &self.follows {
            parent.set(Some(result.message_id.clone()));
        }
        Ok(result)
    }
}

impl IntoFuture for Tell {
    type Output = Result<SdkResult, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The payload of a text.
pub(super) fn text_payload(text: &str) -> serde_json::Value {
    serde_json::json!({ "text": text })
}
