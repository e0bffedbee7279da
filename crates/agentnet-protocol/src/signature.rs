//! Keys and signatures of dev auth: Ed25519 (PROTOCOL.md section 13.1).

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

use crate::claims::Claims;
use crate::json::{self, ObjectWriter, Value};
use crate::{RawJson, Text, python_base64};

/// The name of the scheme in an `auth` member.
pub const SCHEME: &str = "dev-ed25519-v1";
/// The directory of key files unless `DEV_AUTH_KEY_DIR` names one.
pub const DEFAULT_KEY_DIR: &str = ".keys";

/// Why a private key or a key file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a JSON object with the texts `private_key` and `public_key`.
    #[error("the key file must be a JSON object with `private_key` and `public_key`")]
    File,
    /// Not the base64url text of 32 bytes.
    #[error("the private key must be 32 bytes as base64url text")]
    PrivateKey,
    /// The public key is not the one that belongs to the private key.
    #[error("the key file's public key does not belong to its private key")]
    Mismatch,
}

/// A private key with its public one. Its debug text shows the public key only.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// From a private seed: 32 random bytes make a new key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = python_base64::encode(key.verifying_key().as_bytes());
        Self { key, public }
    }

    /// From the text of a private seed.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`]
    pub fn from_text(private_key: &str) -> Result<Self, KeyError> {
        let seed = python_base64::decode_unpadded(private_key).ok_or(KeyError::PrivateKey)?;
        Ok(Self::from_seed(
            seed.as_slice().try_into().map_err(|_| KeyError::PrivateKey)?,
        ))
    }

    /// From the content of a key file.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn from_key_file(content: &str) -> Result<Self, KeyError> {
        let object = Value::parse(content)
            .ok()
            .and_then(|value| value.as_object())
            .ok_or(KeyError::File)?;
        let member = |name| {
            object
                .get(name)
                .as_str()
                .filter(|text| !text.is_empty())
                .ok_or(KeyError::File)
        };
        let (private, public) = (member("private_key")?, member("public_key")?);
        let key = Self::from_text(&private)?;
        if python_base64::decode_unpadded(&public).as_deref() == Some(key.key.verifying_key().as_bytes()) {
            Ok(key)
        } else {
            Err(KeyError::Mismatch)
        }
    }

    /// The content of a key file.
    #[must_use]
    pub fn to_key_file(&self) -> String {
        // Base64url needs no escapes.
        format!(
            "{{\n  \"private_key\": \"{}\",\n  \"public_key\": \"{}\"\n}}",
            self.private_text(),
            self.public
        )
    }

    /// The private seed as base64url without padding. Keep it secret.
    #[must_use]
    pub fn private_text(&self) -> String {
        python_base64::encode(self.key.as_bytes())
    }

    /// The public key as base64url without padding: what registries bind to an account.
    #[must_use]
    pub fn public_text(&self) -> &str {
        &self.public
    }

    /// The signature of some claims as base64url without padding.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        self.sign_text(&claims.signed_text())
    }

    /// The signature of a text that is no claims: it begins with a word that says what it is for.
    pub(crate) fn sign_text(&self, text: &str) -> String {
        python_base64::encode(&self.key.sign(text.as_bytes()).to_bytes())
    }

    /// The `auth` member that carries claims with their signature.
    #[must_use]
    pub fn auth(&self, claims: &Claims) -> RawJson {
        let json = ObjectWriter::with_capacity(claims.json().len() + 256)
            .text("scheme", SCHEME)
            .text("public_key", &self.public)
            .raw("claims", claims.json())
            .text("signature", &self.sign(claims))
            .finish();
        RawJson::validated(Text::from(json))
    }
}

/// Whether a signature over claims was made with this public key; false also for keys and signatures that cannot be read.
#[must_use]
pub fn verify(public_key: &str, signature: &str, claims: &Claims) -> bool {
    verify_text(public_key, signature, &claims.signed_text())
}

/// As [`verify`], for the text of [`SigningKey::sign_text`].
pub(crate) fn verify_text(public_key: &str, signature: &str, text: &str) -> bool {
    let Some(key) = verifying_key(public_key) else {
        return false;
    };
    let Some(signature) = python_base64::decode_unpadded(signature) else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(&signature) else {
        return false;
    };
    key.verify_strict(text.as_bytes(), &signature).is_ok()
}

fn verifying_key(public_key: &str) -> Option<VerifyingKey> {
    let key = python_base64::decode_unpadded(public_key)?;
    VerifyingKey::from_bytes(key.as_slice().try_into().ok()?).ok()
}

/// Whether a text is a public key as [`SigningKey::public_text`] writes it. The lenient reading of signatures accepts other
/// texts of the same key, which must not be bound beside it.
pub(crate) fn is_public_key(text: &str) -> bool {
    verifying_key(text).is_some_and(|key| !key.is_weak() && python_base64::encode(key.as_bytes()) == text)
}

/// An `auth` member whose form is right; nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Auth {
    pub(crate) public_key: String,
    pub(crate) signature: String,
    pub(crate) claims: Claims,
}

/// What is wrong with the form of an `auth` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthForm {
    NotAnObject,
    Scheme,
    Payload,
}

impl Auth {
    pub(crate) fn read(value: &Value<'_>) -> Result<Self, AuthForm> {
        let object = value.as_object().ok_or(AuthForm::NotAnObject)?;
        if object.get("scheme").text() != SCHEME {
            return Err(AuthForm::Scheme);
        }
        let text = |name| json::trim(&object.get(name).text()).to_owned();
        let (public_key, signature) = (text("public_key"), text("signature"));
        let claims = Claims::read(&object.get("claims")).ok_or(AuthForm::Payload)?;
        if public_key.is_empty() || signature.is_empty() {
            return Err(AuthForm::Payload);
        }
        Ok(Self {
            public_key,
            signature,
            claims,
        })
    }

    pub(crate) fn signature_holds(&self) -> bool {
        verify(&self.public_key, &self.signature, &self.claims)
    }
}

/// The name of an agent's key file in the key directory: its username, or its agent id without one, with everything but
/// letters, digits, `_`, `-` and `.` replaced by `_`. Never a path: an agent id that has to stand as it is keeps no
/// separators.
#[must_use]
pub fn key_file_name(username: Option<&str>, agent_id: &str) -> String {
    let name = username
        .map(json::trim)
        .filter(|name| !name.is_empty())
        .unwrap_or(agent_id);
    let safe = |name: &str| -> String {
        name.chars()
            .map(|c| {
                if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') {
                    c
                } else {
                    '_'
                }
            })
            .collect()
    };
    let stem = safe(name);
    match stem.trim_matches(['.', '_', '-']) {
        "" => format!("{}.json", safe(agent_id)),
        stem => format!("{stem}.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back() {
        let key = SigningKey::from_seed(&[7; 32]);
        let file = key.to_key_file();
        assert_eq!(
            SigningKey::from_key_file(&file).unwrap().public_text(),
            key.public_text()
        );
        assert_eq!(file.lines().count(), 4);
        let foreign = file.replace(key.public_text(), SigningKey::from_seed(&[8; 32]).public_text());
        assert_eq!(SigningKey::from_key_file(&foreign).unwrap_err(), KeyError::Mismatch);
        for broken in [
            "",
            "[]",
            r#"{"private_key":"x"}"#,
            r#"{"private_key":"","public_key":"x"}"#,
        ] {
            assert_eq!(
                SigningKey::from_key_file(broken).unwrap_err(),
                KeyError::File,
                "{broken}"
            );
        }
        let short = r#"{"private_key":"AAAA","public_key":"AAAA"}"#;
        assert_eq!(SigningKey::from_key_file(short).unwrap_err(), KeyError::PrivateKey);
    }

    #[test]
    fn debug_text_hides_the_private_key() {
        let key = SigningKey::from_seed(&[7; 32]);
        assert!(!format!("{key:?}").contains(&key.private_text()));
    }

    #[test]
    fn a_key_file_is_never_outside_its_directory() {
        assert_eq!(key_file_name(None, "/"), "_.json");
        assert_eq!(key_file_name(Some("_"), "../.."), ".._...json");
    }

    #[test]
    fn claims_that_were_changed_do_not_verify() {
        let key = SigningKey::from_seed(&[7; 32]);
        let claims = Claims::new([("a", "1")]);
        let signature = key.sign(&claims);
        assert!(verify(key.public_text(), &signature, &claims));
        assert!(!verify(key.public_text(), &signature, &Claims::new([("a", "2")])));
        assert!(!verify(
            SigningKey::from_seed(&[8; 32]).public_text(),
            &signature,
            &claims
        ));
        assert!(!verify("", &signature, &claims));
        assert!(!verify(key.public_text(), "", &claims));
    }
}
