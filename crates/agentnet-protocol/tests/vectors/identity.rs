//! Ids, usernames, targets.

use agentnet_protocol::target::Verb;
use agentnet_protocol::{Target, ids, username};
use serde_json::{Value, json};

use crate::loader::check_each;

#[test]
fn ulid() {
    check_each("ulid", |case| {
        let millis = case.get("timestamp_ms").as_u64().expect("milliseconds");
        let hex = case.text("random_hex");
        let random: [u8; 10] = std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
        assert_eq!(ids::ulid(millis, random), case.text("ulid"));
        assert_eq!(ids::account_id(millis, random), case.text("account_id"));
        assert_eq!(ids::session_tag("registry", millis, random), case.text("session_tag"));
        assert_eq!(ids::registry_message_id(millis, random), case.text("message_id"));
        assert_eq!(
            ids::prefixed(ids::SDK_THREAD_PREFIX, millis, random),
            case.text("thread_sdk")
        );
        // Section 0, decision 5: generated names do not use `first8_lower` and `first6_lower`, which are time, not chance.
        assert!(ids::valid_account_id(&ids::account_id(millis, random)));
    });
}

#[test]
fn usernames() {
    check_each("usernames", |case| {
        let input = case.text("input");
        let normalised = username::normalise(input);
        assert_eq!(normalised, case.text("normalized"));
        assert_eq!(
            username::normalise(&normalised),
            normalised,
            "normalising twice changes nothing"
        );
        assert_eq!(username::lookup_key(input), case.text("client_prepared"));
        let of_client = username::normalise(case.text("client_prepared"));
        assert_eq!(of_client, case.text("normalized_of_client_prepared"));
        // What a TypeScript client sends is not made here, but it must find the same account.
        assert_eq!(username::normalise(case.text("ts_prepared")), of_client);
    });
}

/// Whether our clients take the name.
#[test]
fn usable_usernames() {
    check_each("usable_usernames", |case| {
        let input = case.text("input");
        let (becomes, outcome) = match username::usable(input) {
            Ok(name) => (name, "usable"),
            Err(username::UnusableName::Nothing { .. }) => (String::new(), "nothing"),
            Err(username::UnusableName::Lossy { becomes, .. }) => (becomes, "lossy"),
            Err(username::UnusableName::TooLong { .. }) => (username::normalise(input), "too_long"),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(
            (outcome, becomes.as_str()),
            (case.text("outcome"), case.text("normalized"))
        );
        assert_eq!(becomes, username::normalise(input), "the wire's rule stays");
    });
}

/// The `ts` column describes the TypeScript SDK's own parser, which is not ours.
#[test]
fn targets() {
    check_each("targets", |case| {
        let input = case.text("input");
        assert_eq!(
            described(Target::parse_node(input, Verb::Send)),
            *case.get("node"),
            "node"
        );
        assert_eq!(described(Target::parse_sdk(input)), *case.get("sdk"), "sdk");
    });
}

fn described<E: std::error::Error>(target: Result<Target, E>) -> Value {
    match target {
        Ok(Target::Account(value)) => json!({"kind": "account", "value": value}),
        Ok(Target::Username(value)) => json!({"kind": "username", "value": value}),
        Ok(Target::Capability(value)) => json!({"kind": "capability", "value": value}),
        Err(error) => json!({"kind": "error", "error": error.to_string()}),
    }
}
