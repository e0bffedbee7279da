//! Rotation: a new key for an account, asked for with the old one (an addition to the Python protocol, PROTOCOL.md section 13.5).
//!
//! The old key signs the claims, and so does the new one: the requester cannot bind a key that it does not hold.

use crate::claims::Claims;
use crate::json::{self, Value};
use crate::register_auth::{RegisterAuthError as Error, ensure, ensure_recent};
use crate::rpc::RotateKeyRequest;
use crate::signature::{Auth, AuthForm, SigningKey, verify};
use crate::{RawJson, Timestamp};

const PURPOSE: &str = "rotate_key";

/// A request to bind `new` in the place of `old`.
#[must_use]
pub fn request(account_id: &str, old: &SigningKey, new: &SigningKey, now: Timestamp, nonce: &str) -> RotateKeyRequest {
    let claims = Claims::new([
        ("purpose", PURPOSE),
        ("account_id", account_id),
        ("new_public_key", new.public_text()),
        ("timestamp", &now.to_string()),
        ("nonce", nonce),
    ]);
    RotateKeyRequest {
        account_id: account_id.to_owned(),
        new_public_key: new.public_text().to_owned(),
        auth: Some(old.auth(&claims)),
        proof: new.sign(&claims),
    }
}

/// Checks a rotation and gives the key that must be bound for it to happen.
///
/// `remember_nonce` as in [`register_auth::check`](crate::register_auth::check).
///
/// # Errors
/// The codes of a registration, the first that applies; a `proof` that the new key did not make is
/// [`RegisterAuthError::Proof`](crate::register_auth::RegisterAuthError::Proof).
pub fn check(
    request: &RotateKeyRequest,
    bound_key: Option<&str>,
    now: Timestamp,
    max_skew_ms: u64,
    remember_nonce: impl FnOnce(&str) -> bool,
) -> Result<String, Error> {
    let auth = request.auth.as_ref().map_or(Value::NULL, RawJson::view);
    let auth = Auth::read(&auth).map_err(|form| match form {
        AuthForm::NotAnObject => Error::Required,
        AuthForm::Scheme => Error::Scheme,
        AuthForm::Payload => Error::Payload,
    })?;
    let claims = &auth.claims;
    let timestamp = json::trim(claims.get("timestamp"));
    let nonce = json::trim(claims.get("nonce"));
    ensure(!timestamp.is_empty() && !nonce.is_empty(), Error::Claims)?;
    ensure(claims.get("purpose") == PURPOSE, Error::Claims)?;
    ensure(claims.get("account_id") == request.account_id, Error::Account)?;
    ensure(claims.get("new_public_key") == request.new_public_key, Error::NewKey)?;
    ensure_recent(timestamp, now, max_skew_ms)?;
    ensure(auth.signature_holds(), Error::Signature)?;
    ensure(verify(&request.new_public_key, &request.proof, claims), Error::Proof)?;
    ensure(
        remember_nonce(&format!("{}:{nonce}", request.account_id)),
        Error::Replayed,
    )?;
    ensure(bound_key == Some(auth.public_key.as_str()), Error::PublicKey)?;
    Ok(auth.public_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_both_keys_rotates() {
        let [old, new, other] = [1, 2, 3].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let now = Timestamp::from_micros(1_000_000_000);
        let good = super::request("acct_a", &old, &new, now, "n");
        let judge = |request: &RotateKeyRequest, bound: Option<&SigningKey>| {
            check(request, bound.map(SigningKey::public_text), now, 1000, |nonce| {
                nonce == "acct_a:n"
            })
        };
        assert_eq!(judge(&good, Some(&old)), Ok(old.public_text().to_owned()));
        assert_eq!(judge(&good, Some(&other)), Err(Error::PublicKey));
        assert_eq!(
            judge(&good, None),
            Err(Error::PublicKey),
            "what has no key is not rotated"
        );
        let changed = |change: fn(&mut RotateKeyRequest, &SigningKey)| {
            let mut request = good.clone();
            change(&mut request, &other);
            judge(&request, Some(&old)).unwrap_err()
        };
        assert_eq!(changed(|request, _| request.auth = None), Error::Required);
        assert_eq!(
            changed(|request, _| request.account_id = "acct_b".into()),
            Error::Account
        );
        let swapped = changed(|request, other| request.new_public_key = other.public_text().to_owned());
        assert_eq!(swapped, Error::NewKey);
        assert_eq!(changed(|request, _| request.proof = String::new()), Error::Proof);
        let not_in_hand = super::request("acct_a", &old, &new, now, "n");
        let stolen = RotateKeyRequest {
            proof: super::request("acct_a", &old, &other, now, "n").proof,
            ..not_in_hand
        };
        assert_eq!(judge(&stolen, Some(&old)), Err(Error::Proof));
        let late = super::request("acct_a", &old, &new, now.saturating_add_millis(-1001), "n");
        assert_eq!(judge(&late, Some(&old)), Err(Error::Skew));
        let again = super::request("acct_a", &old, &new, now, "m");
        assert_eq!(judge(&again, Some(&old)), Err(Error::Replayed));
        // A registration's signature is none for a rotation.
        let claims = crate::register_auth::claims("a", "A", None, Some("acct_a"), now, "n");
        let register = RotateKeyRequest {
            auth: Some(old.auth(&claims)),
            ..good.clone()
        };
        assert_eq!(judge(&register, Some(&old)), Err(Error::Claims));
    }
}
