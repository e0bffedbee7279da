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
        pushing: None,
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
        lease_session: None,
        attempts: 0,
        lapses: 0,
        available_at: at(0),
        expires_at: at(100),
        bytes: 10,
    }
}

fn chosen(query: &LeaseQuery, candidates: impl IntoIterator<Item = Candidate>) -> Vec<i64> {
    selected(query, false, candidates).seqs
}

fn selected(query: &LeaseQuery, is_alone_leased: bool, candidates: impl IntoIterator<Item = Candidate>) -> Chosen {
    let mut selection = LeaseSelection::new(query, is_alone_leased);
    for candidate in candidates {
        selection.offer(candidate);
    }
    selection.into_chosen()
}

/// A message whose lease ran out.
fn lapsed(seq: i64, sender: &str) -> Candidate {
    Candidate {
        lease: Some(format!("other-{seq}")),
        lease_until: Some(at(10)),
        lease_session: Some("tag".into()),
        attempts: 1,
        ..candidate(seq, sender)
    }
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
    let rest = [candidate(4, "a"), candidate(5, "b"), candidate(6, "c")];
    assert_eq!(chosen(&query(), [expired, tried].into_iter().chain(rest)), [4, 5, 6]);
}

#[test]
fn a_message_whose_lease_ran_out_comes_without_later_ones_of_its_sender() {
    let all = [
        lapsed(1, "a"),
        lapsed(2, "a"),
        candidate(3, "a"),
        candidate(4, "b"),
        lapsed(5, "c"),
    ];
    let chosen = selected(&query(), false, all);
    assert_eq!(chosen.seqs, [1, 4, 5]);
    let of = |seq, sender: &str| Lapsed {
        seq,
        from_account_id: sender.to_owned(),
    };
    assert_eq!(chosen.lapsed, [of(1, "a"), of(5, "c")]);
    // Those behind one that is about to be buried wait for that.
    let last = Candidate {
        attempts: 3,
        ..lapsed(1, "a")
    };
    assert_eq!(self::chosen(&query(), [last, lapsed(2, "a"), candidate(3, "b")]), [3]);
}

#[test]
fn a_message_whose_lease_ran_out_again_comes_alone() {
    let again = |seq, sender: &str| Candidate {
        lapses: 1,
        ..lapsed(seq, sender)
    };
    let all = || [again(1, "a"), candidate(2, "a"), candidate(3, "b"), again(4, "c")];
    assert_eq!(chosen(&query(), all()), [1]);
    assert_eq!(selected(&query(), true, all()).seqs, [3]);
    assert_eq!(chosen(&query(), [candidate(1, "b"), again(2, "a")]), [1]);
    // Its lease is repeated.
    let own = Candidate {
        lease: Some("token-1".into()),
        lease_until: Some(at(20)),
        lease_session: Some("tag".into()),
        lapses: 2,
        ..candidate(1, "a")
    };
    let repeated = selected(&query(), true, [own, candidate(2, "a"), candidate(3, "b")]);
    assert_eq!((repeated.seqs, repeated.lapsed), (vec![1], Vec::new()));
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
        lease_session: Some("tag".into()),
        attempts: 3,
        ..candidate(1, "a")
    };
    assert_eq!(chosen(&query(), [own.clone(), candidate(2, "a")]), [1, 2]);
    let of_another_session = Candidate {
        lease_session: Some("other".into()),
        ..own
    };
    assert_eq!(
        chosen(&query(), [of_another_session, candidate(2, "a"), candidate(3, "b")]),
        [3]
    );
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
