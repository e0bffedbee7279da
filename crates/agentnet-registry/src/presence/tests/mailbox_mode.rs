//! Which accounts get messages of their mailbox from a registry.

use super::super::session_modes::SessionModes;
use super::*;

fn modes(pulls_mailbox: bool) -> SessionModes {
    SessionModes {
        pulls_mailbox,
        ..SessionModes::default()
    }
}

fn targets(presence: &Presence, account_id: &str) -> Option<Vec<String>> {
    let targets = presence.push_targets(account_id)?;
    Some(
        targets
            .into_iter()
            .map(|target| target.session_tag.to_string())
            .collect(),
    )
}

#[test]
fn an_account_gets_messages_if_all_its_sessions_are_known_not_to_ask() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    assert_eq!(targets(&presence, "acct_bob"), None, "it is not online");
    presence.insert(session("t1", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    assert_eq!(targets(&presence, "acct_bob"), None, "nothing was heard of it");
    presence.set_modes("t1", modes(false));
    assert_eq!(targets(&presence, "acct_bob").unwrap(), ["t1"]);
    presence.insert(session("t2", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    presence.set_modes("t2", modes(true));
    assert_eq!(targets(&presence, "acct_bob"), None, "one asks for the messages");
    assert_eq!(presence.mailbox_targets("acct_bob"), None);
    presence.goodbye("t2", clock.at(1.0));
    let (bob, carol) = ("acct_bob".to_owned(), "acct_carol".to_owned());
    assert_eq!(presence.to_push_to(vec![carol, bob]), ["acct_bob"]);
    presence.set_modes("unknown", modes(false));
}

/// Only what may change the answer makes an account due for a look at it.
#[test]
fn changes_of_sessions_are_noted_once() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let changed = || {
        let changes = presence.take_push_changes();
        let mut accounts: Vec<String> = changes.accounts.into_iter().collect();
        accounts.sort_unstable();
        (accounts, changes.owners)
    };
    let of = |accounts: &[&str], owners: bool| {
        let accounts: Vec<String> = accounts.iter().map(|account| (*account).to_owned()).collect();
        (accounts, owners)
    };
    presence.insert(session("t1", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    presence.insert(session("t2", "carol", "acct_carol", clock.at(0.0)), clock.at(0.0));
    assert_eq!(changed(), of(&["acct_bob", "acct_carol"], false));
    presence.set_modes("t1", modes(false));
    assert_eq!(changed(), of(&["acct_bob"], false));
    presence.set_modes("t1", modes(false));
    presence.set_modes("unknown", modes(false));
    assert_eq!(changed(), of(&[], false));
    presence.set_modes("t1", modes(true));
    presence.goodbye("t2", clock.at(1.0));
    assert_eq!(changed(), of(&["acct_bob", "acct_carol"], false));
    presence.replica(2, false, clock.at(1.0));
    assert_eq!(changed(), of(&[], true));
    presence.replica(2, false, clock.at(2.0));
    assert_eq!(changed(), of(&[], false));
    presence.replica(2, true, clock.at(3.0));
    assert_eq!(changed(), of(&[], true));
}

#[test]
fn of_several_registries_one_delivers() {
    let clock = Clock::new();
    let registries = [1, 2].map(|number| Presence::new(TTL, number, clock.at(0.0)));
    for (own, other) in [(0, 2), (1, 1)] {
        registries[own].replica(other, false, clock.at(0.0));
    }
    for number in 0..20 {
        let account_id = format!("acct_{number}");
        let tag = format!("t{number}");
        for presence in &registries {
            presence.insert(session(&tag, "a", &account_id, clock.at(0.0)), clock.at(0.0));
            presence.set_modes(&tag, modes(false));
            assert!(presence.mailbox_targets(&account_id).is_some());
        }
        let delivering = registries
            .iter()
            .filter(|presence| presence.push_targets(&account_id).is_some());
        assert_eq!(delivering.count(), 1, "{account_id}");
    }
}

#[test]
fn a_session_belongs_to_one_account_until_it_ends() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("t1", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    assert!(presence.is_session_of("t1", "acct_bob"));
    assert!(!presence.is_session_of("t1", "acct_carol") && !presence.is_session_of("t2", "acct_bob"));
    assert!(!presence.has_ended("t1"));
    presence.goodbye("t1", clock.at(1.0));
    assert!(!presence.is_session_of("t1", "acct_bob") && presence.has_ended("t1"));
}

#[test]
fn an_account_claims_tasks_while_a_session_of_it_says_so() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let claims = SessionModes {
        claims_tasks: true,
        ..SessionModes::default()
    };
    presence.insert(session("t1", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    presence.insert(session("t2", "bob", "acct_bob", clock.at(0.0)), clock.at(0.0));
    assert!(!presence.has_claiming_session("acct_bob"), "nothing was heard of them");
    presence.set_modes("t1", SessionModes::default());
    presence.set_modes("t2", claims);
    assert!(presence.has_claiming_session("acct_bob") && !presence.has_claiming_session("acct_carol"));
    presence.goodbye("t2", clock.at(1.0));
    assert!(!presence.has_claiming_session("acct_bob"));
    presence.set_modes("t1", claims);
    assert!(presence.has_claiming_session("acct_bob"));
}
