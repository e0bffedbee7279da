//! The JWTs of operators and accounts, and revocations.

use std::collections::BTreeMap;

use super::{Claims, JwtError, VerifiedJwt, check_kinds, sign, signed};
use crate::base32;
use crate::json::{ObjectWriter, Value};
use crate::nats_key::{KeyKind, NatsKey};
use sha2::{Digest as _, Sha512_256};

/// The JWT of an operator, signed by itself.
///
/// # Errors
/// [`JwtError::Signer`], [`JwtError::Subject`]
pub fn operator(claims: &Claims<'_>, system_account: &str, signer: &NatsKey) -> Result<String, JwtError> {
    check_kinds(claims, KeyKind::Operator, signer, KeyKind::Operator)?;
    let mut nats = ObjectWriter::new();
    nats.text("system_account", system_account);
    Ok(signed(claims, &mut nats, "operator", signer))
}

/// The JWT of an account without limits. `signing_keys` may sign its users too; with `jetstream`, it may keep messages.
///
/// # Errors
/// [`JwtError::Signer`], [`JwtError::Subject`]
pub fn account(
    claims: &Claims<'_>,
    signing_keys: &[String],
    jetstream: bool,
    signer: &NatsKey,
) -> Result<String, JwtError> {
    check_kinds(claims, KeyKind::Account, signer, KeyKind::Operator)?;
    let mut limits = ObjectWriter::new();
    for name in ["subs", "data", "payload", "imports", "exports", "conn", "leaf"] {
        limits.int(name, -1);
    }
    limits.bool("wildcards", true);
    limits.bool("disallow_bearer", true);
    if jetstream {
        for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits.int(name, -1);
        }
    }
    let mut nats = ObjectWriter::new();
    nats.raw("limits", &limits.finish());
    if !signing_keys.is_empty() {
        nats.texts("signing_keys", signing_keys);
    }
    Ok(signed(claims, &mut nats, "account", signer))
}

/// The JWT of an account once more, with these revocations beside those that it has: JWTs of the user with this public key that
/// were issued until then are void. `None`: it has them all. Everything else in it stays.
///
/// # Errors
/// [`JwtError`]: it is not the JWT of an account, or the signer is no operator.
pub fn with_revocations(
    current: &VerifiedJwt,
    revocations: &BTreeMap<String, i64>,
    issued_at: i64,
    signer: &NatsKey,
) -> Result<Option<String>, JwtError> {
    if signer.kind() != KeyKind::Operator {
        return Err(JwtError::Signer(KeyKind::Operator));
    }
    let nats = current.check_type("account")?;
    let mut all: BTreeMap<String, i64> = BTreeMap::new();
    if let Some(known) = nats.get("revocations").as_object() {
        for (key, until) in known.iter() {
            let (Some(key), Ok(until)) = (key.as_str(), until.raw().parse()) else {
                return Err(JwtError::Member("revocations"));
            };
            all.insert(key.into_owned(), until);
        }
    }
    let before = all.clone();
    for (key, until) in revocations {
        let known = all.entry(key.clone()).or_insert(*until);
        *known = (*known).max(*until);
    }
    if all == before {
        return Ok(None);
    }
    let mut out = ObjectWriter::new();
    for (key, until) in &all {
        out.int(key, *until);
    }
    let nats = replaced(nats.unique(), &[("revocations", out.finish())]);
    let claims = current.claims().ok_or(JwtError::Form)?;
    let issuer = format!("\"{}\"", signer.public());
    let standard = [("iss", issuer), ("iat", issued_at.to_string())];
    let unnamed: Vec<_> = claims
        .unique()
        .into_iter()
        .filter(|(name, _)| !is(name, "jti"))
        .collect();
    let content = replaced(
        unnamed.clone(),
        &[standard[0].clone(), standard[1].clone(), ("nats", nats.clone())],
    );
    let id = format!("\"{}\"", base32::encode(&Sha512_256::digest(content)));
    let [issuer, issued_at] = standard;
    let payload = replaced(unnamed, &[issuer, issued_at, ("jti", id), ("nats", nats)]);
    Ok(Some(sign(&payload, signer)))
}

fn is(name: &Value<'_>, text: &str) -> bool {
    name.as_str().is_some_and(|name| name == text)
}

/// An object with these members in the place of its own of the same names.
fn replaced(members: Vec<(Value<'_>, Value<'_>)>, with: &[(&str, String)]) -> String {
    let mut out = ObjectWriter::with_capacity(2048);
    for (name, value) in members {
        let Some(name) = name.as_str() else { continue };
        if with.iter().all(|(replaced, _)| *replaced != name) {
            out.raw(&name, value.raw());
        }
    }
    for (name, json) in with {
        out.raw(name, json);
    }
    out.finish()
}
