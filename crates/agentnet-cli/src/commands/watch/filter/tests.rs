//! Which messages are shown, as a table.

use agentnet_protocol::RawJson;

use super::*;

fn message() -> Envelope {
    Envelope {
        message_id: "m1".into(),
        from_agent: "agent_a".into(),
        from_account_id: Some("acct_a".into()),
        to_agent: "acct_b".into(),
        to_account_id: Some("acct_b".into()),
        thread_id: Some("ops_1".into()),
        kind: "request".into(),
        payload: RawJson::parse(r#"{"text":"Caf\u00e9 at 8"}"#).unwrap(),
        ..Envelope::default()
    }
}

/// A filter with these conditions.
fn filter(conditions: &[(&str, &str)]) -> Filter {
    let mut filter = Filter::default();
    for (name, value) in conditions {
        let condition = match *name {
            "from" => &mut filter.from,
            "to" => &mut filter.to,
            "thread" => &mut filter.thread,
            "kind" => &mut filter.kind,
            _ => &mut filter.grep,
        };
        *condition = Some((*value).to_owned());
    }
    filter
}

#[test]
fn all_conditions_must_match() {
    let parties = Parties {
        from: "@alice".into(),
        to: "@bob".into(),
    };
    let cases: [(&[(&str, &str)], bool); 16] = [
        (&[], true),
        (&[("thread", "ops_1")], true),
        (&[("thread", "ops")], false),
        (&[("kind", "request")], true),
        (&[("kind", "reply")], false),
        (&[("grep", "AT 8")], true),
        (&[("grep", "café")], true),
        (&[("grep", "tea")], false),
        (&[("from", "@Alice")], true),
        (&[("from", "alice")], true),
        (&[("from", "acct_a")], true),
        (&[("from", "agent_a")], true),
        (&[("from", "@bob")], false),
        (&[("to", "bob")], true),
        (&[("to", "acct_a")], false),
        (&[("from", "alice"), ("to", "carol")], false),
    ];
    for (conditions, shown) in cases {
        let filter = filter(conditions);
        let takes = filter.takes(&message()) && filter.takes_parties(&message(), &parties);
        assert_eq!(takes, shown, "{filter:?}");
    }
    assert!(filter(&[]).is_empty() && !filter(&[("kind", "x")]).is_empty());
}

#[test]
fn a_capability_is_a_target_too() {
    let message = Envelope {
        to_agent: "capability:chat".into(),
        to_account_id: None,
        ..message()
    };
    let parties = Parties {
        from: "@alice".into(),
        to: "capability:chat".into(),
    };
    let filter = Filter {
        to: Some("capability:chat".into()),
        ..Filter::default()
    };
    assert!(filter.takes_parties(&message, &parties));
}
