//! `register`, `hello`, `goodbye`, `list` (PROTOCOL.md section 6, 7.2 to 7.5).

use super::record::{FloatOr, Omitted, record, reply};
use super::{Reply, Request, RpcError, objects, opt_owned, opt_trimmed, owned, required};
use crate::RawJson;
use crate::agent::AgentInfo;
use crate::decode::DecodeError;
use crate::json::{Object, ObjectWriter, ascii};
use crate::mailbox;
use crate::task;

/// `registry.register`: the agent and the account that it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegisterRequest {
    /// The agent; its `account_id` and `username` are what it asks for.
    pub agent: AgentInfo,
    /// The signature of section 13.2, any JSON value as it came.
    pub auth: Option<RawJson>,
    /// An account that exists keeps its display name, capabilities and metadata (an addition to the Python protocol, section
    /// 0.10).
    pub keep_profile: bool,
    /// The session takes the messages of its account's mailbox itself (an addition to the Python protocol, section 21.4).
    pub pulls_mailbox: bool,
    /// The session claims tasks (an addition to the Python protocol, section 22.4).
    pub claims_tasks: bool,
}

impl Request for RegisterRequest {
    const NAME: &'static str = "register";
    type Reply = RegisterReply;
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        self.agent.write(&mut out);
        if let Some(auth) = &self.auth {
            out.raw("auth", &ascii(auth.get()));
        }
        if self.keep_profile {
            out.bool("keep_profile", true);
        }
        if self.pulls_mailbox {
            out.text(mailbox::MEMBER, mailbox::PULL);
        }
        if self.claims_tasks {
            out.text(task::MEMBER, task::CLAIM);
        }
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "register payload must be an object")?;
        let agent = AgentInfo::decode(object)?;
        if agent.agent_id.is_empty() {
            return Err(RpcError::new("agent_id is required"));
        }
        let auth = object.get("auth");
        Ok(Self {
            agent,
            auth: (!auth.is_null()).then(|| RawJson::validated(auth.raw().into())),
            keep_profile: object.get("keep_profile").is_truthy(),
            pulls_mailbox: mailbox::pulls(object),
            claims_tasks: task::claims(object),
        })
    }
}

record! {
    /// The registered account and session, and the intervals to keep.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub struct RegisterReply {
        /// Id of the registered account.
        pub account_id: String,
        /// The account's username.
        pub username: String,
        /// Its new session.
        pub session_tag: String,
        /// How often to say hello, in seconds; 12 by default.
        pub heartbeat_interval: f64 as FloatOr<12>,
        /// After how many seconds of silence the session is evicted; 40 by default.
        pub ttl_seconds: f64 as FloatOr<40>,
        /// Time of the reply, UTC.
        pub registered_at: String,
        /// Where to ask replies to (an addition to the Python protocol, section 0.10): requests use
        /// `<prefix>.<account_id>.<session token>.<n>`, which the history captures. Absent from the Python registry.
        pub reply_prefix: Option<String> as Omitted,
    }
}

reply!(RegisterReply, ["account_id", "session_tag"], not_empty: account_id, session_tag);

/// `registry.goodbye`: a session ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Goodbye {
    /// The agent's role label; not used by the registry.
    pub agent_id: String,
    /// Tag of the session that ends.
    pub session_tag: String,
    /// When, by the agent's clock; not used by the registry.
    pub seen_at: String,
}

impl Goodbye {
    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(160);
        self.write(&mut out);
        out.finish()
    }

    /// Writes the members.
    pub(crate) fn write(&self, out: &mut ObjectWriter) {
        out.text("agent_id", &self.agent_id)
            .text("session_tag", &self.session_tag)
            .text("seen_at", &self.seen_at);
    }

    /// Reads the members; only the session tag matters.
    #[must_use]
    pub fn decode(object: &Object<'_>) -> Self {
        Self {
            agent_id: owned(object.get("agent_id")),
            session_tag: owned(object.get("session_tag")),
            seen_at: owned(object.get("seen_at")),
        }
    }
}

/// `registry.list`: the sessions that are online. `limit` and `cursor` are additions to the Python protocol (section 0.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRequest {
    /// At most so many sessions; absent means all that fit into one reply.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Request for ListRequest {
    const NAME: &'static str = "list";
    type Reply = ListReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(64);
        if let Some(limit) = self.limit {
            out.int("limit", limit as u64);
        }
        out.opt_text("cursor", self.cursor.as_deref());
        out.finish()
    }

    /// The Python implementation never looks at this body: anything unreadable means no limit.
    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let Some(object) = object else {
            return Ok(Self::default());
        };
        let limit = object.get("limit").int().ok().flatten();
        Ok(Self {
            limit: limit
                .filter(|limit| *limit > 0)
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            cursor: opt_trimmed(object.get("cursor")),
        })
    }
}

/// The online sessions, by agent id and session tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReply {
    /// Time of the reply, UTC.
    pub generated_at: String,
    /// One entry a session.
    pub agents: Vec<AgentInfo>,
    /// Set when the list was cut (section 0.4).
    pub next_cursor: Option<String>,
}

impl ListReply {
    /// The wire text of a reply whose entries are written already, with commas between them.
    #[must_use]
    pub fn encode_written(generated_at: &str, agents: &str, next_cursor: Option<&str>) -> String {
        let mut out = ObjectWriter::with_capacity(agents.len() + 256);
        out.text("generated_at", generated_at)
            .raw_items("agents", agents)
            .opt_text("next_cursor", next_cursor);
        out.finish()
    }
}

impl Reply for ListReply {
    const MEMBERS: &'static [&'static str] = &["agents"];

    fn encode(&self) -> String {
        let agents: Vec<String> = self.agents.iter().map(AgentInfo::encode).collect();
        Self::encode_written(&self.generated_at, &agents.join(","), self.next_cursor.as_deref())
    }

    fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            generated_at: owned(object.get("generated_at")),
            agents: objects(object.get("agents"))
                .map(|agent| AgentInfo::decode(&agent))
                .collect::<Result<_, _>>()?,
            next_cursor: opt_owned(object.get("next_cursor")),
        })
    }
}
