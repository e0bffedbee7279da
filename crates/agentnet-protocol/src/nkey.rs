//! Keys of NATS users (nkeys), derived from the seed of an identity (PROTOCOL.md section 23.3).
//!
//! The nkey is never the key that signs messages: a false server lets its clients sign any text as its nonce.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::base32::{self, crc16};

const SALT: &[u8] = b"agentnet";
const NKEY_INFO: &[u8] = b"nats nkey v1";
const MESSAGE_INFO: &[u8] = b"message key v1";
/// The type of a user's public key: its text begins with `U`.
const USER_PREFIX: u8 = 20 << 3;
/// Characters of a public key: 35 bytes.
const PUBLIC_CHARS: usize = 56;

/// The key of a NATS user. Its debug text shows the public key only.
#[derive(Clone)]
pub struct Nkey {
    key: SigningKey,
}

impl fmt::Debug for Nkey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Nkey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

impl Nkey {
    /// From an Ed25519 seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
        }
    }

    /// The nkey of an identity: from [`nkey_seed`].
    #[must_use]
    pub fn of_identity(identity_seed: &[u8; 32]) -> Self {
        Self::from_seed(&nkey_seed(identity_seed))
    }

    /// The public key as NATS writes it: `U…`.
    #[must_use]
    pub fn public(&self) -> String {
        encode_public(self.key.verifying_key().as_bytes())
    }

    /// The signature of a server's nonce. Check it with [`is_nonce`] first.
    #[must_use]
    pub fn sign(&self, nonce: &[u8]) -> [u8; 64] {
        self.key.sign(nonce).to_bytes()
    }
}

/// The seed of an identity's nkey: HKDF-SHA256.
#[must_use]
pub fn nkey_seed(identity_seed: &[u8; 32]) -> [u8; 32] {
    derive(identity_seed, NKEY_INFO)
}

/// The seed of the key that signs an identity's messages: HKDF-SHA256.
#[must_use]
pub fn message_seed(identity_seed: &[u8; 32]) -> [u8; 32] {
    derive(identity_seed, MESSAGE_INFO)
}

fn derive(identity_seed: &[u8; 32], info: &[u8]) -> [u8; 32] {
    let mut seed = [0; 32];
    let derived = Hkdf::<Sha256>::new(Some(SALT), identity_seed).expand(info, &mut seed);
    // 32 bytes are one block of 255.
    debug_assert!(derived.is_ok());
    seed
}

/// Whether a text has the form of a nonce of a NATS server: 10 to 64 of `A-Z a-z 0-9 _ -`. Nothing else is signed.
#[must_use]
pub fn is_nonce(text: &str) -> bool {
    (10..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether a text is the public key of a NATS user: its form, its type, its checksum, and a usable point of the curve. Only
/// such a text is put into the configuration of a server.
#[must_use]
pub fn is_public(text: &str) -> bool {
    let Some(bytes) = decode_base32(text) else {
        return false;
    };
    let (payload, checksum) = bytes.split_at(33);
    payload[0] == USER_PREFIX
        && crc16(payload).to_le_bytes() == checksum
        && payload[1..]
            .try_into()
            .is_ok_and(|key| VerifyingKey::from_bytes(key).is_ok_and(|key| !key.is_weak()))
}

fn encode_public(key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(USER_PREFIX);
    bytes.extend_from_slice(key);
    let checksum = crc16(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    base32::encode(&bytes)
}

/// The 35 bytes of a public key's text.
fn decode_base32(text: &str) -> Option<[u8; 35]> {
    (text.len() == PUBLIC_CHARS)
        .then(|| base32::decode(text))??
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_recognised() {
        let public = Nkey::from_seed(&[7; 32]).public();
        assert!(is_public(&public), "{public}");
        assert!(public.starts_with('U'));
        let changed = |at: usize, to: &str| {
            let mut text = public.clone();
            text.replace_range(at..=at, to);
            text
        };
        let other = if &public[10..=10] == "A" { "B" } else { "A" };
        for bad in [
            String::new(),
            changed(10, other),
            changed(0, "A"),
            public.to_lowercase(),
            format!("{public} "),
            public[..55].to_owned(),
            changed(10, "\""),
            changed(10, "0"),
            "é".repeat(28),
            encode_public(&[0; 32]),
        ] {
            assert!(!is_public(&bad), "{bad:?}");
        }
    }

    #[test]
    fn the_debug_text_shows_the_public_key_only() {
        let key = Nkey::from_seed(&[7; 32]);
        assert_eq!(format!("{key:?}"), format!("Nkey {{ public: {:?}, .. }}", key.public()));
    }
}
