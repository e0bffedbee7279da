//! The order of the checks and the two phases of admission, as tables.

use std::time::Duration;

use agentnet_protocol::{Envelope, RawJson, Reject, Timestamp};

use super::{Capacity, Guards, Now};
use crate::config::Limits;

const READY: Capacity = Capacity {
    accepting: true,
    circuit_open: false,
    backlog_full: false,
    is_rated: true,
};

fn guards(limits: impl FnOnce(&mut Limits)) -> Guards {
    let mut chosen = Limits {
        clock_skew_ms: 0,
        ..Limits::default()
    };
    limits(&mut chosen);
    Guards::new("acct_me", "me", 1, &chosen)
}

fn now(seconds: u64) -> Now {
    let wall = Timestamp::parse("2026-02-21T08:00:00Z").unwrap();
    Now {
        wall: wall.saturating_add_millis(i128::from(seconds) * 1000),
        monotonic: Duration::from_secs(seconds),
    }
}

fn message(id: &str) -> Envelope {
    Envelope {
        message_id: id.into(),
        from_agent: "a".into(),
        payload: RawJson::null(),
        sent_at: "2026-02-21T08:00:00Z".into(),
        schema_version: "1.1".into(),
        from_account_id: Some("acct_a".into()),
        ttl_ms: Some(30_000),
        ..Envelope::default()
    }
}

#[test]
fn the_first_failing_check_wins() {
    // Each row breaks one check more, from the last to the first.
    let all_broken = |upto: usize| {
        let mut message = message("m");
        let mut capacity = Capacity {
            backlog_full: true,
            ..READY
        };
        if upto >= 4 {
            message.ttl_ms = Some(-1);
        }
        if upto >= 5 {
            capacity.circuit_open = true;
        }
        if upto >= 6 {
            capacity.accepting = false;
        }
        if upto >= 7 {
            message.schema_version = "2.0".into();
        }
        (message, capacity)
    };
    for (upto, expected) in [
        (0, Reject::Busy),
        (4, Reject::Expired),
        (5, Reject::ServiceDegraded),
        (6, Reject::ShuttingDown),
        (7, Reject::UnsupportedSchemaVersion),
    ] {
        let (message, capacity) = all_broken(upto);
        assert_eq!(
            guards(|_| ()).admit(&message, now(0), capacity),
            Err(expected),
            "row {upto}"
        );
    }
}

#[test]
fn each_check_refuses_with_its_code() {
    type Case = (&'static str, fn(&mut Envelope), Result<(), Reject>);
    let cases: [Case; 7] = [
        ("plain", |_| (), Ok(())),
        ("no ttl", |m| m.ttl_ms = None, Err(Reject::MissingTtl)),
        ("expired", |m| m.ttl_ms = Some(0), Err(Reject::Expired)),
        ("huge ttl", |m| m.ttl_ms = Some(1_000_000_000_000_000_000), Ok(())),
        (
            "no major",
            |m| m.schema_version = "x".into(),
            Err(Reject::SchemaVersionInvalid),
        ),
        ("blank version", |m| m.schema_version = " ".into(), Ok(())),
        (
            "other major",
            |m| m.schema_version = "2".into(),
            Err(Reject::UnsupportedSchemaVersion),
        ),
    ];
    for (name, change, expected) in cases {
        let mut message = message("m");
        change(&mut message);
        assert_eq!(guards(|_| ()).admit(&message, now(0), READY), expected, "{name}");
    }
}

#[test]
fn busy_burns_neither_id_nor_key() {
    let mut guards = guards(|limits| limits.rate_limit_burst = 100);
    let mut message = message("m");
    message.idempotency_key = Some("k".into());
    let full = Capacity {
        backlog_full: true,
        ..READY
    };
    assert_eq!(guards.admit(&message, now(0), full), Err(Reject::Busy));
    assert_eq!(guards.admit(&message, now(0), READY), Ok(()), "the retry is taken");
    assert_eq!(guards.admit(&message, now(0), READY), Err(Reject::DuplicateMessage));
    message.message_id = "other".into();
    assert_eq!(guards.admit(&message, now(0), READY), Err(Reject::DuplicateKey));
}

#[test]
fn retries_cost_tokens_because_the_rate_comes_before_dedupe() {
    let mut guards = guards(|limits| limits.rate_limit_burst = 2);
    assert_eq!(guards.admit(&message("m"), now(0), READY), Ok(()));
    assert_eq!(
        guards.admit(&message("m"), now(0), READY),
        Err(Reject::DuplicateMessage)
    );
    assert_eq!(guards.admit(&message("n"), now(0), READY), Err(Reject::RateLimited));
}

#[test]
fn messages_without_id_are_not_deduplicated() {
    let mut guards = guards(|_| ());
    assert_eq!(guards.admit(&message(""), now(0), READY), Ok(()));
    assert_eq!(guards.admit(&message(""), now(0), READY), Ok(()));
}

#[test]
fn skew_is_allowed_for() {
    let mut exact = guards(|_| ());
    let mut lenient = guards(|limits| limits.clock_skew_ms = 2_000);
    assert_eq!(exact.admit(&message("m"), now(30), READY), Err(Reject::Expired));
    assert_eq!(lenient.admit(&message("m"), now(31), READY), Ok(()));
    assert_eq!(lenient.admit(&message("n"), now(32), READY), Err(Reject::Expired));
}

#[test]
fn what_failed_is_admitted_again() {
    let mut guards = guards(|_| {});
    let mut order = message("m1");
    order.idempotency_key = Some("order_1".into());
    let again = Envelope {
        message_id: "m2".into(),
        ..order.clone()
    };
    guards.admit(&order, now(0), READY).unwrap();
    assert_eq!(guards.admit(&again, now(0), READY), Err(Reject::DuplicateKey));
    guards.forget(&order);
    guards.admit(&order, now(0), READY).unwrap();
    guards.forget(&order);
    guards.admit(&again, now(0), READY).unwrap();
    assert_eq!(guards.admit(&again, now(0), READY), Err(Reject::DuplicateMessage));
}
