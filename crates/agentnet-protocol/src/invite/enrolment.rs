//! The request that binds a new member's keys: what it proves, and the registry's checks.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Invite;
use crate::hex;
use crate::nkey::{self, Nkey};
use crate::rpc::EnrollRequest;
use crate::signature::{SigningKey, is_public_key, verify_text};

/// Why an enrolment is refused. The registry answers all of them with `invite_invalid`, and tells the reason to its log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// The request is for another invite or account.
    #[error("the request is for another invite or account")]
    Invite,
    /// `nkey` is no public key of a NATS user.
    #[error("the nkey cannot be used")]
    Nkey,
    /// `public_key` is no Ed25519 key.
    #[error("the public key cannot be used")]
    PublicKey,
    /// The proof was made without the invite's secret, or for other keys.
    #[error("the proof does not match the invite")]
    Proof,
    /// The signature was not made with the new key.
    #[error("the signature does not match the public key")]
    Signature,
}

/// The proof of knowing an invite's secret, bound to the account and to both new keys: HMAC-SHA256 in hexadecimal digits.
#[must_use]
pub fn enrol_proof(
    secret: &[u8; 16],
    invite_id: &str,
    account_id: &str,
    nkey_public: &str,
    message_public: &str,
) -> String {
    let text = enrolment_text(invite_id, account_id, nkey_public, message_public);
    hex::encode(&mac(secret, &text).finalize().into_bytes())
}

/// The request of a new member whose identity has this seed.
#[must_use]
pub fn enrolment(invite: &Invite, identity_seed: &[u8; 32]) -> EnrollRequest {
    let key = SigningKey::from_seed(&nkey::message_seed(identity_seed));
    let nkey = Nkey::of_identity(identity_seed).public();
    let Invite {
        invite_id,
        account_id,
        secret,
        ..
    } = invite;
    let public_key = key.public_text();
    EnrollRequest {
        invite_id: invite_id.clone(),
        account_id: account_id.clone(),
        proof: enrol_proof(secret, invite_id, account_id, &nkey, public_key),
        signature: key.sign_text(&enrolment_text(invite_id, account_id, &nkey, public_key)),
        public_key: public_key.to_owned(),
        nkey,
    }
}

/// Checks an enrolment against the stored invite. Whether the invite is still to be used is the store's to decide.
///
/// # Errors
/// [`EnrolmentError`], the first that applies.
pub fn check_enrolment(
    request: &EnrollRequest,
    invite_id: &str,
    account_id: &str,
    secret: &[u8; 16],
) -> Result<(), EnrolmentError> {
    let ensure = |holds: bool, error: EnrolmentError| if holds { Ok(()) } else { Err(error) };
    let EnrollRequest { nkey, public_key, .. } = request;
    ensure(
        request.invite_id == invite_id && request.account_id == account_id,
        EnrolmentError::Invite,
    )?;
    ensure(nkey::is_public(nkey), EnrolmentError::Nkey)?;
    ensure(is_public_key(public_key), EnrolmentError::PublicKey)?;
    let text = enrolment_text(invite_id, account_id, nkey, public_key);
    let proof = hex::decode(&request.proof).unwrap_or_default();
    // Compares in constant time.
    ensure(mac(secret, &text).verify_slice(&proof).is_ok(), EnrolmentError::Proof)?;
    ensure(
        verify_text(public_key, &request.signature, &text),
        EnrolmentError::Signature,
    )
}

/// No part can contain `|`, and no signed claims begin like this.
fn enrolment_text(invite_id: &str, account_id: &str, nkey_public: &str, message_public: &str) -> String {
    format!("agentnet-enroll|{invite_id}|{account_id}|{nkey_public}|{message_public}")
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn mac(secret: &[u8; 16], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(text.as_bytes());
    mac
}
