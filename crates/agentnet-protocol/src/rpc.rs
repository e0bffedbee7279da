//! The registry's RPCs: subject, request and reply of each (PROTOCOL.md section 6).
//!
//! Requests are read with the coercions of section 1 and written as the Python implementation's clients write them; replies are
//! written in the order of section 6 and read leniently, so that every client works with every registry.

mod accounts;
mod blobs;
mod history;
mod mailbox;
mod members;
mod metrics;
mod read;
mod record;
mod rotate;
mod sessions;
mod signed;
mod tasks;
mod threads;

use std::borrow::Cow;

pub use accounts::{
    AccountHit, Profile, ProfileReply, ProfileRequest, ProfileSession, ResolveAccountReply, ResolveAccountRequest,
    ResolveKeyReply, ResolveKeyRequest, SearchReply, SearchRequest,
};
pub use blobs::{
    BlobDeleteReply, BlobDeleteRequest, BlobEnd, BlobGetReply, BlobGetRequest, BlobPutReply, BlobPutRequest,
    BlobShareReply, BlobShareRequest, BlobStatReply, BlobStatRequest, MAX_CHUNK_BYTES as MAX_BLOB_CHUNK_BYTES,
    error_code as blob_error_code,
};
pub use history::{
    HistoryMessage, MessageSearchFilters, MessageSearchReply, MessageSearchRequest, ThreadMessagesReply,
    ThreadMessagesRequest,
};
pub use mailbox::{
    LeasedMessage, MAX_ACTION_MESSAGES, MailboxAckItem, MailboxAckReply, MailboxAckRequest, MailboxActionReply,
    MailboxActionRequest, MailboxEvent, MailboxExtendRequest, MailboxItem, MailboxLeaseReply, MailboxLeaseRequest,
    MailboxListReply, MailboxListRequest, MailboxPutReply, MailboxPutRequest, MailboxStatusReply, MailboxStatusRequest,
};
pub use members::{
    CredentialEvent, EnrollReply, EnrollRequest, MemberGrantRequest, MemberInviteReply, MemberInviteRequest,
    MemberListReply, MemberListRequest, MemberRecord, MemberReply, MemberRevokeRequest, RenewReply, RenewRequest,
    SendPolicy, error_code as member_error_code,
};
pub use metrics::{CaptureStats, HandlerStats, LatencyStats, MetricsReply, MetricsRequest, WriteQueueStats};
pub use rotate::{RotateKeyReply, RotateKeyRequest};
pub use sessions::{Goodbye, ListReply, ListRequest, RegisterReply, RegisterRequest};
pub use signed::{RequestAuth, SignedRequest};
pub use tasks::{
    ClaimedTask, TaskCancelRequest, TaskChildren, TaskClaimReply, TaskClaimRequest, TaskCreateReply, TaskCreateRequest,
    TaskEvent, TaskEventsReply, TaskEventsRequest, TaskFinishReply, TaskFinishRequest, TaskHeartbeat,
    TaskHeartbeatReply, TaskHeartbeatRequest, TaskHeartbeatResult, TaskInputRequest, TaskListReply, TaskListRequest,
    TaskProgress, TaskReply, TaskRetryRequest, TaskSnapshot, TaskStatusRequest,
};
pub use threads::{
    ThreadLimits, ThreadListReply, ThreadListRequest, ThreadStatusReply, ThreadStatusRequest, ThreadSummary,
};

use crate::decode::DecodeError;
use crate::json::{ArrayWriter, JsonError, Object, ObjectWriter, Value};
use crate::limits::{self, TooLarge};

/// A registry RPC, identified by its request.
pub trait Request: Sized + Send {
    /// The part of the subject behind `registry.`.
    const NAME: &'static str;
    /// What a successful call answers.
    type Reply: Reply;
    /// Whether the bounds of requests hold (section 0.11). They do not for what has bounds of its own.
    const BOUNDED: bool = true;

    /// The request's wire text.
    fn encode(&self) -> String;

    /// Reads a request; `None` stands for a body that is JSON but no object.
    ///
    /// # Errors
    /// The error reply's text.
    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError>;

    /// The subject, `registry.<name>`.
    #[must_use]
    fn subject() -> String {
        format!("{}{}", crate::subject::REGISTRY_PREFIX, Self::NAME)
    }
}

/// The reply to an RPC.
pub trait Reply: Sized + Send {
    /// Members that every such reply has. A body without one is not a registry's reply: a JetStream stream that captures the
    /// registry's subjects confirms each request too.
    const MEMBERS: &'static [&'static str];

    /// The reply's wire text.
    fn encode(&self) -> String;

    /// Reads a reply that is not an error.
    ///
    /// # Errors
    /// [`DecodeError`] where a member cannot be read.
    fn decode(object: &Object<'_>) -> Result<Self, DecodeError>;
}

/// An error reply: `{"error": "<text>"}`.
///
/// Metrics count an error of kind [`RpcErrorKind::Fault`] as a failure of the registry, and a refusal as handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RpcError {
    text: Cow<'static, str>,
    kind: RpcErrorKind,
}

/// Whether a request was refused or could not be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcErrorKind {
    /// The request was understood, and a rule rejects it.
    Refusal,
    /// The request is unreadable, or the registry failed.
    Fault,
}

impl RpcError {
    /// Nothing by that name or id.
    pub const NOT_FOUND: Self = Self::new("not_found");
    /// A username is empty.
    pub const USERNAME_REQUIRED: Self = Self::new("username is required");
    /// A cursor that cannot be read (section 0.3).
    pub const CURSOR_INVALID: Self = Self::new("cursor_invalid");

    /// A refusal with this text.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            kind: RpcErrorKind::Refusal,
        }
    }

    /// A refusal with a text made at run time.
    #[must_use]
    pub fn with_text(text: impl Into<String>) -> Self {
        Self {
            text: Cow::Owned(text.into()),
            kind: RpcErrorKind::Refusal,
        }
    }

    /// A fault with this text.
    #[must_use]
    pub const fn fault(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            kind: RpcErrorKind::Fault,
        }
    }

    /// A fault that a body's content causes.
    fn unreadable(error: &impl ToString) -> Self {
        Self {
            text: Cow::Owned(error.to_string()),
            kind: RpcErrorKind::Fault,
        }
    }

    /// The value of `error` in the reply.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is a refusal or a fault.
    #[must_use]
    pub const fn kind(&self) -> RpcErrorKind {
        self.kind
    }

    /// Whether the request is unreadable, or the registry failed.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.kind == RpcErrorKind::Fault
    }

    /// The reply's wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        out.text("error", &self.text);
        out.finish()
    }
}

impl From<JsonError> for RpcError {
    fn from(error: JsonError) -> Self {
        Self::unreadable(&error)
    }
}

impl From<TooLarge> for RpcError {
    fn from(error: TooLarge) -> Self {
        Self::with_text(error.to_string())
    }
}

impl From<DecodeError> for RpcError {
    fn from(error: DecodeError) -> Self {
        Self::unreadable(&error)
    }
}

/// Error of a call whose reply is a refusal or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The registry refused the request, with this text.
    #[error("{0}")]
    Refused(String),
    /// The reply does not follow section 6.
    #[error("the registry's reply cannot be read: {0}")]
    Invalid(#[from] DecodeError),
}

/// Reads the reply to a request of type `R`.
///
/// # Errors
/// [`ReplyError::Refused`] if it carries an `error`, [`ReplyError::Invalid`] if it cannot be read.
pub fn decode_reply<R: Request>(body: &[u8]) -> Result<R::Reply, ReplyError> {
    Ok(R::Reply::decode(&reply_object::<R>(body)?)?)
}

/// Whether a body has the shape of a reply to a request of type `R`.
///
/// # Errors
/// As [`decode_reply`].
pub fn check_reply<R: Request>(body: &[u8]) -> Result<(), ReplyError> {
    reply_object::<R>(body).map(drop)
}

fn reply_object<R: Request>(body: &[u8]) -> Result<Object<'_>, ReplyError> {
    let object = Object::parse_body(body)
        .map_err(DecodeError::Json)?
        .ok_or(DecodeError::NotAnObject)?;
    // A registry's `error` is a text.
    if let Some(error) = object.get("error").as_str() {
        return Err(ReplyError::Refused(error.into_owned()));
    }
    match R::Reply::MEMBERS.iter().find(|name| object.get(name).is_null()) {
        None => Ok(object),
        Some(member) => Err(DecodeError::Member {
            member,
            problem: "is missing",
        }
        .into()),
    }
}

/// Reads the request of an RPC from a body.
///
/// # Errors
/// The error reply's text; malformed JSON (section 0.3) and what is above a bound (section 0.11) are such too.
pub fn decode_request<R: Request>(body: &[u8]) -> Result<R, RpcError> {
    if R::BOUNDED {
        limits::check_request(body)?;
    }
    let object = Object::parse_body(body)?;
    if let Some(object) = object.as_ref().filter(|_| R::BOUNDED) {
        limits::check_request_texts(object)?;
    }
    R::decode(object.as_ref())
}

/// As [`decode_request`], for a request without required members: an unreadable body means the defaults.
///
/// # Errors
/// The error reply's text for what is above a bound.
pub fn decode_request_or_default<R: Request + Default>(body: &[u8]) -> Result<R, RpcError> {
    decode_request(body).or_else(|error| match error.is_fault() {
        true => Ok(R::default()),
        false => Err(error),
    })
}

fn owned(value: Value<'_>) -> String {
    value.text().into_owned()
}

fn opt_owned(value: Value<'_>) -> Option<String> {
    value.opt_text().map(Cow::into_owned)
}

/// S, trimmed; empty means absent.
fn opt_trimmed(value: Value<'_>) -> Option<String> {
    let text = value.text();
    Some(crate::json::trim(&text))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// "L or N", then `I`, then the clamp (section 1).
fn limit(object: &Object<'_>, default: usize, max: usize) -> Result<usize, RpcError> {
    let value = object.get("limit");
    if !value.is_truthy() {
        return Ok(default);
    }
    let limit = value.int().map_err(|_| RpcError::fault("limit is out of range"))?;
    Ok(limit.map_or(default, |limit| {
        usize::try_from(limit.clamp(1, max as i128)).unwrap_or(max)
    }))
}

/// A number of a reply; 0 where it is missing or unusable.
fn count(value: Value<'_>) -> i64 {
    value.int().ok().flatten().map_or(0, |n| {
        i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
    })
}

fn float(value: Value<'_>) -> Option<f64> {
    match value.kind() {
        crate::json::Kind::Integer(text) | crate::json::Kind::Float(text) => text.parse().ok(),
        _ => None,
    }
}

fn texts(value: Value<'_>) -> Vec<String> {
    value.as_array().into_iter().flatten().map(owned).collect()
}

/// The objects of an array member; other items are passed over.
fn objects<'a>(value: Value<'a>) -> impl Iterator<Item = Object<'a>> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_object())
}

fn object_or_empty(value: Value<'_>) -> crate::RawJson {
    match value.kind() {
        crate::json::Kind::Object => crate::RawJson::validated(value.raw().into()),
        _ => crate::RawJson::empty_object(),
    }
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    let mut out = ArrayWriter::new();
    for item in items {
        out.raw(&item);
    }
    out.finish()
}

fn required<'a, 'b>(object: Option<&'a Object<'b>>, error: &'static str) -> Result<&'a Object<'b>, RpcError> {
    object.ok_or(RpcError::new(error))
}

#[cfg(test)]
mod tests;
