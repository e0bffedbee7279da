//! The members of the network, in memory.
//!
//! They are read again after each change here, after each one that another registry announces, and from time to time: an invite
//! expires, and an announcement may be lost. Each reading is handed to the authority, if the users of the broker change by it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::member::Role;
use agentnet_protocol::permissions::{Grant, permissions};
use agentnet_store::model::{Invite, Member, MemberQuery, MemberState};
use agentnet_store::{Store, StoreError};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Authority;
use super::users_file::{self, BrokerUser};
use crate::clock::Now;
use crate::database::Database;

/// Members that are read at a time.
const PAGE: usize = 500;
/// How often members are read though nothing is announced.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// The members, and the users of the broker that were made of them.
pub(crate) struct Members {
    store: Arc<dyn Store>,
    authority: Option<Authority>,
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
    #[error("the users of the broker cannot be written: {0}")]
    Authority(#[from] std::io::Error),
}

impl Members {
    /// No members yet.
    pub(crate) fn new(store: Arc<dyn Store>, authority: Option<Authority>, own: BrokerUser) -> Self {
        Self {
            store,
            authority,
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
        let wanted = self.users_of(&members, &invites);
        let members = members
            .into_iter()
            .map(|member| (member.account_id.clone(), Arc::new(member)));
        *self.active.write() = members.collect();
        if *users == wanted {
            return Ok(());
        }
        if let Some(Authority::File { users: path, pid }) = &self.authority {
            let (path, pid, written) = (path.clone(), pid.clone(), wanted.clone());
            let write = move || {
                users_file::write(&path, &written)?;
                pid.map_or(Ok(()), |pid| users_file::reload(&pid))
            };
            tokio::task::spawn_blocking(write)
                .await
                .map_err(std::io::Error::other)??;
        }
        *users = wanted;
        Ok(())
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
    fn users_of(&self, members: &[Member], invites: &[Invite]) -> Vec<BrokerUser> {
        let of_member = |member: &Member| {
            let grant = Grant {
                role: member.role.parse().ok()?,
                account_id: &member.account_id,
                capabilities: &member.capabilities,
                may_send_to: member.may_send_to.as_deref(),
            };
            user(member.nkey.as_deref()?, &grant)
        };
        let of_invite = |invite: &Invite| {
            let grant = Grant {
                role: Role::Join,
                account_id: &invite.invite_id,
                capabilities: &[],
                may_send_to: None,
            };
            user(&invite.join_nkey, &grant)
        };
        let own = std::iter::once(self.own.clone());
        own.chain(members.iter().filter_map(of_member))
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

/// A user with the permissions of a grant.
pub(crate) fn user(nkey: &str, grant: &Grant<'_>) -> Option<BrokerUser> {
    match permissions(grant) {
        Ok(permissions) => Some(BrokerUser {
            nkey: nkey.to_owned(),
            permissions,
        }),
        Err(error) => {
            tracing::error!(%error, "a member gets no credential");
            None
        }
    }
}
