//! Members behind the line.

use agentnet_protocol::Timestamp;
use agentnet_store::model::{
    Enrolled, Invite, Invited, Member, MemberGrant, MemberQuery, NewInvite, NewMember, Page, VoidedNkey,
};
use agentnet_store::{Members, StoreError};
use async_trait::async_trait;

use super::Observed;

#[async_trait]
impl Members for Observed {
    async fn invite_member(&self, member: &NewMember, invite: &NewInvite) -> Result<Invited, StoreError> {
        self.reach().await?;
        self.store.invite_member(member, invite).await
    }

    async fn invite(&self, invite_id: &str) -> Result<Option<Invite>, StoreError> {
        self.reach().await?;
        self.store.invite(invite_id).await
    }

    async fn use_invite(
        &self,
        invite_id: &str,
        account_id: &str,
        nkey: &str,
        public_key: &str,
        now: Timestamp,
    ) -> Result<Enrolled, StoreError> {
        self.reach().await?;
        self.store
            .use_invite(invite_id, account_id, nkey, public_key, now)
            .await
    }

    async fn members(&self, query: &MemberQuery) -> Result<Page<Member>, StoreError> {
        self.reach().await?;
        self.store.members(query).await
    }

    async fn member(&self, account_id: &str) -> Result<Option<Member>, StoreError> {
        self.reach().await?;
        self.store.member(account_id).await
    }

    async fn member_by_username(&self, username: &str) -> Result<Option<Member>, StoreError> {
        self.reach().await?;
        self.store.member_by_username(username).await
    }

    async fn revoke_member(&self, account_id: &str, now: Timestamp) -> Result<Option<Member>, StoreError> {
        self.reach().await?;
        self.store.revoke_member(account_id, now).await
    }

    async fn grant_member(&self, account_id: &str, grant: &MemberGrant) -> Result<Option<Member>, StoreError> {
        self.reach().await?;
        self.store.grant_member(account_id, grant).await
    }

    async fn live_invites(&self, now: Timestamp) -> Result<Vec<Invite>, StoreError> {
        self.reach().await?;
        self.store.live_invites(now).await
    }

    async fn voided_nkeys(&self) -> Result<Vec<VoidedNkey>, StoreError> {
        self.reach().await?;
        self.store.voided_nkeys().await
    }

    async fn prune_voided_nkeys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.reach().await?;
        self.store.prune_voided_nkeys(before).await
    }

    async fn prune_invites(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.reach().await?;
        self.store.prune_invites(before).await
    }
}
