//! What a builder accepts, and what it reads from the environment.

use std::time::Duration;

use agentnet_nats::DEFAULT_NATS_URL;

use super::*;
use crate::identity::KeySource;

#[test]
fn impossible_agents_are_told_why() {
    let error = |builder: AgentBuilder| builder.build().unwrap_err().to_string();
    assert_eq!(error(AgentBuilder::<AgentNode>::new("")), "agent_id is required");
    assert!(error(AgentBuilder::<AgentNode>::new("a").nats_url("http://x")).contains("scheme `http` is not supported"));
    assert_eq!(
        error(AgentBuilder::<AgentNode>::new("a").metadata(serde_json::json!([]))),
        "metadata must be a JSON object"
    );
    assert!(error(AgentBuilder::<AgentNode>::new("a").account_id("a b")).contains("use 1 to 128"));
    let lost = error(AgentBuilder::<AgentNode>::new("a").username("José"));
    assert!(lost.contains("it would become \"jos\""), "{lost}");
    let nothing = error(AgentBuilder::<AgentNode>::new("a").username("日本"));
    assert!(nothing.contains("nothing of it would remain"), "{nothing}");
    assert!(AgentBuilder::<AgentNode>::new("a").username("Alice B!").build().is_ok());
}

#[test]
fn the_environment_names_the_broker() {
    for (set, expected) in [
        (&[][..], DEFAULT_NATS_URL),
        (&[("NATS_URL", "nats://b")], "nats://b"),
        (
            &[("AGENTNET_NATS_URL", "nats://a"), ("NATS_URL", "nats://b")],
            "nats://a",
        ),
        (&[("AGENTNET_NATS_URL", " "), ("NATS_URL", "nats://b")], "nats://b"),
        (&[("AGENTNET_NATS_URL", ""), ("NATS_URL", "")], DEFAULT_NATS_URL),
    ] {
        let read = |name: &str| {
            set.iter()
                .find(|(set, _)| *set == name)
                .map(|(_, url)| (*url).to_owned())
        };
        assert_eq!(url_from(read), expected, "{set:?}");
    }
}

#[test]
fn signing_is_asked_for_by_call_key_or_environment() {
    let environment = |name: &str| match name {
        "DEV_AUTH" => Some(" Yes ".to_owned()),
        "DEV_AUTH_KEY_DIR" => Some("/k".to_owned()),
        _ => None,
    };
    let file = |builder: AgentBuilder, on: bool| {
        let source = builder.key_source(|name| environment(name).filter(|_| on));
        source.map(|source| match source {
            KeySource::File(path) => path.display().to_string(),
            KeySource::Memory(_) => "memory".to_owned(),
        })
    };
    let builder = || AgentBuilder::new("Agent X").username("Ann");
    let key = || SigningKey::from_seed(&[1; 32]);
    for (builder, on, expected) in [
        (builder(), false, None),
        (builder(), true, Some("/k/Ann.json")),
        (AgentBuilder::new("Agent X"), true, Some("/k/Agent_X.json")),
        (builder().ignore_environment(), true, None),
        (builder().dev_auth(false), true, None),
        (builder().dev_auth(true), false, Some(".keys/Ann.json")),
        (builder().dev_auth(true).key_dir("d"), true, Some("d/Ann.json")),
        (builder().signing_key(key()), false, Some("memory")),
        (builder().signing_key(key()).dev_auth(false), true, None),
    ] {
        assert_eq!(file(builder, on).as_deref(), expected);
    }
}

#[test]
fn the_environment_fills_defaults_only() {
    let read = |name: &str| match name {
        "ACCOUNT_RESOLVE_CACHE_TTL_SECONDS" => Some("0".to_owned()),
        "AGENT_METRICS_WINDOW_SIZE" => Some(" 5 ".to_owned()),
        _ => None,
    };
    let mut limits = Limits::default();
    limits_from(&mut limits, read).unwrap();
    assert_eq!((limits.resolve_cache_ttl, limits.metrics_window), (Duration::ZERO, 32));
    let mut limits = Limits {
        resolve_cache_ttl: Duration::from_secs(1),
        ..Limits::default()
    };
    limits_from(&mut limits, read).unwrap();
    assert_eq!(limits.resolve_cache_ttl, Duration::from_secs(1));
    let bad = limits_from(&mut Limits::default(), |_| Some("soon".into()));
    assert!(
        bad.unwrap_err()
            .to_string()
            .contains("ACCOUNT_RESOLVE_CACHE_TTL_SECONDS=soon is not a number")
    );
}
