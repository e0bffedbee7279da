//! What sessions do with the mailbox of their account, and with its tasks (PROTOCOL.md sections 21.4 and 22.4).

use agentnet_protocol::AgentInfo;
use agentnet_protocol::json::Object;
use agentnet_protocol::rpc::RegisterRequest;
use agentnet_protocol::{mailbox, task};

use super::Presence;

/// What a registration or a hello says of its session. The signature does not cover that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SessionModes {
    /// It takes the messages of its account's mailbox itself.
    pub(crate) pulls_mailbox: bool,
    /// It claims tasks.
    pub(crate) claims_tasks: bool,
}

impl SessionModes {
    /// Those of a hello.
    pub(super) fn read(object: &Object<'_>) -> Self {
        Self {
            pulls_mailbox: mailbox::pulls(object),
            claims_tasks: task::claims(object),
        }
    }
}

impl From<&RegisterRequest> for SessionModes {
    fn from(request: &RegisterRequest) -> Self {
        Self {
            pulls_mailbox: request.pulls_mailbox,
            claims_tasks: request.claims_tasks,
        }
    }
}

/// A hello of a session.
pub(super) struct Hello {
    pub(super) agent: AgentInfo,
    pub(super) modes: SessionModes,
}

impl Presence {
    /// What a registration or a hello of a session says.
    pub(crate) fn set_modes(&self, session_tag: &str, modes: SessionModes) {
        let mut state = self.lock();
        let Some(live) = state.sessions.get_mut(session_tag) else {
            return;
        };
        if live.modes.replace(modes) != Some(modes) {
            let account_id = live.session.account_id.clone();
            state.push_changes.accounts.extend(account_id);
        }
    }

    /// Whether a live session of the account is known to claim tasks.
    pub(crate) fn has_claiming_session(&self, account_id: &str) -> bool {
        let state = self.lock();
        let tags = state.accounts.get(account_id).into_iter().flatten();
        tags.filter_map(|tag| state.sessions.get(tag))
            .any(|live| live.modes.is_some_and(|modes| modes.claims_tasks))
    }
}
