//! Upper bounds for what travels on the wire (PROTOCOL.md section 0.11). Who sends more is refused with [`TooLarge`].

use std::fmt;

use crate::json::Object;
use crate::{AgentInfo, Envelope, RawJson, json};

/// Bytes of a name or an identity: agent id, display name, username, account id, session tag, nonce, public key.
pub const MAX_NAME_BYTES: usize = 256;
/// Maximum levels of arrays and objects in an agent's metadata: with those of a reply around them, readers that stop at 128 levels can read it.
pub const MAX_METADATA_LEVELS: usize = 100;
/// Bytes of an id that a sender makes up: message, thread, trace and parent ids, idempotency keys, kinds, versions, times.
pub const MAX_ID_BYTES: usize = 1024;
/// Capabilities of one agent.
pub const MAX_CAPABILITIES: usize = 64;
/// Bytes of one capability.
pub const MAX_CAPABILITY_BYTES: usize = 128;
/// Bytes of an agent's metadata as JSON text, unless the registry is set otherwise.
pub const DEFAULT_MAX_METADATA_BYTES: usize = 64 * 1024;
/// Participants that are recorded of one thread.
pub const MAX_PARTICIPANTS: usize = 256;
/// Bytes of a request to the registry; a registration has bounds of its own.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Bytes of a thread id in a request: one that is made of another id (PROTOCOL.md section 3) is longer than that id.
pub const MAX_THREAD_ID_BYTES: usize = 2 * MAX_ID_BYTES;
/// Bytes of a text that is searched for.
pub const MAX_QUERY_BYTES: usize = 1024;
/// Bytes of a cursor: base64 of a JSON text with an id of which every byte may be escaped.
pub const MAX_CURSOR_BYTES: usize = 16 * 1024;

/// The bounds of the texts of a request to the registry, by member. Every RPC calls the same thing by the same name.
pub const REQUEST_TEXTS: [(&str, usize); 16] = [
    ("account_id", MAX_NAME_BYTES),
    ("username", MAX_NAME_BYTES),
    ("participant_account_id", MAX_NAME_BYTES),
    ("participant_username", MAX_NAME_BYTES),
    ("from_account_id", MAX_NAME_BYTES),
    ("to_account_id", MAX_NAME_BYTES),
    ("new_public_key", MAX_NAME_BYTES),
    ("proof", MAX_NAME_BYTES),
    ("capability", MAX_CAPABILITY_BYTES),
    ("query", MAX_QUERY_BYTES),
    ("message_id", MAX_ID_BYTES),
    ("thread_id", MAX_THREAD_ID_BYTES),
    ("kind", MAX_ID_BYTES),
    ("from_ts", MAX_ID_BYTES),
    ("to_ts", MAX_ID_BYTES),
    ("cursor", MAX_CURSOR_BYTES),
];

/// A value above its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The member, as it is called on the wire.
    pub member: &'static str,
    /// Size of the value, in `unit`.
    pub size: usize,
    /// Maximum size, in `unit`.
    pub max: usize,
    /// What is counted.
    pub unit: &'static str,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            member,
            size,
            max,
            unit,
        } = self;
        write!(f, "{member} has {size} {unit}; at most {max} are allowed")
    }
}

impl std::error::Error for TooLarge {}

/// Checks the length of one text.
///
/// # Errors
/// [`TooLarge`] if it has more than `max` bytes.
pub fn check_bytes(member: &'static str, text: &str, max: usize) -> Result<(), TooLarge> {
    if text.len() <= max {
        return Ok(());
    }
    Err(TooLarge {
        member,
        size: text.len(),
        max,
        unit: "bytes",
    })
}

/// Checks the size of a request to the registry, before it is read.
///
/// # Errors
/// [`TooLarge`]
pub fn check_request(body: &[u8]) -> Result<(), TooLarge> {
    if body.len() <= MAX_REQUEST_BYTES {
        return Ok(());
    }
    Err(TooLarge {
        member: "the request",
        size: body.len(),
        max: MAX_REQUEST_BYTES,
        unit: "bytes",
    })
}

/// Checks the texts of a request to the registry, as they are sent: before they are trimmed or normalised.
///
/// # Errors
/// [`TooLarge`] for the first bound of [`REQUEST_TEXTS`] that is exceeded.
pub fn check_request_texts(request: &Object<'_>) -> Result<(), TooLarge> {
    REQUEST_TEXTS
        .into_iter()
        .try_for_each(|(member, max)| check_bytes(member, &request.get(member).text(), max))
}

/// Checks the number and the lengths of an agent's capabilities.
///
/// # Errors
/// [`TooLarge`] for the first bound that is exceeded.
pub fn check_capabilities<T: AsRef<str>>(capabilities: &[T]) -> Result<(), TooLarge> {
    if capabilities.len() > MAX_CAPABILITIES {
        return Err(TooLarge {
            member: "capabilities",
            size: capabilities.len(),
            max: MAX_CAPABILITIES,
            unit: "entries",
        });
    }
    capabilities
        .iter()
        .try_for_each(|capability| check_bytes("capability", capability.as_ref(), MAX_CAPABILITY_BYTES))
}

/// Checks what an agent says of itself. `max_metadata` is the registry's bound for its metadata.
///
/// # Errors
/// [`TooLarge`] for the first bound that is exceeded.
pub fn check_agent(agent: &AgentInfo, max_metadata: usize) -> Result<(), TooLarge> {
    let names = [
        ("agent_id", Some(&agent.agent_id)),
        ("name", Some(&agent.name)),
        ("account_id", agent.account_id.as_ref()),
        ("username", agent.username.as_ref()),
        ("session_tag", agent.session_tag.as_ref()),
        ("last_seen", agent.last_seen.as_ref()),
    ];
    for (member, text) in names {
        text.map_or(Ok(()), |text| check_bytes(member, text, MAX_NAME_BYTES))?;
    }
    check_capabilities(&agent.capabilities)?;
    check_bytes("metadata", agent.metadata.get(), max_metadata)?;
    if has_readable_levels(&agent.metadata) {
        return Ok(());
    }
    Err(TooLarge {
        member: "metadata",
        size: agent.metadata.levels(),
        max: MAX_METADATA_LEVELS,
        unit: "levels of nesting",
    })
}

fn has_readable_levels(metadata: &RawJson) -> bool {
    metadata.fits_inside(json::MAX_DEPTH - MAX_METADATA_LEVELS)
}

/// Metadata for a reply: an empty object where an older version stored more than [`MAX_METADATA_LEVELS`].
#[must_use]
pub fn readable_metadata(metadata: RawJson) -> RawJson {
    if has_readable_levels(&metadata) {
        metadata
    } else {
        RawJson::empty_object()
    }
}

/// Checks the nonce in the claims of an `auth` member.
///
/// # Errors
/// [`TooLarge`]
pub fn check_nonce(auth: Option<&RawJson>) -> Result<(), TooLarge> {
    let auth = auth.and_then(|auth| auth.view().as_object());
    let claims = auth.and_then(|auth| auth.get("claims").as_object());
    claims.map_or(Ok(()), |claims| {
        check_bytes("nonce", json::trim(&claims.get("nonce").text()), MAX_NAME_BYTES)
    })
}

/// Checks every text of an envelope but its payload.
///
/// # Errors
/// [`TooLarge`] for the first bound that is exceeded.
pub fn check_envelope(envelope: &Envelope) -> Result<(), TooLarge> {
    let names = [
        ("from_agent", Some(&envelope.from_agent)),
        ("from_account_id", envelope.from_account_id.as_ref()),
        ("from_session_tag", envelope.from_session_tag.as_ref()),
        ("to_account_id", envelope.to_account_id.as_ref()),
    ];
    let ids = [
        ("message_id", Some(&envelope.message_id)),
        // `capability:<name>` is longer than a name.
        ("to_agent", Some(&envelope.to_agent)),
        ("sent_at", Some(&envelope.sent_at)),
        ("kind", Some(&envelope.kind)),
        ("schema_version", Some(&envelope.schema_version)),
        ("expires_at", envelope.expires_at.as_ref()),
        ("trace_id", envelope.trace_id.as_ref()),
        ("thread_id", envelope.thread_id.as_ref()),
        ("parent_message_id", envelope.parent_message_id.as_ref()),
        ("idempotency_key", envelope.idempotency_key.as_ref()),
    ];
    let check = |(member, text): (&'static str, Option<&crate::Text>), max| {
        text.map_or(Ok(()), |text| check_bytes(member, text, max))
    };
    names.into_iter().try_for_each(|pair| check(pair, MAX_NAME_BYTES))?;
    ids.into_iter().try_for_each(|pair| check(pair, MAX_ID_BYTES))
}

/// What may be said back of an envelope that [`check_envelope`] refuses: the ids that are within their bounds, and no payload.
#[must_use]
pub fn bounded_ids(envelope: &Envelope) -> Envelope {
    let within = |text: &crate::Text, max| text.len() <= max;
    let id = |text: &crate::Text| Some(text.clone()).filter(|text| within(text, MAX_ID_BYTES));
    let name = |text: &crate::Text| Some(text.clone()).filter(|text| within(text, MAX_NAME_BYTES));
    Envelope {
        message_id: id(&envelope.message_id).unwrap_or_default(),
        from_agent: name(&envelope.from_agent).unwrap_or_default(),
        from_account_id: envelope.from_account_id.as_ref().and_then(name),
        trace_id: envelope.trace_id.as_ref().and_then(id),
        thread_id: envelope.thread_id.as_ref().and_then(id),
        parent_message_id: envelope.parent_message_id.as_ref().and_then(id),
        ..Envelope::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_may_have_a_hundred_levels() {
        let nested = |levels: usize| RawJson::parse(format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
        for levels in [0, 1, 100, 101, 989, 990] {
            let value = if levels == 0 { RawJson::null() } else { nested(levels) };
            assert_eq!(value.levels(), levels);
        }
        let agent = |levels| AgentInfo {
            metadata: nested(levels),
            ..AgentInfo::default()
        };
        assert_eq!(check_agent(&agent(100), DEFAULT_MAX_METADATA_BYTES), Ok(()));
        assert_eq!(readable_metadata(nested(100)), nested(100));
        let error = check_agent(&agent(101), DEFAULT_MAX_METADATA_BYTES).unwrap_err();
        assert_eq!(
            error.to_string(),
            "metadata has 101 levels of nesting; at most 100 are allowed"
        );
        assert_eq!(readable_metadata(nested(101)), RawJson::empty_object());
    }

    #[test]
    fn a_text_at_its_bound_is_allowed_and_one_above_is_not() {
        assert_eq!(check_bytes("name", &"x".repeat(256), MAX_NAME_BYTES), Ok(()));
        let error = check_bytes("name", &"x".repeat(257), MAX_NAME_BYTES).unwrap_err();
        assert_eq!(error.to_string(), "name has 257 bytes; at most 256 are allowed");
    }

    #[test]
    fn capabilities_are_bounded_in_number_and_length() {
        assert_eq!(check_capabilities(&vec!["c"; 64]), Ok(()));
        assert_eq!(check_capabilities(&vec!["c"; 65]).unwrap_err().member, "capabilities");
        assert_eq!(check_capabilities(&["c".repeat(128)]), Ok(()));
        assert_eq!(check_capabilities(&["c".repeat(129)]).unwrap_err().member, "capability");
    }

    #[test]
    fn every_text_of_an_agent_has_a_bound() {
        type Set = fn(&mut AgentInfo, String);
        let cases: [(&str, Set); 6] = [
            ("agent_id", |a, t| a.agent_id = t),
            ("name", |a, t| a.name = t),
            ("account_id", |a, t| a.account_id = Some(t)),
            ("username", |a, t| a.username = Some(t)),
            ("session_tag", |a, t| a.session_tag = Some(t)),
            ("last_seen", |a, t| a.last_seen = Some(t)),
        ];
        for (member, set) in cases {
            let mut agent = AgentInfo::default();
            set(&mut agent, "x".repeat(256));
            assert_eq!(check_agent(&agent, 4), Ok(()), "{member}");
            set(&mut agent, "x".repeat(257));
            assert_eq!(check_agent(&agent, 4).unwrap_err().member, member);
        }
        let agent = AgentInfo {
            metadata: RawJson::parse(r#"{"a":1}"#.to_owned()).unwrap(),
            ..AgentInfo::default()
        };
        assert_eq!(check_agent(&agent, 7), Ok(()));
        assert_eq!(check_agent(&agent, 6).unwrap_err().member, "metadata");
    }

    #[test]
    fn a_nonce_has_a_bound() {
        let auth = |nonce: &str| RawJson::parse(format!(r#"{{"claims":{{"nonce":"{nonce}"}}}}"#)).unwrap();
        assert_eq!(check_nonce(None), Ok(()));
        assert_eq!(check_nonce(Some(&auth(&"n".repeat(256)))), Ok(()));
        let error = check_nonce(Some(&auth(&"n".repeat(900_000)))).unwrap_err();
        assert_eq!(error.to_string(), "nonce has 900000 bytes; at most 256 are allowed");
    }

    #[test]
    fn every_text_of_an_envelope_has_a_bound() {
        let long = |bytes: usize| crate::Text::from("x".repeat(bytes));
        type Set = fn(&mut Envelope, crate::Text);
        let cases: [(&str, usize, Set); 14] = [
            ("from_agent", 256, |e, t| e.from_agent = t),
            ("from_account_id", 256, |e, t| e.from_account_id = Some(t)),
            ("from_session_tag", 256, |e, t| e.from_session_tag = Some(t)),
            ("to_account_id", 256, |e, t| e.to_account_id = Some(t)),
            ("message_id", 1024, |e, t| e.message_id = t),
            ("to_agent", 1024, |e, t| e.to_agent = t),
            ("sent_at", 1024, |e, t| e.sent_at = t),
            ("kind", 1024, |e, t| e.kind = t),
            ("schema_version", 1024, |e, t| e.schema_version = t),
            ("expires_at", 1024, |e, t| e.expires_at = Some(t)),
            ("trace_id", 1024, |e, t| e.trace_id = Some(t)),
            ("thread_id", 1024, |e, t| e.thread_id = Some(t)),
            ("parent_message_id", 1024, |e, t| e.parent_message_id = Some(t)),
            ("idempotency_key", 1024, |e, t| e.idempotency_key = Some(t)),
        ];
        for (member, max, set) in cases {
            let mut envelope = Envelope::default();
            set(&mut envelope, long(max));
            assert_eq!(check_envelope(&envelope), Ok(()), "{member}");
            set(&mut envelope, long(max + 1));
            assert_eq!(check_envelope(&envelope).unwrap_err().member, member);
            assert_eq!(check_envelope(&bounded_ids(&envelope)), Ok(()), "{member}");
        }
    }
}
