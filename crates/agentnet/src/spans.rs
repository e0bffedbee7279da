//! The journey of a message as a trace, and its context on the wire: W3C `traceparent` as a NATS header.
//!
//! A send, request or reply has a span; the header tells it to the receiver, whose span of the handling becomes its child.
//! Whatever the handler sends belongs to that one, so that sender, receiver and reply are one trace. The header is written
//! only where there is a span with a valid context and a propagator (`opentelemetry::global::set_text_map_propagator`):
//! without them the wire stays as it is. Peers that know nothing of it ignore it, and the history keeps no headers.
//!
//! Without the feature `otel` there are no spans, and nothing is read or written.

#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
pub(crate) use otel::{Origin, describe, failed, headers, process, receive, reply, request, send};

#[cfg(not(feature = "otel"))]
mod noop;
#[cfg(not(feature = "otel"))]
pub(crate) use noop::{Origin, describe, failed, headers, process, receive, reply, request, send};

use std::fmt::Display;

use futures::future::BoxFuture;
use tracing::{Instrument as _, Span};

/// The work within its span, which records a failure. Without a subscriber for spans, the work alone.
pub(crate) fn within<T, E: Display>(
    span: Span,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> BoxFuture<'static, Result<T, E>> {
    if span.is_disabled() {
        return Box::pin(work);
    }
    Box::pin(async move {
        let outcome = work.instrument(span.clone()).await;
        if let Err(error) = &outcome {
            failed(&span, error);
        }
        outcome
    })
}
