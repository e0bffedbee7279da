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

#[test]
fn all_that_is_given_must_hold() {
    let parties = Parties {
        from: "@alice".into(),
        to: "@bob".into(),
    };
    let some = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let table = [
        (none(), true),
        (
            Filter {
                thread: some("ops_1"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                thread: some("ops"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                kind: some("request"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                kind: some("reply"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                grep: some("AT 8"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                grep: some("café"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                grep: some("tea"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                from: some("@Alice"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                from: some("alice"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                from: some("acct_a"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                from: some("agent_a"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                from: some("@bob"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                to: some("bob"),
                ..none()
            },
            true,
        ),
        (
            Filter {
                to: some("acct_a"),
                ..none()
            },
            false,
        ),
        (
            Filter {
                from: some("alice"),
                to: some("carol"),
                ..none()
            },
            false,
        ),
    ];
    for (filter, shown) in table {
        let takes = filter.takes(&message()) && filter.takes_parties(&message(), &parties);
        assert_eq!(takes, shown, "{filter:?}");
    }
    assert!(
        none().is_empty()
            && !Filter {
                kind: some("x"),
                ..none()
            }
            .is_empty()
    );
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
