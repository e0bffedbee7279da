//! Makes the JWTs of members: of the servers in operator mode, and in answers to callouts.

use std::fs;
use std::path::Path;
use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_protocol::nats_jwt::{
    CONNECT_OVERHEAD_BYTES, Claims, JwtError, RENEWAL_ISSUED_AT, Transport, UserRights, user,
};
use agentnet_protocol::nats_key::{KeyKind, NatsKey, NatsKeyError, kind_of};
use agentnet_protocol::permissions::{Grant, PermissionError, Role};

use super::authority::SigningAuthority;
use super::users_file::BrokerUser;
use crate::error::StartError;

/// How long a credential can ask for another one: an identity that was not used for longer needs an invite.
const RENEWAL_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Subscriptions of a member at a time. It needs a few, and one for each capability.
const MEMBER_SUBSCRIPTIONS: u32 = 500;
/// Subscriptions of what is not a member yet, or wants a credential.
const JOIN_SUBSCRIPTIONS: u32 = 10;

/// Signs JWTs for one account.
pub(crate) struct JwtIssuer {
    key: NatsKey,
    /// The account, where the key is one of its signing keys.
    issuer_account: Option<String>,
    max_jwt: usize,
    lifetime: Duration,
}

/// Why a credential is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IssueError {
    /// The server would refuse it.
    #[error(
        "the credential would have {0} bytes, and the servers take {1}: fewer capabilities or receivers, or set \
         max_control_line of the servers to 64KB, and --max-control-line of the registry to 65536"
    )]
    TooLarge(usize, usize),
    /// The permissions cannot be made.
    #[error(transparent)]
    Permissions(#[from] PermissionError),
    /// The key is not that of a user.
    #[error(transparent)]
    Jwt(#[from] JwtError),
}

/// The credentials of a member in operator mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberCredentials {
    /// By which the servers let it in.
    pub jwt: String,
    /// Which can ask for another one.
    pub renewal_jwt: String,
    /// When `jwt` ends.
    pub expires_at: Timestamp,
}

/// When a credential counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) issued_at: i64,
    pub(crate) expires_at: Option<i64>,
}

impl JwtIssuer {
    /// Reads the key of an account. `issuer_account`: the account that it signs for, where the settings name one.
    pub(crate) fn open(
        settings: &SigningAuthority,
        issuer_account: Option<&str>,
        lifetime: Duration,
    ) -> Result<Self, StartError> {
        let key = read_key(&settings.key, KeyKind::Account, "--authority-key")?;
        if let Some(account) = issuer_account
            && kind_of(account) != Some(KeyKind::Account)
        {
            return Err(StartError::Authority(format!(
                "--authority-account {account:?} is no public key of an account (A…)"
            )));
        }
        let issuer_account = issuer_account.filter(|account| *account != key.public());
        Ok(Self {
            issuer_account: issuer_account.map(str::to_owned),
            max_jwt: settings.max_control_line.saturating_sub(CONNECT_OVERHEAD_BYTES),
            lifetime: settings.lifetime.unwrap_or(lifetime),
            key,
        })
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> &NatsKey {
        &self.key
    }

    /// The account that the JWTs are for.
    pub(crate) fn account(&self) -> String {
        self.issuer_account.clone().unwrap_or_else(|| self.key.public())
    }

    /// The time of a credential that is made now. It ends later than it begins, whatever `issued_at` is.
    pub(crate) fn validity(&self, now: Timestamp, issued_at: i64) -> Validity {
        Validity {
            issued_at,
            expires_at: Some(seconds(now).saturating_add(seconds_of(self.lifetime))),
        }
    }

    /// The JWT of a user that shows it by itself.
    pub(crate) fn jwt(&self, user: &BrokerUser, validity: Validity) -> Result<String, IssueError> {
        let jwt = self.sign(&user.nkey, None, user, validity)?;
        match jwt.len() <= self.max_jwt {
            true => Ok(jwt),
            false => Err(IssueError::TooLarge(jwt.len(), self.max_jwt)),
        }
    }

    /// The JWT of a user for the answer to a callout: about the key that the server has made for the connection.
    pub(crate) fn callout_jwt(
        &self,
        user: &BrokerUser,
        subject: &str,
        account: &str,
        validity: Validity,
    ) -> Result<String, IssueError> {
        self.sign(subject, Some(account), user, validity)
    }

    fn sign(
        &self,
        subject: &str,
        audience: Option<&str>,
        broker_user: &BrokerUser,
        validity: Validity,
    ) -> Result<String, IssueError> {
        let claims = Claims {
            subject,
            audience,
            name: &broker_user.name,
            issued_at: validity.issued_at,
            expires_at: validity.expires_at,
        };
        let rights = UserRights {
            permissions: &broker_user.permissions,
            transports: &[Transport::Standard],
            subscriptions: match broker_user.role {
                Role::Registry => None,
                Role::Join | Role::Renew => Some(JOIN_SUBSCRIPTIONS),
                _ => Some(MEMBER_SUBSCRIPTIONS),
            },
            issuer_account: self.issuer_account.as_deref(),
        };
        Ok(user(&claims, &rights, &self.key)?)
    }

    /// The credentials of a member. `after`: those that were issued until then are void.
    pub(crate) fn credentials(
        &self,
        user: &BrokerUser,
        after: Option<i64>,
        now: Timestamp,
    ) -> Result<MemberCredentials, IssueError> {
        let issued_at = after
            .map_or(i64::MIN, |after| after.saturating_add(1))
            .max(seconds(now));
        let validity = self.validity(now, issued_at);
        let renewal = Validity {
            issued_at: RENEWAL_ISSUED_AT,
            expires_at: Some(seconds(now).saturating_add(seconds_of(RENEWAL_LIFETIME))),
        };
        let renewing = BrokerUser::new(&user.nkey, &renewal_grant(&user.name))?;
        Ok(MemberCredentials {
            jwt: self.jwt(user, validity)?,
            renewal_jwt: self.jwt(&renewing, renewal)?,
            expires_at: Timestamp::from_micros(validity.expires_at.unwrap_or_default().saturating_mul(1_000_000)),
        })
    }

    /// Whether the credential of a grant is short enough for the servers.
    pub(crate) fn check(&self, grant: &Grant<'_>) -> Result<(), IssueError> {
        let nkey = NatsKey::from_seed(KeyKind::User, &[0; 32]).public();
        let measured = BrokerUser::new(&nkey, grant)?;
        let validity = Validity {
            issued_at: RENEWAL_ISSUED_AT,
            expires_at: Some(RENEWAL_ISSUED_AT),
        };
        self.jwt(&measured, validity).map(drop)
    }
}

fn renewal_grant(account_id: &str) -> Grant<'_> {
    Grant {
        role: Role::Renew,
        account_id,
        capabilities: &[],
        may_send_to: None,
    }
}

/// Reads the seed of a key from a file that its owner alone can read.
pub(crate) fn read_key(path: &Path, kind: KeyKind, flag: &str) -> Result<NatsKey, StartError> {
    let text = read_private(path, flag)?;
    NatsKey::read_seed_of(kind, &text).map_err(|error| unusable(path, flag, &error))
}

/// The text of a file with a secret.
pub(crate) fn read_private(path: &Path, flag: &str) -> Result<String, StartError> {
    let failed = |error: std::io::Error| StartError::Authority(format!("{flag} {}: {error}", path.display()));
    let about = fs::metadata(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(StartError::Authority(format!(
                "{flag} {path} can be read or changed by others: run `chmod 600 {path}`",
                path = path.display()
            )));
        }
    }
    if about.len() > agentnet_protocol::nats_key::MAX_CREDENTIALS_BYTES as u64 {
        return Err(StartError::Authority(format!("{flag} {} is too large", path.display())));
    }
    fs::read_to_string(path).map_err(failed)
}

pub(crate) fn unusable(path: &Path, flag: &str, error: &NatsKeyError) -> StartError {
    StartError::Authority(format!("{flag} {}: {error}", path.display()))
}

/// Seconds since 1970.
pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000_000)
}

fn seconds_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
