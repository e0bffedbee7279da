//! Members that the program of the registry makes by itself: with the store at hand it needs no credential of an operator.

use std::sync::Arc;

use agentnet_protocol::member::Role;
use agentnet_protocol::nkey::Nkey;
use agentnet_protocol::{ids, username};
use agentnet_store::StoreError;
use agentnet_store::model::{Enrolled, Invited, MemberState, NewInvite, NewMember};

use crate::clock::Now;
use crate::context::Context;
use crate::secure::jwt_issuer::MemberCredentials;
use crate::secure::members::{Members, RefreshError};

/// How long the invite lives that is made and used at once.
const INVITE_MILLIS: i128 = 60_000;

/// A member with the credential that it has already.
#[derive(Debug, Clone, Copy)]
pub struct LocalMember<'a> {
    /// Username of the member.
    pub username: &'a str,
    /// Role of the member.
    pub role: Role,
    /// Public key by which the broker knows it, `U…`.
    pub nkey: &'a str,
    /// Public key that its messages are signed with, if they are.
    pub public_key: &'a str,
}

/// Why a member could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalMemberError {
    /// The registry is not in secure mode.
    #[error("the registry is not in secure mode")]
    NotSecure,
    /// The name belongs to somebody else: a member of another role, or an account that is bound to another key.
    #[error("@{0} belongs to another account")]
    Taken(String),
    /// The invite was refused: the nkey is that of another member.
    #[error("the member cannot be enrolled: {0}")]
    Refused(String),
    /// The database did not take it.
    #[error("the database does not take members: {0}")]
    Store(String),
    /// It is stored, and the broker does not have it.
    #[error("{0}")]
    Broker(String),
}

impl From<StoreError> for LocalMemberError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<RefreshError> for LocalMemberError {
    fn from(error: RefreshError) -> Self {
        Self::Broker(error.to_string())
    }
}

fn members(ctx: &Context) -> Result<&Arc<Members>, LocalMemberError> {
    ctx.members.as_ref().ok_or(LocalMemberError::NotSecure)
}

/// Whether the account is an active member of this role with this nkey.
pub(crate) async fn is_member(
    ctx: &Context,
    account_id: &str,
    role: Role,
    nkey: &str,
) -> Result<bool, LocalMemberError> {
    members(ctx)?;
    let found = ctx.store.member(account_id).await?;
    Ok(found.is_some_and(|member| {
        member.state == MemberState::Active && member.nkey.as_deref() == Some(nkey) && member.role == role.as_str()
    }))
}

/// The credentials of an active member; `None` where its nkey is one.
pub(crate) async fn credentials(
    ctx: &Context,
    account_id: &str,
) -> Result<Option<MemberCredentials>, LocalMemberError> {
    let members = members(ctx)?;
    let member = ctx.store.member(account_id).await?;
    let member = member.filter(|member| member.state == MemberState::Active);
    let member = member.ok_or_else(|| LocalMemberError::Refused("it is no active member".to_owned()))?;
    let credentials = members.credentials(&member);
    credentials.map_err(|error| LocalMemberError::Broker(error.to_string()))
}

/// Makes a member, and returns its account id. An active member of this name and role loses its credential: it is the same
/// member, whose keys were lost.
pub(crate) async fn add(ctx: &Context, member: LocalMember<'_>) -> Result<String, LocalMemberError> {
    let members = members(ctx)?;
    let name = username::normalise(member.username);
    let now = Now::read().time;
    if let Some(known) = ctx.store.member_by_username(&name).await?
        && known.state == MemberState::Active
    {
        if known.role != member.role.as_str() {
            return Err(LocalMemberError::Taken(name));
        }
        ctx.store.revoke_member(&known.account_id, now).await?;
        tracing::warn!(account_id = %known.account_id, username = %name, "the credential of this member is replaced");
    }
    let account = ctx.store.account_by_username(&name).await?;
    let is_foreign = |key: &str| !key.is_empty() && key != member.public_key;
    if account.is_some_and(|account| account.public_key.as_deref().is_some_and(is_foreign)) {
        // It belongs to an agent that signs. As a member, it would be no one's.
        return Err(LocalMemberError::Taken(name));
    }
    let new = NewMember {
        new_account_id: ids::account_id(now.as_unix_millis(), rand::random()),
        username: name.clone(),
        role: member.role.as_str().to_owned(),
        capabilities: Vec::new(),
        may_send_to: None,
        at: now,
    };
    let invite = NewInvite {
        invite_id: format!("inv_{:032x}", rand::random::<u128>()),
        secret: rand::random::<[u8; 16]>().to_vec(),
        join_nkey: Nkey::from_seed(&rand::random()).public(),
        expires_at: now.saturating_add_millis(INVITE_MILLIS),
    };
    let Invited::Invited(invited) = ctx.store.invite_member(&new, &invite).await? else {
        return Err(LocalMemberError::Taken(name));
    };
    let account_id = invited.account_id;
    let used = ctx
        .store
        .use_invite(&invite.invite_id, &account_id, member.nkey, member.public_key, now)
        .await;
    match used {
        Ok(Enrolled::Enrolled(_)) => {}
        Ok(Enrolled::Invalid(why)) => return Err(LocalMemberError::Refused(format!("{why:?}"))),
        Err(StoreError::KeyMismatch) => return Err(LocalMemberError::Taken(name)),
        Err(error) => return Err(error.into()),
    }
    members.refresh().await?;
    ctx.peer_events.members_changed().await;
    tracing::info!(%account_id, username = %name, role = member.role.as_str(), "member made");
    Ok(account_id)
}
