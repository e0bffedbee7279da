//! Which sessions take the messages of their account's mailbox themselves, and which get them from a registry (PROTOCOL.md
//! section 21.4).

use std::sync::Arc;

use agentnet_protocol::Timestamp;

use super::Presence;
use super::state::State;
use crate::mailbox::recipients::SessionChanges;

/// A live session of an account that does not ask for its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushTarget {
    pub(crate) session_tag: Arc<str>,
    /// Its last sign of life.
    pub(crate) last_seen: Timestamp,
}

impl Presence {
    /// Whether a session is live, and of this account.
    pub(crate) fn is_session_of(&self, session_tag: &str, account_id: &str) -> bool {
        let state = self.lock();
        let live = state.sessions.get(session_tag);
        live.is_some_and(|live| live.session.account_id.as_deref() == Some(account_id))
    }

    /// Whether a session is online and of another account.
    pub(crate) fn is_session_of_another(&self, session_tag: &str, account_id: &str) -> bool {
        let state = self.lock();
        let live = state.sessions.get(session_tag);
        live.is_some_and(|live| live.session.account_id.as_deref() != Some(account_id))
    }

    /// Whether a session is known to have ended: it said goodbye and nothing since.
    pub(crate) fn has_ended(&self, session_tag: &str) -> bool {
        self.has_said_goodbye(session_tag) && !self.knows(session_tag)
    }

    /// The live sessions of an account, if it has any and all of them are known not to ask for their messages.
    pub(crate) fn mailbox_targets(&self, account_id: &str) -> Option<Vec<PushTarget>> {
        self.lock().mailbox_targets(account_id)
    }

    /// The same, if this registry is the one that delivers to the account: of the running registries, one.
    pub(crate) fn push_targets(&self, account_id: &str) -> Option<Vec<PushTarget>> {
        self.lock().push_targets(account_id)
    }

    /// What has changed since the last call of what these questions ask.
    pub(crate) fn take_push_changes(&self) -> SessionChanges {
        std::mem::take(&mut self.lock().push_changes)
    }

    /// Those of the accounts to which this registry has to deliver messages, in their order.
    pub(crate) fn to_push_to(&self, account_ids: Vec<String>) -> Vec<String> {
        let state = self.lock();
        let has_targets = |account_id: &String| state.push_targets(account_id).is_some();
        account_ids.into_iter().filter(has_targets).collect()
    }
}

impl State {
    fn push_targets(&self, account_id: &str) -> Option<Vec<PushTarget>> {
        let targets = self.mailbox_targets(account_id)?;
        // Any text can be owned; this one is no session tag.
        self.ownership.owns(account_id).then_some(targets)
    }

    fn mailbox_targets(&self, account_id: &str) -> Option<Vec<PushTarget>> {
        let tags = self.accounts.get(account_id)?;
        let mut targets = Vec::with_capacity(tags.len());
        for tag in tags {
            let live = self.sessions.get(tag)?;
            if live.modes.is_none_or(|modes| modes.pulls_mailbox) {
                return None;
            }
            targets.push(PushTarget {
                session_tag: Arc::clone(tag),
                last_seen: live.session.last_seen,
            });
        }
        Some(targets).filter(|targets| !targets.is_empty())
    }
}
