//! What requests ask of presence.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use agentnet_protocol::AgentInfoRef;
use agentnet_protocol::json::ObjectWriter;
use agentnet_store::model::Session;

use super::search::Ranking;
use super::{ListKey, Live, Presence};

/// Bytes of a listed session without its metadata, mostly.
const LISTED_BYTES: usize = 320;

impl Presence {
    /// Whether a session is live.
    pub(crate) fn knows(&self, session_tag: &str) -> bool {
        self.lock().sessions.contains_key(session_tag)
    }

    /// Whether the store has not got yet what it has to know of a session.
    pub(crate) fn is_unwritten(&self, session_tag: &str) -> bool {
        self.lock().pending.contains_key(session_tag)
    }

    /// Live sessions.
    pub(crate) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Up to `limit` sessions behind `after`, in the order of `registry.list` and as they stand there.
    pub(crate) fn list(&self, after: Option<&ListKey>, limit: usize) -> Vec<(ListKey, String)> {
        let state = self.lock();
        let start = after.map_or(Unbounded, |key| Excluded(key.clone()));
        state
            .order
            .range((start, Unbounded))
            .take(limit)
            .filter_map(|key| Some((key.clone(), state.sessions.get(&key.1)?.listed(Listed::Whole))))
            .collect()
    }

    /// A session as it is listed where the whole entry is too large.
    pub(crate) fn listed_short(&self, key: &ListKey) -> Option<String> {
        let state = self.lock();
        Some(state.sessions.get(&key.1)?.listed(Listed::Short))
    }

    /// The live sessions of an account, last heard of first.
    pub(crate) fn sessions_of(&self, account_id: &str) -> Vec<Session> {
        let state = self.lock();
        let tags = state.accounts.get(account_id).into_iter().flatten();
        let mut live: Vec<&Live> = tags.filter_map(|tag| state.sessions.get(tag)).collect();
        live.sort_by(|a, b| {
            let key = |live: &Live| (live.session.last_seen, live.session.session_tag.clone());
            key(b).cmp(&key(a))
        });
        live.into_iter().map(|live| live.session.clone()).collect()
    }

    /// How many live sessions an account has.
    pub(crate) fn online(&self, account_id: &str) -> usize {
        self.lock().accounts.get(account_id).map_or(0, BTreeSet::len)
    }

    /// Looks at the ranking of online accounts.
    pub(crate) fn ranking<T>(&self, look: impl FnOnce(&Ranking) -> T) -> T {
        look(&self.lock().ranking)
    }

    /// Accounts that are online and cannot be found, because their profile is not known.
    pub(crate) fn without_profile(&self) -> Vec<String> {
        let state = self.lock();
        let unknown = state.accounts.keys().filter(|id| !state.ranking.contains(id));
        unknown.cloned().collect()
    }
}

/// How much of a session is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Whole,
    /// Without capabilities and metadata.
    Short,
}

impl Live {
    fn listed(&self, listed: Listed) -> String {
        let session = &self.session;
        let (capabilities, metadata) = match listed {
            Listed::Whole => (&session.capabilities[..], session.metadata.get()),
            Listed::Short => (&[][..], "{}"),
        };
        let mut out = ObjectWriter::with_capacity(LISTED_BYTES + metadata.len());
        AgentInfoRef {
            agent_id: &session.agent_id,
            name: &session.name,
            capabilities,
            metadata,
            account_id: session.account_id.as_deref(),
            username: session.username.as_deref(),
            session_tag: Some(&session.session_tag),
            last_seen: Some(&session.last_seen.to_string()),
        }
        .write(&mut out);
        out.finish()
    }
}
