//! `resolve_account`, `resolve_key`, `search`, `profile` (PROTOCOL.md section 6).

use super::record::{Nested, Omitted, Record, record, reply};
use super::{Reply, Request, RpcError, limit, opt_trimmed, owned, required};
use crate::RawJson;
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter};
use crate::signing_scope::SigningScope;
use crate::username::normalise;

/// `registry.resolve_account`: the account behind a username.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveAccountRequest {
    /// The username; the registry normalises it.
    pub username: String,
}

impl Request for ResolveAccountRequest {
    const NAME: &'static str = "resolve_account";
    type Reply = ResolveAccountReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        out.text("username", &self.username);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "resolve payload must be an object")?;
        let username = normalise(&object.get("username").text());
        if username.is_empty() {
            return Err(RpcError::USERNAME_REQUIRED);
        }
        Ok(Self { username })
    }
}

record! {
    /// The account behind a username.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ResolveAccountReply {
        /// Account id that the username resolves to.
        pub account_id: String,
        /// Its username as stored.
        pub username: String,
        /// Time of the reply, UTC.
        pub resolved_at: String,
    }
}

reply!(ResolveAccountReply, ["account_id"], not_empty: account_id);

/// `registry.resolve_key`: the public key bound to an account (section 13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveKeyRequest {
    /// Account id whose key is requested.
    pub account_id: String,
}

impl Request for ResolveKeyRequest {
    const NAME: &'static str = "resolve_key";
    type Reply = ResolveKeyReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        out.text("account_id", &self.account_id);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "resolve payload must be an object")?;
        let account_id = opt_trimmed(object.get("account_id")).ok_or(RpcError::new("account_id is required"))?;
        Ok(Self { account_id })
    }
}

record! {
    /// The public key bound to an account.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ResolveKeyReply {
        /// Account id that the key is bound to.
        pub account_id: String,
        /// base64url text without padding.
        pub public_key: String,
        /// Time of the reply, UTC.
        pub resolved_at: String,
        /// What the account's sessions sign besides messages (an addition to the Python protocol, section 13.6); left out where
        /// it is nothing.
        pub signs: SigningScope,
    }
}

reply!(ResolveKeyReply, ["account_id", "public_key"]);

/// `registry.search`: accounts by name and capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// Literal, case-insensitive substring of username or display name; echoed untrimmed, matched trimmed.
    pub query: String,
    /// One capability, case-insensitive.
    pub capability: Option<String>,
    /// 1 to 100; 20 by default.
    pub limit: usize,
    /// Only accounts with a live session.
    pub online_only: bool,
    /// The `next_cursor` of the page before (section 0.4).
    pub cursor: Option<String>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            query: String::new(),
            capability: None,
            limit: 20,
            online_only: false,
            cursor: None,
        }
    }
}

impl Request for SearchRequest {
    const NAME: &'static str = "search";
    type Reply = SearchReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(128);
        out.text("query", &self.query)
            .nullable_text("capability", self.capability.as_deref())
            .int("limit", self.limit as u64)
            .bool("online_only", self.online_only)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "search payload must be an object")?;
        Ok(Self {
            query: owned(object.get("query")),
            capability: opt_trimmed(object.get("capability")),
            limit: limit(object, 20, 100)?,
            online_only: object.get("online_only").is_truthy(),
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

record! {
    /// One account that matched.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct AccountHit {
        /// Id of the account.
        pub account_id: String,
        /// Username of the account.
        pub username: String,
        /// Its display name.
        pub display_name: String,
        /// Capabilities of the account, as last registered.
        pub capabilities: Vec<String>,
        /// Its metadata object.
        pub metadata: RawJson,
        /// `public` by default.
        pub visibility: String,
        /// `active` by default.
        pub status: String,
        /// How many live sessions it has.
        pub online_sessions: i64,
        /// Whether it has any.
        pub online: bool,
    }
}

record! {
    /// The accounts that matched: more live sessions first, then by username.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct SearchReply {
        /// `query` of the request.
        pub query: String,
        /// As asked, trimmed.
        pub capability: Option<String>,
        /// `limit` in effect.
        pub limit: usize,
        /// `online_only` in effect.
        pub online_only: bool,
        /// Accounts that match, at most `limit`.
        pub results: Vec<AccountHit>,
        /// Time of the reply, UTC.
        pub generated_at: String,
        /// Set when more accounts match (section 0.4).
        pub next_cursor: Option<String> as Omitted,
    }
}

reply!(SearchReply, ["results"]);

/// `registry.profile`: one account and its live sessions. The account id wins, without fallback.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileRequest {
    /// Account id to look up.
    pub account_id: Option<String>,
    /// Username to look up if no account id is given; the registry normalises it.
    pub username: Option<String>,
}

impl Request for ProfileRequest {
    const NAME: &'static str = "profile";
    type Reply = ProfileReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(96);
        out.opt_text("account_id", self.account_id.as_deref())
            .opt_text("username", self.username.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "profile payload must be an object")?;
        let account_id = opt_trimmed(object.get("account_id"));
        let username = Some(normalise(&object.get("username").text())).filter(|name| !name.is_empty());
        if account_id.is_none() && username.is_none() {
            return Err(RpcError::new("account_id or username is required"));
        }
        Ok(Self { account_id, username })
    }
}

record! {
    /// One live session of an account.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ProfileSession {
        /// Session tag that the registry issued.
        pub session_tag: String,
        /// The process' role label.
        pub agent_id: String,
        /// The registry that issued it.
        pub server_id: String,
        /// When it was first seen.
        pub connected_at: String,
        /// Time of its last hello.
        pub last_seen: String,
        /// The process' own capabilities.
        pub capabilities: Vec<String>,
        /// The process' own metadata object.
        pub metadata: RawJson,
    }
}

record! {
    /// Profile of an account, with its live sessions.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Profile {
        /// Id of the account.
        pub account_id: String,
        /// Username of the account.
        pub username: String,
        /// Its display name.
        pub display_name: String,
        /// Free text.
        pub bio: String,
        /// Capabilities of the account, as last registered.
        pub capabilities: Vec<String>,
        /// Its metadata object.
        pub metadata: RawJson,
        /// `public` by default.
        pub visibility: String,
        /// `active` by default.
        pub status: String,
        /// When it was created.
        pub created_at: String,
        /// When its profile last changed.
        pub updated_at: String,
        /// Its live sessions, latest hello first.
        pub online_sessions: Vec<ProfileSession>,
        /// Whether it has any.
        pub online: bool,
    }
}

record! {
    /// One account and when it was looked up.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ProfileReply {
        /// Profile of the requested account.
        pub profile: Profile as Nested,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

impl Reply for ProfileReply {
    const MEMBERS: &'static [&'static str] = &["profile"];

    fn encode(&self) -> String {
        self.to_json()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        match object.get("profile").as_object() {
            Some(_) => Ok(Self::read(object)),
            None => Err(DecodeError::Member {
                member: "profile",
                problem: "must be an object",
            }),
        }
    }
}
