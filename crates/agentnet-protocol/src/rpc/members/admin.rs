//! The requests of operators.

use super::super::read::{bounded, items, number, texts};
use super::super::record::{Nested, Omitted, record, reply};
use super::super::{Request, RpcError, limit, opt_trimmed, owned, required};
use crate::json::{Object, ObjectWriter};
use crate::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES, MAX_NAME_BYTES, check_bytes};
use crate::member::Role;
use crate::username::normalise;

/// How long an invite can be used, unless the request says otherwise: a day.
const DEFAULT_TTL_SECONDS: i64 = 86_400;
const MIN_TTL_SECONDS: i64 = 60;
const MAX_TTL_SECONDS: i64 = 30 * 86_400;
/// Targets that one member's policy may name.
const MAX_SEND_TARGETS: usize = 1000;

/// `registry.member_invite`: a new member, and an invite for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInviteRequest {
    /// Its username, normalised.
    pub username: String,
    /// Its role: agent, observer or operator; agent by default.
    pub role: Role,
    /// Capabilities that it may serve.
    pub capabilities: Vec<String>,
    /// Where it may send to: account ids, and `capability:<name>`. `None`: everybody.
    pub may_send_to: Option<Vec<String>>,
    /// How long the invite can be used, in seconds: 60 to 2,592,000; 86,400 by default.
    pub ttl_seconds: i64,
}

impl Default for MemberInviteRequest {
    fn default() -> Self {
        Self {
            username: String::new(),
            role: Role::Agent,
            capabilities: Vec::new(),
            may_send_to: None,
            ttl_seconds: DEFAULT_TTL_SECONDS,
        }
    }
}

impl Request for MemberInviteRequest {
    const NAME: &'static str = "member_invite";
    type Reply = MemberInviteReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("username", &self.username)
            .text("role", self.role.as_str())
            .texts("capabilities", &self.capabilities);
        if let Some(targets) = &self.may_send_to {
            out.texts("may_send_to", targets);
        }
        out.int("ttl_seconds", self.ttl_seconds);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "member_invite payload must be an object")?;
        let role = opt_trimmed(object.get("role")).map_or(Ok(Role::Agent), |role| role.parse());
        Ok(Self {
            username: username(object).ok_or(RpcError::USERNAME_REQUIRED)?,
            role: role
                .ok()
                .filter(|role| role.is_invitable())
                .ok_or(RpcError::new("role must be agent, observer or operator"))?,
            capabilities: capabilities(object, "capabilities")?,
            may_send_to: match SendPolicy::read(object)? {
                SendPolicy::Only(targets) => Some(targets),
                SendPolicy::Keep | SendPolicy::Everybody => None,
            },
            ttl_seconds: number(
                object,
                "ttl_seconds",
                DEFAULT_TTL_SECONDS,
                MIN_TTL_SECONDS,
                MAX_TTL_SECONDS,
            )?,
        })
    }
}

record! {
    /// An invite, except the addresses of the network, which the operator adds.
    #[derive(Clone, PartialEq, Eq, Default)]
    pub struct MemberInviteReply {
        /// Id of the invite.
        pub invite_id: String,
        /// Account of the new member.
        pub account_id: String,
        /// Its username, as stored.
        pub username: String,
        /// 16 bytes as base64url text without padding.
        pub secret: String,
        /// 32 bytes as base64url text without padding.
        pub join_seed: String,
        /// When the invite ends, UTC.
        pub expires_at: String,
        /// Role of the new member.
        pub role: String,
        /// The JWT of the nkey of `join_seed`, on a network in operator mode.
        pub join_jwt: Option<String> as Omitted,
    }
}

impl std::fmt::Debug for MemberInviteReply {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MemberInviteReply")
            .field("invite_id", &self.invite_id)
            .field("account_id", &self.account_id)
            .field("username", &self.username)
            .field("expires_at", &self.expires_at)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

reply!(MemberInviteReply, ["invite_id", "secret"], not_empty: invite_id, account_id);

/// `registry.member_list`: the members, by username.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberListRequest {
    /// 1 to 100; 20 by default.
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for MemberListRequest {
    fn default() -> Self {
        Self {
            limit: 20,
            cursor: None,
        }
    }
}

impl Request for MemberListRequest {
    const NAME: &'static str = "member_list";
    type Reply = MemberListReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        out.int("limit", self.limit as u64)
            .opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "member_list payload must be an object")?;
        Ok(Self {
            limit: limit(object, 20, 100)?,
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

record! {
    /// A member, as requests list it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MemberRecord {
        /// Account of the member.
        pub account_id: String,
        /// Username of the account.
        pub username: String,
        /// Role of the member.
        pub role: String,
        /// `invited`, `active` or `revoked`.
        pub state: String,
        /// Capabilities that it may serve.
        pub capabilities: Vec<String>,
        /// Where it may send to; `null`: everybody.
        pub may_send_to: Option<Vec<String>> as NullableTexts,
        /// When it was invited first.
        pub created_at: String,
        /// When it enrolled its key.
        pub enrolled_at: Option<String>,
        /// When it was revoked.
        pub revoked_at: Option<String>,
        /// Its public nkey.
        pub nkey: Option<String>,
    }
}

record! {
    /// Members of the network.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MemberListReply {
        /// The members, by username.
        pub members: Vec<MemberRecord>,
        /// Set when there are more.
        pub next_cursor: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MemberListReply, ["members"]);

/// `registry.member_revoke`: ends a membership. The account id wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberRevokeRequest {
    /// Account of the member.
    pub account_id: Option<String>,
    /// Its username, normalised.
    pub username: Option<String>,
}

impl Request for MemberRevokeRequest {
    const NAME: &'static str = "member_revoke";
    type Reply = MemberReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(96);
        out.opt_text("account_id", self.account_id.as_deref())
            .opt_text("username", self.username.as_deref());
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "member_revoke payload must be an object")?;
        let (account_id, username) = named(object)?;
        Ok(Self { account_id, username })
    }
}

/// `registry.member_grant`: changes what a member may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberGrantRequest {
    /// Account of the member.
    pub account_id: Option<String>,
    /// Its username, normalised.
    pub username: Option<String>,
    /// Capabilities that it may serve from now on.
    pub capabilities_add: Vec<String>,
    /// Capabilities that it may not serve any more.
    pub capabilities_remove: Vec<String>,
    /// Where it may send to.
    pub may_send_to: SendPolicy,
}

impl Request for MemberGrantRequest {
    const NAME: &'static str = "member_grant";
    type Reply = MemberReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.opt_text("account_id", self.account_id.as_deref())
            .opt_text("username", self.username.as_deref())
            .texts("capabilities_add", &self.capabilities_add)
            .texts("capabilities_remove", &self.capabilities_remove);
        match &self.may_send_to {
            SendPolicy::Keep => {}
            SendPolicy::Everybody => {
                out.null("may_send_to");
            }
            SendPolicy::Only(targets) => {
                out.texts("may_send_to", targets);
            }
        }
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "member_grant payload must be an object")?;
        let (account_id, username) = named(object)?;
        Ok(Self {
            account_id,
            username,
            capabilities_add: capabilities(object, "capabilities_add")?,
            capabilities_remove: capabilities(object, "capabilities_remove")?,
            may_send_to: SendPolicy::read(object)?,
        })
    }
}

record! {
    /// A member after a change.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct MemberReply {
        /// The member after the change.
        pub member: MemberRecord as Nested,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(MemberReply, ["member"]);

/// A change of where a member may send to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SendPolicy {
    /// As before; the member is absent.
    #[default]
    Keep,
    /// Everybody; the member is `null`.
    Everybody,
    /// These account ids, and `capability:<name>`.
    Only(Vec<String>),
}

impl SendPolicy {
    /// Anything but an array is an error: a policy that is read wrongly would let a member send to everybody.
    fn read(object: &Object<'_>) -> Result<Self, RpcError> {
        const MEMBER: &str = "may_send_to";
        let value = object.get(MEMBER);
        if value.as_array().is_none() {
            let is_given = object.iter().any(|(name, _)| name.as_str().as_deref() == Some(MEMBER));
            return match (is_given, value.is_null()) {
                (false, _) => Ok(Self::Keep),
                (true, true) => Ok(Self::Everybody),
                (true, false) => Err(RpcError::new("may_send_to must be an array of account ids")),
            };
        }
        let targets = items(object, MEMBER, MAX_SEND_TARGETS)?.map(|target| {
            let target = owned(target);
            check_bytes(MEMBER, &target, MAX_NAME_BYTES)?;
            Ok(target)
        });
        targets.collect::<Result<_, RpcError>>().map(Self::Only)
    }
}

/// An array of texts, or `null`.
struct NullableTexts;

impl super::super::record::Codec<Option<Vec<String>>> for NullableTexts {
    fn write(value: &Option<Vec<String>>, name: &str, out: &mut ObjectWriter) {
        match value {
            Some(texts) => out.texts(name, texts),
            None => out.null(name),
        };
    }

    fn read(object: &Object<'_>, name: &str) -> Option<Vec<String>> {
        let texts = object.get(name).as_array()?;
        Some(texts.map(owned).collect())
    }
}

fn capabilities(object: &Object<'_>, name: &'static str) -> Result<Vec<String>, RpcError> {
    texts(object, name, MAX_CAPABILITIES, MAX_CAPABILITY_BYTES)
}

fn username(object: &Object<'_>) -> Option<String> {
    Some(normalise(&object.get("username").text())).filter(|name| !name.is_empty())
}

fn named(object: &Object<'_>) -> Result<(Option<String>, Option<String>), RpcError> {
    let account_id = bounded(object, "account_id", MAX_NAME_BYTES)?;
    match (account_id, username(object)) {
        (None, None) => Err(RpcError::new("account_id or username is required")),
        named => Ok(named),
    }
}
