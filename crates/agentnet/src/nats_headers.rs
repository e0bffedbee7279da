//! The headers and the status of a NATS message that only the server may set.

use agentnet_protocol::subject::is_server_header;
use async_nats::{HeaderMap, Message};

/// The name of the first header that only the server may set, at most 64 characters of it.
pub(crate) fn server_header(headers: &HeaderMap) -> Option<String> {
    let mut names = headers.iter().map(|(name, _)| name.to_string());
    names
        .find(|name| is_server_header(name))
        .map(|name| name.chars().take(64).collect())
}

/// What a message has that only the server may set: a header, or a status.
pub(crate) fn set_by_server(message: &Message) -> Option<String> {
    let header = message.headers.as_ref().and_then(server_header);
    let header = header.map(|name| format!("header {name:?}"));
    header.or_else(|| message.status.map(|status| format!("status {status}")))
}
