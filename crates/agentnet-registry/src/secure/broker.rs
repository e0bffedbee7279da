//! The authority of this registry at work: it brings the members to the broker.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentnet_nats::{MemberLogin, NatsUrl};
use agentnet_protocol::nats_jwt::{RENEWAL_ISSUED_AT, VerifiedJwt, with_revocations};
use agentnet_protocol::nats_key::{KeyKind, NatsKey};
use agentnet_protocol::permissions::{Grant, Role};
use agentnet_store::model::VoidedNkey;
use parking_lot::RwLock;

use super::authority::{Authority, SigningAuthority};
use super::callout::Callout;
use super::jwt_issuer::{IssueError, JwtIssuer, MemberCredentials, Validity, read_key, seconds};
use super::sys::Sys;
use super::users_file::{self, BrokerUser};
use crate::clock::Now;
use crate::error::StartError;

/// How long a credential lives where members can be cut off at once.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it lives where they go on until its end.
const LIFETIME_WITHOUT_SYS: Duration = Duration::from_secs(15 * 60);

/// What brings the members to the broker.
pub(crate) enum Broker {
    /// Somebody else.
    Unmanaged,
    /// Users in a file.
    File { users: PathBuf, pid: Option<PathBuf> },
    /// Members bring JWTs of the registry's.
    Jwt(Arc<JwtBroker>),
    /// Answers to callouts.
    Callout(Arc<Callout>),
}

/// Members with JWTs, and the revocations in the JWT of their account.
pub(crate) struct JwtBroker {
    issuer: JwtIssuer,
    revoker: Option<Revoker>,
    /// Until when the credentials of a key are void.
    voided: RwLock<HashMap<String, i64>>,
}

/// Writes revocations into the JWT of an account.
struct Revoker {
    sys: Sys,
    operator: NatsKey,
    account: String,
}

impl Broker {
    /// Reads the keys of an authority, and connects to the system account where it has credentials for it.
    pub(crate) async fn open(authority: Option<&Authority>, url: &NatsUrl) -> Result<Self, StartError> {
        match authority {
            None => Ok(Self::Unmanaged),
            Some(Authority::File { users, .. }) if users.as_os_str().is_empty() => Err(StartError::Authority(
                "--authority file needs --users-file FILE".to_owned(),
            )),
            Some(Authority::File { users, pid }) => Ok(Self::File {
                users: users.clone(),
                pid: pid.clone(),
            }),
            Some(Authority::Jwt(settings)) => JwtBroker::open(settings, url).await.map(Arc::new).map(Self::Jwt),
            Some(Authority::Callout(settings)) => {
                let lifetime = match settings.sys_creds {
                    Some(_) => LIFETIME,
                    None => LIFETIME_WITHOUT_SYS,
                };
                let issuer = JwtIssuer::open(settings, None, lifetime)?;
                let sys = match &settings.sys_creds {
                    Some(credentials) => Some(Sys::connect(url, credentials).await?),
                    None => None,
                };
                Ok(Self::Callout(Arc::new(Callout::new(
                    issuer,
                    settings.account.as_deref(),
                    sys,
                ))))
            }
        }
    }

    /// Whether a member that connects again gets what was granted to it meanwhile; else it has it at once.
    pub(crate) fn grants_at_connect(&self) -> bool {
        matches!(self, Self::Jwt(_) | Self::Callout(_))
    }

    /// Whether a member whose rights were taken is cut off, and not only told.
    pub(crate) fn cuts_off(&self) -> bool {
        match self {
            Self::Jwt(broker) => broker.revoker.is_some(),
            Self::Callout(callout) => callout.cuts_off(),
            Self::Unmanaged | Self::File { .. } => false,
        }
    }

    /// Whether the users of the broker name the registries too.
    pub(crate) fn names_registries(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Whether it wants to know which credentials are void.
    pub(crate) fn voids(&self) -> bool {
        matches!(self, Self::Jwt(_))
    }

    /// Brings the users to the broker, in the place of those from before. When it returns, they count.
    pub(crate) async fn apply(&self, before: &[BrokerUser], users: &[BrokerUser]) -> Result<(), std::io::Error> {
        match self {
            Self::Unmanaged | Self::Jwt(_) => Ok(()),
            Self::File { .. } if before == users => Ok(()),
            Self::File { users: path, pid } => {
                let (path, pid, written) = (path.clone(), pid.clone(), users.to_vec());
                let write = move || {
                    users_file::write(&path, &written)?;
                    pid.map_or(Ok(()), |pid| users_file::reload(&pid))
                };
                tokio::task::spawn_blocking(write)
                    .await
                    .map_err(std::io::Error::other)?
            }
            Self::Callout(callout) => {
                callout.apply(users).await;
                Ok(())
            }
        }
    }

    /// Makes credentials void. When it returns, connections with them are cut off.
    pub(crate) async fn void(&self, voided: &[VoidedNkey]) -> Result<(), std::io::Error> {
        match self {
            Self::Jwt(broker) => broker.void(voided).await.map_err(std::io::Error::other),
            _ => Ok(()),
        }
    }

    /// Ends the connections of a member.
    pub(crate) async fn cut_off(&self, account_id: &str) {
        if let Self::Callout(callout) = self {
            callout.cut_off(account_id).await;
        }
    }

    /// The credentials of a member; `None` where its nkey is one.
    pub(crate) fn credentials(&self, user: &BrokerUser) -> Result<Option<MemberCredentials>, IssueError> {
        match self {
            Self::Jwt(broker) => broker.credentials(user).map(Some),
            _ => Ok(None),
        }
    }

    /// The JWT of a user that is to end at this time; `None` where its nkey is enough.
    pub(crate) fn jwt_until(&self, user: &BrokerUser, expires_at: i64) -> Result<Option<String>, IssueError> {
        match self {
            Self::Jwt(broker) => {
                let validity = Validity {
                    issued_at: seconds(Now::read().time),
                    expires_at: Some(expires_at),
                };
                broker.issuer.jwt(user, validity).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the servers would take the credential of a grant.
    pub(crate) fn check(&self, grant: &Grant<'_>) -> Result<(), IssueError> {
        match self {
            Self::Jwt(broker) => broker.issuer.check(grant),
            _ => Ok(()),
        }
    }

    /// Whether this key can never be used again.
    pub(crate) fn is_void(&self, nkey: &str) -> bool {
        match self {
            Self::Jwt(broker) => broker
                .voided
                .read()
                .get(nkey)
                .is_some_and(|until| *until >= RENEWAL_ISSUED_AT),
            _ => false,
        }
    }
}

/// The address with the credential of this registry, which it makes itself in operator mode. The credential has no end: who has the
/// key of the account makes another one at any time.
pub(crate) fn with_own_credential(authority: Option<&Authority>, url: NatsUrl) -> Result<NatsUrl, StartError> {
    let (Some(Authority::Jwt(settings)), Some(login)) = (authority, url.member()) else {
        return Ok(url);
    };
    let issuer = JwtIssuer::open(settings, settings.account.as_deref(), LIFETIME)?;
    let failed = |error: IssueError| StartError::Authority(format!("this registry's own credential: {error}"));
    let own = registry_user(login)?;
    let validity = Validity {
        issued_at: seconds(Now::read().time),
        expires_at: None,
    };
    let login = login.clone().with_jwt(issuer.jwt(&own, validity).map_err(failed)?);
    Ok(url.with_member(login))
}

/// This registry as a user of the broker.
pub(crate) fn registry_user(login: &MemberLogin) -> Result<BrokerUser, StartError> {
    let grant = Grant {
        role: Role::Registry,
        account_id: login.account_id(),
        capabilities: &[],
        may_send_to: None,
    };
    BrokerUser::new(&login.public_nkey(), &grant).map_err(|error| StartError::Authority(error.to_string()))
}

impl JwtBroker {
    async fn open(settings: &SigningAuthority, url: &NatsUrl) -> Result<Self, StartError> {
        let operator = match &settings.operator_key {
            Some(path) => Some(read_key(path, KeyKind::Operator, "--operator-key")?),
            None => None,
        };
        let lifetime = match (&operator, &settings.sys_creds) {
            (Some(_), Some(_)) => LIFETIME,
            _ => LIFETIME_WITHOUT_SYS,
        };
        let issuer = JwtIssuer::open(settings, settings.account.as_deref(), lifetime)?;
        let revoker = match (operator, &settings.sys_creds) {
            (Some(operator), Some(credentials)) => Some(Revoker {
                sys: Sys::connect(url, credentials).await?,
                operator,
                account: issuer.account(),
            }),
            (None, None) => {
                tracing::warn!(
                    "revoked members go on until their credential ends: --sys-creds and --operator-key would cut them off"
                );
                None
            }
            _ => {
                return Err(StartError::Authority(
                    "--sys-creds and --operator-key revoke members only together: the JWT of the account, signed by the \
                     operator, is given to the system account"
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            issuer,
            revoker,
            voided: RwLock::default(),
        })
    }

    fn credentials(&self, user: &BrokerUser) -> Result<MemberCredentials, IssueError> {
        let after = self.voided.read().get(&user.nkey).copied();
        self.issuer.credentials(user, after, Now::read().time)
    }

    async fn void(&self, voided: &[VoidedNkey]) -> Result<(), String> {
        let until = voided
            .iter()
            .map(|void| (void.nkey.clone(), seconds(void.issued_until)));
        *self.voided.write() = until.collect();
        let Some(revoker) = &self.revoker else {
            return Ok(());
        };
        let voided = voided
            .iter()
            .map(|void| (void.nkey.clone(), seconds(void.issued_until)));
        revoker.revoke(voided.collect()).await
    }
}

impl Revoker {
    /// The servers' own copy of the JWT is read each time: others may have changed it, and a server that was started anew may
    /// have an old one.
    async fn revoke(&self, revocations: BTreeMap<String, i64>) -> Result<(), String> {
        let current = self.sys.account_jwt(&self.account).await?;
        let current = VerifiedJwt::read(&current).map_err(|error| format!("the account's JWT: {error}"))?;
        let now = seconds(Now::read().time);
        let changed = with_revocations(&current, &revocations, now, &self.operator);
        match changed.map_err(|error| format!("the account's JWT: {error}"))? {
            Some(jwt) => self.sys.update_account(jwt).await,
            None => Ok(()),
        }
    }
}
