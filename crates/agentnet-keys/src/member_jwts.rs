//! The JWTs of a member on a network in operator mode (PROTOCOL.md section 23.8), in a file beside its identity.
//!
//! The identity file is never written again for them: that would race with whatever replaces the seed. A JWT is no secret: it is
//! of use only with the seed.

use std::path::{Path, PathBuf};

use agentnet_protocol::nats_jwt::{has_form, peek};
use serde::{Deserialize, Serialize};

use crate::error::KeyFileError;
use crate::file::{Content, read_private, replace_private};
use crate::member::MemberIdentity;

const VERSION: u32 = 1;
const SUFFIX: &str = ".jwt";

/// The JWTs of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberJwts {
    /// By which the servers let it in.
    pub jwt: Option<String>,
    /// Which can ask for another one.
    pub renewal_jwt: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    jwt: String,
    renewal_jwt: Option<String>,
}

impl MemberJwts {
    /// The newest JWTs of an identity: those beside its file, or those in it. A file beside it that cannot be used is ignored.
    #[must_use]
    pub fn of(identity: &MemberIdentity, file: Option<&Path>) -> Self {
        let own = Self {
            jwt: identity.jwt.clone(),
            renewal_jwt: identity.renewal_jwt.clone(),
        };
        let nkey = identity.nkey().public();
        let beside = file.and_then(|file| Self::load(&beside(file)));
        match beside.filter(|kept| kept.is_of(&nkey) && kept.issued_at() >= own.issued_at()) {
            Some(kept) => Self {
                renewal_jwt: kept.renewal_jwt.or(own.renewal_jwt),
                ..kept
            },
            None => own,
        }
    }

    fn load(path: &Path) -> Option<Self> {
        let Ok(Some(Content::Text(text))) = read_private(path) else {
            return None;
        };
        let file: File = serde_json::from_str(&text).ok()?;
        let usable = file.version == VERSION && has_form(&file.jwt) && file.renewal_jwt.as_deref().is_none_or(has_form);
        usable.then_some(Self {
            jwt: Some(file.jwt),
            renewal_jwt: file.renewal_jwt,
        })
    }

    /// Keeps them beside the file of their identity, with mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError::Write`]
    pub fn keep(&self, identity_file: &Path) -> Result<(), KeyFileError> {
        let Some(jwt) = self.jwt.clone() else {
            return Ok(());
        };
        let file = File {
            version: VERSION,
            jwt,
            renewal_jwt: self.renewal_jwt.clone(),
        };
        // A struct of texts always serializes.
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        replace_private(&beside(identity_file), &text)
    }

    /// Whether they are about this key: the seed may have been replaced since.
    fn is_of(&self, nkey: &str) -> bool {
        let about = |jwt: &String| peek(jwt).is_some_and(|jwt| jwt.subject == nkey);
        self.jwt.iter().chain(&self.renewal_jwt).all(about)
    }

    fn issued_at(&self) -> i64 {
        let jwt = self.jwt.as_deref().and_then(peek);
        jwt.map_or(i64::MIN, |jwt| jwt.issued_at)
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::nats_jwt::{Claims, UserRights, user};
    use agentnet_protocol::nats_key::{KeyKind, NatsKey};
    use agentnet_protocol::permissions::Permissions;

    use super::*;

    fn jwt(nkey: &str, issued_at: i64) -> Option<String> {
        let claims = Claims {
            subject: nkey,
            audience: None,
            name: "acct_1",
            issued_at,
            expires_at: None,
        };
        let rights = UserRights {
            permissions: &Permissions::default(),
            transports: &[],
            subscriptions: None,
            issuer_account: None,
        };
        Some(user(&claims, &rights, &NatsKey::from_seed(KeyKind::Account, &[1; 32])).unwrap())
    }

    #[test]
    fn the_newest_jwt_of_the_own_key_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alice.json");
        let mut identity = MemberIdentity::generate(Vec::new(), "acct_1".into(), "alice".into(), "agent".into());
        let (own, other) = (
            identity.nkey().public(),
            NatsKey::from_seed(KeyKind::User, &[2; 32]).public(),
        );
        assert_eq!(MemberJwts::of(&identity, Some(&path)), MemberJwts::default());
        (identity.jwt, identity.renewal_jwt) = (jwt(&own, 5), jwt(&own, 1000));
        let first = MemberJwts::of(&identity, Some(&path));
        assert_eq!((&first.jwt, &first.renewal_jwt), (&identity.jwt, &identity.renewal_jwt));
        let kept = |nkey: &str, issued_at: i64| {
            let jwts = MemberJwts {
                jwt: jwt(nkey, issued_at),
                renewal_jwt: None,
            };
            jwts.keep(&path).unwrap();
            MemberJwts::of(&identity, Some(&path))
        };
        assert_eq!(kept(&own, 6).jwt, jwt(&own, 6));
        assert_eq!(kept(&own, 6).renewal_jwt, identity.renewal_jwt);
        // An older one, and one of another key.
        assert_eq!(kept(&own, 4), first);
        assert_eq!(kept(&other, 7), first);
        std::fs::write(beside(&path), "{").unwrap();
        assert_eq!(MemberJwts::of(&identity, Some(&path)), first);
        assert_eq!(MemberJwts::of(&identity, None), first);
    }
}
