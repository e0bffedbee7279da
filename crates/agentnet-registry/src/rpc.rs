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
    ThreadStatusRequest, decode_request, decode_request_or_default,
};
use agentnet_store::StoreError;
use futures::FutureExt as _;
use futures::future::BoxFuture;

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

    /// Answers a request of this kind, which is answered on `reply_to`.
    ///
    /// A task reserves memory for the largest future that it may run, so all but the most frequent ones are boxed.
    pub(crate) async fn answer(self, ctx: &Arc<Context>, body: &[u8], reply_to: &str) -> Result<String, RpcError> {
        let answering: BoxFuture<'_, _> = match self {
            Self::ResolveAccount => return lookup::resolve_account(ctx, decode_request(body)?).await,
            // The Python implementation never reads the bodies of `metrics` and `list`.
            Self::Metrics => {
                let MetricsRequest = decode_request_or_default(body)?;
                return metrics::metrics(ctx);
            }
            Self::Register => register::register(ctx, decode_request(body)?, reply_to).boxed(),
            Self::List => presence::list(ctx, decode_request_or_default(body)?).boxed(),
            Self::ResolveKey => lookup::resolve_key(ctx, decode_request(body)?).boxed(),
            Self::RotateKey => rotate::rotate_key(ctx, decode_request(body)?).boxed(),
            Self::Search => profiles::search(ctx, decode_request(body)?).boxed(),
            Self::Profile => profiles::profile(ctx, decode_request(body)?).boxed(),
            Self::ThreadStatus => threads::thread_status(ctx, decode_request(body)?).boxed(),
            Self::ThreadList => threads::thread_list(ctx, decode_request(body)?).boxed(),
            Self::ThreadMessages => messages::thread_messages(ctx, decode_request(body)?).boxed(),
            Self::MessageSearch => messages::message_search(ctx, decode_request(body)?).boxed(),
        };
        answering.await
    }
}

/// Logs the store's error, and returns the text of section 6.
fn failed(code: &'static str) -> impl Fn(StoreError) -> RpcError {
    move |error| failed_with(&error, code)
}

fn failed_with(error: &StoreError, code: &'static str) -> RpcError {
    match error {
        // Logged once when it went down.
        StoreError::Unavailable(_) | StoreError::Gone(_) => tracing::debug!(%error, code, "the database is down"),
        error => tracing::error!(%error, code, "the store failed"),
    }
    RpcError::fault(code)
}
