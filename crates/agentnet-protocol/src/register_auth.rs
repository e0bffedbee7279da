//! Signed registration: what an agent claims, and the registry's checks (PROTOCOL.md sections 13.2 and 13.3).

use crate::claims::Claims;
use crate::json::{self, Value};
use crate::signature::{Auth, AuthForm};
use crate::signing_scope::SigningScope;
use crate::{Timestamp, username};

/// `DEV_AUTH_MAX_SKEW_SECONDS` unless set, in milliseconds.
pub const DEFAULT_MAX_SKEW_MS: u64 = 120_000;
/// `DEV_AUTH_NONCE_TTL_SECONDS` unless set: how long a used nonce is remembered.
pub const DEFAULT_NONCE_TTL_SECONDS: u64 = 300;

/// Why a registration is refused. [`RegisterAuthError::code`] is the error text of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.code())]
#[non_exhaustive]
pub enum RegisterAuthError {
    /// There is no `auth` object.
    Required,
    /// An unknown scheme.
    Scheme,
    /// Key or signature are blank, or the claims are no object.
    Payload,
    /// Timestamp or nonce are blank.
    Claims,
    /// Claimed for another agent id.
    Agent,
    /// Claimed for another name.
    Name,
    /// Claimed for another username.
    Username,
    /// Claimed for another account.
    Account,
    /// The timestamp cannot be read.
    Timestamp,
    /// The timestamp is too far from the registry's time.
    Skew,
    /// The signature does not cover the claims.
    Signature,
    /// The nonce was used before.
    Replayed,
    /// The account belongs to another key.
    PublicKey,
    /// Rotations: claimed for another new key.
    NewKey,
    /// Rotations: the new key has not signed.
    Proof,
}

impl RegisterAuthError {
    /// The wire code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Required => "auth_required",
            Self::Scheme => "auth_scheme_invalid",
            Self::Payload => "auth_payload_invalid",
            Self::Claims => "auth_claims_invalid",
            Self::Agent => "auth_claims_agent_mismatch",
            Self::Name => "auth_claims_name_mismatch",
            Self::Username => "auth_claims_username_mismatch",
            Self::Account => "auth_claims_account_mismatch",
            Self::Timestamp => "auth_claims_timestamp_invalid",
            Self::Skew => "auth_claims_timestamp_skew",
            Self::Signature => "auth_signature_invalid",
            Self::Replayed => "auth_nonce_replayed",
            Self::PublicKey => "auth_public_key_mismatch",
            Self::NewKey => "auth_claims_new_key_mismatch",
            Self::Proof => "auth_proof_invalid",
        }
    }
}

/// A registration as the registry sees it, its account resolved but neither created nor changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration<'a> {
    /// The request's agent id.
    pub agent_id: &'a str,
    /// The request's name, which is the agent id when it has none.
    pub name: &'a str,
    /// The request's username as sent, if any.
    pub requested_username: Option<&'a str>,
    /// The account that it resolves to.
    pub account_id: &'a str,
    /// That account's username.
    pub username: &'a str,
    /// The key that the account is bound to, if any.
    pub bound_key: Option<&'a str>,
}

/// Who has registered with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrant {
    /// The key to bind to the account.
    pub public_key: String,
    /// What its session signs besides messages (section 13.6).
    pub signs: SigningScope,
}

/// The claims of a registration; `username` and `account_id` are those that the agent asks for.
#[must_use]
pub fn claims(
    agent_id: &str,
    name: &str,
    username: Option<&str>,
    account_id: Option<&str>,
    now: Timestamp,
    nonce: &str,
) -> Claims {
    Claims::new([
        ("agent_id", agent_id),
        ("name", name),
        ("username", username.unwrap_or_default()),
        ("account_id", account_id.unwrap_or_default()),
        ("timestamp", &now.to_string()),
        ("nonce", nonce),
    ])
}

/// Checks the `auth` member of a registration (null when it has none) and says who has signed it.
///
/// `remember_nonce` gets `<account_id>:<nonce>` once the signature holds; it keeps the text for the nonce lifetime and says
/// whether it was new. A key that does not match still uses the nonce up.
///
/// An empty username claim matches a request that carried no username (section 0, decision 6).
///
/// # Errors
/// [`RegisterAuthError`], the first that applies in the order of its variants.
pub fn check(
    auth: &Value<'_>,
    registration: &Registration<'_>,
    now: Timestamp,
    max_skew_ms: u64,
    remember_nonce: impl FnOnce(&str) -> bool,
) -> Result<Registrant, RegisterAuthError> {
    use RegisterAuthError as Error;
    let auth = Auth::read(auth).map_err(|form| match form {
        AuthForm::NotAnObject => Error::Required,
        AuthForm::Scheme => Error::Scheme,
        AuthForm::Payload => Error::Payload,
    })?;
    let claims = &auth.claims;
    let timestamp = json::trim(claims.get("timestamp"));
    let nonce = json::trim(claims.get("nonce"));
    let account = json::trim(claims.get("account_id"));
    ensure(!timestamp.is_empty() && !nonce.is_empty(), Error::Claims)?;
    ensure(claims.get("agent_id") == registration.agent_id, Error::Agent)?;
    ensure(claims.get("name") == registration.name, Error::Name)?;
    ensure(username_matches(claims.get("username"), registration), Error::Username)?;
    ensure(account.is_empty() || account == registration.account_id, Error::Account)?;
    ensure_recent(timestamp, now, max_skew_ms)?;
    ensure(auth.signature_holds(), Error::Signature)?;
    ensure(
        remember_nonce(&format!("{}:{nonce}", registration.account_id)),
        Error::Replayed,
    )?;
    ensure(
        registration.bound_key.is_none_or(|bound| bound == auth.public_key),
        Error::PublicKey,
    )?;
    Ok(Registrant {
        signs: SigningScope::parse(claims.get(SigningScope::MEMBER)),
        public_key: auth.public_key,
    })
}

/// Whether a claimed time is near enough to now.
pub(crate) fn ensure_recent(timestamp: &str, now: Timestamp, max_skew_ms: u64) -> Result<(), RegisterAuthError> {
    let timestamp = Timestamp::parse(timestamp).ok_or(RegisterAuthError::Timestamp)?;
    ensure(
        now.micros_since(timestamp).unsigned_abs() <= max_skew_ms.saturating_mul(1000),
        RegisterAuthError::Skew,
    )
}

fn username_matches(claim: &str, registration: &Registration<'_>) -> bool {
    let claim = username::normalise(claim);
    if claim.is_empty()
        && registration
            .requested_username
            .is_none_or(|name| username::normalise(name).is_empty())
    {
        return true;
    }
    claim == username::normalise(registration.username)
}

pub(crate) fn ensure(holds: bool, error: RegisterAuthError) -> Result<(), RegisterAuthError> {
    if holds { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SigningKey;

    fn registered(
        claimed: Option<&str>,
        requested: Option<&str>,
        resolved: &str,
    ) -> Result<Registrant, RegisterAuthError> {
        let key = SigningKey::from_seed(&[1; 32]);
        let now = Timestamp::from_micros(0);
        let auth = key.auth(&claims("a", "A", claimed, None, now, "n"));
        let registration = Registration {
            agent_id: "a",
            name: "A",
            requested_username: requested,
            account_id: "acct_1",
            username: resolved,
            bound_key: None,
        };
        check(&auth.view(), &registration, now, 0, |nonce| nonce == "acct_1:n")
    }

    #[test]
    fn an_agent_without_a_username_may_register() {
        assert!(registered(None, None, "a").is_ok());
        assert!(registered(Some("日本語"), Some("日本語"), "agent_x").is_ok());
        assert!(registered(Some("bob"), Some("Bob"), "bob").is_ok());
    }

    #[test]
    fn a_signed_request_for_one_name_gives_no_other() {
        let refused = Err(RegisterAuthError::Username);
        assert_eq!(registered(None, Some("victim"), "victim"), refused);
        assert_eq!(registered(Some("bob"), Some("victim"), "victim"), refused);
        assert_eq!(registered(Some("bob"), None, "a"), refused);
    }
}
