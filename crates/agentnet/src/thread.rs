//! A conversation in one thread (PROTOCOL.md section 17, `ThreadSession`).

use std::sync::Arc;

use agentnet_protocol::blob::BlobRef;
use agentnet_protocol::rpc::{ThreadMessagesRequest, ThreadStatusReply};

use crate::message_options::IntoPayload;
use crate::sdk::parent::Parent;
use crate::sdk::{AgentSdk, Ask, AskStream, Query, SdkError, Tell, TellFrame};
use crate::stream::OpenStream;

/// Sends and asks in one thread, each naming the message before it as its parent: the message that was sent last, or the
/// answer that came last.
///
/// Cloning gives another handle to the same conversation. Where several calls of it run at the same time, the last one that
/// ends is the next one's parent.
///
/// ```no_run
/// # async fn run(sdk: agentnet::AgentSdk) -> Result<(), agentnet::SdkError> {
/// let thread = sdk.thread("ops_1");
/// let draft = thread.ask_text("@writer", "Draft the report").await?;
/// thread.send_text("@reviewer", draft.text.unwrap_or_default()).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ThreadSession {
    sdk: AgentSdk,
    thread_id: Arc<str>,
    parent: Parent,
}

impl AgentSdk {
    /// A conversation in one thread: its sends and asks carry the thread and the message before as their parent.
    #[must_use]
    pub fn thread(&self, thread_id: impl Into<String>) -> ThreadSession {
        ThreadSession::new(self.clone(), thread_id.into())
    }
}

impl ThreadSession {
    pub(crate) fn new(sdk: AgentSdk, thread_id: String) -> Self {
        Self {
            sdk,
            thread_id: thread_id.into(),
            parent: Parent::default(),
        }
    }

    /// The same conversation, going on after this message.
    #[must_use]
    pub fn after(self, message_id: impl Into<String>) -> Self {
        self.set_parent(Some(message_id.into()));
        self
    }

    /// The id of the thread.
    #[must_use]
    pub fn thread_id(&self) -> &str {
        &self.thread_id
    }

    /// The message that the next one follows.
    #[must_use]
    pub fn parent(&self) -> Option<String> {
        self.parent.get()
    }

    /// Sets the parent of the next message; `None` for none.
    pub fn set_parent(&self, message_id: Option<String>) {
        self.parent.set(message_id);
    }

    /// Sends `{"text": text}`.
    pub fn send_text(&self, to: impl Into<String>, text: impl Into<String>) -> Tell {
        self.tell(self.sdk.send_text(to, text))
    }

    /// Sends any JSON.
    pub fn send_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Tell {
        self.tell(self.sdk.send_json(to, payload))
    }

    /// Sends `{"text": text}` as a request and waits for the answer.
    pub fn ask_text(&self, to: impl Into<String>, text: impl Into<String>) -> Ask {
        self.ask(self.sdk.ask_text(to, text))
    }

    /// Sends any JSON as a request and waits for the answer.
    pub fn ask_json(&self, to: impl Into<String>, payload: impl IntoPayload) -> Ask {
        self.ask(self.sdk.ask_json(to, payload))
    }

    /// Asks `{"text": text}` and reads the answer piece by piece. Read to its end with
    /// [`finish`](crate::AnswerStream::finish), it becomes the next message's parent.
    pub fn ask_stream(&self, to: impl Into<String>, text: impl Into<String>) -> AskStream {
        let ask = self.sdk.ask_stream(to, text);
        ask.thread(&*self.thread_id).following(self.parent.clone())
    }

    /// Opens a stream to an inbox, whose messages follow the last one.
    pub fn send_stream(&self, to: impl Into<String>) -> OpenStream {
        let open = self.sdk.send_stream(to).thread(&*self.thread_id);
        match self.parent() {
            Some(parent) => open.parent(parent),
            None => open,
        }
    }

    /// Sends the start of a stream, see [`AgentSdk::send_stream_start`].
    pub fn send_stream_start(&self, to: impl Into<String>, stream_id: impl Into<String>) -> TellFrame {
        self.frame(self.sdk.send_stream_start(to, stream_id))
    }

    /// Sends a piece of text, see [`AgentSdk::send_stream_delta`].
    pub fn send_stream_delta(
        &self,
        to: impl Into<String>,
        stream_id: impl Into<String>,
        delta: impl Into<String>,
        seq: u64,
    ) -> TellFrame {
        self.frame(self.sdk.send_stream_delta(to, stream_id, delta, seq))
    }

    /// Sends the end of a stream, see [`AgentSdk::send_stream_end`].
    pub fn send_stream_end(&self, to: impl Into<String>, stream_id: impl Into<String>, seq: u64) -> TellFrame {
        self.frame(self.sdk.send_stream_end(to, stream_id, seq))
    }

    /// Sends the error that ends a stream, see [`AgentSdk::send_stream_error`].
    pub fn send_stream_error(
        &self,
        to: impl Into<String>,
        stream_id: impl Into<String>,
        error: impl Into<String>,
        seq: u64,
    ) -> TellFrame {
        self.frame(self.sdk.send_stream_error(to, stream_id, error, seq))
    }

    /// Sends a reference to a blob, see [`AgentSdk::send_blob_ref`].
    pub fn send_blob_ref(&self, to: impl Into<String>, blob: &BlobRef) -> Tell {
        self.tell(self.sdk.send_blob_ref(to, blob))
    }

    /// The thread's messages, newest first.
    pub fn messages(&self) -> Query<ThreadMessagesRequest> {
        self.sdk.thread_messages(&*self.thread_id)
    }

    /// The thread's counters.
    ///
    /// # Errors
    /// [`SdkError::Registry`], `not_found` among them.
    pub async fn status(&self) -> Result<ThreadStatusReply, SdkError> {
        self.sdk.thread_status(&self.thread_id).await
    }

    fn tell(&self, tell: Tell) -> Tell {
        tell.thread(&*self.thread_id).following(self.parent.clone())
    }

    fn frame(&self, frame: TellFrame) -> TellFrame {
        frame.thread(&*self.thread_id).following(self.parent.clone())
    }

    fn ask(&self, ask: Ask) -> Ask {
        ask.thread(&*self.thread_id).following(self.parent.clone())
    }
}
