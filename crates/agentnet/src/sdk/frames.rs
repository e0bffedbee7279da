//! The frames of a stream one by one, as the SDK of the Python implementation sends them (docs/STREAMING_PROTOCOL.md, the open form).

use std::future::IntoFuture;
use std::time::Duration;

use agentnet_protocol::envelope::kind;
use agentnet_protocol::stream::{StreamFrame, StreamPart};
use agentnet_protocol::{RawJson, Text};
use futures::future::BoxFuture;

use super::parent::Parent;
use super::{AgentSdk, SdkError, SdkResult, Tell};
use crate::deliver::Until;
use crate::error::SendError;
use crate::ids;
use crate::message_options::{IntoPayload, message_options};

impl AgentSdk {
    /// Sends the start of a stream to an inbox; the caller numbers its pieces, from 0 or 1.
    ///
    /// [`AgentSdk::send_stream`] numbers, orders and ends a stream by itself; these four calls are for programs that keep
    /// their own count, as those of the Python implementation do. None of them waits for a receipt by default; see
    /// [`until`](TellFrame::until).
    pub fn send_stream_start(&self, to: impl Into<String>, stream_id: impl Into<String>) -> TellFrame {
        let part = StreamPart::Start {
            numbered: false,
            started_at: Some(now()),
            metadata: None,
        };
        TellFrame::new(self.clone(), to.into(), stream_id.into(), 0, part)
    }

    /// Sends a piece of text.
    pub fn send_stream_delta(
        &self,
        to: impl Into<String>,
        stream_id: impl Into<String>,
        delta: impl Into<String>,
        seq: u64,
    ) -> TellFrame {
        let delta = RawJson::from(serde_json::Value::String(delta.into()));
        TellFrame::new(
            self.clone(),
            to.into(),
            stream_id.into(),
            seq,
            StreamPart::Delta { delta },
        )
    }

    /// Sends the end; its [`text`](TellFrame::text) is the whole text, whatever the pieces contain.
    pub fn send_stream_end(&self, to: impl Into<String>, stream_id: impl Into<String>, seq: u64) -> TellFrame {
        let part = StreamPart::End {
            text: None,
            result: None,
            finished_at: Some(now()),
            metadata: None,
        };
        TellFrame::new(self.clone(), to.into(), stream_id.into(), seq, part)
    }

    /// Sends the error that ends a stream.
    pub fn send_stream_error(
        &self,
        to: impl Into<String>,
        stream_id: impl Into<String>,
        error: impl Into<String>,
        seq: u64,
    ) -> TellFrame {
        let part = StreamPart::Error {
            error: error.into(),
            detail: None,
            finished_at: Some(now()),
            metadata: None,
        };
        TellFrame::new(self.clone(), to.into(), stream_id.into(), seq, part)
    }
}

/// One frame of a stream to be sent; await it to send it, see [`AgentSdk::send_stream_start`]. Its result has the payload as
/// `data`.
///
/// # Errors
/// When awaited, [`SdkError`].
#[derive(Debug)]
#[must_use = "await it to send the frame"]
pub struct TellFrame {
    tell: Tell,
    frame: StreamFrame,
    metadata: Option<Result<RawJson, SendError>>,
}

impl TellFrame {
    fn new(sdk: AgentSdk, to: String, stream_id: String, seq: u64, part: StreamPart) -> Self {
        let tell = Tell::new(sdk, to, serde_json::Value::Null)
            .without_ack()
            .kind(kind::STREAM);
        Self {
            tell,
            frame: StreamFrame::new(stream_id.trim(), seq, part),
            metadata: None,
        }
    }

    /// In a conversation: follows its last message, and becomes it.
    pub(crate) fn following(mut self, parent: Parent) -> Self {
        self.tell = self.tell.following(parent);
        self
    }

    message_options!(tell.send.options);

    /// Who speaks. Default `assistant`.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.frame.role = Text::from(role.into());
        self
    }

    /// What the pieces are. Default `text/plain`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.frame.content_type = Text::from(content_type.into());
        self
    }

    /// About the stream: a JSON object. A piece has none.
    pub fn metadata(mut self, metadata: impl IntoPayload) -> Self {
        self.metadata = Some(metadata.into_payload());
        self
    }

    /// The whole text, which the end of a stream gives; other frames have none.
    pub fn text(mut self, whole: impl Into<String>) -> Self {
        if let StreamPart::End { text, .. } = &mut self.frame.part {
            *text = Some(Text::from(whole.into()));
        }
        self
    }

    /// How far to wait for the message, see [`SendMessage::until`](crate::SendMessage::until). Default [`Until::Published`].
    pub fn until(mut self, until: Until) -> Self {
        self.tell = self.tell.until(until);
        self
    }

    /// How often to repeat when no receipt comes, see [`SendMessage::retry_attempts`](crate::SendMessage::retry_attempts).
    pub fn retry_attempts(mut self, attempts: u32) -> Self {
        self.tell = self.tell.retry_attempts(attempts);
        self
    }

    /// How long to wait for each receipt, see [`SendMessage::receipt_timeout`](crate::SendMessage::receipt_timeout).
    pub fn receipt_timeout(mut self, timeout: Duration) -> Self {
        self.tell = self.tell.receipt_timeout(timeout);
        self
    }

    async fn run(mut self) -> Result<SdkResult, SdkError> {
        if let Some(given) = self.metadata {
            let given = given?;
            match &mut self.frame.part {
                StreamPart::Start { metadata, .. }
                | StreamPart::End { metadata, .. }
                | StreamPart::Error { metadata, .. } => *metadata = Some(given),
                StreamPart::Delta { .. } => {}
            }
        }
        let payload = self.frame.to_payload();
        // What a reader would refuse is refused here.
        StreamFrame::parse(&payload.view()).map_err(|why| SendError::Payload(why.to_string()))?;
        self.tell.send.set_payload(payload.clone());
        let mut result = self.tell.await?;
        result.data = Some(payload);
        Ok(result)
    }
}

impl IntoFuture for TellFrame {
    type Output = Result<SdkResult, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn now() -> Text {
    Text::from(ids::now().to_string())
}
