//! Asking with the high-level SDK.

use std::future::IntoFuture;
use std::time::Duration;

use futures::future::BoxFuture;

use super::parent::Parent;
use super::tell::text_payload;
use super::{AgentSdk, SdkError, SdkResult};
use crate::message_options::{IntoPayload, message_options};
use crate::request::Request;
use crate::route::Destination;

impl AgentSdk {
    /// Sends `{"text": text}` as a request and waits for the answer.
    pub fn ask_text(&self, to: impl Into<String>, text: impl Into<String>) -> Ask {
        self.ask_json(to, text_payload(&text.into()))
    }

    /// Sends any JSON as a request and waits for the answer.
    pub fn ask_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Ask {
        Ask::new(self.clone(), to.into(), payload)
    }
}

/// A question to be asked; await it for the answer, see [`AgentSdk::ask_text`] and [`AgentSdk::ask_json`].
///
/// Without a thread it opens one of its own. An answer that reports an error (a truthy `error` member in its payload, whatever
/// its kind) is an error, as in the Python implementation; [`AgentNode::request`](crate::AgentNode::request) returns it as it is.
///
/// # Errors
/// When awaited, [`SdkError`].
#[derive(Debug)]
#[must_use = "await it to ask"]
pub struct Ask {
    sdk: AgentSdk,
    request: Request,
    follows: Option<Parent>,
}

impl Ask {
    pub(super) fn new(sdk: AgentSdk, to: String, payload: impl IntoPayload) -> Self {
        let timeout = sdk.node().config().sdk.request_timeout;
        let request = Request::new(sdk.node().clone(), Destination::SdkText(to), payload).timeout(timeout);
        Self {
            sdk,
            request,
            follows: None,
        }
    }

    /// In a conversation: follows its last message, and its answer becomes it.
    pub(crate) fn following(mut self, parent: Parent) -> Self {
        self.follows = Some(parent);
        self
    }

    message_options!(request.options);

    /// How long to wait for the answer. Default 60 s, or what the builder sets.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request = self.request.timeout(timeout);
        self
    }

    async fn run(mut self) -> Result<SdkResult, SdkError> {
        let options = &mut self.request.options;
        let thread_id = options
            .thread_id
            .get_or_insert_with(|| self.sdk.new_thread_id())
            .clone();
        if let Some(parent) = &self.follows {
            options.parent_message_id = options.parent_message_id.take().or_else(|| parent.get());
        }
        let (parent_message_id, trace_id) = (options.parent_message_id.clone(), options.trace_id.clone());
        let answer = self.request.await?;
        if let Some(error) = SdkError::reported(&answer) {
            return Err(error);
        }
        let result = SdkResult::answered(&answer, thread_id, parent_message_id, trace_id);
        if let Some(parent) = &self.follows {
            parent.set(Some(result.message_id.clone()));
        }
        Ok(result)
    }
}

impl IntoFuture for Ask {
    type Output = Result<SdkResult, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
