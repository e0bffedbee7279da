//! A model that answers by a script and keeps what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet_mesh::model::{
    ChatEvent, ChatMessage, ChatModel, ChatRequest, ChatStream, ModelError, ModelErrorKind, StopReason, TokenUsage,
};
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;

/// What the model does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// Answers, in pieces.
    Text(Vec<&'static str>),
    /// Answers with a text that was made at run time.
    Owned(String),
    /// Calls tools: names and arguments.
    Call(Vec<(&'static str, String)>),
    /// Stops without a text.
    Nothing(StopReason),
    /// Fails before it begins.
    Fail(ModelErrorKind, Option<u16>),
    /// Breaks off after a text.
    Break(&'static str),
    /// Begins with a text, and never ends.
    Hang(&'static str),
}

type Script = dyn Fn(&ChatRequest, usize) -> Say + Send + Sync;

/// A scripted model.
pub(crate) struct ScriptedModel {
    script: Box<Script>,
    requests: Mutex<Vec<ChatRequest>>,
    open_streams: Arc<AtomicUsize>,
}

impl ScriptedModel {
    /// The script gets the request, and how many came before it.
    pub(crate) fn new(script: impl Fn(&ChatRequest, usize) -> Say + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            requests: Mutex::default(),
            open_streams: Arc::default(),
        })
    }

    /// Always the same text.
    pub(crate) fn saying(text: &'static str) -> Arc<Self> {
        Self::new(move |_, _| Say::Text(vec![text]))
    }

    /// One after the other; the last one stays.
    pub(crate) fn playing(turns: Vec<Say>) -> Arc<Self> {
        Self::new(move |_, number| turns[number.min(turns.len() - 1)].clone())
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<ChatRequest> {
        self.requests.lock().clone()
    }

    /// Answers that were begun and neither read to their end nor dropped.
    pub(crate) fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::SeqCst)
    }
}

struct OpenStream(Arc<AtomicUsize>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn usage() -> ChatEvent {
    ChatEvent::Usage(TokenUsage {
        input: 10,
        output: 2,
        cached_input: 4,
    })
}

#[async_trait]
impl ChatModel for ScriptedModel {
    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let number = {
            let mut requests = self.requests.lock();
            requests.push(request.clone());
            requests.len() - 1
        };
        let mut events = vec![Ok(ChatEvent::Started {
            id: number.to_string(),
            model: "scripted".into(),
        })];
        let mut hangs = false;
        let text = |text: &str| Ok(ChatEvent::Text(text.to_owned()));
        match (self.script)(request, number) {
            Say::Text(pieces) => {
                events.extend(pieces.into_iter().map(text));
                events.extend([Ok(usage()), Ok(ChatEvent::Stop(StopReason::End))]);
            }
            Say::Owned(whole) => events.extend([text(&whole), Ok(usage()), Ok(ChatEvent::Stop(StopReason::End))]),
            Say::Call(calls) => {
                for (index, (name, arguments)) in calls.into_iter().enumerate() {
                    let id = format!("call_{number}_{index}");
                    events.push(Ok(ChatEvent::ToolCallStart {
                        index,
                        id,
                        name: name.into(),
                    }));
                    events.push(Ok(ChatEvent::ToolCallArguments {
                        index,
                        fragment: arguments,
                    }));
                }
                events.extend([Ok(usage()), Ok(ChatEvent::Stop(StopReason::ToolCalls))]);
            }
            Say::Nothing(reason) => events.extend([Ok(usage()), Ok(ChatEvent::Stop(reason))]),
            Say::Fail(kind, status) => {
                let mut error = ModelError::new(kind, "scripted failure");
                error.status = status;
                return Err(error);
            }
            Say::Break(before) => {
                events.extend([
                    text(before),
                    Err(ModelError::new(ModelErrorKind::Connect, "broken off")),
                ]);
            }
            Say::Hang(before) => {
                if !before.is_empty() {
                    events.push(text(before));
                }
                hangs = true;
            }
        }
        self.open_streams.fetch_add(1, Ordering::SeqCst);
        let open = OpenStream(self.open_streams.clone());
        let events = stream::iter(events);
        let events = if hangs {
            events.chain(stream::pending()).boxed()
        } else {
            events.boxed()
        };
        let counted = events.inspect(move |_| {
            let _ = &open;
        });
        Ok(counted.boxed())
    }
}

/// The last message of a request, which must be the user's.
pub(crate) fn last_user(request: &ChatRequest) -> &str {
    match request.messages.last() {
        Some(ChatMessage::User(text)) => text,
        other => panic!("no question at the end: {other:?}"),
    }
}

/// The whole conversation of a request as one text.
pub(crate) fn transcript(request: &ChatRequest) -> String {
    let lines = request.messages.iter().map(|message| match message {
        ChatMessage::User(text) => format!("user: {text}"),
        ChatMessage::Assistant(turn) => format!("assistant: {}", turn.text),
        ChatMessage::ToolResults(results) => {
            let contents: Vec<&str> = results.iter().map(|result| &*result.content).collect();
            format!("tools: {}", contents.join(" "))
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
