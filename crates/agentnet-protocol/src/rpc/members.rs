//! Members of a network in secure mode: `enroll`, `renew` and `member_*` (an addition to the Python protocol, PROTOCOL.md sections
//! 23.4, 23.5 and 23.8).

mod admin;

pub use admin::{
    MemberGrantRequest, MemberInviteReply, MemberInviteRequest, MemberListReply, MemberListRequest, MemberRecord,
    MemberReply, MemberRevokeRequest, SendPolicy,
};

use super::read::bounded;
use super::record::{Omitted, Record as _, record, reply};
use super::{Request, RpcError, required};
use crate::json::{Object, ObjectWriter};
use crate::limits::MAX_NAME_BYTES;

/// Codes of the errors about members; `: ` and a sentence follow each.
pub mod error_code {
    /// The network is not in secure mode.
    pub const NOT_SECURE: &str = "not_secure";
    /// The role of the caller does not allow the request.
    pub const FORBIDDEN: &str = "forbidden";
    /// The invite is unknown, used or has expired, or the proof does not match: one answer for all of them.
    pub const INVITE_INVALID: &str = "invite_invalid";
}

/// `registry.enroll.<invite_id>`: binds the keys of a new member. [`invite`](crate::invite) makes and checks it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnrollRequest {
    /// Id of the invite.
    pub invite_id: String,
    /// Account of the new member.
    pub account_id: String,
    /// Its public nkey, `U…`.
    pub nkey: String,
    /// Its public key for messages, base64url text without padding.
    pub public_key: String,
    /// HMAC over both keys with the secret of the invite.
    pub proof: String,
    /// Signature of the same text by the new message key.
    pub signature: String,
}

impl Request for EnrollRequest {
    const NAME: &'static str = "enroll";
    type Reply = EnrollReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(512);
        out.text("invite_id", &self.invite_id)
            .text("account_id", &self.account_id)
            .text("nkey", &self.nkey)
            .text("public_key", &self.public_key)
            .text("proof", &self.proof)
            .text("signature", &self.signature);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "enroll payload must be an object")?;
        let text = |name: &'static str| {
            bounded(object, name, MAX_NAME_BYTES)?.ok_or_else(|| RpcError::with_text(format!("{name} is required")))
        };
        Ok(Self {
            invite_id: text("invite_id")?,
            account_id: text("account_id")?,
            nkey: text("nkey")?,
            public_key: text("public_key")?,
            proof: text("proof")?,
            signature: text("signature")?,
        })
    }
}

record! {
    /// The new member.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct EnrollReply {
        /// `enrolled`.
        pub status: String,
        /// Account of the member.
        pub account_id: String,
        /// Username of the account.
        pub username: String,
        /// Role of the member.
        pub role: String,
        /// Capabilities that it may serve.
        pub capabilities: Vec<String>,
        /// Addresses of the network's servers; empty where those of the invite hold.
        pub urls: Vec<String>,
        /// The member's JWT, on a network in operator mode (section 23.8).
        pub jwt: Option<String> as Omitted,
        /// The JWT that can ask for another one.
        pub renewal_jwt: Option<String> as Omitted,
    }
}

impl EnrollReply {
    /// The value of `status`.
    pub const ENROLLED: &'static str = "enrolled";
}

reply!(EnrollReply, ["status", "account_id"], not_empty: account_id);

/// `registry.renew.<account_id>`: another JWT for a member, on a network in operator mode. The caller is the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenewRequest;

impl Request for RenewRequest {
    const NAME: &'static str = "renew";
    type Reply = RenewReply;

    fn encode(&self) -> String {
        "{}".to_owned()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        required(object, "renew payload must be an object").map(|_| Self)
    }
}

record! {
    /// The credentials of a member.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct RenewReply {
        /// Account of the member.
        pub account_id: String,
        /// Its JWT; absent where the server knows members by their nkeys alone.
        pub jwt: Option<String> as Omitted,
        /// The JWT that can ask for another one.
        pub renewal_jwt: Option<String> as Omitted,
        /// When `jwt` ends, UTC.
        pub expires_at: Option<String> as Omitted,
    }
}

reply!(RenewReply, ["account_id"], not_empty: account_id);

record! {
    /// What a member may do has changed, and counts when it connects again (`agentnet.events.<account>.credential`, section 23.8).
    /// Only registries may publish it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct CredentialEvent {
        /// The member whose rights have changed.
        pub account_id: String,
        /// [`CredentialEvent::GRANTED`].
        pub kind: String,
    }
}

impl CredentialEvent {
    /// A member has other permissions.
    pub const GRANTED: &'static str = "granted";

    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        self.to_json()
    }
}
