//! One live session, and its entry in `registry.list`.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::limits::readable_metadata;
use agentnet_protocol::{AgentInfo, AgentInfoRef, Timestamp};
use agentnet_store::model::Session;

use super::session_modes::SessionModes;

/// Bytes of most entries without the metadata.
const ENTRY_BYTES: usize = 320;

#[derive(Debug)]
pub(super) struct LiveSession {
    pub(super) session: Session,
    pub(super) tag: Arc<str>,
    pub(super) agent_id: Arc<str>,
    /// The last sign of life.
    pub(super) seen: Instant,
    /// When the store last got its `last_seen`, from here or from its owner.
    pub(super) stored: Instant,
    /// Whether the store has, from here or from elsewhere, what it has to know. If not, the former owner may have stopped
    /// before it wrote that.
    pub(super) owned: bool,
    /// Whether a registry is known to have issued it.
    pub(super) issued: bool,
    /// What it does with mailbox and tasks; `None` until it was heard of.
    pub(super) modes: Option<SessionModes>,
    /// Time of its last signed hello, by its own clock.
    pub(super) said_at: Option<Timestamp>,
    /// Its entry up to the last sign of life, once it was listed.
    entry: OnceCell<Box<str>>,
}

/// The effect of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HelloOutcome {
    /// The session is known; `changed` if more than its last sign of life is new.
    Known {
        /// The store has to learn of it soon.
        changed: bool,
    },
    /// There is no such session.
    Unknown,
}

impl LiveSession {
    /// `owned`: the store has the session, or its caller writes it.
    pub(super) fn new(session: Session, seen: Instant, owned: bool) -> Self {
        Self {
            tag: Arc::from(session.session_tag.as_str()),
            agent_id: Arc::from(session.agent_id.as_str()),
            session,
            seen,
            stored: seen,
            owned,
            issued: true,
            modes: None,
            said_at: None,
            entry: OnceCell::new(),
        }
    }

    /// Takes over what a hello says; `true` if something is new. With `bound`, account and username stay.
    pub(super) fn update(&mut self, agent: &AgentInfo, bound: bool) -> bool {
        let session = &mut self.session;
        let mut changed = false;
        let mut replace = |place: &mut Option<String>, given: &Option<String>| {
            if !bound && given.is_some() && place != given {
                place.clone_from(given);
                changed = true;
            }
        };
        replace(&mut session.account_id, &agent.account_id);
        replace(&mut session.username, &agent.username);
        if session.name != agent.name
            || session.capabilities != agent.capabilities
            || session.metadata != agent.metadata
        {
            session.name.clone_from(&agent.name);
            session.capabilities.clone_from(&agent.capabilities);
            session.metadata = agent.metadata.clone();
            changed = true;
        }
        if changed {
            self.entry.take();
        }
        changed
    }

    /// Writes its entry in `registry.list`.
    pub(super) fn write_entry(&self, out: &mut String) {
        let entry = self.entry.get_or_init(|| {
            let session = &self.session;
            let metadata = readable_metadata(session.metadata.clone());
            self.begin_entry(&session.capabilities, metadata.get()).into()
        });
        out.push_str(entry);
        self.end_entry(out);
    }

    /// Its entry without capabilities and metadata, where the whole one is too large.
    pub(super) fn short_entry(&self) -> String {
        let mut text = self.begin_entry(&[], "{}");
        self.end_entry(&mut text);
        text
    }

    /// The entry up to the time of the last sign of life, which comes last because it changes most.
    fn begin_entry(&self, capabilities: &[String], metadata: &str) -> String {
        let session = &self.session;
        let mut out = ObjectWriter::with_capacity(ENTRY_BYTES + metadata.len());
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

    fn end_entry(&self, out: &mut String) {
        // Writing to a `String` does not fail.
        let _ = write!(out, r#"{}"}}"#, self.session.last_seen);
    }
}
