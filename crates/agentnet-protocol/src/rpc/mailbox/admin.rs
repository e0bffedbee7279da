//! The mailbox's requests for people who look after it, and its events.

use super::super::read::{bounded, texts};
use super::super::record::{Omitted, Record as _, record, reply};
use super::super::signed::{RequestAuth, signed};
use super::super::{Request, RpcError, limit, opt_trimmed, required};
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter};
use crate::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use crate::mailbox::{MailboxAction, MailboxState};
use crate::username::normalise;

/// Messages that one `mailbox_action` may name.
pub const MAX_ACTION_MESSAGES: usize = 100;

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
        /// Thread of the message.
        pub thread_id: Option<String>,
        /// Kind of the message.
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
        /// Account whose mailbox it is.
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
    /// Signature of the request (section 13.8).
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
        /// Number of messages that were changed.
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

fn username(object: &Object<'_>) -> Option<String> {
    object.get("username").opt_text().map(|name| normalise(&name))
}

fn state(object: &Object<'_>) -> Result<Option<MailboxState>, RpcError> {
    let Some(text) = opt_trimmed(object.get("state")) else {
        return Ok(None);
    };
    let state = text
        .parse()
        .map_err(|_| RpcError::new("state must be queued, leased, dead or done"))?;
    Ok(Some(state))
}
