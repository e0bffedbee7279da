//! The mailbox's requests and its events (PROTOCOL.md section 21, an addition to the Python protocol).

use super::record::{Omitted, Record as _, record, reply};
use super::{Request, RpcError, limit, opt_trimmed, owned, required};
use crate::decode::DecodeError;
use crate::json::{ArrayWriter, Object, ObjectWriter, Value, ascii};
use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES, TooLarge, check_bytes};
use crate::mailbox::{
    DEFAULT_LEASE_MESSAGES, DEFAULT_LEASE_MS, MAX_DETAIL_BYTES, MAX_LEASE_MESSAGES, MAX_LEASE_MS, MAX_WAIT_MS,
    MIN_LEASE_MS, MailboxAction, MailboxOutcome, MailboxState,
};
use crate::signature::SigningKey;
use crate::signed_request::{Requester, request_sha256, sign};
use crate::username::normalise;
use crate::{RawJson, Timestamp};

/// Messages that one `mailbox_action` may name.
pub const MAX_ACTION_MESSAGES: usize = 100;

/// The signature of a request, and the hash of what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestAuth {
    /// The `auth` member, any JSON value as it came.
    pub auth: Option<RawJson>,
    /// The hash of the request as received; empty in a request that is to be sent.
    pub request_sha256: String,
}

impl RequestAuth {
    fn read(object: &Object<'_>) -> Self {
        let auth = object.get("auth");
        // A request without a signature needs no hash.
        if auth.is_null() {
            return Self::default();
        }
        Self {
            auth: Some(RawJson::validated(auth.raw().into())),
            request_sha256: request_sha256(object),
        }
    }

    fn write(&self, out: &mut ObjectWriter) {
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
    }
}

/// A request that only an account's owner may make under signed identity (section 13.8).
pub trait SignedRequest: Request {
    /// Its account, and the session if it names one.
    fn requester(&self) -> Requester<'_>;

    /// The signature.
    fn auth(&self) -> &RequestAuth;

    /// The signature, to be set.
    fn auth_mut(&mut self) -> &mut RequestAuth;

    /// Signs the request.
    fn sign(&mut self, key: &SigningKey, now: Timestamp, nonce: &str) {
        *self.auth_mut() = RequestAuth::default();
        let text = self.encode();
        let auth = sign(key, self.requester(), &text, now, nonce);
        self.auth_mut().auth = Some(auth);
    }
}

macro_rules! signed {
    ($request:ty) => {
        impl SignedRequest for $request {
            fn requester(&self) -> Requester<'_> {
                Requester {
                    purpose: Self::NAME,
                    account_id: &self.account_id,
                    session_tag: &self.session_tag,
                }
            }

            fn auth(&self) -> &RequestAuth {
                &self.auth
            }

            fn auth_mut(&mut self) -> &mut RequestAuth {
                &mut self.auth
            }
        }
    };
}

/// `registry.mailbox_put`: keep this message until its receiver takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxPutRequest {
    /// The message, an object; kept as it is written.
    pub envelope: RawJson,
    /// The message has not been published to the inbox: if a session of the account is online and nothing waits for it, the
    /// registry answers `live` instead of keeping the message.
    pub direct: bool,
}

impl Request for MailboxPutRequest {
    const NAME: &'static str = "mailbox_put";
    type Reply = MailboxPutReply;
    /// The message has the bounds of messages.
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(self.envelope.get().len() + 16);
        out.raw("envelope", &ascii(self.envelope.get()));
        if self.direct {
            out.bool("direct", true);
        }
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_put payload must be an object")?;
        let envelope = object.get("envelope");
        if envelope.as_object().is_none() {
            return Err(RpcError::new("envelope must be an object"));
        }
        Ok(Self {
            envelope: RawJson::validated(envelope.raw().into()),
            direct: object.get("direct").is_truthy(),
        })
    }
}

record! {
    /// What has become of the message.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxPutReply {
        /// Id of the message.
        pub message_id: String,
        /// `queued`: it is kept. `delivered`: it was put in before, and has been delivered. `live`: it is not kept, since a
        /// session of the account is online and nothing waits; publish it to the inbox.
        pub state: String,
        /// Messages of the account that wait before it.
        pub position: Option<i64>,
        /// When it was put in.
        pub queued_at: Option<String> as Omitted,
        /// When it is given up.
        pub expires_at: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxPutReply, ["message_id", "state"], not_empty: state);

/// `registry.mailbox_lease`: the next messages, for a session that handles them within the time of the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxLeaseRequest {
    /// Account whose mailbox it is.
    pub account_id: String,
    /// The session that handles the messages: live, of this account.
    pub session_tag: String,
    /// At most so many messages: 1 to 100, 10 by default.
    pub max: usize,
    /// How long the lease lasts, in milliseconds: 1,000 to 600,000, 30,000 by default.
    pub lease_ms: i64,
    /// How long to wait for a message if there is none, in milliseconds: 0 to 25,000, 0 by default.
    pub wait_ms: i64,
    /// The signature.
    pub auth: RequestAuth,
}

impl Default for MailboxLeaseRequest {
    fn default() -> Self {
        Self {
            account_id: String::new(),
            session_tag: String::new(),
            max: DEFAULT_LEASE_MESSAGES,
            lease_ms: DEFAULT_LEASE_MS,
            wait_ms: 0,
            auth: RequestAuth::default(),
        }
    }
}

impl Request for MailboxLeaseRequest {
    const NAME: &'static str = "mailbox_lease";
    type Reply = MailboxLeaseReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .int("max", self.max as u64)
            .int("lease_ms", self.lease_ms)
            .int("wait_ms", self.wait_ms);
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_lease payload must be an object")?;
        let (account_id, session_tag) = owner(object)?;
        let max = number(object, "max", DEFAULT_LEASE_MESSAGES as i64, 1, MAX_LEASE_MESSAGES as i64)?;
        Ok(Self {
            account_id,
            session_tag,
            max: usize::try_from(max).unwrap_or(DEFAULT_LEASE_MESSAGES),
            lease_ms: lease_ms(object)?,
            wait_ms: number(object, "wait_ms", 0, 0, MAX_WAIT_MS)?,
            auth: RequestAuth::read(object),
        })
    }
}

signed!(MailboxLeaseRequest);

record! {
    /// A message that a session has to handle.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct LeasedMessage {
        /// Names the lease; to be acknowledged with.
        pub lease: String,
        /// Place in the order of the mailboxes.
        pub seq: i64,
        /// Which attempt to deliver it this is, from 1.
        pub attempt: i64,
        /// When it was put in.
        pub queued_at: String,
        /// The message, as its sender wrote it.
        pub envelope: RawJson,
    }
}

record! {
    /// Messages to handle, in order.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxLeaseReply {
        /// The messages.
        pub messages: Vec<LeasedMessage>,
        /// Messages of the account that are not delivered yet, without these.
        pub remaining: i64,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxLeaseReply, ["messages"]);

/// How a session has dealt with one leased message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxAckItem {
    /// The lease.
    pub lease: String,
    /// What to do with the message.
    pub outcome: MailboxOutcome,
    /// With `retry`: not before so many milliseconds have passed; absent: the registry's own delay.
    pub delay_ms: Option<i64>,
    /// With `retry` and `dead`: the code of the reason.
    pub code: Option<String>,
    /// With `retry` and `dead`: the reason.
    pub detail: Option<String>,
}

/// `registry.mailbox_ack`: leased messages have been dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxAckRequest {
    /// Account whose mailbox it is.
    pub account_id: String,
    /// The session that has the leases.
    pub session_tag: String,
    /// At most 100.
    pub acks: Vec<MailboxAckItem>,
    /// The signature.
    pub auth: RequestAuth,
}

impl Request for MailboxAckRequest {
    const NAME: &'static str = "mailbox_ack";
    type Reply = MailboxAckReply;

    fn encode(&self) -> String {
        let mut acks = ArrayWriter::new();
        for ack in &self.acks {
            let mut item = ObjectWriter::with_capacity(128);
            item.text("lease", &ack.lease).text("outcome", ack.outcome.as_str());
            if let Some(delay_ms) = ack.delay_ms {
                item.int("delay_ms", delay_ms);
            }
            item.opt_text("code", ack.code.as_deref())
                .opt_text("detail", ack.detail.as_deref());
            acks.raw(&item.finish());
        }
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .raw("acks", &acks.finish());
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_ack payload must be an object")?;
        let (account_id, session_tag) = owner(object)?;
        let acks = items(object, "acks", MAX_LEASE_MESSAGES)?;
        Ok(Self {
            account_id,
            session_tag,
            acks: acks.map(ack).collect::<Result<_, _>>()?,
            auth: RequestAuth::read(object),
        })
    }
}

signed!(MailboxAckRequest);

fn ack(value: Value<'_>) -> Result<MailboxAckItem, RpcError> {
    let object = value.as_object().ok_or(RpcError::new("an ack must be an object"))?;
    let outcome = object.get("outcome").text();
    let delay_ms = object.get("delay_ms");
    Ok(MailboxAckItem {
        lease: bounded(&object, "lease", MAX_NAME_BYTES)?.ok_or(RpcError::new("lease is required"))?,
        outcome: outcome
            .parse()
            .map_err(|_| RpcError::new("outcome must be done, retry or dead"))?,
        delay_ms: match delay_ms.is_null() {
            true => None,
            false => Some(number(&object, "delay_ms", 0, 0, MAX_LEASE_MS)?),
        },
        code: bounded(&object, "code", MAX_NAME_BYTES)?,
        detail: bounded(&object, "detail", MAX_DETAIL_BYTES)?,
    })
}

record! {
    /// Which leases were in force.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxAckReply {
        /// Number of leases that were ended, or extended.
        pub acked: i64,
        /// Leases that are over, or of somebody else: the messages are delivered again, or have been.
        pub lost: Vec<String>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxAckReply, ["acked"]);

/// `registry.mailbox_extend`: the session needs more time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxExtendRequest {
    /// Account whose mailbox it is.
    pub account_id: String,
    /// The session that has the leases.
    pub session_tag: String,
    /// At most 100.
    pub leases: Vec<String>,
    /// How long the leases last from now on, in milliseconds: 1,000 to 600,000, 30,000 by default.
    pub lease_ms: i64,
    /// The signature.
    pub auth: RequestAuth,
}

impl Request for MailboxExtendRequest {
    const NAME: &'static str = "mailbox_extend";
    type Reply = MailboxAckReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .texts("leases", &self.leases)
            .int("lease_ms", self.lease_ms);
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_extend payload must be an object")?;
        let (account_id, session_tag) = owner(object)?;
        let leases = texts(object, "leases", MAX_LEASE_MESSAGES, MAX_NAME_BYTES)?;
        Ok(Self {
            account_id,
            session_tag,
            leases,
            lease_ms: lease_ms(object)?,
            auth: RequestAuth::read(object),
        })
    }
}

signed!(MailboxExtendRequest);

/// `registry.mailbox_status`: how full the mailbox of an account is, or of all accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxStatusRequest {
    /// The account; takes precedence.
    pub account_id: Option<String>,
    /// Its username, normalised.
    pub username: Option<String>,
}

impl Request for MailboxStatusRequest {
    const NAME: &'static str = "mailbox_status";
    type Reply = MailboxStatusReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(96);
        out.opt_text("account_id", self.account_id.as_deref())
            .opt_text("username", self.username.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_status payload must be an object")?;
        Ok(Self {
            account_id: opt_trimmed(object.get("account_id")),
            username: username(object),
        })
    }
}

record! {
    /// Counts of one mailbox, or of all.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxStatusReply {
        /// The account; absent for the whole network.
        pub account_id: Option<String> as Omitted,
        /// Messages that wait.
        pub queued: i64,
        /// Messages that sessions have.
        pub leased: i64,
        /// Messages that cannot be delivered.
        pub dead: i64,
        /// Size of the messages that wait or are leased or dead, in bytes.
        pub bytes: i64,
        /// Since when the oldest message waits.
        pub oldest_queued_at: Option<String>,
        /// The most messages that may wait for one account; of the network: none.
        pub limit_messages: Option<i64>,
        /// The most bytes that may wait, of the account or of the network.
        pub limit_bytes: i64,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxStatusReply, ["queued"]);

/// `registry.mailbox_list`: messages of a mailbox, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxListRequest {
    /// The account; takes precedence.
    pub account_id: Option<String>,
    /// Its username, normalised.
    pub username: Option<String>,
    /// Only messages in this state.
    pub state: Option<MailboxState>,
    /// 1 to 200; 50 by default.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for MailboxListRequest {
    fn default() -> Self {
        Self {
            account_id: None,
            username: None,
            state: None,
            limit: 50,
            cursor: None,
        }
    }
}

impl Request for MailboxListRequest {
    const NAME: &'static str = "mailbox_list";
    type Reply = MailboxListReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(128);
        out.opt_text("account_id", self.account_id.as_deref())
            .opt_text("username", self.username.as_deref())
            .opt_text("state", self.state.map(MailboxState::as_str))
            .int("limit", self.limit as u64)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_list payload must be an object")?;
        Ok(Self {
            account_id: opt_trimmed(object.get("account_id")),
            username: username(object),
            state: state(object)?,
            limit: limit(object, 50, 200)?,
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

record! {
    /// A message of a mailbox.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxItem {
        /// Id of the message.
        pub message_id: String,
        /// Account of its sender.
        pub from_account_id: String,
        /// Account of its receiver.
        pub to_account_id: String,
        /// Its thread.
        pub thread_id: Option<String>,
        /// Its kind.
        pub kind: String,
        /// Its size in bytes.
        pub bytes: i64,
        /// `queued`, `leased`, `done` or `dead`.
        pub state: String,
        /// Attempts to deliver it.
        pub attempts: i64,
        /// When it was put in.
        pub queued_at: String,
        /// When it is given up.
        pub expires_at: String,
        /// When it was delivered, or given up.
        pub done_at: Option<String> as Omitted,
        /// Why the last attempt failed.
        pub last_code: Option<String> as Omitted,
        /// Why the last attempt failed.
        pub last_detail: Option<String> as Omitted,
        /// The beginning of its text.
        pub preview: String,
    }
}

record! {
    /// Messages of a mailbox.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxListReply {
        /// The account.
        pub account_id: String,
        /// The messages, oldest first.
        pub messages: Vec<MailboxItem>,
        /// As used.
        pub limit: usize,
        /// Set when there are more.
        pub next_cursor: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxListReply, ["messages"]);

/// `registry.mailbox_action`: deliver messages again, or delete them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxActionRequest {
    /// The account whose mailbox it is.
    pub account_id: String,
    /// The session that asks; may be empty.
    pub session_tag: String,
    /// What to do.
    pub action: MailboxAction,
    /// Which messages: at most 100.
    pub message_ids: Vec<String>,
    /// All messages in this state, where no message is named.
    pub state: Option<MailboxState>,
    /// The signature.
    pub auth: RequestAuth,
}

impl Request for MailboxActionRequest {
    const NAME: &'static str = "mailbox_action";
    type Reply = MailboxActionReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .text("action", self.action.as_str());
        if !self.message_ids.is_empty() {
            out.texts("message_ids", &self.message_ids);
        }
        out.opt_text("state", self.state.map(MailboxState::as_str));
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_action payload must be an object")?;
        let action = object.get("action").text();
        let request = Self {
            account_id: opt_trimmed(object.get("account_id")).ok_or(RpcError::new("account_id is required"))?,
            session_tag: bounded(object, "session_tag", MAX_NAME_BYTES)?.unwrap_or_default(),
            action: action
                .parse()
                .map_err(|_| RpcError::new("action must be requeue or drop"))?,
            message_ids: texts(object, "message_ids", MAX_ACTION_MESSAGES, MAX_ID_BYTES)?,
            state: state(object)?,
            auth: RequestAuth::read(object),
        };
        if request.message_ids.is_empty() && request.state.is_none() {
            return Err(RpcError::new("message_ids or state is required"));
        }
        Ok(request)
    }
}

signed!(MailboxActionRequest);

record! {
    /// How many messages were changed.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxActionReply {
        /// Their number.
        pub changed: i64,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MailboxActionReply, ["changed"]);

record! {
    /// What has happened to a message of a mailbox: published on `agentnet.events.<account_id>.mailbox` (section 21.6).
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MailboxEvent {
        /// `queued`, `delivered`, `retry`, `dead`, `expired` or `dropped`.
        pub event: String,
        /// Id of the message.
        pub message_id: String,
        /// Account of its sender.
        pub from_account_id: String,
        /// When, UTC.
        pub at: String,
        /// Attempts to deliver it.
        pub attempt: i64,
        /// The code of the reason, if there is one.
        pub code: Option<String> as Omitted,
    }
}

impl MailboxEvent {
    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        self.to_json()
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`DecodeError`] if the body is not a JSON object.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let object = Object::parse_body(body)?.ok_or(DecodeError::NotAnObject)?;
        Ok(Self::read(&object))
    }
}

/// The account and the session of a request.
fn owner(object: &Object<'_>) -> Result<(String, String), RpcError> {
    let account_id = opt_trimmed(object.get("account_id")).ok_or(RpcError::new("account_id is required"))?;
    let session_tag = bounded(object, "session_tag", MAX_NAME_BYTES)?;
    Ok((account_id, session_tag.ok_or(RpcError::new("session_tag is required"))?))
}

fn username(object: &Object<'_>) -> Option<String> {
    object.get("username").opt_text().map(|name| normalise(&name))
}

fn state(object: &Object<'_>) -> Result<Option<MailboxState>, RpcError> {
    let Some(text) = opt_trimmed(object.get("state")) else {
        return Ok(None);
    };
    let state = text.parse().map_err(|_| RpcError::new("state must be queued, leased, dead or done"))?;
    Ok(Some(state))
}

fn lease_ms(object: &Object<'_>) -> Result<i64, RpcError> {
    number(object, "lease_ms", DEFAULT_LEASE_MS, MIN_LEASE_MS, MAX_LEASE_MS)
}

/// An integer within its bounds; its default where it is absent or unreadable.
fn number(object: &Object<'_>, name: &'static str, default: i64, min: i64, max: i64) -> Result<i64, RpcError> {
    let read = object.get(name).int();
    let read = read.map_err(|_| RpcError::with_text(format!("{name} is out of range")))?;
    Ok(read.map_or(default, |value| {
        i64::try_from(value.clamp(i128::from(min), i128::from(max))).unwrap_or(default)
    }))
}

/// A text, trimmed, that has a bound; empty means absent.
fn bounded(object: &Object<'_>, name: &'static str, max: usize) -> Result<Option<String>, RpcError> {
    let value = object.get(name);
    check_bytes(name, &value.text(), max)?;
    Ok(opt_trimmed(value))
}

/// The items of an array member, of bounded number; anything else has none.
fn items<'a>(
    object: &Object<'a>,
    name: &'static str,
    max: usize,
) -> Result<impl Iterator<Item = Value<'a>> + use<'a>, RpcError> {
    let items: Vec<Value<'a>> = object.get(name).as_array().into_iter().flatten().collect();
    if items.len() > max {
        return Err(TooLarge {
            member: name,
            size: items.len(),
            max,
            unit: "entries",
        }
        .into());
    }
    Ok(items.into_iter())
}

fn texts(object: &Object<'_>, name: &'static str, max: usize, max_bytes: usize) -> Result<Vec<String>, RpcError> {
    items(object, name, max)?
        .map(|item| {
            let text = owned(item);
            check_bytes(name, &text, max_bytes)?;
            Ok(text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{decode_reply, decode_request};
    use super::*;

    fn refused<R: Request + std::fmt::Debug>(body: &str) -> String {
        decode_request::<R>(body.as_bytes()).unwrap_err().text().to_owned()
    }

    #[test]
    fn a_message_is_put_as_it_is_written() {
        let body = r#"{"envelope": {"b":1e0,  "a":[ ]} }"#;
        let request = decode_request::<MailboxPutRequest>(body.as_bytes()).unwrap();
        assert_eq!(request.envelope.get(), r#"{"b":1e0,  "a":[ ]}"#);
        for body in ["{}", r#"{"envelope":"x"}"#, r#"{"envelope":[]}"#] {
            assert_eq!(refused::<MailboxPutRequest>(body), "envelope must be an object", "{body}");
        }
        assert_eq!(
            refused::<MailboxPutRequest>("[]"),
            "mailbox_put payload must be an object"
        );
    }

    #[test]
    fn a_lease_has_defaults_and_bounds() {
        let request = decode_request::<MailboxLeaseRequest>(br#"{"account_id":" a ","session_tag":"s"}"#).unwrap();
        assert_eq!(
            request,
            MailboxLeaseRequest {
                account_id: "a".into(),
                session_tag: "s".into(),
                ..MailboxLeaseRequest::default()
            }
        );
        let body = r#"{"account_id":"a","session_tag":"s","max":1000,"lease_ms":5,"wait_ms":1e9}"#;
        let request = decode_request::<MailboxLeaseRequest>(body.as_bytes()).unwrap();
        assert_eq!((request.max, request.lease_ms, request.wait_ms), (100, 1_000, 25_000));
        assert_eq!(refused::<MailboxLeaseRequest>("{}"), "account_id is required");
        assert_eq!(
            refused::<MailboxLeaseRequest>(r#"{"account_id":"a"}"#),
            "session_tag is required"
        );
        let long = format!(r#"{{"account_id":"a","session_tag":"{}"}}"#, "s".repeat(257));
        assert_eq!(
            refused::<MailboxLeaseRequest>(&long),
            "session_tag has 257 bytes; at most 256 are allowed"
        );
    }

    #[test]
    fn acknowledgements_come_back_as_they_were() {
        let request = MailboxAckRequest {
            account_id: "a".into(),
            session_tag: "s".into(),
            acks: vec![
                MailboxAckItem {
                    lease: "l1".into(),
                    outcome: MailboxOutcome::Done,
                    delay_ms: None,
                    code: None,
                    detail: None,
                },
                MailboxAckItem {
                    lease: "l2".into(),
                    outcome: MailboxOutcome::Retry,
                    delay_ms: Some(500),
                    code: Some("busy".into()),
                    detail: Some("later".into()),
                },
            ],
            auth: RequestAuth::default(),
        };
        assert_eq!(decode_request::<MailboxAckRequest>(request.encode().as_bytes()), Ok(request));
        let ack = |ack: &str| format!(r#"{{"account_id":"a","session_tag":"s","acks":[{ack}]}}"#);
        assert_eq!(refused::<MailboxAckRequest>(&ack("7")), "an ack must be an object");
        assert_eq!(refused::<MailboxAckRequest>(&ack("{}")), "lease is required");
        assert_eq!(
            refused::<MailboxAckRequest>(&ack(r#"{"lease":"l","outcome":"maybe"}"#)),
            "outcome must be done, retry or dead"
        );
        let many = vec![r#"{"lease":"l","outcome":"done"}"#; 101].join(",");
        assert_eq!(
            refused::<MailboxAckRequest>(&ack(&many)),
            "acks has 101 entries; at most 100 are allowed"
        );
    }

    #[test]
    fn a_signed_request_is_checked_as_it_was_received() {
        let key = SigningKey::from_seed(&[4; 32]);
        let now = Timestamp::from_micros(0);
        let mut request = MailboxExtendRequest {
            account_id: "a".into(),
            session_tag: "s".into(),
            leases: vec!["l".into()],
            lease_ms: 5_000,
            auth: RequestAuth::default(),
        };
        request.sign(&key, now, "n");
        let received = decode_request::<MailboxExtendRequest>(request.encode().as_bytes()).unwrap();
        let judge = |received: &MailboxExtendRequest| {
            let auth = received.auth();
            let bound = Some(key.public_text());
            let hash = &auth.request_sha256;
            crate::signed_request::check(auth.auth.as_ref(), received.requester(), hash, bound, now, 0, |_| true)
        };
        assert_eq!(judge(&received), Ok(()));
        let changed = request.encode().replace("5000", "50000");
        assert!(judge(&decode_request(changed.as_bytes()).unwrap()).is_err());
    }

    #[test]
    fn an_action_names_messages_or_a_state() {
        let base = r#""account_id":"a","action":"requeue""#;
        assert_eq!(
            refused::<MailboxActionRequest>(&format!("{{{base}}}")),
            "message_ids or state is required"
        );
        assert_eq!(
            refused::<MailboxActionRequest>(&format!(r#"{{{base},"state":"x"}}"#)),
            "state must be queued, leased, dead or done"
        );
        assert_eq!(
            refused::<MailboxActionRequest>(r#"{"account_id":"a","action":"burn","state":"dead"}"#),
            "action must be requeue or drop"
        );
        let request = MailboxActionRequest {
            account_id: "a".into(),
            session_tag: String::new(),
            action: MailboxAction::Drop,
            message_ids: vec!["m".into()],
            state: None,
            auth: RequestAuth::default(),
        };
        assert_eq!(
            decode_request::<MailboxActionRequest>(request.encode().as_bytes()),
            Ok(request)
        );
    }

    #[test]
    fn replies_come_back_as_they_were() {
        let reply = MailboxLeaseReply {
            messages: vec![LeasedMessage {
                lease: "l".into(),
                seq: 7,
                attempt: 1,
                queued_at: "2026-01-01T00:00:00Z".into(),
                envelope: RawJson::parse(r#"{"message_id":"m"}"#.to_owned()).unwrap(),
            }],
            remaining: 3,
            generated_at: "2026-01-01T00:00:00Z".into(),
        };
        let wire = super::super::Reply::encode(&reply);
        assert_eq!(decode_reply::<MailboxLeaseRequest>(wire.as_bytes()), Ok(reply));
        let event = MailboxEvent {
            event: "dead".into(),
            message_id: "m".into(),
            from_account_id: "a".into(),
            at: "2026-01-01T00:00:00Z".into(),
            attempt: 2,
            code: Some("expired".into()),
        };
        assert_eq!(MailboxEvent::decode(event.encode().as_bytes()), Ok(event));
    }
}
