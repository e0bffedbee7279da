//! The registry's requests, one function each: `(context, request) -> reply text or error` (PROTOCOL.md section 6).

mod authorize;
mod blob_shares;
mod blobs;
mod caller;
mod hold;
mod lookup;
mod mailbox;
mod members;
mod messages;
mod metrics;
mod presence;
mod profiles;
pub(crate) mod register;
mod rotate;
mod task;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::rpc::{
    BlobDeleteRequest, BlobGetRequest, BlobPutRequest, BlobShareRequest, BlobStatRequest, EnrollRequest, ListRequest,
    MailboxAckRequest, MailboxActionRequest, MailboxExtendRequest, MailboxLeaseRequest, MailboxListRequest,
    MailboxPutRequest, MailboxStatusRequest, MemberGrantRequest, MemberInviteRequest, MemberListRequest,
    MemberRevokeRequest, MessageSearchRequest, MetricsRequest, ProfileRequest, RegisterRequest, RenewRequest, Request,
    ResolveAccountRequest, ResolveKeyRequest, RotateKeyRequest, RpcError, SearchRequest, TaskCancelRequest,
    TaskClaimRequest, TaskCreateRequest, TaskEventsRequest, TaskFinishRequest, TaskHeartbeatRequest, TaskInputRequest,
    TaskListRequest, TaskRetryRequest, TaskStatusRequest, ThreadListRequest, ThreadMessagesRequest,
    ThreadStatusRequest, decode_request, decode_request_or_default,
};
use agentnet_store::StoreError;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

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
    MailboxPut,
    MailboxLease,
    MailboxAck,
    MailboxExtend,
    MailboxStatus,
    MailboxList,
    MailboxAction,
    TaskCreate,
    TaskClaim,
    TaskHeartbeat,
    TaskFinish,
    TaskCancel,
    TaskInput,
    TaskRetry,
    TaskEvents,
    TaskStatus,
    TaskList,
    Enroll,
    Renew,
    MemberInvite,
    MemberList,
    MemberRevoke,
    MemberGrant,
    BlobPut,
    BlobGet,
    BlobStat,
    BlobDelete,
    BlobShare,
}

/// One request, besides its body.
#[derive(Debug)]
pub(crate) struct Call {
    /// Where the reply goes.
    pub(crate) reply_to: String,
    /// In secure mode, the account that the broker proves to make the request (PROTOCOL.md section 23.5).
    pub(crate) caller: Option<String>,
    /// Its place among the requests that are answered at the same time. One that waits for something gives it back.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    /// How long it has waited: no time of the registry's own.
    pub(crate) waited: Duration,
}

impl Rpc {
    pub(crate) const ALL: [Self; 40] = [
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
        Self::MailboxPut,
        Self::MailboxLease,
        Self::MailboxAck,
        Self::MailboxExtend,
        Self::MailboxStatus,
        Self::MailboxList,
        Self::MailboxAction,
        Self::TaskCreate,
        Self::TaskClaim,
        Self::TaskHeartbeat,
        Self::TaskFinish,
        Self::TaskCancel,
        Self::TaskInput,
        Self::TaskRetry,
        Self::TaskEvents,
        Self::TaskStatus,
        Self::TaskList,
        Self::Enroll,
        Self::Renew,
        Self::MemberInvite,
        Self::MemberList,
        Self::MemberRevoke,
        Self::MemberGrant,
        Self::BlobPut,
        Self::BlobGet,
        Self::BlobStat,
        Self::BlobDelete,
        Self::BlobShare,
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
            Self::MailboxPut => (MailboxPutRequest::NAME, "handler.mailbox_put"),
            Self::MailboxLease => (MailboxLeaseRequest::NAME, "handler.mailbox_lease"),
            Self::MailboxAck => (MailboxAckRequest::NAME, "handler.mailbox_ack"),
            Self::MailboxExtend => (MailboxExtendRequest::NAME, "handler.mailbox_extend"),
            Self::MailboxStatus => (MailboxStatusRequest::NAME, "handler.mailbox_status"),
            Self::MailboxList => (MailboxListRequest::NAME, "handler.mailbox_list"),
            Self::MailboxAction => (MailboxActionRequest::NAME, "handler.mailbox_action"),
            Self::TaskCreate => (TaskCreateRequest::NAME, "handler.task_create"),
            Self::TaskClaim => (TaskClaimRequest::NAME, "handler.task_claim"),
            Self::TaskHeartbeat => (TaskHeartbeatRequest::NAME, "handler.task_heartbeat"),
            Self::TaskFinish => (TaskFinishRequest::NAME, "handler.task_finish"),
            Self::TaskCancel => (TaskCancelRequest::NAME, "handler.task_cancel"),
            Self::TaskInput => (TaskInputRequest::NAME, "handler.task_input"),
            Self::TaskRetry => (TaskRetryRequest::NAME, "handler.task_retry"),
            Self::TaskEvents => (TaskEventsRequest::NAME, "handler.task_events"),
            Self::TaskStatus => (TaskStatusRequest::NAME, "handler.task_status"),
            Self::TaskList => (TaskListRequest::NAME, "handler.task_list"),
            Self::Enroll => (EnrollRequest::NAME, "handler.enroll"),
            Self::Renew => (RenewRequest::NAME, "handler.renew"),
            Self::MemberInvite => (MemberInviteRequest::NAME, "handler.member_invite"),
            Self::MemberList => (MemberListRequest::NAME, "handler.member_list"),
            Self::MemberRevoke => (MemberRevokeRequest::NAME, "handler.member_revoke"),
            Self::MemberGrant => (MemberGrantRequest::NAME, "handler.member_grant"),
            Self::BlobPut => (BlobPutRequest::NAME, "handler.blob_put"),
            Self::BlobGet => (BlobGetRequest::NAME, "handler.blob_get"),
            Self::BlobStat => (BlobStatRequest::NAME, "handler.blob_stat"),
            Self::BlobDelete => (BlobDeleteRequest::NAME, "handler.blob_delete"),
            Self::BlobShare => (BlobShareRequest::NAME, "handler.blob_share"),
        }
    }

    /// Answers a request of this kind.
    ///
    /// A task reserves memory for the largest future that it may run, so all but the most frequent ones are boxed.
    pub(crate) async fn answer(self, ctx: &Arc<Context>, body: &[u8], call: &mut Call) -> Result<String, RpcError> {
        let answering: BoxFuture<'_, _> = match self {
            Self::ResolveAccount => return lookup::resolve_account(ctx, decode_request(body)?).await,
            // The Python implementation never reads the bodies of `metrics` and `list`.
            Self::Metrics => {
                let MetricsRequest = decode_request_or_default(body)?;
                return metrics::metrics(ctx);
            }
            Self::Register => register::register(ctx, decode_request(body)?, call).boxed(),
            Self::List => presence::list(ctx, decode_request_or_default(body)?).boxed(),
            Self::ResolveKey => lookup::resolve_key(ctx, decode_request(body)?).boxed(),
            Self::RotateKey => rotate::rotate_key(ctx, decode_request(body)?, call).boxed(),
            Self::Search => profiles::search(ctx, decode_request(body)?).boxed(),
            Self::Profile => profiles::profile(ctx, decode_request(body)?).boxed(),
            Self::ThreadStatus => threads::thread_status(ctx, decode_request(body)?, call).boxed(),
            Self::ThreadList => threads::thread_list(ctx, decode_request(body)?, call).boxed(),
            Self::ThreadMessages => messages::thread_messages(ctx, decode_request(body)?, call).boxed(),
            Self::MessageSearch => messages::message_search(ctx, decode_request(body)?, call).boxed(),
            Self::MailboxPut => mailbox::put(ctx, decode_request(body)?, call).boxed(),
            Self::MailboxLease => mailbox::lease::lease(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::MailboxAck => mailbox::acks::ack(ctx, call.own(decode_request(body)?)?).boxed(),
            Self::MailboxExtend => mailbox::acks::extend(ctx, call.own(decode_request(body)?)?).boxed(),
            Self::MailboxStatus => mailbox::admin::status(ctx, decode_request(body)?, call).boxed(),
            Self::MailboxList => mailbox::admin::list(ctx, decode_request(body)?, call).boxed(),
            Self::MailboxAction => {
                mailbox::admin::action(ctx, call.own_or_operator(ctx, decode_request(body)?)?).boxed()
            }
            Self::TaskCreate => task::create::create(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::TaskClaim => task::claim::claim(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::TaskHeartbeat => task::report::heartbeat(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::TaskFinish => task::report::finish(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::TaskCancel => task::change::cancel(ctx, call.own(decode_request(body)?)?).boxed(),
            Self::TaskInput => task::change::input(ctx, call.own(decode_request(body)?)?, call).boxed(),
            Self::TaskRetry => task::change::retry(ctx, call.own(decode_request(body)?)?).boxed(),
            Self::TaskEvents => task::events::events(ctx, decode_request(body)?, call).boxed(),
            Self::TaskStatus => task::read::status(ctx, decode_request(body)?, call).boxed(),
            Self::TaskList => task::read::list(ctx, decode_request(body)?, call).boxed(),
            Self::Enroll => members::enroll(ctx, decode_request(body)?, call).boxed(),
            Self::Renew => members::renew(ctx, decode_request(body)?, call).boxed(),
            Self::MemberInvite => members::invite(ctx, decode_request(body)?, call).boxed(),
            Self::MemberList => members::list(ctx, decode_request(body)?, call).boxed(),
            Self::MemberRevoke => members::revoke(ctx, decode_request(body)?, call).boxed(),
            Self::MemberGrant => members::grant(ctx, decode_request(body)?, call).boxed(),
            Self::BlobPut => blobs::put(ctx, decode_request(body)?, call).boxed(),
            Self::BlobGet => blobs::get(ctx, decode_request(body)?, call).boxed(),
            Self::BlobStat => blobs::stat(ctx, decode_request(body)?, call).boxed(),
            Self::BlobDelete => blobs::delete(ctx, decode_request(body)?, call).boxed(),
            Self::BlobShare => blob_shares::share(ctx, decode_request(body)?, call).boxed(),
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
        _ if error.is_unreachable() => tracing::debug!(%error, code, "the database is down"),
        error => tracing::error!(%error, code, "the store failed"),
    }
    RpcError::fault(code)
}
