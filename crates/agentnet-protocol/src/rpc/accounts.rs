//! `resolve_account`, `resolve_key`, `search`, `profile` (PROTOCOL.md section 6).

use super::{
    Reply, Request, RpcError, array, count, limit, object_or_empty, objects, opt_owned, opt_trimmed, owned, required,
    texts,
};
use crate::RawJson;
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter, ascii};
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

/// The account behind a username.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveAccountReply {
    /// The account.
    pub account_id: String,
    /// Its username as stored.
    pub username: String,
    /// When.
    pub resolved_at: String,
}

impl Reply for ResolveAccountReply {
    const MEMBERS: &'static [&'static str] = &["account_id"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(160);
        out.text("account_id", &self.account_id)
            .text("username", &self.username)
            .text("resolved_at", &self.resolved_at);
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let missing = DecodeError::Member {
            member: "account_id",
            problem: "is missing",
        };
        Ok(Self {
            account_id: opt_owned(object.get("account_id")).ok_or(missing)?,
            username: owned(object.get("username")),
            resolved_at: owned(object.get("resolved_at")),
        })
    }
}

/// `registry.resolve_key`: the public key bound to an account (section 13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveKeyRequest {
    /// The account.
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

/// The public key bound to an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveKeyReply {
    /// The account.
    pub account_id: String,
    /// base64url text without padding.
    pub public_key: String,
    /// When.
    pub resolved_at: String,
    /// What the account's sessions sign besides messages (an addition of ours, section 13.6); left out where it is nothing.
    pub signs: SigningScope,
}

impl Reply for ResolveKeyReply {
    const MEMBERS: &'static [&'static str] = &["account_id", "public_key"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(192);
        out.text("account_id", &self.account_id)
            .text("public_key", &self.public_key)
            .text("resolved_at", &self.resolved_at);
        if !self.signs.is_none() {
            out.text(SigningScope::MEMBER, &self.signs.to_string());
        }
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account_id: owned(object.get("account_id")),
            public_key: owned(object.get("public_key")),
            resolved_at: owned(object.get("resolved_at")),
            signs: SigningScope::parse(&object.get(SigningScope::MEMBER).text()),
        })
    }
}

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

/// One account that matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountHit {
    /// The account.
    pub account_id: String,
    /// Its username.
    pub username: String,
    /// Its display name.
    pub display_name: String,
    /// Its capabilities.
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

impl AccountHit {
    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        out.text("account_id", &self.account_id)
            .text("username", &self.username)
            .text("display_name", &self.display_name)
            .texts("capabilities", &self.capabilities)
            .raw("metadata", &ascii(self.metadata.get()))
            .text("visibility", &self.visibility)
            .text("status", &self.status)
            .int("online_sessions", self.online_sessions)
            .bool("online", self.online);
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Self {
        Self {
            account_id: owned(object.get("account_id")),
            username: owned(object.get("username")),
            display_name: owned(object.get("display_name")),
            capabilities: texts(object.get("capabilities")),
            metadata: object_or_empty(object.get("metadata")),
            visibility: owned(object.get("visibility")),
            status: owned(object.get("status")),
            online_sessions: count(object.get("online_sessions")),
            online: object.get("online").is_truthy(),
        }
    }
}

/// The accounts that matched: more live sessions first, then by username.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchReply {
    /// As asked.
    pub query: String,
    /// As asked, trimmed.
    pub capability: Option<String>,
    /// As used.
    pub limit: usize,
    /// As used.
    pub online_only: bool,
    /// The matches.
    pub results: Vec<AccountHit>,
    /// When.
    pub generated_at: String,
    /// Set when more accounts match (section 0.4).
    pub next_cursor: Option<String>,
}

impl Reply for SearchReply {
    const MEMBERS: &'static [&'static str] = &["results"];

    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        out.text("query", &self.query)
            .nullable_text("capability", self.capability.as_deref())
            .int("limit", self.limit as u64)
            .bool("online_only", self.online_only)
            .raw("results", &array(self.results.iter().map(AccountHit::encode)))
            .text("generated_at", &self.generated_at)
            .opt_text("next_cursor", self.next_cursor.as_deref());
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            query: owned(object.get("query")),
            capability: opt_owned(object.get("capability")),
            limit: usize::try_from(count(object.get("limit"))).unwrap_or(0),
            online_only: object.get("online_only").is_truthy(),
            results: objects(object.get("results"))
                .map(|hit| AccountHit::decode(&hit))
                .collect(),
            generated_at: owned(object.get("generated_at")),
            next_cursor: opt_owned(object.get("next_cursor")),
        })
    }
}

/// `registry.profile`: one account and its live sessions. The account id wins, without fallback.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileRequest {
    /// Which account.
    pub account_id: Option<String>,
    /// Or which username; the registry normalises it.
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

/// One live session of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileSession {
    /// The session.
    pub session_tag: String,
    /// The process' role label.
    pub agent_id: String,
    /// The registry that issued it.
    pub server_id: String,
    /// When it was first seen.
    pub connected_at: String,
    /// When it was last heard of.
    pub last_seen: String,
    /// The process' own capabilities.
    pub capabilities: Vec<String>,
    /// The process' own metadata object.
    pub metadata: RawJson,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The account.
    pub account_id: String,
    /// Its username.
    pub username: String,
    /// Its display name.
    pub display_name: String,
    /// Free text.
    pub bio: String,
    /// Its capabilities.
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
    /// Its live sessions, last heard of first.
    pub online_sessions: Vec<ProfileSession>,
    /// Whether it has any.
    pub online: bool,
}

/// One account and when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileReply {
    /// The account.
    pub profile: Profile,
    /// When.
    pub generated_at: String,
}

impl ProfileSession {
    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        out.text("session_tag", &self.session_tag)
            .text("agent_id", &self.agent_id)
            .text("server_id", &self.server_id)
            .text("connected_at", &self.connected_at)
            .text("last_seen", &self.last_seen)
            .texts("capabilities", &self.capabilities)
            .raw("metadata", &ascii(self.metadata.get()));
        out.finish()
    }

    fn decode(object: &Object<'_>) -> Self {
        Self {
            session_tag: owned(object.get("session_tag")),
            agent_id: owned(object.get("agent_id")),
            server_id: owned(object.get("server_id")),
            connected_at: owned(object.get("connected_at")),
            last_seen: owned(object.get("last_seen")),
            capabilities: texts(object.get("capabilities")),
            metadata: object_or_empty(object.get("metadata")),
        }
    }
}

impl Reply for ProfileReply {
    const MEMBERS: &'static [&'static str] = &["profile"];

    fn encode(&self) -> String {
        let profile = &self.profile;
        let mut out = ObjectWriter::new();
        out.text("account_id", &profile.account_id)
            .text("username", &profile.username)
            .text("display_name", &profile.display_name)
            .text("bio", &profile.bio)
            .texts("capabilities", &profile.capabilities)
            .raw("metadata", &ascii(profile.metadata.get()))
            .text("visibility", &profile.visibility)
            .text("status", &profile.status)
            .text("created_at", &profile.created_at)
            .text("updated_at", &profile.updated_at)
            .raw(
                "online_sessions",
                &array(profile.online_sessions.iter().map(ProfileSession::encode)),
            )
            .bool("online", profile.online);
        let mut reply = ObjectWriter::new();
        reply
            .raw("profile", &out.finish())
            .text("generated_at", &self.generated_at);
        reply.finish()
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let profile = object.get("profile").as_object().ok_or(DecodeError::Member {
            member: "profile",
            problem: "must be an object",
        })?;
        Ok(Self {
            profile: Profile {
                account_id: owned(profile.get("account_id")),
                username: owned(profile.get("username")),
                display_name: owned(profile.get("display_name")),
                bio: owned(profile.get("bio")),
                capabilities: texts(profile.get("capabilities")),
                metadata: object_or_empty(profile.get("metadata")),
                visibility: owned(profile.get("visibility")),
                status: owned(profile.get("status")),
                created_at: owned(profile.get("created_at")),
                updated_at: owned(profile.get("updated_at")),
                online_sessions: objects(profile.get("online_sessions"))
                    .map(|s| ProfileSession::decode(&s))
                    .collect(),
                online: profile.get("online").is_truthy(),
            },
            generated_at: owned(object.get("generated_at")),
        })
    }
}
