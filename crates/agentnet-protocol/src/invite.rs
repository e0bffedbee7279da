//! Invites, and the enrolment of a key with one (PROTOCOL.md section 23.4).
//!
//! ```
//! use agentnet_protocol::invite::{Invite, InviteError};
//!
//! assert_eq!(Invite::decode("https://example.com"), Err(InviteError::NotAnInvite));
//! ```

mod enrolment;

use std::fmt;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use enrolment::{EnrolmentError, check_enrolment, enrol_proof, enrolment};

use crate::Timestamp;
use crate::ids::valid_account_id;
use crate::json::{Object, ObjectWriter, Value};
use crate::limits::MAX_NAME_BYTES;
use crate::member::Role;
use crate::nats_jwt::has_form;

/// What every invite begins with; a digit and a dot follow.
const PREFIX: &str = "agentnet-join";
const VERSION: &str = "1";
/// The longest text of an invite, in bytes.
pub const MAX_INVITE_BYTES: usize = 16 * 1024;

/// What a new member needs to connect once and enrol its key. Its debug text hides the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// Addresses of the network's servers.
    pub urls: Vec<String>,
    /// The certificate authority of these servers, in PEM; only this one is trusted.
    pub ca_pem: Option<String>,
    /// Account of the new member.
    pub account_id: String,
    /// Username of that account.
    pub username: String,
    /// Role of the new member.
    pub role: Role,
    /// Id of the invite.
    pub invite_id: String,
    /// Proves to the registry that the invite is known.
    pub secret: [u8; 16],
    /// Seed of the nkey that may connect to enrol, and do nothing else.
    pub join_seed: [u8; 32],
    /// The JWT of that nkey, on a network in operator mode.
    pub join_jwt: Option<String>,
    /// When the invite ends.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Invite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Invite")
            .field("urls", &self.urls)
            .field("account_id", &self.account_id)
            .field("username", &self.username)
            .field("role", &self.role)
            .field("invite_id", &self.invite_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a text is no invite that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// It does not begin as invites do.
    #[error("this is not an invite: an invite begins with {PREFIX}{VERSION}.")]
    NotAnInvite,
    /// An invite of another version.
    #[error("the invite is of another version of agentnet: it must begin with {PREFIX}{VERSION}.")]
    Version,
    /// Longer than [`MAX_INVITE_BYTES`].
    #[error("the invite has {0} bytes; at most {MAX_INVITE_BYTES} are allowed")]
    TooLong(usize),
    /// It holds characters that no invite has, or was cut.
    #[error("the invite is not base64url: copy it whole, without line breaks")]
    Base64,
    /// It was cut or changed.
    #[error("the invite is damaged: copy it whole")]
    Damaged,
    /// A member is missing or cannot be used.
    #[error("the invite is damaged: its `{0}` cannot be used")]
    Member(&'static str),
}

impl Invite {
    /// The text form: `agentnet-join1.` and base64url.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(512);
        out.texts("urls", &self.urls)
            .opt_text("ca_pem", self.ca_pem.as_deref())
            .text("account_id", &self.account_id)
            .text("username", &self.username)
            .text("role", self.role.as_str())
            .text("invite_id", &self.invite_id)
            .text("secret", &URL_SAFE_NO_PAD.encode(self.secret))
            .text("join_seed", &URL_SAFE_NO_PAD.encode(self.join_seed))
            .opt_text("join_jwt", self.join_jwt.as_deref())
            .text("expires_at", &self.expires_at.to_string());
        format!("{PREFIX}{VERSION}.{}", URL_SAFE_NO_PAD.encode(out.finish()))
    }

    /// Reads an invite; white space around it is ignored, and so are members that this version does not know.
    ///
    /// # Errors
    /// [`InviteError`]
    pub fn decode(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        let (version, encoded) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('.'))
            .filter(|(version, _)| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or(InviteError::NotAnInvite)?;
        if version != VERSION {
            return Err(InviteError::Version);
        }
        if text.len() > MAX_INVITE_BYTES {
            return Err(InviteError::TooLong(text.len()));
        }
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InviteError::Base64)?;
        let json = String::from_utf8(json).map_err(|_| InviteError::Damaged)?;
        let object = Value::parse(&json).ok().and_then(|value| value.as_object());
        Self::read(&object.ok_or(InviteError::Damaged)?)
    }

    fn read(object: &Object<'_>) -> Result<Self, InviteError> {
        let text = |name: &'static str| {
            let text = object.get(name).as_str().filter(|text| !text.is_empty());
            text.map(|text| text.into_owned()).ok_or(InviteError::Member(name))
        };
        let id = |name: &'static str| {
            text(name).and_then(|id| {
                if valid_account_id(&id) {
                    Ok(id)
                } else {
                    Err(InviteError::Member(name))
                }
            })
        };
        let role = Role::from_str(&text("role")?).ok().filter(|role| role.is_invitable());
        Ok(Self {
            urls: urls(object).ok_or(InviteError::Member("urls"))?,
            ca_pem: match object.get("ca_pem").is_null() {
                true => None,
                false => Some(text("ca_pem")?),
            },
            account_id: id("account_id")?,
            username: Some(text("username")?)
                .filter(|name| name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control))
                .ok_or(InviteError::Member("username"))?,
            role: role.ok_or(InviteError::Member("role"))?,
            invite_id: id("invite_id")?,
            secret: bytes(&text("secret")?).ok_or(InviteError::Member("secret"))?,
            join_seed: bytes(&text("join_seed")?).ok_or(InviteError::Member("join_seed"))?,
            join_jwt: match object.get("join_jwt").is_null() {
                true => None,
                false => Some(text("join_jwt")?)
                    .filter(|jwt| has_form(jwt))
                    .ok_or(InviteError::Member("join_jwt"))
                    .map(Some)?,
            },
            expires_at: Timestamp::parse(&text("expires_at")?).ok_or(InviteError::Member("expires_at"))?,
        })
    }
}

/// One address or more, each a text.
fn urls(object: &Object<'_>) -> Option<Vec<String>> {
    let urls: Option<Vec<String>> = object
        .get("urls")
        .as_array()?
        .map(|url| url.as_str().map(|url| url.into_owned()).filter(|url| !url.is_empty()))
        .collect();
    urls.filter(|urls| !urls.is_empty())
}

fn bytes<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
