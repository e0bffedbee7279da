//! `rotate_key`: another key for an account (an addition to the Python protocol, PROTOCOL.md section 13.5).

use super::record::{record, reply};
use super::{Request, RpcError, opt_trimmed, owned, required};
use crate::RawJson;
use crate::json::{Object, ObjectWriter, ascii};

/// `registry.rotate_key`: binds another key to an account. [`rotation`](crate::rotation) makes and checks it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotateKeyRequest {
    /// Account id whose key is replaced.
    pub account_id: String,
    /// The key to bind, base64url text without padding.
    pub new_public_key: String,
    /// Claims signed by the key that is bound now.
    pub auth: Option<RawJson>,
    /// The signature of the same claims by the new key.
    pub proof: String,
}

impl Request for RotateKeyRequest {
    const NAME: &'static str = "rotate_key";
    type Reply = RotateKeyReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(1024);
        out.text("account_id", &self.account_id)
            .text("new_public_key", &self.new_public_key);
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
        out.text("proof", &self.proof);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "rotate_key payload must be an object")?;
        let missing = RpcError::new;
        let auth = object.get("auth");
        Ok(Self {
            account_id: opt_trimmed(object.get("account_id")).ok_or(missing("account_id is required"))?,
            new_public_key: opt_trimmed(object.get("new_public_key")).ok_or(missing("new_public_key is required"))?,
            auth: (!auth.is_null()).then(|| RawJson::validated(auth.raw().into())),
            proof: owned(object.get("proof")),
        })
    }
}

record! {
    /// The key that is bound now.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct RotateKeyReply {
        /// Account id that the key is bound to.
        pub account_id: String,
        /// Its new key.
        pub public_key: String,
        /// Time of the reply, UTC.
        pub rotated_at: String,
    }
}

reply!(RotateKeyReply, ["account_id", "public_key"]);
