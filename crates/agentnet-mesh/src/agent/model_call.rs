//! One call of a model: the budget before it, the pieces as they come, the tokens after it.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::AgentParts;
use super::failure::CallFailure;
use super::reply_sink::ReplySink;
use super::spans;
use crate::memory::estimate;
use crate::model::{
    AssistantTurn, ChatEvent, ChatMessage, ChatRequest, ModelChain, ModelError, ModelErrorKind, StopReason, TokenUsage,
    TurnBuilder,
};
use crate::usage::{BudgetExceeded, UsageRecord};

/// Calls that are made again because the answer broke off in the middle, while nothing of it was passed on.
const MAX_BROKEN_RETRIES: u32 = 2;
/// The longest pause before the first of them; it doubles.
const BROKEN_RETRY_DELAY: Duration = Duration::from_millis(500);

/// What the calls for one message have used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spent {
    /// Tokens of all calls.
    pub(super) tokens: TokenUsage,
    /// Dollars; absent while no model had a price.
    pub(super) usd: Option<f64>,
}

impl Spent {
    fn add(&mut self, tokens: TokenUsage, usd: Option<f64>) {
        self.tokens.input = self.tokens.input.saturating_add(tokens.input);
        self.tokens.output = self.tokens.output.saturating_add(tokens.output);
        self.tokens.cached_input = self.tokens.cached_input.saturating_add(tokens.cached_input);
        self.usd = match (self.usd, usd) {
            (None, None) => None,
            (sum, more) => Some(sum.unwrap_or_default() + more.unwrap_or_default()),
        };
    }

    fn total(&self) -> u64 {
        self.tokens.input.saturating_add(self.tokens.output)
    }
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelAnswer {
    /// Text and tool calls of the answer.
    pub(super) turn: AssistantTurn,
    /// Why it ended.
    pub(super) stop: StopReason,
    /// The model, as in the configuration.
    pub(super) model: String,
}

/// Calls models for one message.
pub(super) struct ModelCaller<'a> {
    pub(super) parts: &'a AgentParts,
    pub(super) models: &'a ModelChain,
    pub(super) thread_id: &'a str,
    /// When the answer must be there.
    pub(super) deadline: Instant,
}

impl ModelCaller<'_> {
    /// Asks the model; pieces of text go to `sink` as they come. An answer that breaks off is asked for again, unless a
    /// piece of it was passed on.
    pub(super) async fn call(
        &self,
        request: &ChatRequest,
        spent: &mut Spent,
        sink: &mut ReplySink,
    ) -> Result<ModelAnswer, CallFailure> {
        let passed_on = sink.passed_on();
        let mut retries = 0;
        loop {
            self.check_budget(request, spent)?;
            let model = self.first_model().1;
            let span = spans::model_call(&self.parts.config.name, model, self.thread_id);
            let attempt = self.attempt(request, spent, sink, &span).instrument(span.clone()).await;
            let failure = match attempt {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_broken = matches!(&failure, AttemptFailure::Broken(error) if error.kind.is_transient());
            let delay = BROKEN_RETRY_DELAY * 2_u32.pow(retries);
            let is_late = Instant::now() + delay >= self.deadline;
            if !is_broken || is_late || retries == MAX_BROKEN_RETRIES || sink.passed_on() > passed_on {
                return Err(failure.into_call_failure(self.deadline));
            }
            retries += 1;
            sink.during(tokio::time::sleep(delay.mul_f64(rand::random::<f64>())))
                .await?;
        }
    }

    /// Whether the call may be made: by what is used, and by the estimate of what it reads.
    fn check_budget(&self, request: &ChatRequest, spent: &Spent) -> Result<(), BudgetExceeded> {
        let config = &self.parts.config;
        let used = spent.total();
        self.parts.ledger.check(config, used)?;
        let needed = estimate_request(request);
        match config.limits.tokens_per_request {
            Some(limit) if used.saturating_add(needed) > limit => Err(BudgetExceeded(format!(
                "tokens_per_request of {}: {used} of {limit} tokens are used for this message, and the next call reads about \
                 {needed}",
                config.key
            ))),
            _ => Ok(()),
        }
    }

    async fn attempt(
        &self,
        request: &ChatRequest,
        spent: &mut Spent,
        sink: &mut ReplySink,
        span: &tracing::Span,
    ) -> Result<ModelAnswer, AttemptFailure> {
        let started = Instant::now();
        let mut answer = match sink.during(self.models.stream(request, self.deadline)).await? {
            Ok(answer) => answer,
            Err(error) => {
                let (provider, model) = self.first_model();
                self.failed(provider, model, &error, started, span);
                return Err(AttemptFailure::NotBegun(error));
            }
        };
        spans::answered_by(span, &answer.provider, &answer.model);
        let mut meter = Meter {
            caller: self,
            provider: answer.provider.clone(),
            model: answer.model.clone(),
            input_estimate: estimate_request(request),
            output_estimate: 0,
            reported: TokenUsage::default(),
            is_recorded: false,
        };
        let mut builder = TurnBuilder::new();
        let outcome = loop {
            match sink.during(timeout_at(self.deadline, answer.stream.next())).await? {
                Err(_) => {
                    break Err(ModelError::new(
                        ModelErrorKind::Timeout,
                        "the time for the answer is used up",
                    ));
                }
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(error),
                Ok(Some(Ok(event))) => {
                    meter.observe(&event);
                    if let ChatEvent::Text(text) = &event {
                        sink.text(text).await?;
                    }
                    builder.push(&event);
                }
            }
        };
        let (tokens, usd) = meter.record();
        spent.add(tokens, usd);
        spans::used(span, tokens);
        let (turn, _, stop) = builder.finish();
        let outcome = outcome.and_then(|()| {
            stop.ok_or_else(|| ModelError::new(ModelErrorKind::Malformed, "the stream ended before the answer did"))
        });
        match outcome {
            Ok(stop) => {
                spans::ended(span, &stop);
                let metrics = &self.parts.metrics;
                metrics.record_model_call(&answer.provider, &answer.model, "ok", started.elapsed());
                Ok(ModelAnswer {
                    turn,
                    stop,
                    model: answer.model,
                })
            }
            Err(error) => {
                self.failed(&answer.provider, &answer.model, &error, started, span);
                Err(AttemptFailure::Broken(error))
            }
        }
    }

    fn failed(&self, provider: &str, model: &str, error: &ModelError, started: Instant, span: &tracing::Span) {
        let kind = kind_name(error.kind);
        self.parts
            .metrics
            .record_model_call(provider, model, kind, started.elapsed());
        spans::failed(span, kind, &error.message);
    }

    /// Provider and model that are asked first.
    fn first_model(&self) -> (&str, &str) {
        let first = self.models.models().first();
        first.map_or(("", ""), |first| {
            (first.config.provider.as_str(), first.config.name.as_str())
        })
    }
}

/// Why one attempt failed.
enum AttemptFailure {
    /// The model did not begin to answer; the chain has tried again already.
    NotBegun(ModelError),
    /// The answer broke off.
    Broken(ModelError),
    /// The streamed reply.
    Reply(agentnet::StreamError),
}

impl From<agentnet::StreamError> for AttemptFailure {
    fn from(error: agentnet::StreamError) -> Self {
        Self::Reply(error)
    }
}

impl AttemptFailure {
    fn into_call_failure(self, deadline: Instant) -> CallFailure {
        match self {
            Self::NotBegun(error) | Self::Broken(error)
                if error.kind == ModelErrorKind::Timeout && Instant::now() >= deadline =>
            {
                CallFailure::Deadline
            }
            Self::NotBegun(error) | Self::Broken(error) => CallFailure::Model(error),
            Self::Reply(error) => CallFailure::Reply(error),
        }
    }
}

/// Counts the tokens of one answer, and records them when it ends: also when it is dropped, because the provider
/// charges for it.
struct Meter<'a> {
    caller: &'a ModelCaller<'a>,
    provider: String,
    model: String,
    input_estimate: u64,
    output_estimate: u64,
    /// What the provider said last.
    reported: TokenUsage,
    is_recorded: bool,
}

impl Meter<'_> {
    fn observe(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text(text)
            | ChatEvent::Reasoning(text)
            | ChatEvent::ToolCallArguments { fragment: text, .. } => {
                self.output_estimate += estimate::tokens(text);
            }
            ChatEvent::Usage(usage) => self.reported = *usage,
            _ => {}
        }
    }

    fn record(&mut self) -> (TokenUsage, Option<f64>) {
        self.is_recorded = true;
        let mut tokens = self.reported;
        if tokens.input == 0 {
            tokens.input = self.input_estimate;
        }
        if tokens.output == 0 {
            tokens.output = self.output_estimate;
        }
        let parts = self.caller.parts;
        let usd = parts.ledger.record(UsageRecord {
            at: String::new(),
            agent: parts.config.key.clone(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            thread_id: self.caller.thread_id.to_owned(),
            input: tokens.input,
            output: tokens.output,
            cached_input: tokens.cached_input,
            usd: None,
        });
        parts.metrics.record_tokens(&parts.config.key, &self.model, tokens, usd);
        (tokens, usd)
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.record();
        }
    }
}

/// Estimated tokens that a model reads for a request.
pub(super) fn estimate_request(request: &ChatRequest) -> u64 {
    let of_call = |name: &str, arguments: &str| estimate::tokens(name) + estimate::tokens(arguments);
    let messages = request.messages.iter().map(|message| match message {
        ChatMessage::User(text) => estimate::tokens(text),
        ChatMessage::Assistant(turn) => {
            let calls = turn.tool_calls.iter().map(|call| of_call(&call.name, &call.arguments));
            estimate::tokens(&turn.text) + calls.sum::<u64>()
        }
        ChatMessage::ToolResults(results) => results.iter().map(|result| estimate::tokens(&result.content)).sum(),
    });
    let tools = request
        .tools
        .iter()
        .map(|tool| of_call(&tool.name, &tool.description) + estimate::tokens(&tool.parameters.to_string()));
    estimate::tokens(&request.system) + messages.sum::<u64>() + tools.sum::<u64>()
}

fn kind_name(kind: ModelErrorKind) -> &'static str {
    match kind {
        ModelErrorKind::Connect => "connect",
        ModelErrorKind::Timeout => "timeout",
        ModelErrorKind::RateLimited => "rate_limited",
        ModelErrorKind::Server => "server",
        ModelErrorKind::Malformed => "malformed",
        ModelErrorKind::Auth => "auth",
        ModelErrorKind::InvalidRequest => "invalid_request",
        ModelErrorKind::ContextOverflow => "context_overflow",
        ModelErrorKind::Refused => "refused",
    }
}
