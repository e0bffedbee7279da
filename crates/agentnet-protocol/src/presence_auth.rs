//! Signed hellos and goodbyes (an addition to the Python protocol, PROTOCOL.md section 13.6).
//!
//! Both carry a detached signature in `auth`, which the Python implementation ignores. The signature of a hello covers all of
//! its members, with the time at which it was said (`last_seen`); a goodbye the session and its time (`seen_at`).

use crate::agent::{AgentCounters, AgentInfo};
use crate::canonical::payload_sha256;
use crate::claims::Claims;
use crate::detached;
use crate::json::{ArrayWriter, ObjectWriter, Value, ascii};
use crate::mailbox;
use crate::rpc::Goodbye;
use crate::signature::SigningKey;
use crate::task;

/// What the signature of a hello covers.
#[must_use]
pub fn hello_claims(agent: &AgentInfo) -> Claims {
    let mut capabilities = ArrayWriter::new();
    for capability in &agent.capabilities {
        capabilities.text(capability);
    }
    let content = ObjectWriter::new()
        .raw("capabilities", &capabilities.finish())
        .raw("metadata", agent.metadata.get())
        .finish();
    let content_sha256 = payload_sha256(&Value::validated(&content));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Claims::new([
        ("purpose", "hello"),
        ("session_tag", &text(&agent.session_tag)),
        ("account_id", &text(&agent.account_id)),
        ("username", &text(&agent.username)),
        ("agent_id", &agent.agent_id),
        ("name", &agent.name),
        ("said_at", &text(&agent.last_seen)),
        ("content_sha256", &content_sha256),
    ])
}

/// What the signature of a goodbye covers.
#[must_use]
pub fn goodbye_claims(goodbye: &Goodbye) -> Claims {
    Claims::new([
        ("purpose", "goodbye"),
        ("session_tag", &*goodbye.session_tag),
        ("agent_id", &*goodbye.agent_id),
        ("said_at", &*goodbye.seen_at),
    ])
}

/// The wire text of a hello, signed if there is a key.
#[must_use]
pub fn hello(agent: &AgentInfo, key: Option<&SigningKey>) -> String {
    write_hello(agent, HelloExtras::default(), key)
}

/// What a hello says besides the agent; the signature does not cover it.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelloExtras {
    /// What the agent counts of its work (section 7.4).
    pub counters: Option<AgentCounters>,
    /// The session takes the messages of its account's mailbox itself (section 21.4).
    pub pulls_mailbox: bool,
    /// The session claims tasks (section 22.4).
    pub claims_tasks: bool,
}

/// As [`hello`], with more.
#[must_use]
pub fn hello_with(agent: &AgentInfo, extras: HelloExtras, key: Option<&SigningKey>) -> String {
    write_hello(agent, extras, key)
}

fn write_hello(agent: &AgentInfo, extras: HelloExtras, key: Option<&SigningKey>) -> String {
    let mut out = ObjectWriter::with_capacity(512);
    agent.write(&mut out);
    if let Some(counters) = extras.counters {
        counters.write(&mut out);
    }
    if extras.pulls_mailbox {
        out.text(mailbox::MEMBER, mailbox::PULL);
    }
    if extras.claims_tasks {
        out.text(task::MEMBER, task::CLAIM);
    }
    if let Some(key) = key {
        out.raw("auth", &ascii(detached::sign(key, &hello_claims(agent)).get()));
    }
    out.finish()
}

/// The wire text of a goodbye, signed if there is a key.
#[must_use]
pub fn goodbye(goodbye: &Goodbye, key: Option<&SigningKey>) -> String {
    let mut out = ObjectWriter::with_capacity(384);
    goodbye.write(&mut out);
    if let Some(key) = key {
        out.raw("auth", &ascii(detached::sign(key, &goodbye_claims(goodbye)).get()));
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detached::DetachedAuth;
    use crate::json::Object;

    fn agent() -> AgentInfo {
        AgentInfo {
            agent_id: "a".into(),
            name: "Ä".into(),
            capabilities: vec!["chat".into()],
            metadata: crate::RawJson::parse(r#"{"n":1.0,"b":"ü"}"#.to_owned()).unwrap(),
            account_id: Some("acct_a".into()),
            username: Some("a".into()),
            session_tag: Some("registry_1".into()),
            last_seen: Some("2026-01-01T00:00:00Z".into()),
        }
    }

    fn holds(wire: &str) -> bool {
        let object = Object::parse_body(wire.as_bytes()).unwrap().unwrap();
        let agent = AgentInfo::decode(&object).unwrap();
        DetachedAuth::read(&object.get("auth")).is_some_and(|auth| auth.covers(&hello_claims(&agent)))
    }

    #[test]
    fn a_hello_is_covered_in_every_member() {
        let key = SigningKey::from_seed(&[5; 32]);
        let signed = hello(&agent(), Some(&key));
        assert!(holds(&signed));
        let extras = HelloExtras {
            counters: Some(AgentCounters::default()),
            pulls_mailbox: true,
            claims_tasks: true,
        };
        let with_extras = hello_with(&agent(), extras, Some(&key));
        assert!(holds(&with_extras));
        assert!(
            with_extras.contains(r#""mailbox":"pull","tasks":"claim""#),
            "{with_extras}"
        );
        assert!(!holds(&hello(&agent(), None)));
        for (from, to) in [
            (r#""agent_id":"a""#, r#""agent_id":"b""#),
            (r#""name":"\u00c4""#, r#""name":"B""#),
            (r#"["chat"]"#, r#"["chat","admin"]"#),
            (r#""n":1.0"#, r#""n":1"#),
            (r#""account_id":"acct_a""#, r#""account_id":"acct_b""#),
            (r#""username":"a""#, r#""username":"b""#),
            (r#""session_tag":"registry_1""#, r#""session_tag":"registry_2""#),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ] {
            assert!(signed.contains(from), "{from} in {signed}");
            assert!(!holds(&signed.replacen(from, to, 1)), "{from}");
        }
    }

    #[test]
    fn a_goodbye_is_covered_too() {
        let key = SigningKey::from_seed(&[5; 32]);
        let goodbye = Goodbye {
            agent_id: "a".into(),
            session_tag: "registry_1".into(),
            seen_at: "2026-01-01T00:00:00Z".into(),
        };
        let wire = super::goodbye(&goodbye, Some(&key));
        let object = Object::parse_body(wire.as_bytes()).unwrap().unwrap();
        let auth = DetachedAuth::read(&object.get("auth")).unwrap();
        assert_eq!(Goodbye::decode(&object), goodbye);
        assert!(auth.covers(&goodbye_claims(&goodbye)));
        for changed in [
            Goodbye {
                agent_id: "b".into(),
                ..goodbye.clone()
            },
            Goodbye {
                session_tag: "registry_2".into(),
                ..goodbye.clone()
            },
            Goodbye {
                seen_at: "2026-01-01T00:00:01Z".into(),
                ..goodbye.clone()
            },
        ] {
            assert!(!auth.covers(&goodbye_claims(&changed)));
        }
    }
}
