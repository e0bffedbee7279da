//! Requests that only an account's owner may make under signed identity (PROTOCOL.md section 13.8).

use super::Request;
use crate::json::{Object, ObjectWriter, ascii};
use crate::signature::SigningKey;
use crate::signed_request::{Requester, request_sha256, sign};
use crate::{RawJson, Timestamp};

/// The signature of a request, and the hash of what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestAuth {
    /// The `auth` member, any JSON value as it came.
    pub auth: Option<RawJson>,
    /// The hash of the request as received; empty in a request that is to be sent.
    pub request_sha256: String,
}

impl RequestAuth {
    pub(super) fn read(object: &Object<'_>) -> Self {
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

    pub(super) fn write(&self, out: &mut ObjectWriter) {
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
    }
}

/// A request that only an account's owner may make under signed identity (section 13.8).
pub trait SignedRequest: Request {
    /// Its account, and the session if it names one.
    fn requester(&self) -> Requester<'_>;

    /// Its signature, with the hash of what it covers.
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

/// Implements [`SignedRequest`] for a request with `account_id`, `session_tag` and `auth`.
macro_rules! signed {
    ($request:ty) => {
        impl $crate::rpc::SignedRequest for $request {
            fn requester(&self) -> $crate::signed_request::Requester<'_> {
                $crate::signed_request::Requester {
                    purpose: <Self as $crate::rpc::Request>::NAME,
                    account_id: &self.account_id,
                    session_tag: &self.session_tag,
                }
            }

            fn auth(&self) -> &$crate::rpc::RequestAuth {
                &self.auth
            }

            fn auth_mut(&mut self) -> &mut $crate::rpc::RequestAuth {
                &mut self.auth
            }
        }
    };
}
pub(super) use signed;
