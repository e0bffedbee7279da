//! Members of a network in secure mode, and their invites.

use std::fmt;

use agentnet_protocol::limits::{MAX_NAME_BYTES, check_bytes, check_capabilities};
use agentnet_protocol::nats_jwt::RENEWAL_ISSUED_AT;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{RawJson, Timestamp};

use super::{AccountClaim, DesiredName};
use crate::error::StoreError;

/// Whether a member may use the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// It has an invite, and no credential yet.
    Invited,
    /// It has a credential.
    Active,
    /// Its credential was taken away.
    Revoked,
}

impl MemberState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Invited, Self::Active, Self::Revoked];

    /// The state as it is stored and sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`MemberState::as_str`].
    pub(crate) fn read(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StoreError::Corrupt(format!("a member's state {text:?}")))
    }
}

/// An account with a credential of the network, or with an invite for one (table `agent_members`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Account of the member.
    pub account_id: String,
    /// Username that the account has now.
    pub username: String,
    /// `agent`, `observer`, `operator`, or any other text.
    pub role: String,
    /// Whether it may use the network.
    pub state: MemberState,
    /// Public key of its credential. A revoked member keeps it, so that no other one gets it.
    pub nkey: Option<String>,
    /// Capabilities whose messages it may receive.
    pub capabilities: Vec<String>,
    /// Accounts that it may send to; absent: all.
    pub may_send_to: Option<Vec<String>>,
    /// When it was first invited.
    pub created_at: Timestamp,
    /// When it used its last invite.
    pub enrolled_at: Option<Timestamp>,
    /// When its credential was taken away; absent again after the next invite.
    pub revoked_at: Option<Timestamp>,
}

impl Member {
    /// The member that may use this invite, of what the store holds.
    pub(crate) fn admit(
        member: Option<Self>,
        invite: Option<&Invite>,
        account_id: &str,
        nkey_is_taken: bool,
        now: Timestamp,
    ) -> Result<Self, InviteRefusal> {
        let invite = invite.ok_or(InviteRefusal::Unknown)?;
        invite.check(account_id, now)?;
        match member {
            Some(member) if member.state == MemberState::Invited && !nkey_is_taken => Ok(member),
            Some(member) if member.state == MemberState::Invited => Err(InviteRefusal::NkeyTaken),
            _ => Err(InviteRefusal::Unknown),
        }
    }

    /// Gives the member its credential.
    pub(crate) fn enrol(&mut self, nkey: &str, now: Timestamp) {
        self.state = MemberState::Active;
        self.nkey = Some(nkey.to_owned());
        self.enrolled_at = Some(now);
    }

    /// Takes the member's credential away.
    pub(crate) fn revoke(&mut self, now: Timestamp) {
        self.state = MemberState::Revoked;
        self.revoked_at.get_or_insert(now);
    }
}

/// Which account becomes a member, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// The id to use if there is no account with this username.
    pub new_account_id: String,
    /// Username of the account, normalised.
    pub username: String,
    /// Role of the member.
    pub role: String,
    /// Capabilities whose messages it may receive.
    pub capabilities: Vec<String>,
    /// Accounts that it may send to; absent: all.
    pub may_send_to: Option<Vec<String>>,
    /// Time of the invite, UTC.
    pub at: Timestamp,
}

impl NewMember {
    /// Whether it may be stored.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        check_bytes("account_id", &self.new_account_id, MAX_NAME_BYTES)?;
        check_bytes("username", &self.username, MAX_NAME_BYTES)?;
        check_bytes("role", &self.role, MAX_NAME_BYTES)?;
        Ok(check_capabilities(&self.capabilities)?)
    }

    /// The member that the invitation makes of this account; `known` is the member that it was before.
    pub(crate) fn invited(&self, account_id: String, username: String, known: Option<&Member>) -> Member {
        Member {
            account_id,
            username,
            role: self.role.clone(),
            state: MemberState::Invited,
            nkey: None,
            capabilities: self.capabilities.clone(),
            may_send_to: self.may_send_to.clone(),
            created_at: known.map_or(self.at, |known| known.created_at),
            enrolled_at: known.and_then(|known| known.enrolled_at),
            revoked_at: None,
        }
    }

    /// The account to create if none has the username: one without a key.
    pub(crate) fn account(&self) -> AccountClaim {
        AccountClaim {
            account_id: None,
            name: DesiredName::Requested(self.username.clone()),
            new_account_id: self.new_account_id.clone(),
            display_name: self.username.clone(),
            capabilities: Vec::new(),
            metadata: RawJson::empty_object(),
            agent_id: self.username.clone(),
            public_key: None,
            signs: SigningScope::default(),
            at: self.at,
        }
    }
}

/// An invite to make.
#[derive(Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// Id of the invite.
    pub invite_id: String,
    /// What the enrolment has to prove that it knows.
    pub secret: Vec<u8>,
    /// Public key of the credential with which the enrolment is made.
    pub join_nkey: String,
    /// From this time on it cannot be used.
    pub expires_at: Timestamp,
}

impl fmt::Debug for NewInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewInvite")
            .field("invite_id", &self.invite_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What became of an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invited {
    /// The member, which may use the invite. Earlier invites of its account are gone.
    Invited(Member),
    /// The account of this username is an active member, or the new account's id is that of another account. Nothing is changed.
    Taken,
}

/// A stored invite (table `agent_invites`).
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// Id of the invite.
    pub invite_id: String,
    /// The account that it is for.
    pub account_id: String,
    /// What the enrolment has to prove that it knows.
    pub secret: Vec<u8>,
    /// Public key of the credential with which the enrolment is made.
    pub join_nkey: String,
    /// From this time on it cannot be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("invite_id", &self.invite_id)
            .field("account_id", &self.account_id)
            .field("expires_at", &self.expires_at)
            .field("used_at", &self.used_at)
            .finish_non_exhaustive()
    }
}

impl Invite {
    /// Whether this account may use the invite at this time.
    fn check(&self, account_id: &str, now: Timestamp) -> Result<(), InviteRefusal> {
        if self.account_id != account_id {
            Err(InviteRefusal::OtherAccount)
        } else if self.used_at.is_some() {
            Err(InviteRefusal::Used)
        } else if self.expires_at <= now {
            Err(InviteRefusal::Expired)
        } else {
            Ok(())
        }
    }
}

/// What became of the use of an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolled {
    /// The member, which is active now.
    Enrolled(Member),
    /// The invite cannot be used; nothing is changed.
    Invalid(InviteRefusal),
}

/// Why an invite cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteRefusal {
    /// There is none with this id: it never was, its account has a later one or was revoked, or it was pruned.
    Unknown,
    /// It is for another account.
    OtherAccount,
    /// It was used before.
    Used,
    /// Its time is over.
    Expired,
    /// Another member has, or had, a credential with this key.
    NkeyTaken,
}

/// Changes of what a member may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberGrant {
    /// Capabilities that it gets.
    pub capabilities_add: Vec<String>,
    /// Capabilities that it loses; one that is also added is lost.
    pub capabilities_remove: Vec<String>,
    /// Accounts that it may send to.
    pub may_send_to: AllowedReceivers,
    /// Credentials that were issued until then are void: they allow what the member may not do any more. Absent: they go on.
    pub void: Option<Void>,
}

/// A time until which credentials are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Void {
    /// Credentials that were issued until then are void.
    pub issued_until: Timestamp,
    /// Time of the change, UTC.
    pub at: Timestamp,
}

impl Void {
    /// All credentials are void, for good.
    #[must_use]
    pub fn all(at: Timestamp) -> Self {
        Self {
            issued_until: Timestamp::from_micros(RENEWAL_ISSUED_AT * 1_000_000),
            at,
        }
    }
}

/// A key whose credentials are void (table `agent_voided_nkeys`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoidedNkey {
    /// Public key of the credentials.
    pub nkey: String,
    /// Credentials that were issued until then are void.
    pub issued_until: Timestamp,
}

/// Changes of the accounts that a member may send to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedReceivers {
    /// As before.
    #[default]
    Unchanged,
    /// All accounts.
    All,
    /// These accounts alone.
    Only(Vec<String>),
}

impl MemberGrant {
    /// Applies the changes to a member.
    pub(crate) fn apply(&self, member: &mut Member) -> Result<(), StoreError> {
        if member.state == MemberState::Revoked {
            return Ok(());
        }
        for capability in &self.capabilities_add {
            if !member.capabilities.contains(capability) {
                member.capabilities.push(capability.clone());
            }
        }
        member
            .capabilities
            .retain(|capability| !self.capabilities_remove.contains(capability));
        match &self.may_send_to {
            AllowedReceivers::Unchanged => {}
            AllowedReceivers::All => member.may_send_to = None,
            AllowedReceivers::Only(accounts) => member.may_send_to = Some(accounts.clone()),
        }
        Ok(check_capabilities(&member.capabilities)?)
    }
}

/// Which members to list, by account id (code points).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberQuery {
    /// Only members in this state; all, if absent.
    pub state: Option<MemberState>,
    /// Only account ids strictly after this one.
    pub after_account_id: Option<String>,
    /// At most so many; at least 1.
    pub limit: usize,
}
