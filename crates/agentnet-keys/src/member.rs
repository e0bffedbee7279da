//! The identity of a member of a network in secure mode (PROTOCOL.md section 23.3): one file with its seed, from which its keys are
//! derived, and where its network is.

use std::path::Path;

use agentnet_protocol::invite::{Invite, enrolment};
use agentnet_protocol::nats_jwt::has_form;
use agentnet_protocol::nkey::{Nkey, message_seed, nkey_seed};
use agentnet_protocol::rpc::EnrollRequest;
use agentnet_protocol::signature::SigningKey;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::KeyFileError;
use crate::file::{Content, create_private, read_private, replace_private};

/// The version of the files that this version writes and reads.
const VERSION: u32 = 1;

/// A member's account, network and seed.
#[derive(Clone)]
pub struct MemberIdentity {
    /// The servers of the network: `nats://HOST:PORT` or `tls://HOST:PORT`, without credentials.
    pub urls: Vec<String>,
    /// The certificate authority of the servers, as PEM, where it is the network's own.
    pub ca_pem: Option<String>,
    /// The account that the broker proves.
    pub account_id: String,
    /// Username of that account.
    pub username: String,
    /// The role of section 23.2, in its text form.
    pub role: String,
    /// On a network in operator mode, the JWT by which the servers let it in (PROTOCOL.md section 23.8).
    pub jwt: Option<String>,
    /// The JWT that can ask for another one.
    pub renewal_jwt: Option<String>,
    seed: [u8; 32],
}

impl std::fmt::Debug for MemberIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberIdentity")
            .field("account_id", &self.account_id)
            .field("username", &self.username)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    account_id: String,
    username: String,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewal_jwt: Option<String>,
    seed: String,
}

impl MemberIdentity {
    /// An identity with a new random seed.
    #[must_use]
    pub fn generate(urls: Vec<String>, account_id: String, username: String, role: String) -> Self {
        Self {
            urls,
            ca_pem: None,
            account_id,
            username,
            role,
            jwt: None,
            renewal_jwt: None,
            seed: rand::random(),
        }
    }

    /// An identity with a new random seed, for the account and the network of an invite.
    #[must_use]
    pub fn of_invite(invite: &Invite) -> Self {
        Self {
            ca_pem: invite.ca_pem.clone(),
            ..Self::generate(
                invite.urls.clone(),
                invite.account_id.clone(),
                invite.username.clone(),
                invite.role.as_str().to_owned(),
            )
        }
    }

    /// The request that binds this identity's keys to the invite's account.
    #[must_use]
    pub fn enrolment(&self, invite: &Invite) -> EnrollRequest {
        enrolment(invite, &self.seed)
    }

    /// The key by which the broker knows the member.
    #[must_use]
    pub fn nkey(&self) -> Nkey {
        Nkey::from_seed(&nkey_seed(&self.seed))
    }

    /// The key that signs the member's messages.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&message_seed(&self.seed))
    }

    /// The identity in a file; `None` if there is no file.
    ///
    /// # Errors
    /// [`KeyFileError::Read`], [`KeyFileError::Exposed`], [`KeyFileError::DamagedIdentity`]
    pub fn load(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let damaged = |why: String| KeyFileError::DamagedIdentity {
            path: path.to_owned(),
            why,
        };
        match read_private(path)? {
            None => Ok(None),
            Some(Content::Unreadable) => Err(damaged("it is too large, or no text".to_owned())),
            Some(Content::Text(text)) => Self::parse(&text).map(Some).map_err(damaged),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| format!("it is no identity ({error})"))?;
        if file.version != VERSION {
            return Err(format!(
                "its version is {}, and this program reads {VERSION}",
                file.version
            ));
        }
        if [&file.jwt, &file.renewal_jwt]
            .into_iter()
            .flatten()
            .any(|jwt| !has_form(jwt))
        {
            return Err("its JWT is none".to_owned());
        }
        let seed = BASE64_URL_SAFE_NO_PAD.decode(&file.seed).ok();
        let seed = seed.and_then(|seed| seed.try_into().ok());
        Ok(Self {
            urls: file.urls,
            ca_pem: file.ca_pem,
            account_id: file.account_id,
            username: file.username,
            role: file.role,
            jwt: file.jwt,
            renewal_jwt: file.renewal_jwt,
            seed: seed.ok_or("its seed is not 32 bytes as base64url")?,
        })
    }

    fn text(&self) -> String {
        let file = File {
            version: VERSION,
            urls: self.urls.clone(),
            ca_pem: self.ca_pem.clone(),
            account_id: self.account_id.clone(),
            username: self.username.clone(),
            role: self.role.clone(),
            jwt: self.jwt.clone(),
            renewal_jwt: self.renewal_jwt.clone(),
            seed: BASE64_URL_SAFE_NO_PAD.encode(self.seed),
        };
        // A struct of texts always serializes.
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// Writes a file that must not exist yet, with mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], [`KeyFileError::Write`]
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        create_private(path, &self.text())
    }

    /// Replaces a file atomically.
    ///
    /// # Errors
    /// [`KeyFileError::Write`]
    pub fn replace(&self, path: &Path) -> Result<(), KeyFileError> {
        replace_private(path, &self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> MemberIdentity {
        MemberIdentity::generate(
            vec!["nats://127.0.0.1:4222".into()],
            "acct_1".into(),
            "alice".into(),
            "agent".into(),
        )
    }

    #[test]
    fn an_identity_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identities").join("alice.json");
        assert!(MemberIdentity::load(&path).unwrap().is_none());
        let written = MemberIdentity {
            jwt: Some("a.b.c".into()),
            renewal_jwt: Some("d.e.f".into()),
            ..identity()
        };
        written.create(&path).unwrap();
        let read = MemberIdentity::load(&path).unwrap().unwrap();
        assert_eq!(read.nkey().public(), written.nkey().public());
        assert_eq!(read.signing_key().public_text(), written.signing_key().public_text());
        assert_eq!(
            (read.jwt, read.renewal_jwt),
            (Some("a.b.c".into()), Some("d.e.f".into()))
        );
        assert_eq!(
            (read.urls, read.account_id),
            (written.urls.clone(), written.account_id.clone())
        );
        assert!(matches!(written.create(&path), Err(KeyFileError::Exists { .. })));
        // The keys of the broker and of messages are two.
        assert_ne!(nkey_seed(&written.seed), message_seed(&written.seed));
    }

    #[test]
    fn damaged_files_are_told_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        for (content, told) in [
            ("", "no identity"),
            ("{}", "no identity"),
            (
                &identity().text().replace("\"version\": 1", "\"version\": 2"),
                "version is 2",
            ),
            (&identity().text().replace("\"seed\": \"", "\"seed\": \"AA"), "32 bytes"),
            (
                &identity().text().replace("\"seed\"", "\"jwt\": \"a.b\", \"seed\""),
                "JWT",
            ),
        ] {
            replace_private(&path, content).unwrap();
            let error = MemberIdentity::load(&path).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("a.json"), "{content}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        identity().create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MemberIdentity::load(&path), Err(KeyFileError::Exposed { .. })));
    }
}
