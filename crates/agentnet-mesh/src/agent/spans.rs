//! Spans of model and tool calls, with the names of OpenTelemetry's conventions for generative AI. They are children of
//! the span of the message, so that a question and all that it caused are one trace.

use tracing::{Span, field};

use crate::model::{StopReason, TokenUsage};

/// The target of the spans that become OpenTelemetry's.
const TARGET: &str = "agentnet::spans";

/// The answering of one message.
pub(super) fn agent(name: &str, agent_id: &str, thread_id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "invoke_agent",
        otel.name = format!("invoke_agent {name}"),
        otel.kind = "internal",
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.agent.name = name,
        gen_ai.agent.id = agent_id,
        gen_ai.conversation.id = thread_id,
        error.type = field::Empty,
    )
}

/// One call of a model.
pub(super) fn model_call(agent: &str, model: &str, thread_id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "chat",
        otel.name = format!("chat {model}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        gen_ai.operation.name = "chat",
        gen_ai.agent.name = agent,
        gen_ai.conversation.id = thread_id,
        gen_ai.request.model = model,
        gen_ai.provider.name = field::Empty,
        gen_ai.response.model = field::Empty,
        gen_ai.response.finish_reasons = field::Empty,
        gen_ai.usage.input_tokens = field::Empty,
        gen_ai.usage.output_tokens = field::Empty,
        gen_ai.usage.cache_read.input_tokens = field::Empty,
        error.type = field::Empty,
    )
}

/// One call of a tool.
pub(super) fn tool_call(name: &str, call_id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "execute_tool",
        otel.name = format!("execute_tool {name}"),
        otel.kind = "internal",
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name,
        gen_ai.tool.call.id = call_id,
        error.type = field::Empty,
    )
}

/// Records who answers a call of a model.
pub(super) fn answered_by(span: &Span, provider: &str, model: &str) {
    span.record("gen_ai.provider.name", provider);
    span.record("gen_ai.response.model", model);
}

/// Records how an answer ended.
pub(super) fn ended(span: &Span, stop: &StopReason) {
    let reason = match stop {
        StopReason::End => "stop",
        StopReason::MaxTokens => "length",
        StopReason::ToolCalls => "tool_calls",
        StopReason::Refused => "content_filter",
        StopReason::Paused => "pause",
    };
    span.record("gen_ai.response.finish_reasons", reason);
}

/// Records the tokens of a call.
pub(super) fn used(span: &Span, tokens: TokenUsage) {
    span.record("gen_ai.usage.input_tokens", tokens.input);
    span.record("gen_ai.usage.output_tokens", tokens.output);
    span.record("gen_ai.usage.cache_read.input_tokens", tokens.cached_input);
}

/// Records a failure: a code from a fixed list, and what happened.
pub(super) fn failed(span: &Span, code: &str, detail: &str) {
    span.record("error.type", code);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", detail);
}
