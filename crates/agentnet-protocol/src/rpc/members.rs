//! Members of a secure network: `enroll` and `member_*` (an addition to the Python protocol, PROTOCOL.md sections 23.4, 23.5).

mod admin;

pub use admin::{
    MemberGrantRequest, MemberInviteReply, MemberInviteRequest, MemberListReply, MemberListRequest, MemberRecord,
    MemberReply, MemberRevokeRequest, SendPolicy,
};

use super::read::bounded;
use super::record::{record, reply};
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
    }
}

impl EnrollReply {
    /// The value of `status`.
    pub const ENROLLED: &'static str = "enrolled";
}

reply!(EnrollReply, ["status", "account_id"], not_empty: account_id);
