//! Passes, warnings and failures.

use agentnet_protocol::rpc::{CaptureStats, WriteQueueStats};

use super::super::report::Verdict::{self, Fail, Pass, Skip, Warn};
use super::*;

#[test]
fn clocks_may_differ_a_little() {
    let asked_at = Timestamp::parse("2026-02-21T08:00:00Z").unwrap();
    let second = Duration::from_secs(1);
    for (theirs, took, verdict, seen) in [
        (
            "2026-02-21T08:00:00.5Z",
            second,
            Pass,
            "this clock and the registry's agree",
        ),
        (
            "2026-02-21T08:00:02Z",
            second,
            Pass,
            "the registry's clock is 1.0 s ahead",
        ),
        (
            "2026-02-21T07:59:57Z",
            second,
            Warn,
            "the registry's clock is 3.0 s behind",
        ),
        (
            "2026-02-21T08:01:00Z",
            Duration::ZERO,
            Warn,
            "the registry's clock is 60.0 s ahead",
        ),
        (
            "2026-02-21T08:10:00Z",
            Duration::ZERO,
            Fail,
            "the registry's clock is 600.0 s ahead",
        ),
        ("soon", second, Warn, "the registry's time `soon` cannot be read"),
    ] {
        let finding = clock(theirs, asked_at, took);
        assert_eq!((finding.verdict, finding.seen.as_str()), (verdict, seen), "{theirs}");
    }
}

#[test]
fn lag_and_refusals_are_told() {
    let judged = |change: fn(&mut CaptureStats)| -> Verdict {
        let mut capture = CaptureStats {
            mode: "jetstream".into(),
            ..CaptureStats::default()
        };
        change(&mut capture);
        lag(&MetricsReply {
            capture: Some(capture),
            ..MetricsReply::default()
        })
        .verdict
    };
    assert_eq!(judged(|_| {}), Pass);
    assert_eq!(judged(|capture| capture.lag = 1_000), Pass);
    assert_eq!(judged(|capture| capture.lag = 1_001), Warn);
    assert_eq!(judged(|capture| capture.lag = 100_001), Fail);
    assert_eq!(judged(|capture| capture.refused = 1), Warn);
    assert_eq!(lag(&MetricsReply::default()).verdict, Skip);
    let full = MetricsReply {
        capture: Some(CaptureStats {
            mode: "core".into(),
            ..CaptureStats::default()
        }),
        db_write_queue: WriteQueueStats {
            overflow_count: 2,
            ..WriteQueueStats::default()
        },
        ..MetricsReply::default()
    };
    assert_eq!(lag(&full).verdict, Warn);
}

#[test]
fn silent_sessions_are_named() {
    let now = Timestamp::parse("2026-02-21T08:01:00Z").unwrap();
    let agent = |name: &str, seen: &str| AgentInfo {
        username: Some(name.to_owned()),
        last_seen: Some(seen.to_owned()),
        ..AgentInfo::default()
    };
    let fresh = || agent("fresh", "2026-02-21T08:00:50Z");
    assert_eq!(sessions(&[], now).verdict, Pass);
    assert_eq!(sessions(&[fresh()], now).seen, "1 online, all seen within 30 s");
    let stale = (0..7).map(|number| agent(&format!("s{number}"), "2026-02-21T08:00:00Z"));
    let finding = sessions(&stale.chain([fresh()]).collect::<Vec<_>>(), now);
    assert_eq!(
        (finding.verdict, finding.seen.as_str()),
        (
            Warn,
            "7 of 8 sessions are silent for more than 30 s: @s0, @s1, @s2, @s3, @s4 and 2 more"
        )
    );
}

#[test]
fn two_under_one_name_are_told() {
    let now = Timestamp::parse("2026-02-21T08:00:10Z").unwrap();
    let agent = |username: &str, account: Option<&str>| AgentInfo {
        username: Some(username.into()),
        account_id: account.map(str::to_owned),
        last_seen: Some("2026-02-21T08:00:09Z".into()),
        ..AgentInfo::default()
    };
    let apart = [
        agent("a", Some("acct_a")),
        agent("b", Some("acct_b")),
        agent("c", None),
        agent("c", None),
    ];
    assert_eq!(sessions(&apart, now).verdict, Pass);
    let together = [
        agent("a", Some("acct_a")),
        agent("b", Some("acct_b")),
        agent("a", Some("acct_a")),
    ];
    let finding = sessions(&together, now);
    assert_eq!(
        (finding.verdict, finding.seen.as_str()),
        (Warn, "3 online; more than one under the name of @a")
    );
    assert_eq!(duplicates("registry", 1), None);
    assert_eq!(duplicates("registry", 2).map(|finding| finding.verdict), Some(Fail));
}

#[test]
fn one_is_no_plural() {
    for (number, text) in [(0, "0 warnings"), (1, "1 warning"), (2, "2 warnings")] {
        assert_eq!(counted(number, "warning"), text);
    }
}

#[test]
fn registries_have_a_version_and_a_pace() {
    assert_eq!(version(Some("0.1.0"), "0.1.0").verdict, Pass);
    assert_eq!(version(Some("0.2.0"), "0.1.0").verdict, Warn);
    assert_eq!(version(None, "0.1.0").verdict, Warn);
    let metrics = MetricsReply {
        server_id: "r1".into(),
        online_sessions: Some(3),
        ..MetricsReply::default()
    };
    let finding = registry(&metrics, Duration::from_millis(2));
    assert_eq!(
        (finding.verdict, finding.seen.as_str()),
        (Pass, "r1 answered within 2 ms, 3 sessions online")
    );
    assert_eq!(registry(&metrics, Duration::from_secs(1)).verdict, Warn);
    let alone = MetricsReply {
        online_sessions: Some(1),
        ..metrics
    };
    assert!(
        registry(&alone, Duration::from_millis(2))
            .seen
            .ends_with(", 1 session online")
    );
}
