//! Members of a secure network: their roles and states (PROTOCOL.md sections 23.2 and 23.5).

use crate::mailbox::texts;

texts! {
    /// What a credential is for.
    pub enum Role {
        /// Sends and receives in the name of one account.
        Agent = "agent",
        /// Reads everything, sends nothing.
        Observer = "observer",
        /// An agent that reads everything and decides about members.
        Operator = "operator",
        /// Serves the requests of all members.
        Registry = "registry",
        /// Holds an invite that is not used yet.
        Join = "join",
        /// A member whose JWT has ended or is void: it can ask for another one (section 23.8).
        Renew = "renew",
    }
}

impl Role {
    /// Whether an invite can have this role.
    #[must_use]
    pub const fn is_invitable(self) -> bool {
        matches!(self, Self::Agent | Self::Observer | Self::Operator)
    }

    /// Whether the role reads the whole history, not only messages of its own (section 23.7).
    #[must_use]
    pub const fn reads_everything(self) -> bool {
        matches!(self, Self::Observer | Self::Operator | Self::Registry)
    }
}

texts! {
    /// Where a member stands.
    pub enum MemberState {
        /// Its invite is not used yet.
        Invited = "invited",
        /// It has enrolled a key.
        Active = "active",
        /// An operator has ended its membership.
        Revoked = "revoked",
    }
}
