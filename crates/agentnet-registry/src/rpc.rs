//! The registry's requests, one function each: `(context, request) -> reply text or error` (PROTOCOL.md section 6).

mod lookup;
mod messages;
mod metrics;
mod presence;
mod profiles;
pub(crate) mod register;
mod rotate;
mod threads;

use std::sync::Arc;

use agentnet_protocol::rpc::{
    ListRequest, MessageSearchRequest, MetricsRequest, ProfileRequest, RegisterRequest, Request, ResolveAccountRequest,
    ResolveKeyRequest, RotateKeyRequest, RpcError, SearchRequest, ThreadListRequest, ThreadMessagesRequest,
    ThreadStatusRequest, decode_request,
};
use agentnet_store::StoreError;

use crate::context::Context;

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    Register,
    List,
    ResolveAccount,
    ResolveKey,
    RotateKey,
    Search,
    Profile,
    ThreadStatus,
    ThreadList,
    ThreadMessages,
    MessageSearch,
    Metrics,
}

impl Rpc {
    pub(crate) const ALL: [Self; 12] = [
        Self::Register,
        Self::List,
        Self::ResolveAccount,
        Self::ResolveKey,
        Self::RotateKey,
        Self::Search,
        Self::Profile,
        Self::ThreadStatus,
        Self::ThreadList,
        Self::ThreadMessages,
        Self::MessageSearch,
        Self::Metrics,
    ];

    /// The part of the subject behind `registry.`, and the metrics' name of its latency.
    pub(crate) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Register => (RegisterRequest::NAME, "handler.register"),
            Self::List => (ListRequest::NAME, "handler.list"),
            Self::ResolveAccount => (ResolveAccountRequest::NAME, "handler.resolve_account"),
            Self::ResolveKey => (ResolveKeyRequest::NAME, "handler.resolve_key"),
            Self::RotateKey => (RotateKeyRequest::NAME, "handler.rotate_key"),
            Self::Search => (SearchRequest::NAME, "handler.search"),
            Self::Profile => (ProfileRequest::NAME, "handler.profile"),
            Self::ThreadStatus => (ThreadStatusRequest::NAME, "handler.thread_status"),
            Self::ThreadList => (ThreadListRequest::NAME, "handler.thread_list"),
            Self::ThreadMessages => (ThreadMessagesRequest::NAME, "handler.thread_messages"),
            Self::MessageSearch => (MessageSearchRequest::NAME, "handler.message_search"),
            Self::Metrics => (MetricsRequest::NAME, "handler.metrics"),
        }
    }

    /// Answers a request of this kind.
    pub(crate) async fn answer(self, ctx: &Arc<Context>, body: &[u8]) -> Result<String, RpcError> {
        match self {
            Self::Register => register::register(ctx, decode_request(body)?).await,
            // The original never looks at the bodies of these two.
            Self::List => presence::list(ctx, decode_request(body).unwrap_or_default()).await,
            Self::Metrics => metrics::metrics(ctx),
            Self::ResolveAccount => lookup::resolve_account(ctx, decode_request(body)?).await,
            Self::ResolveKey => lookup::resolve_key(ctx, decode_request(body)?).await,
            Self::RotateKey => rotate::rotate_key(ctx, decode_request(body)?).await,
            Self::Search => profiles::search(ctx, decode_request(body)?).await,
            Self::Profile => profiles::profile(ctx, decode_request(body)?).await,
            Self::ThreadStatus => threads::thread_status(ctx, decode_request(body)?).await,
            Self::ThreadList => threads::thread_list(ctx, decode_request(body)?).await,
            Self::ThreadMessages => messages::thread_messages(ctx, decode_request(body)?).await,
            Self::MessageSearch => messages::message_search(ctx, decode_request(body)?).await,
        }
    }
}

/// Logs what the store says and answers with the text of section 6.
fn failed(code: &'static str) -> impl Fn(StoreError) -> RpcError {
    move |error| failed_with(&error, code)
}

fn failed_with(error: &StoreError, code: &'static str) -> RpcError {
    match error {
        // Said once when it went down.
        StoreError::Unavailable(_) => tracing::debug!(%error, code, "the database is down"),
        error => tracing::error!(%error, code, "the store failed"),
    }
    RpcError::fault(code)
}
