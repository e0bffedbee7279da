//! The record of an agent: in register, hello and list entries (PROTOCOL.md section 5.3).

mod counters;

use crate::RawJson;
use crate::decode::DecodeError;
use crate::json::{Kind, Object, ObjectWriter, Value, ascii};

pub use counters::AgentCounters;

/// One agent process as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentInfo {
    /// The logical role label.
    pub agent_id: String,
    /// Display name; the agent id when missing.
    pub name: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// A JSON object; `{}` when missing.
    pub metadata: RawJson,
    /// Its account, once registered, or the one it asks for.
    pub account_id: Option<String>,
    /// Its account's name, once registered, or the one it asks for.
    pub username: Option<String>,
    /// Its session, once registered.
    pub session_tag: Option<String>,
    /// Time of its last hello, as the registry received it.
    pub last_seen: Option<String>,
}

impl AgentInfo {
    /// Reads the members with the coercions of section 5.3.
    ///
    /// # Errors
    /// [`DecodeError::Member`] if `capabilities` is a number or `true`.
    pub fn decode(object: &Object<'_>) -> Result<Self, DecodeError> {
        let agent_id = object.get("agent_id").text().into_owned();
        let opt = |name| object.get(name).opt_text().map(std::borrow::Cow::into_owned);
        let metadata = object.get("metadata");
        Ok(Self {
            name: opt("name").unwrap_or_else(|| agent_id.clone()),
            agent_id,
            capabilities: capabilities(object.get("capabilities"))?,
            metadata: match metadata.kind() {
                Kind::Object => RawJson::validated(metadata.raw().into()),
                _ => RawJson::empty_object(),
            },
            account_id: opt("account_id"),
            username: opt("username"),
            session_tag: opt("session_tag"),
            last_seen: opt("last_seen"),
        })
    }

    /// Writes the members in the order of section 5.3, absent ones left out.
    pub fn write(&self, out: &mut ObjectWriter) {
        self.borrowed().write(out);
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> AgentInfoRef<'_> {
        AgentInfoRef {
            agent_id: &self.agent_id,
            name: &self.name,
            capabilities: &self.capabilities,
            metadata: self.metadata.get(),
            account_id: self.account_id.as_deref(),
            username: self.username.as_deref(),
            session_tag: self.session_tag.as_deref(),
            last_seen: self.last_seen.as_deref(),
        }
    }

    /// The wire text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = ObjectWriter::new();
        self.write(&mut out);
        out.finish()
    }
}

/// What [`AgentInfo`] says, borrowed from wherever it is kept, to be written.
#[derive(Debug, Clone, Copy)]
pub struct AgentInfoRef<'a> {
    /// The logical role label.
    pub agent_id: &'a str,
    /// Display name.
    pub name: &'a str,
    /// What it can do.
    pub capabilities: &'a [String],
    /// A JSON object.
    pub metadata: &'a str,
    /// Id of its account, once registered.
    pub account_id: Option<&'a str>,
    /// Its account's name.
    pub username: Option<&'a str>,
    /// Tag of its session, once registered.
    pub session_tag: Option<&'a str>,
    /// Time of its last hello, as the registry received it.
    pub last_seen: Option<&'a str>,
}

impl AgentInfoRef<'_> {
    /// Writes the members in the order of section 5.3, absent ones left out.
    pub fn write(&self, out: &mut ObjectWriter) {
        out.text("agent_id", self.agent_id)
            .text("name", self.name)
            .texts("capabilities", self.capabilities)
            .raw("metadata", &ascii(self.metadata))
            .opt_text("account_id", self.account_id)
            .opt_text("username", self.username)
            .opt_text("session_tag", self.session_tag)
            .opt_text("last_seen", self.last_seen);
    }
}

/// Falsy: none. Array: the text of each element. Text: its characters. Object: its names.
fn capabilities(value: Value<'_>) -> Result<Vec<String>, DecodeError> {
    if !value.is_truthy() {
        return Ok(Vec::new());
    }
    match value.kind() {
        Kind::Array => Ok(value
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item.python_text().into_owned())
            .collect()),
        Kind::String => Ok(value.text().chars().map(String::from).collect()),
        Kind::Object => Ok(value
            .as_object()
            .map(|object| object.unique())
            .unwrap_or_default()
            .into_iter()
            .map(|(key, _)| key.text().into_owned())
            .collect()),
        _ => Err(DecodeError::Member {
            member: "capabilities",
            problem: "must be a list of texts",
        }),
    }
}
