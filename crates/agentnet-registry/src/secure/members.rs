//! The members of the network, in memory.
//!
//! They are read again after each change here, after each one that another registry announces, and from time to time: an invite
//! expires, and an announcement may be lost. Each reading is handed to the authority, if the users of the broker change by it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::member::Role;
use agentnet_protocol::nkey::is_public;
use agentnet_protocol::permissions::Grant;
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_store::model::{Invite, Member, MemberQuery, MemberState, NewInvite};
use agentnet_store::{Store, StoreError};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use super::jwt_issuer::{IssueError, MemberCredentials, seconds};
use super::users_file::BrokerUser;
use crate::clock::Now;
use crate::database::Database;

/// Members that are read at a time.
const PAGE: usize = 500;
/// How often members are read though nothing is announced.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// A registry that has not said for so long that it runs was killed: as `peers` has it.
const STALE_REGISTRY_MILLIS: i128 = 300_000;

/// The members, and the users of the broker that were made of them.
pub(crate) struct Members {
    store: Arc<dyn Store>,
    broker: Broker,
    /// The registry's own user: it is no member of the store.
    own: BrokerUser,
    active: RwLock<HashMap<String, Arc<Member>>>,
    /// The users that the authority has; one reading at a time changes them.
    users: Mutex<Vec<BrokerUser>>,
}

/// Why members could not be read or handed to the broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the members cannot be brought to the broker: {0}")]
    Broker(#[from] std::io::Error),
}

impl Members {
    /// No members yet.
    pub(crate) fn new(store: Arc<dyn Store>, broker: Broker, own: BrokerUser) -> Self {
        Self {
            store,
            broker,
            own,
            active: RwLock::default(),
            users: Mutex::default(),
        }
    }

    /// The active member with this account.
    pub(crate) fn active(&self, account_id: &str) -> Option<Arc<Member>> {
        self.active.read().get(account_id).cloned()
    }

    /// The role of an active member.
    pub(crate) fn role(&self, account_id: &str) -> Option<Role> {
        self.active(account_id).and_then(|member| member.role.parse().ok())
    }

    /// Reads all members. When it returns, the broker has their users.
    ///
    /// # Errors
    /// [`RefreshError`]; what was known stays.
    pub(crate) async fn refresh(&self) -> Result<(), RefreshError> {
        let mut users = self.users.lock().await;
        let members = self.read_active().await?;
        let invites = self.store.live_invites(Now::read().time).await?;
        let registries = match self.broker.names_registries() {
            true => self.other_registries().await?,
            false => Vec::new(),
        };
        let wanted = self.users_of(&registries, &members, &invites);
        let members = members
            .into_iter()
            .map(|member| (member.account_id.clone(), Arc::new(member)));
        *self.active.write() = members.collect();
        if self.broker.voids() {
            self.broker.void(&self.store.voided_nkeys().await?).await?;
        }
        self.broker.apply(&users, &wanted).await?;
        *users = wanted;
        Ok(())
    }

    /// What brings the members to the broker.
    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The credentials of an active member, by what it may do now; `None` where its nkey is one.
    pub(crate) fn credentials(&self, member: &Member) -> Result<Option<MemberCredentials>, IssueError> {
        match of_member(member) {
            Some(user) => self.broker.credentials(&user),
            None => Ok(None),
        }
    }

    /// The JWT with which an invite is used; `None` where its nkey is enough.
    pub(crate) fn join_jwt(&self, invite: &NewInvite) -> Result<Option<String>, IssueError> {
        let user = BrokerUser::new(&invite.join_nkey, &join_grant(&invite.invite_id))?;
        self.broker.jwt_until(&user, seconds(invite.expires_at))
    }

    /// The other registries on this database: each that writes users for the broker writes all of them.
    async fn other_registries(&self) -> Result<Vec<BrokerUser>, StoreError> {
        let since = Now::read().time.saturating_add_millis(-STALE_REGISTRY_MILLIS);
        let known = self.store.registry_nkeys(since).await?;
        let mut users: Vec<BrokerUser> = Vec::new();
        for (server_id, nkey) in known {
            let account_id = format!("{REGISTRY_ACCOUNT_PREFIX}{server_id}");
            let is_new = nkey != self.own.nkey && users.iter().all(|user| user.nkey != nkey);
            if is_new && is_public(&nkey) {
                users.extend(user(&nkey, &registry_grant(&account_id)));
            }
        }
        Ok(users)
    }

    async fn read_active(&self) -> Result<Vec<Member>, StoreError> {
        let mut query = MemberQuery {
            state: Some(MemberState::Active),
            after_account_id: None,
            limit: PAGE,
        };
        let mut members: Vec<Member> = Vec::new();
        loop {
            let page = self.store.members(&query).await?;
            members.extend(page.items);
            if !page.more {
                return Ok(members);
            }
            query.after_account_id = members.last().map(|last| last.account_id.clone());
        }
    }

    /// The users of these members and invites. One whose permissions cannot be made has none.
    fn users_of(&self, registries: &[BrokerUser], members: &[Member], invites: &[Invite]) -> Vec<BrokerUser> {
        let of_invite = |invite: &Invite| user(&invite.join_nkey, &join_grant(&invite.invite_id));
        let own = std::iter::once(self.own.clone());
        own.chain(registries.iter().cloned())
            .chain(members.iter().filter_map(of_member))
            .chain(invites.iter().filter_map(of_invite))
            .collect()
    }

    /// Reads the members again from time to time, until the stop.
    pub(crate) async fn run(self: Arc<Self>, database: Database, stop: CancellationToken) {
        let mut is_failing = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(REFRESH_INTERVAL))
            .await
            .is_some()
        {
            if !database.is_up() {
                continue;
            }
            match self.refresh().await {
                Ok(()) => is_failing = false,
                Err(error) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::error!(%error, "members cannot be brought to the broker; trying again");
                }
                Err(error) => tracing::debug!(%error, "members cannot be brought to the broker"),
            }
        }
    }
}

/// The user of a member that has enrolled.
fn of_member(member: &Member) -> Option<BrokerUser> {
    let grant = Grant {
        role: member.role.parse().ok()?,
        account_id: &member.account_id,
        capabilities: &member.capabilities,
        may_send_to: member.may_send_to.as_deref(),
    };
    user(member.nkey.as_deref()?, &grant)
}

fn join_grant(invite_id: &str) -> Grant<'_> {
    Grant {
        role: Role::Join,
        account_id: invite_id,
        capabilities: &[],
        may_send_to: None,
    }
}

/// What a registry may do.
pub(crate) fn registry_grant(account_id: &str) -> Grant<'_> {
    Grant {
        role: Role::Registry,
        account_id,
        capabilities: &[],
        may_send_to: None,
    }
}

/// A user with the permissions of a grant.
pub(crate) fn user(nkey: &str, grant: &Grant<'_>) -> Option<BrokerUser> {
    BrokerUser::new(nkey, grant)
        .inspect_err(|error| tracing::error!(%error, "a member gets no credential"))
        .ok()
}
