//! Which messages a lease gets.

use super::*;
use crate::contract::sample::at;

fn query() -> LeaseQuery {
    LeaseQuery {
        account_id: "acct_b".into(),
        session_tag: "tag".into(),
        token: "token".into(),
        max: 10,
        max_bytes: 1_000,
        exclusive: false,
        now: at(10),
        until: at(20),
        max_attempts: 3,
    }
}

fn candidate(seq: i64, sender: &str) -> Candidate {
    Candidate {
        seq,
        from_account_id: sender.to_owned(),
        lease: None,
        lease_until: None,
        attempts: 0,
        available_at: at(0),
        expires_at: at(100),
        bytes: 10,
    }
}

fn chosen(query: &LeaseQuery, candidates: impl IntoIterator<Item = Candidate>) -> Vec<i64> {
    let mut selection = LeaseSelection::new(query);
    for candidate in candidates {
        selection.offer(candidate);
    }
    selection.into_chosen()
}

#[test]
fn an_earlier_message_of_the_sender_comes_first() {
    let later = Candidate {
        available_at: at(11),
        ..candidate(1, "a")
    };
    let leased = Candidate {
        lease: Some("other-2".into()),
        lease_until: Some(at(11)),
        ..candidate(2, "b")
    };
    let rest = [
        candidate(3, "a"),
        candidate(4, "b"),
        candidate(5, "c"),
        candidate(6, "c"),
    ];
    assert_eq!(chosen(&query(), [later, leased].into_iter().chain(rest)), [5, 6]);
}

#[test]
fn what_is_not_delivered_any_more_holds_nothing_up() {
    let expired = Candidate {
        expires_at: at(10),
        available_at: at(50),
        ..candidate(1, "a")
    };
    let tried = Candidate {
        attempts: 3,
        ..candidate(2, "b")
    };
    let over = Candidate {
        lease: Some("other-3".into()),
        lease_until: Some(at(10)),
        attempts: 2,
        ..candidate(3, "c")
    };
    let rest = [candidate(4, "a"), candidate(5, "b"), candidate(6, "c")];
    assert_eq!(
        chosen(&query(), [expired, tried, over].into_iter().chain(rest)),
        [3, 4, 5, 6]
    );
}

#[test]
fn a_lease_has_a_size_but_at_least_one_message() {
    let all = || (1..5).map(|seq| candidate(seq, "a"));
    let bytes = |max_bytes| LeaseQuery { max_bytes, ..query() };
    assert_eq!(chosen(&bytes(0), all()), [1]);
    assert_eq!(chosen(&bytes(29), all()), [1, 2]);
    assert_eq!(chosen(&bytes(30), all()), [1, 2, 3]);
    let max = LeaseQuery { max: 2, ..query() };
    assert_eq!(chosen(&max, all()), [1, 2]);
    let exclusive = LeaseQuery {
        exclusive: true,
        ..query()
    };
    assert_eq!(chosen(&exclusive, all()), [1]);
}

#[test]
fn the_same_call_gets_the_same_messages() {
    let own = Candidate {
        lease: Some("token-1".into()),
        lease_until: Some(at(20)),
        attempts: 3,
        ..candidate(1, "a")
    };
    assert_eq!(chosen(&query(), [own, candidate(2, "a")]), [1, 2]);
}

#[test]
fn a_lease_names_its_message() {
    assert_eq!(lease_name(&query(), 7), "token-7");
    for (lease, seq) in [
        ("token-7", Some(7)),
        ("a-b-12", Some(12)),
        ("7", None),
        ("token-", None),
        ("token-x", None),
        ("token-9223372036854775808", None),
        ("", None),
    ] {
        assert_eq!(seq_of_lease(lease), seq, "{lease}");
    }
}
