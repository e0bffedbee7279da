//! JWTs of NATS in operator mode, version 2 (PROTOCOL.md section 23.8): those of users, accounts and operators, and the answers to
//! an authorization callout.
//!
//! The permissions of a user are always those of [`permissions`](crate::permissions::permissions): nothing else makes a list of
//! subjects, and an empty list denies everything.

mod account;
mod callout;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha512_256};

pub use account::{account, operator, with_revocations};
pub use callout::{AuthorizationRequest, CalloutError, authorization_request, authorization_response};

use crate::base32;
use crate::json::{Object, ObjectWriter, Value};
use crate::nats_key::{self, KeyKind, NatsKey};
use crate::permissions::Permissions;

/// The longest JWT that is read. An account's holds its revocations.
pub const MAX_JWT_BYTES: usize = 1024 * 1024;
/// `issued_at` of a credential that can only ask for another one: later than that of any other, so that revoking a member's
/// permissions does not void it, and revoking the member does. It is the year 2100.
pub const RENEWAL_ISSUED_AT: i64 = 4_102_444_800;
/// Bytes of a `CONNECT` line besides the JWT: nonce, names, versions.
pub const CONNECT_OVERHEAD_BYTES: usize = 640;
/// What a NATS server takes as one line, unless its configuration says otherwise (`max_control_line`).
pub const DEFAULT_CONTROL_LINE_BYTES: usize = 4096;
const VERSION: i128 = 2;
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// What every JWT says.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The public key that it is about.
    pub subject: &'a str,
    /// Its audience; for a user of an authorization callout, the account.
    pub audience: Option<&'a str>,
    /// A name to show.
    pub name: &'a str,
    /// When it was made, seconds since 1970.
    pub issued_at: i64,
    /// When it ends; `None`: never.
    pub expires_at: Option<i64>,
}

/// How a client may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A TCP connection with the NATS protocol.
    Standard,
    /// A web page.
    Websocket,
}

impl Transport {
    /// The text that NATS has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Websocket => "WEBSOCKET",
        }
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy)]
pub struct UserRights<'a> {
    /// Subjects; they hold no `allow_responses`.
    pub permissions: &'a Permissions,
    /// How it may connect; empty: in no way.
    pub transports: &'a [Transport],
    /// Subscriptions at a time; `None`: as many as it likes.
    pub subscriptions: Option<u32>,
    /// The account, where the signer is one of its signing keys.
    pub issuer_account: Option<&'a str>,
}

/// Why a JWT is not made or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// The signer is of another kind than these JWTs need.
    #[error("these JWTs are signed by the key of an {0}")]
    Signer(KeyKind),
    /// The subject is no public key of this kind.
    #[error("the JWT would be about something that is no public key of an {0}")]
    Subject(KeyKind),
    /// Not three parts of base64url, or longer than [`MAX_JWT_BYTES`].
    #[error("it is no JWT")]
    Form,
    /// Another algorithm or version.
    #[error("it is a JWT of another kind than NATS version 2 writes")]
    Header,
    /// A member is missing or cannot be read.
    #[error("the JWT's `{0}` cannot be used")]
    Member(&'static str),
    /// The issuer has not signed it.
    #[error("the JWT's signature does not hold")]
    Signature,
    /// It is not the JWT of what was expected.
    #[error("it is not the JWT of {0}")]
    Type(&'static str),
}

/// The JWT of a user.
///
/// # Errors
/// [`JwtError::Signer`], [`JwtError::Subject`]
pub fn user(claims: &Claims<'_>, rights: &UserRights<'_>, signer: &NatsKey) -> Result<String, JwtError> {
    check_kinds(claims, KeyKind::User, signer, KeyKind::Account)?;
    let Permissions { publish, subscribe } = rights.permissions;
    let mut nats = ObjectWriter::with_capacity(2048);
    nats.raw("pub", &list(publish)).raw("sub", &list(subscribe));
    // A number that is missing would mean none.
    nats.int("subs", rights.subscriptions.map_or(-1, i128::from))
        .int("data", -1)
        .int("payload", -1);
    let transports: Vec<&str> = match rights.transports {
        // Without a type, every one would be allowed; one that no server knows is none.
        [] => vec!["NONE"],
        transports => transports.iter().map(|transport| transport.as_str()).collect(),
    };
    nats.texts("allowed_connection_types", transports)
        .opt_text("issuer_account", rights.issuer_account);
    Ok(signed(claims, &mut nats, "user", signer))
}

/// The subjects that are allowed. An empty list would allow everything.
fn list(subjects: &[String]) -> String {
    let mut out = ObjectWriter::with_capacity(1024);
    match subjects {
        [] => out.texts("deny", [">"]),
        subjects => out.texts("allow", subjects),
    };
    out.finish()
}

fn check_kinds(claims: &Claims<'_>, subject: KeyKind, signer: &NatsKey, by: KeyKind) -> Result<(), JwtError> {
    if signer.kind() != by {
        return Err(JwtError::Signer(by));
    }
    if nats_key::kind_of(claims.subject) != Some(subject) {
        return Err(JwtError::Subject(subject));
    }
    Ok(())
}

/// Adds type and version to the part of NATS, and signs the whole.
fn signed(claims: &Claims<'_>, nats: &mut ObjectWriter, kind: &str, signer: &NatsKey) -> String {
    let nats = nats.text("type", kind).int("version", VERSION).finish();
    let issuer = signer.public();
    let standard = |id: Option<&str>| {
        let mut out = ObjectWriter::with_capacity(nats.len() + 512);
        out.opt_text("aud", claims.audience);
        if let Some(expires_at) = claims.expires_at {
            out.int("exp", expires_at);
        }
        out.opt_text("jti", id)
            .int("iat", claims.issued_at)
            .text("iss", &issuer)
            .opt_text("name", Some(claims.name).filter(|name| !name.is_empty()))
            .text("sub", claims.subject);
        out
    };
    let id = base32::encode(&Sha512_256::digest(standard(None).finish()));
    let payload = standard(Some(&id)).raw("nats", &nats).finish();
    sign(&payload, signer)
}

fn sign(payload: &str, signer: &NatsKey) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(HEADER);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = signer.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The content of a JWT whose signature holds. Whether its issuer is to be trusted is the caller's to judge.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedJwt {
    payload: String,
    /// The public key that has signed it.
    pub issuer: String,
    /// The public key that it is about.
    pub subject: String,
    /// When it was made, seconds since 1970; 0 where it does not say.
    pub issued_at: i64,
    /// When it ends, seconds since 1970.
    pub expires_at: Option<i64>,
}

impl fmt::Debug for VerifiedJwt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("VerifiedJwt")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl VerifiedJwt {
    /// Reads a JWT, and checks its form and its issuer's signature.
    ///
    /// # Errors
    /// [`JwtError`]
    pub fn read(token: &str) -> Result<Self, JwtError> {
        if token.len() > MAX_JWT_BYTES {
            return Err(JwtError::Form);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Form)?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Form);
        let text = |part: &str| String::from_utf8(bytes(part)?).map_err(|_| JwtError::Form);
        let header = text(header)?;
        let is_known = object(&header).is_some_and(|header| {
            let is = |name: &str, value: &str| header.get(name).as_str().is_some_and(|text| text == value);
            is("typ", "JWT") && is("alg", "ed25519-nkey")
        });
        if !is_known {
            return Err(JwtError::Header);
        }
        let payload = text(payload)?;
        let read = Self::of_payload(&payload)?;
        if !nats_key::verify(&read.issuer, signed.as_bytes(), &bytes(signature)?) {
            return Err(JwtError::Signature);
        }
        Ok(read)
    }

    fn of_payload(payload: &str) -> Result<Self, JwtError> {
        let claims = object(payload).ok_or(JwtError::Form)?;
        let text = |name: &'static str| {
            let text = claims.get(name).as_str();
            text.map(|text| text.into_owned()).ok_or(JwtError::Member(name))
        };
        let number = |name: &'static str| match claims.get(name) {
            absent if absent.is_null() => Ok(None),
            value => integer(&value).map(Some).ok_or(JwtError::Member(name)),
        };
        let is_version_2 = claims
            .get("nats")
            .as_object()
            .is_some_and(|nats| integer(&nats.get("version")) == i64::try_from(VERSION).ok());
        if !is_version_2 {
            return Err(JwtError::Header);
        }
        Ok(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            issued_at: number("iat")?.unwrap_or_default(),
            // 0 is none: so NATS writes it.
            expires_at: number("exp")?.filter(|at| *at != 0),
            payload: payload.to_owned(),
        })
    }

    /// All claims.
    #[must_use]
    pub fn claims(&self) -> Option<Object<'_>> {
        object(&self.payload)
    }

    /// The claims of NATS.
    #[must_use]
    pub fn nats(&self) -> Option<Object<'_>> {
        self.claims()?.get("nats").as_object()
    }

    fn check_type(&self, kind: &'static str) -> Result<Object<'_>, JwtError> {
        let nats = self.nats().ok_or(JwtError::Member("nats"))?;
        match nats.get("type").as_str().is_some_and(|text| text == kind) {
            true => Ok(nats),
            false => Err(JwtError::Type(kind)),
        }
    }
}

/// When a JWT of a user was made and ends, and what it allows, read without its signature: of a JWT that came from a registry, to
/// know when to ask for the next.
#[must_use]
pub fn peek(token: &str) -> Option<VerifiedJwt> {
    let payload = token.split('.').nth(1).filter(|_| token.len() <= MAX_JWT_BYTES)?;
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    VerifiedJwt::of_payload(&payload).ok()
}

/// Whether a text has the form of a JWT: three parts of base64url, not too long. Other texts are not kept or sent.
#[must_use]
pub fn has_form(token: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    token.len() <= MAX_JWT_BYTES && token.split('.').count() == 3 && token.split('.').all(is_part)
}

fn object(json: &str) -> Option<Object<'_>> {
    Value::parse(json).ok()?.as_object()
}

fn integer(value: &Value<'_>) -> Option<i64> {
    value.raw().parse().ok()
}

#[cfg(test)]
mod tests;
