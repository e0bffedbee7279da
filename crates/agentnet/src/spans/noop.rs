//! No spans.

use std::fmt::Display;

use agentnet_protocol::Envelope;
use async_nats::{HeaderMap, Message};
use tracing::Span;

#[derive(Debug, Clone, Default)]
pub(crate) struct Origin(());

impl Origin {
    pub(crate) fn of(_: &Message) -> Self {
        Self(())
    }
}

pub(crate) fn send() -> Span {
    Span::none()
}

pub(crate) fn request() -> Span {
    Span::none()
}

pub(crate) fn reply() -> Span {
    Span::none()
}

pub(crate) fn process(_: &Envelope, _: &Origin) -> Span {
    Span::none()
}

pub(crate) fn receive(_: &Envelope, _: &Origin) -> Span {
    Span::none()
}

pub(crate) fn describe(_: &Span, _: &str, _: &Envelope) {}

pub(crate) fn failed(_: &Span, _: impl Display) {}

pub(crate) fn headers() -> Option<HeaderMap> {
    None
}
