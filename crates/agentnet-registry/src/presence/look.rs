//! What requests ask of presence.

use std::fmt::Write as _;
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

    /// The account of a live session.
    pub(crate) fn account_of(&self, session_tag: &str) -> Option<String> {
        self.lock().sessions.get(session_tag)?.session.account_id.clone()
    }

    /// Whether the store has not got yet what it has to know of a session.
    pub(crate) fn is_unwritten(&self, session_tag: &str) -> bool {
        self.lock().pending.contains_key(session_tag)
    }

    /// Live sessions.
    pub(crate) fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Adds up to `limit` sessions behind `after` to a page, in the order of `registry.list` and as they stand there; `true`
    /// if there may be more.
    pub(crate) fn list(&self, after: Option<&ListKey>, limit: usize, page: &mut ListPage) -> bool {
        let state = self.lock();
        let start = after.map_or(Unbounded, |key| Excluded(key.clone()));
        let before = page.len();
        for key in state.order.range((start, Unbounded)).take(limit) {
            if let Some(live) = state.sessions.get(&key.1) {
                page.add(key.clone(), live);
            }
        }
        page.len() - before == limit
    }

    /// A session as it is listed where the whole entry is too large: without capabilities and metadata.
    pub(crate) fn listed_short(&self, key: &ListKey) -> Option<String> {
        let state = self.lock();
        let live = state.sessions.get(&key.1)?;
        let mut text = live.begin(&[], "{}");
        live.finish(&mut text);
        Some(text)
    }

    /// The live sessions of an account, last heard of first.
    pub(crate) fn sessions_of(&self, account_id: &str) -> Vec<Session> {
        let state = self.lock();
        let tags = state.accounts.get(account_id).into_iter().flatten();
        let mut live: Vec<&Live> = tags
            .filter_map(|tag| state.sessions.get(tag).map(Box::as_ref))
            .collect();
        live.sort_by(|a, b| {
            let key = |live: &Live| (live.session.last_seen, live.session.session_tag.clone());
            key(b).cmp(&key(a))
        });
        live.into_iter().map(|live| live.session.clone()).collect()
    }

    /// How many live sessions an account has.
    pub(crate) fn online(&self, account_id: &str) -> usize {
        self.lock().accounts.get(account_id).map_or(0, Vec::len)
    }

    /// Whether the profile of an account that is online is known.
    pub(crate) fn has_profile(&self, account_id: &str) -> bool {
        self.lock().ranking.contains(account_id)
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

/// Sessions as `registry.list` shows them, with commas between them.
#[derive(Debug, Default)]
pub(crate) struct ListPage {
    text: String,
    /// Which they are, and where the text of each ends.
    entries: Vec<(ListKey, usize)>,
}

impl ListPage {
    fn add(&mut self, key: ListKey, live: &Live) {
        if !self.entries.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(live.listed.get_or_init(|| {
            let session = &live.session;
            live.begin(&session.capabilities, session.metadata.get()).into()
        }));
        live.finish(&mut self.text);
        self.entries.push((key, self.text.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all sessions.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Which one is there.
    pub(crate) fn key(&self, at: usize) -> Option<&ListKey> {
        self.entries.get(at).map(|(key, _)| key)
    }

    /// The first so many, with commas between them.
    pub(crate) fn first(&self, count: usize) -> &str {
        let last = count.checked_sub(1).and_then(|last| self.entries.get(last));
        last.map_or("", |(_, end)| &self.text[..*end])
    }

    /// Leaves the first so many.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
        let end = self.entries.last().map_or(0, |(_, end)| *end);
        self.text.truncate(end);
    }
}

impl Live {
    /// An entry up to the time of the last sign of life, which comes last because it changes most.
    fn begin(&self, capabilities: &[String], metadata: &str) -> String {
        let session = &self.session;
        let mut out = ObjectWriter::with_capacity(LISTED_BYTES + metadata.len());
        AgentInfoRef {
            agent_id: &session.agent_id,
            name: &session.name,
            capabilities,
            metadata,
            account_id: session.account_id.as_deref(),
            username: session.username.as_deref(),
            session_tag: Some(&session.session_tag),
            last_seen: Some(""),
        }
        .write(&mut out);
        let mut text = out.finish();
        text.truncate(text.len() - r#""}"#.len());
        text
    }

    fn finish(&self, out: &mut String) {
        // A text takes everything in.
        let _ = write!(out, r#"{}"}}"#, self.session.last_seen);
    }
}
