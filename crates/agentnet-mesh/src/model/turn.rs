//! Puts the pieces of an answer together.

use std::collections::BTreeMap;

use futures::StreamExt;

use crate::model::{
    AssistantTurn, ChatEvent, ChatStream, ModelError, ModelErrorKind, StopReason, TokenUsage, ToolCall,
};

/// Builds an answer from its pieces as they come. What it holds is bounded by what a stream may have.
#[derive(Debug, Clone, Default)]
pub struct TurnBuilder {
    text: String,
    calls: BTreeMap<usize, ToolCall>,
    blocks: Vec<serde_json::Value>,
    usage: TokenUsage,
    stop: Option<StopReason>,
}

impl TurnBuilder {
    /// A builder without pieces.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece.
    pub fn push(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Started { .. } | ChatEvent::Reasoning(_) => {}
            ChatEvent::Text(text) => self.text.push_str(text),
            ChatEvent::ToolCallStart { index, id, name } => {
                let call = self.calls.entry(*index).or_default();
                call.id.clone_from(id);
                call.name.clone_from(name);
            }
            ChatEvent::ToolCallArguments { index, fragment } => {
                self.calls.entry(*index).or_default().arguments.push_str(fragment);
            }
            ChatEvent::Block(block) => self.blocks.push(block.clone()),
            ChatEvent::Usage(usage) => self.usage = *usage,
            ChatEvent::Stop(reason) => self.stop = Some(reason.clone()),
        }
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Tokens so far; zero where the provider does not tell.
    #[must_use]
    pub fn usage(&self) -> TokenUsage {
        self.usage
    }

    /// Why the answer ended; `None` while it has not.
    #[must_use]
    pub fn stop(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    /// The answer so far, its tokens, and why it ended; `None` where it has not.
    #[must_use]
    pub fn finish(self) -> (AssistantTurn, TokenUsage, Option<StopReason>) {
        let tool_calls = self.calls.into_values().collect();
        (
            AssistantTurn {
                text: self.text,
                tool_calls,
                blocks: self.blocks,
            },
            self.usage,
            self.stop,
        )
    }
}

/// Reads a whole answer.
///
/// # Errors
/// The error of the stream, or [`ModelErrorKind::Malformed`] where the stream ends before the answer does.
pub async fn collect(mut stream: ChatStream) -> Result<(AssistantTurn, TokenUsage, StopReason), ModelError> {
    let mut builder = TurnBuilder::new();
    while let Some(event) = stream.next().await {
        builder.push(&event?);
    }
    match builder.finish() {
        (turn, usage, Some(stop)) => Ok((turn, usage, stop)),
        _ => Err(ModelError::new(
            ModelErrorKind::Malformed,
            "the stream ended before the answer did",
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use serde_json::json;

    use super::collect;
    use crate::model::{ChatEvent, ModelErrorKind, StopReason, TokenUsage, ToolCall};

    #[tokio::test]
    async fn an_answer_is_put_together() {
        let usage = TokenUsage {
            input: 7,
            output: 5,
            cached_input: 0,
        };
        let events = vec![
            ChatEvent::Started {
                id: "1".into(),
                model: "m".into(),
            },
            ChatEvent::Reasoning("hm".into()),
            ChatEvent::Text("Let ".into()),
            ChatEvent::Text("me see.".into()),
            ChatEvent::Usage(TokenUsage {
                input: 7,
                output: 1,
                cached_input: 0,
            }),
            ChatEvent::ToolCallStart {
                index: 0,
                id: "a".into(),
                name: "ask".into(),
            },
            ChatEvent::ToolCallStart {
                index: 1,
                id: "b".into(),
                name: "send".into(),
            },
            ChatEvent::ToolCallArguments {
                index: 1,
                fragment: "{\"x\"".into(),
            },
            ChatEvent::ToolCallArguments {
                index: 0,
                fragment: "{}".into(),
            },
            ChatEvent::ToolCallArguments {
                index: 1,
                fragment: ":1}".into(),
            },
            ChatEvent::Block(json!({"type": "thinking"})),
            ChatEvent::Usage(usage),
            ChatEvent::Stop(StopReason::ToolCalls),
        ];
        let (turn, used, stop) = collect(stream::iter(events.into_iter().map(Ok)).boxed()).await.unwrap();
        assert_eq!(
            (turn.text.as_str(), used, stop),
            ("Let me see.", usage, StopReason::ToolCalls)
        );
        assert_eq!(turn.blocks, [json!({"type": "thinking"})]);
        let expected = [("a", "ask", "{}"), ("b", "send", "{\"x\":1}")];
        let expected = expected.map(|(id, name, arguments)| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        });
        assert_eq!(turn.tool_calls, expected);
    }

    #[tokio::test]
    async fn an_answer_without_its_end_is_an_error() {
        let events = [Ok(ChatEvent::Text("a".into()))];
        let error = collect(stream::iter(events).boxed()).await.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Malformed);
    }
}
