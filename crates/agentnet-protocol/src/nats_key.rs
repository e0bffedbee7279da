//! Keys of NATS in operator mode: operators, accounts, users, servers; and files with credentials (PROTOCOL.md section 23.8).
//!
//! ```
//! use agentnet_protocol::nats_key::{KeyKind, NatsKey};
//!
//! let key = NatsKey::from_seed(KeyKind::Account, &[7; 32]);
//! assert!(key.public().starts_with('A') && key.seed_text().starts_with("SA"));
//! assert_eq!(NatsKey::read_seed(&key.seed_text()).unwrap().public(), key.public());
//! ```

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::base32::{self, crc16};

/// The first byte of a seed's text, `S`.
const SEED_PREFIX: u8 = 18 << 3;
/// The longest file with credentials: a JWT and a seed.
pub const MAX_CREDENTIALS_BYTES: usize = 256 * 1024;
const JWT_BEGIN: &str = "-----BEGIN NATS USER JWT-----";
const SEED_BEGIN: &str = "-----BEGIN USER NKEY SEED-----";

/// What a key of NATS is for; the first letter of its public text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `O`: signs the JWTs of accounts.
    Operator,
    /// `A`: signs the JWTs of users.
    Account,
    /// `U`: logs in.
    User,
    /// `N`: a server.
    Server,
}

impl KeyKind {
    const ALL: [Self; 4] = [Self::Operator, Self::Account, Self::User, Self::Server];

    const fn prefix(self) -> u8 {
        match self {
            Self::Operator => 14 << 3,
            Self::Account => 0,
            Self::User => 20 << 3,
            Self::Server => 13 << 3,
        }
    }

    fn read(prefix: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.prefix() == prefix)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
            Self::Server => "server",
        })
    }
}

/// Why a text is no seed of NATS, or a file holds no credentials. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsKeyError {
    /// It does not have the form of a seed, or its checksum is wrong.
    #[error("it is no seed of NATS (a text that begins with SO, SA or SU), or it is damaged")]
    Seed,
    /// A key for something else.
    #[error("it is the key of another kind than that of {0}")]
    Kind(KeyKind),
    /// A file with credentials lacks its seed.
    #[error("it holds no seed: neither the text of one nor the file that `nsc generate creds` writes")]
    Credentials,
}

/// A private key of NATS. Its debug text shows the public key only.
#[derive(Clone)]
pub struct NatsKey {
    kind: KeyKind,
    key: SigningKey,
}

impl fmt::Debug for NatsKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NatsKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

impl NatsKey {
    /// From an Ed25519 seed.
    #[must_use]
    pub fn from_seed(kind: KeyKind, seed: &[u8; 32]) -> Self {
        Self {
            kind,
            key: SigningKey::from_bytes(seed),
        }
    }

    /// Reads the text of a seed, `SO…`, `SA…`, `SU…` or `SN…`; white space around it is ignored.
    ///
    /// # Errors
    /// [`NatsKeyError::Seed`]
    pub fn read_seed(text: &str) -> Result<Self, NatsKeyError> {
        let bytes = base32::decode(text.trim()).ok_or(NatsKeyError::Seed)?;
        let bytes: [u8; 36] = bytes.try_into().map_err(|_| NatsKeyError::Seed)?;
        let (payload, checksum) = bytes.split_at(34);
        let (prefix, seed) = payload.split_at(2);
        let kind = KeyKind::read(prefix[0] << 5 | prefix[1] >> 3);
        match (kind, <&[u8; 32]>::try_from(seed)) {
            (Some(kind), Ok(seed))
                if prefix[0] & 0xf8 == SEED_PREFIX
                    && crc16(payload).to_le_bytes() == checksum
                    && prefix[1] & 7 == 0 =>
            {
                Ok(Self::from_seed(kind, seed))
            }
            _ => Err(NatsKeyError::Seed),
        }
    }

    /// As [`NatsKey::read_seed`], of one kind only.
    ///
    /// # Errors
    /// [`NatsKeyError`]
    pub fn read_seed_of(kind: KeyKind, text: &str) -> Result<Self, NatsKeyError> {
        let key = Self::read_seed(text)?;
        match key.kind == kind {
            true => Ok(key),
            false => Err(NatsKeyError::Kind(kind)),
        }
    }

    /// The text of the seed, as NATS writes it. It is a secret.
    #[must_use]
    pub fn seed_text(&self) -> String {
        let prefix = self.kind.prefix();
        let mut bytes = vec![SEED_PREFIX | prefix >> 5, (prefix & 31) << 3];
        bytes.extend_from_slice(self.key.as_bytes());
        with_checksum(bytes)
    }

    /// What the key is for.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key as NATS writes it.
    #[must_use]
    pub fn public(&self) -> String {
        let mut bytes = vec![self.kind.prefix()];
        bytes.extend_from_slice(self.key.verifying_key().as_bytes());
        with_checksum(bytes)
    }

    /// An Ed25519 signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

fn with_checksum(mut bytes: Vec<u8>) -> String {
    let checksum = crc16(&bytes).to_le_bytes();
    bytes.extend_from_slice(&checksum);
    base32::encode(&bytes)
}

/// The kind and the point of a public key.
fn read_public(text: &str) -> Option<(KeyKind, VerifyingKey)> {
    let bytes: [u8; 35] = base32::decode(text)?.try_into().ok()?;
    let (payload, checksum) = bytes.split_at(33);
    let kind = KeyKind::read(payload[0])?;
    let key = VerifyingKey::from_bytes(payload[1..].try_into().ok()?).ok()?;
    (crc16(payload).to_le_bytes() == checksum && !key.is_weak()).then_some((kind, key))
}

/// What a public key is for; `None` of a text that is no public key of NATS, or of a point that is not usable.
#[must_use]
pub fn kind_of(public: &str) -> Option<KeyKind> {
    read_public(public).map(|(kind, _)| kind)
}

/// Whether the key with this public text has signed the message.
#[must_use]
pub fn verify(public: &str, message: &[u8], signature: &[u8]) -> bool {
    let (Some((_, key)), Ok(signature)) = (read_public(public), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

/// A user's private key, and its JWT where the network is in operator mode.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's JWT; `None` where the server knows the key itself.
    pub jwt: Option<String>,
    /// The key that signs nonces.
    pub key: NatsKey,
}

impl Credentials {
    /// Reads a file of credentials as `nsc generate creds` writes it, or the text of a user's seed alone.
    ///
    /// # Errors
    /// [`NatsKeyError`]
    pub fn parse(text: &str) -> Result<Self, NatsKeyError> {
        if text.len() > MAX_CREDENTIALS_BYTES {
            return Err(NatsKeyError::Credentials);
        }
        let behind = |begin: &str| {
            let mut lines = text.lines().skip_while(|line| line.trim() != begin).skip(1);
            let line = lines.next().map(str::trim).filter(|line| !line.is_empty())?;
            // The block ends behind its one line.
            lines.next().is_some_and(|end| end.contains("END")).then_some(line)
        };
        let seed = match behind(SEED_BEGIN) {
            Some(seed) => seed,
            None if text.contains("-----") => return Err(NatsKeyError::Credentials),
            None => text,
        };
        Ok(Self {
            jwt: behind(JWT_BEGIN).map(str::to_owned),
            key: NatsKey::read_seed_of(KeyKind::User, seed)?,
        })
    }

    /// The file of credentials, as `nsc generate creds` writes it. It is a secret.
    #[must_use]
    pub fn text(&self) -> String {
        let seed = self.key.seed_text();
        let jwt = self.jwt.as_deref().map_or(String::new(), |jwt| {
            format!("{JWT_BEGIN}\n{jwt}\n------END NATS USER JWT------\n\n")
        });
        format!("{jwt}{SEED_BEGIN}\n{seed}\n------END USER NKEY SEED------\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nkey::{self, Nkey};

    #[test]
    fn keys_are_those_of_nats() {
        // From the documentation of nkeys.
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        let key = NatsKey::read_seed(&format!(" {seed}\n")).unwrap();
        assert_eq!(key.kind(), KeyKind::User);
        assert_eq!(key.public(), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
        assert_eq!(key.seed_text(), seed);
        for kind in KeyKind::ALL {
            let key = NatsKey::from_seed(kind, &[9; 32]);
            assert_eq!(kind_of(&key.public()), Some(kind));
            assert_eq!(
                NatsKey::read_seed_of(kind, &key.seed_text()).unwrap().public(),
                key.public()
            );
            assert!(verify(&key.public(), b"text", &key.sign(b"text")));
            assert!(!verify(&key.public(), b"other", &key.sign(b"text")));
            assert!(!verify(&key.public(), b"text", b"short"));
        }
        let user = NatsKey::from_seed(KeyKind::User, &[7; 32]);
        assert_eq!(user.public(), Nkey::from_seed(&[7; 32]).public());
        assert!(nkey::is_public(&user.public()));
    }

    #[test]
    fn damaged_seeds_are_refused() {
        let seed = NatsKey::from_seed(KeyKind::Account, &[7; 32]).seed_text();
        let other = if &seed[20..21] == "A" { "B" } else { "A" };
        let mut changed = seed.clone();
        changed.replace_range(20..21, other);
        let public = NatsKey::from_seed(KeyKind::Account, &[7; 32]).public();
        for bad in ["", "SA", &changed, &seed.to_lowercase(), &seed[..57], &public] {
            assert_eq!(NatsKey::read_seed(bad).err(), Some(NatsKeyError::Seed), "{bad}");
        }
        let wanted = NatsKey::read_seed_of(KeyKind::Operator, &seed).err();
        assert_eq!(wanted, Some(NatsKeyError::Kind(KeyKind::Operator)));
        for bad in ["", &public.to_lowercase(), &seed, &public[..55]] {
            assert_eq!(kind_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn credentials_come_back_as_they_were() {
        let key = NatsKey::from_seed(KeyKind::User, &[7; 32]);
        let written = Credentials {
            jwt: Some("a.b.c".into()),
            key: key.clone(),
        };
        let read = Credentials::parse(&written.text()).unwrap();
        assert_eq!((read.jwt.as_deref(), read.key.public()), (Some("a.b.c"), key.public()));
        let plain = Credentials::parse(&format!("{}\n", key.seed_text())).unwrap();
        assert_eq!((plain.jwt, plain.key.public()), (None, key.public()));
        let account = NatsKey::from_seed(KeyKind::Account, &[7; 32]).seed_text();
        for bad in [
            "",
            "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n",
            &account,
        ] {
            assert!(Credentials::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{written:?}").contains(&key.seed_text()));
    }
}
