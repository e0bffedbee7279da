//! Asking for an answer that comes piece by piece.

use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};

use super::parent::Parent;
use super::tell::text_payload;
use super::{AgentSdk, SdkError, SdkResult};
use crate::error::RequestError;
use crate::message_options::{IntoPayload, message_options};
use crate::route::Destination;
use crate::stream::{Delta, OpenStream, ReplyStream, StreamError, StreamRequest};

impl AgentSdk {
    /// Asks `{"text": text}` and reads the answer piece by piece; an agent that answers at once gives one piece.
    ///
    /// ```no_run
    /// use agentnet::{AgentSdk, StreamExt as _};
    ///
    /// # async fn run(sdk: AgentSdk) -> Result<(), agentnet::SdkError> {
    /// let mut answer = sdk.ask_stream("@poet", "a poem").await?;
    /// while let Some(delta) = answer.next().await {
    ///     print!("{}", delta?.text().unwrap_or_default());
    /// }
    /// let whole = answer.finish().await?;
    /// println!("\n{} characters", whole.text.unwrap_or_default().len());
    /// # Ok(()) }
    /// ```
    pub fn ask_stream(&self, to: impl Into<String>, text: impl Into<String>) -> AskStream {
        self.ask_json_stream(to, text_payload(&text.into()))
    }

    /// As [`AgentSdk::ask_stream`], with any JSON as the question.
    pub fn ask_json_stream(&self, to: impl Into<String>, payload: impl IntoPayload) -> AskStream {
        let node = self.node();
        let request = StreamRequest::new(node, Destination::SdkText(to.into()), payload);
        AskStream {
            sdk: self.clone(),
            request: request.timeout(node.config().sdk.request_timeout),
            follows: None,
        }
    }

    /// Opens a stream to an inbox, see [`AgentNode::send_stream`](crate::AgentNode::send_stream). Without a thread it
    /// opens one of its own.
    pub fn send_stream(&self, to: impl Into<String>) -> OpenStream {
        let open = self.node().send_stream_at(Destination::SdkText(to.into()));
        open.thread(self.new_thread_id())
    }
}

/// A question to be asked; await it to send it and get the [`AnswerStream`].
///
/// # Errors
/// When awaited, [`SdkError`]: the question could not be sent. What goes wrong later is an item of the stream.
#[derive(Debug)]
#[must_use = "await it to ask"]
pub struct AskStream {
    sdk: AgentSdk,
    request: StreamRequest,
    follows: Option<Parent>,
}

impl AskStream {
    /// In a conversation: follows its last message, and the end of its answer becomes it.
    pub(crate) fn following(mut self, parent: Parent) -> Self {
        self.follows = Some(parent);
        self
    }

    message_options!(request.options);

    /// How long to wait for the answer to begin. Default 60 s, or what the builder sets.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request = self.request.timeout(timeout);
        self
    }

    /// How long to wait for each further piece. Default 30 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.request = self.request.idle_timeout(timeout);
        self
    }

    async fn run(mut self) -> Result<AnswerStream, SdkError> {
        let options = &mut self.request.options;
        options.thread_id.get_or_insert_with(|| self.sdk.new_thread_id());
        if let Some(parent) = &self.follows {
            options.parent_message_id = options.parent_message_id.take().or_else(|| parent.get());
        }
        let parent_message_id = options.parent_message_id.clone();
        Ok(AnswerStream {
            pieces: self.request.await?,
            parent_message_id,
            follows: self.follows,
        })
    }
}

impl IntoFuture for AskStream {
    type Output = Result<AnswerStream, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The pieces of an answer, in order, each once. It ends after the first error.
///
/// Dropped before its end, it tells the other side, which then stops.
#[derive(Debug)]
pub struct AnswerStream {
    pieces: ReplyStream,
    parent_message_id: Option<String>,
    follows: Option<Parent>,
}

impl AnswerStream {
    /// The text of all pieces so far.
    #[must_use]
    pub fn text_so_far(&self) -> &str {
        self.pieces.text_so_far()
    }

    /// Reads to the end and gives the whole text, also that of pieces which were read before.
    ///
    /// # Errors
    /// [`SdkError`], also one that was an item of the stream before.
    pub async fn text(self) -> Result<String, SdkError> {
        Ok(self.finish().await?.text.unwrap_or_default())
    }

    /// Reads to the end and gives the whole: `text` of all pieces, and as `data` the result in the end.
    ///
    /// # Errors
    /// [`SdkError`], also one that was an item of the stream before.
    pub async fn finish(self) -> Result<SdkResult, SdkError> {
        let sent = self.pieces.request().clone();
        let whole = self.pieces.finish().await?;
        if let Some(error) = SdkError::reported(&whole.message) {
            return Err(error);
        }
        let (thread_id, trace_id) = (sent.thread_id, Some(sent.trace_id));
        let mut result = SdkResult::answered(&whole.message, thread_id, self.parent_message_id, trace_id);
        result.text = Some(whole.text).filter(|text| !text.is_empty());
        result.data = whole.result;
        if let Some(parent) = &self.follows {
            parent.set(Some(result.message_id.clone()));
        }
        Ok(result)
    }
}

impl Stream for AnswerStream {
    type Item = Result<Delta, SdkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.pieces.poll_next_unpin(context);
        polled.map(|item| item.map(|piece| piece.map_err(SdkError::from)))
    }
}

impl From<StreamError> for SdkError {
    /// A failure of the sender by its code; a missing reply as for an ask.
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Send(error) => error.into(),
            StreamError::Failed { code, detail } => Self::failed(code, detail),
            StreamError::NoResponders { subject } => Self::Request(RequestError::NoResponders { subject }),
            StreamError::Timeout { message_id, timeout } => {
                Self::Request(RequestError::Timeout { message_id, timeout })
            }
            error => Self::Stream(error),
        }
    }
}
