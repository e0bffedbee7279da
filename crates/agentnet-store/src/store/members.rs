//! Members of a network in secure mode.

use agentnet_protocol::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::model::{
    Enrolled, Invite, Invited, Member, MemberGrant, MemberQuery, NewInvite, NewMember, Page, VoidedNkey,
};

/// Members of a network in secure mode, and their invites. Each change is one durable transaction.
#[async_trait]
pub trait Members: Send + Sync {
    /// Makes the account of this username a member that has an invite; an account that does not exist is created, with no key.
    /// A member that has not enrolled yet, or was revoked, gets the new role and rights, and its earlier invites are deleted.
    async fn invite_member(&self, member: &NewMember, invite: &NewInvite) -> Result<Invited, StoreError>;

    /// The invite with this id, if there is one, whether or not it can still be used.
    async fn invite(&self, invite_id: &str) -> Result<Option<Invite>, StoreError>;

    /// Uses an invite up: the member is active, has this nkey, and its account is bound to this message key. Of several calls
    /// with one invite, at most one succeeds. The caller has checked that the secret is known.
    ///
    /// # Errors
    /// [`StoreError::KeyMismatch`] (and no change: the invite can still be used) if the account is bound to another message key.
    async fn use_invite(
        &self,
        invite_id: &str,
        account_id: &str,
        nkey: &str,
        public_key: &str,
        now: Timestamp,
    ) -> Result<Enrolled, StoreError>;

    /// Members that match, by account id.
    async fn members(&self, query: &MemberQuery) -> Result<Page<Member>, StoreError>;

    /// The member with this account, if there is one.
    async fn member(&self, account_id: &str) -> Result<Option<Member>, StoreError>;

    /// The member whose account has this normalised username now, if there is one.
    async fn member_by_username(&self, username: &str) -> Result<Option<Member>, StoreError>;

    /// Takes the credential of a member away: it is revoked, all credentials of its nkey are void, its account is bound to no key,
    /// its unused invites are deleted. Returns the member; `None` if there is none. A member that was revoked before keeps its `revoked_at`.
    async fn revoke_member(&self, account_id: &str, now: Timestamp) -> Result<Option<Member>, StoreError>;

    /// Changes what a member may do. Returns the member; `None` if there is none. A revoked member stays as it is.
    async fn grant_member(&self, account_id: &str, grant: &MemberGrant) -> Result<Option<Member>, StoreError>;

    /// All invites that can be used at this time, by id.
    async fn live_invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError>;

    /// The keys whose credentials are void, by key.
    async fn voided_nkeys(&self) -> Result<Vec<VoidedNkey>, StoreError>;

    /// Forgets keys that were noted before this time; returns how many.
    async fn prune_voided_nkeys(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Deletes invites that expired before this time, used or not; returns how many.
    async fn prune_invites(&self, before: Timestamp) -> Result<u64, StoreError>;
}
