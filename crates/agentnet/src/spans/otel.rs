//! Spans by `tracing`, their context by OpenTelemetry. Names of fields are OpenTelemetry's for messaging.

use std::fmt::Display;
use std::str::FromStr as _;

use agentnet_protocol::Envelope;
use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Message, Subject};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, global};
use tracing::{Level, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target that distinguishes the spans from everything else that is logged.
const TARGET: &str = "agentnet::spans";

/// Where a received message comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    subject: Option<Subject>,
    /// The sender's span, if the message names one.
    context: Option<Context>,
}

impl Origin {
    /// Reads it from a message; empty without a subscriber for spans.
    pub(crate) fn of(message: &Message) -> Self {
        if !tracing::span_enabled!(target: TARGET, Level::INFO) {
            return Self::default();
        }
        let context = message.headers.as_ref().map(|headers| {
            global::get_text_map_propagator(|propagator| {
                propagator.extract_with_context(&Context::new(), &Reader(headers))
            })
        });
        Self {
            subject: Some(message.subject.clone()),
            context: context.filter(has_span),
        }
    }
}

fn has_span(context: &Context) -> bool {
    context.span().span_context().is_valid()
}

macro_rules! span {
    ($kind:literal, $operation:literal, $type:literal) => {
        tracing::info_span!(
            target: TARGET,
            $operation,
            otel.kind = $kind,
            otel.status_code = field::Empty,
            otel.status_description = field::Empty,
            messaging.system = "nats",
            messaging.operation.name = $operation,
            messaging.operation.type = $type,
            messaging.destination.name = field::Empty,
            messaging.message.id = field::Empty,
            messaging.message.conversation_id = field::Empty,
            messaging.message.body.size = field::Empty,
            agentnet.kind = field::Empty,
            agentnet.from_account_id = field::Empty,
            agentnet.to_account_id = field::Empty,
        )
    };
}

/// A message on its way, until it is acknowledged as far as the sender waits.
pub(crate) fn send() -> Span {
    span!("producer", "send", "send")
}

/// A request, until its reply is there.
pub(crate) fn request() -> Span {
    span!("client", "request", "send")
}

/// A reply to a message.
pub(crate) fn reply() -> Span {
    span!("producer", "reply", "send")
}

/// The handling of a message, or its refusal: a child of the span that it comes from.
pub(crate) fn process(message: &Envelope, origin: &Origin) -> Span {
    received(span!("consumer", "process", "process"), message, origin)
}

/// The arrival of a reply, a child of the span that it comes from.
pub(crate) fn receive(message: &Envelope, origin: &Origin) -> Span {
    received(span!("consumer", "receive", "receive"), message, origin)
}

fn received(span: Span, message: &Envelope, origin: &Origin) -> Span {
    if let Some(context) = &origin.context {
        // Fails where nothing keeps OpenTelemetry's spans: then there is nothing to be a child.
        let _ = span.set_parent(context.clone());
    }
    describe(&span, origin.subject.as_deref().unwrap_or_default(), message);
    span
}

/// Records the message of a span, once it is known.
pub(crate) fn describe(span: &Span, subject: &str, message: &Envelope) {
    if span.is_disabled() {
        return;
    }
    span.record("messaging.destination.name", subject);
    span.record("messaging.message.id", &*message.message_id);
    span.record("messaging.message.body.size", message.payload.get().len());
    span.record("agentnet.kind", &*message.kind);
    for (name, value) in [
        ("messaging.message.conversation_id", &message.thread_id),
        ("agentnet.from_account_id", &message.from_account_id),
        ("agentnet.to_account_id", &message.to_account_id),
    ] {
        if let Some(value) = value {
            span.record(name, &**value);
        }
    }
}

/// Records that the operation of a span has failed.
pub(crate) fn failed(span: &Span, why: impl Display) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", field::display(why));
    }
}

/// The headers that tell the current span to a receiver, if there is one to tell of: ours, or whatever other span the
/// program is in.
pub(crate) fn headers() -> Option<HeaderMap> {
    let span = Span::current();
    let ours = (!span.is_disabled()).then(|| span.context()).filter(has_span);
    let context = ours.or_else(|| Context::map_current(|context| has_span(context).then(|| context.clone())))?;
    let mut headers = HeaderMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Writer(&mut headers)));
    (!headers.is_empty()).then_some(headers)
}

struct Writer<'a>(&'a mut HeaderMap);

impl Injector for Writer<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` is as good as none, and what cannot be a header is left out.
        if let (false, Ok(name), Ok(value)) = (
            value.is_empty(),
            HeaderName::from_str(key),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}

struct Reader<'a>(&'a HeaderMap);

impl Extractor for Reader<'_> {
    /// Names of NATS headers keep their case, those of W3C's have none.
    fn get(&self, key: &str) -> Option<&str> {
        let (_, values) = self
            .0
            .iter()
            .find(|(name, _)| AsRef::<str>::as_ref(*name).eq_ignore_ascii_case(key))?;
        values.first().map(HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests;
