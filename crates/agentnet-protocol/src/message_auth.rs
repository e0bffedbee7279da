//! Signed messages: what a sender claims, and the receiver's checks (PROTOCOL.md section 13.4).
//!
//! The receiver reads the `auth` member first ([`SignedMessage::read`]), then looks the sender's key up, then verifies
//! ([`SignedMessage::verify`]): the lookup may take a round trip, which is not this crate's business.

use crate::canonical::payload_sha256;
use crate::claims::Claims;
use crate::envelope::Envelope;
use crate::json::{self, Value};
use crate::signature::{Auth, AuthForm, SigningKey};
use crate::{RawJson, version};

/// Claims that senders of the first schema did not make.
const LATER_CLAIMS: [&str; 2] = ["schema_version", "idempotency_key"];

/// Why a message is refused. [`MessageAuthError::code`] is the code of the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.code())]
#[non_exhaustive]
pub enum MessageAuthError {
    /// No sender account.
    FromAccount,
    /// No `auth` object.
    Missing,
    /// An unknown scheme.
    Scheme,
    /// Key or signature are blank, or the claims are no object.
    Payload,
    /// No key is known for the sender's account.
    KeyNotFound,
    /// Signed with another key than the one bound to the account.
    PublicKey,
    /// The claims are not those of this message.
    Claims,
    /// The signature does not cover the claims.
    Signature,
    /// The broker has proven another sender than `from_account_id` (section 23.6).
    Issuer,
}

impl MessageAuthError {
    /// The wire code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FromAccount => "auth_missing_from_account",
            Self::Missing => "auth_missing",
            Self::Scheme => "auth_scheme_invalid",
            Self::Payload => "auth_payload_invalid",
            Self::KeyNotFound => "auth_key_not_found",
            Self::PublicKey => "auth_public_key_mismatch",
            Self::Claims => "auth_claims_mismatch",
            Self::Signature => "auth_signature_invalid",
            Self::Issuer => "auth_issuer_mismatch",
        }
    }
}

/// The fourteen claims of a message. `from_agent`, `from_session_tag` and `reply_to` are not covered.
#[must_use]
pub fn claims(envelope: &Envelope) -> Claims {
    let ttl_ms = envelope.ttl_ms.unwrap_or_default().to_string();
    let payload_sha256 = payload_sha256(&envelope.payload.view());
    let schema_version = match &*envelope.schema_version {
        "" => version::DEFAULT,
        given => given,
    };
    Claims::new([
        ("message_id", &*envelope.message_id),
        (
            "from_account_id",
            envelope.from_account_id.as_deref().unwrap_or_default(),
        ),
        ("to_account_id", envelope.to_account_id.as_deref().unwrap_or_default()),
        ("to_agent", &envelope.to_agent),
        ("sent_at", &envelope.sent_at),
        ("ttl_ms", &ttl_ms),
        ("expires_at", envelope.expires_at.as_deref().unwrap_or_default()),
        ("trace_id", envelope.trace_id.as_deref().unwrap_or_default()),
        ("thread_id", envelope.thread_id.as_deref().unwrap_or_default()),
        (
            "parent_message_id",
            envelope.parent_message_id.as_deref().unwrap_or_default(),
        ),
        ("kind", &envelope.kind),
        ("schema_version", schema_version),
        (
            "idempotency_key",
            envelope.idempotency_key.as_deref().unwrap_or_default(),
        ),
        ("payload_sha256", &payload_sha256),
    ])
}

/// The `auth` member of a finished message.
#[must_use]
pub fn sign(key: &SigningKey, envelope: &Envelope) -> RawJson {
    key.auth(&claims(envelope))
}

/// The `auth` member of a received message: its form is right, nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage(Auth);

impl SignedMessage {
    /// Reads the `auth` member.
    ///
    /// # Errors
    /// [`MessageAuthError`] up to [`MessageAuthError::Payload`].
    pub fn read(envelope: &Envelope) -> Result<Self, MessageAuthError> {
        if json::trim(envelope.from_account_id.as_deref().unwrap_or_default()).is_empty() {
            return Err(MessageAuthError::FromAccount);
        }
        let auth = envelope.auth.as_ref().map_or(Value::NULL, RawJson::view);
        Auth::read(&auth).map(Self).map_err(|form| match form {
            AuthForm::NotAnObject => MessageAuthError::Missing,
            AuthForm::Scheme => MessageAuthError::Scheme,
            AuthForm::Payload => MessageAuthError::Payload,
        })
    }

    /// The public key that the message says it was signed with.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.0.public_key
    }

    /// Whether the message is what its signature covers, by the key that it names itself. Whose key that is, is not said.
    #[must_use]
    pub fn is_consistent(&self, envelope: &Envelope) -> bool {
        self.verify(Some(&self.0.public_key), envelope).is_ok()
    }

    /// Verifies the message against the key bound to its sender's account. The envelope is the one read before, its thread id
    /// filled in and its schema version normalised, as the Python implementation does before this check.
    ///
    /// # Errors
    /// [`MessageAuthError`] from [`MessageAuthError::KeyNotFound`] on.
    pub fn verify(&self, bound_key: Option<&str>, envelope: &Envelope) -> Result<(), MessageAuthError> {
        let bound_key = bound_key.ok_or(MessageAuthError::KeyNotFound)?;
        if bound_key != self.0.public_key {
            return Err(MessageAuthError::PublicKey);
        }
        let expected = claims(envelope);
        let given = &self.0.claims;
        if !given.same_as(&expected) && !given.same_as(&expected.without(&LATER_CLAIMS)) {
            return Err(MessageAuthError::Claims);
        }
        if self.0.signature_holds() {
            Ok(())
        } else {
            Err(MessageAuthError::Signature)
        }
    }
}
