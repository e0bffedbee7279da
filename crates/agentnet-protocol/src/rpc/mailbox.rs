//! The mailbox's requests for senders and receivers (PROTOCOL.md section 21, an addition to the Python protocol).

mod admin;

pub use self::admin::{
    MAX_ACTION_MESSAGES, MailboxActionReply, MailboxActionRequest, MailboxEvent, MailboxItem, MailboxListReply,
    MailboxListRequest, MailboxStatusReply, MailboxStatusRequest,
};
use super::read::{bounded, items, number, texts, token};
use super::record::{Omitted, record, reply};
use super::signed::{RequestAuth, signed};
use super::{Request, RpcError, opt_trimmed, required};
use crate::RawJson;
use crate::json::{ArrayWriter, Object, ObjectWriter, Value, ascii};
use crate::limits::MAX_NAME_BYTES;
use crate::mailbox::{
    DEFAULT_LEASE_MESSAGES, DEFAULT_LEASE_MS, MAX_DETAIL_BYTES, MAX_LEASE_MESSAGES, MAX_LEASE_MS, MAX_WAIT_MS,
    MIN_LEASE_MS, MailboxOutcome,
};

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
    /// Random text of the session, at most 64 letters, digits, `-` and `_`: a request with the same one gets the same messages
    /// again while they are leased, so that a lost reply loses none. Absent: the registry makes one.
    pub lease_id: Option<String>,
    /// Signature of the request (section 13.8).
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
            lease_id: None,
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
            .int("wait_ms", self.wait_ms)
            .opt_text("lease_id", self.lease_id.as_deref());
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "mailbox_lease payload must be an object")?;
        let (account_id, session_tag) = owner(object)?;
        let max = number(
            object,
            "max",
            DEFAULT_LEASE_MESSAGES as i64,
            1,
            MAX_LEASE_MESSAGES as i64,
        )?;
        Ok(Self {
            account_id,
            session_tag,
            max: usize::try_from(max).unwrap_or(DEFAULT_LEASE_MESSAGES),
            lease_ms: lease_ms(object)?,
            wait_ms: number(object, "wait_ms", 0, 0, MAX_WAIT_MS)?,
            lease_id: token(object, "lease_id")?,
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
        /// Messages to handle, in their order.
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
    /// Lease that ends, as `mailbox_lease` named it.
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
    /// Signature of the request (section 13.8).
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
    /// Signature of the request (section 13.8).
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

/// The account and the session of a request.
fn owner(object: &Object<'_>) -> Result<(String, String), RpcError> {
    let account_id = opt_trimmed(object.get("account_id")).ok_or(RpcError::new("account_id is required"))?;
    let session_tag = bounded(object, "session_tag", MAX_NAME_BYTES)?;
    Ok((account_id, session_tag.ok_or(RpcError::new("session_tag is required"))?))
}

fn lease_ms(object: &Object<'_>) -> Result<i64, RpcError> {
    number(object, "lease_ms", DEFAULT_LEASE_MS, MIN_LEASE_MS, MAX_LEASE_MS)
}
