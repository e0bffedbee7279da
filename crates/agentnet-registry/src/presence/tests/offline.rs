//! When an account is certainly offline.

use super::*;

#[test]
fn an_account_is_offline_when_no_session_of_it_can_be_alive_unheard() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let at = |account: &str, seconds| presence.account_presence(account, clock.at(seconds));
    assert_eq!(
        at("acct_old", 100.0),
        AccountPresence::Uncertain,
        "the store was not read"
    );
    assert!(!presence.restore(session("r_0", "a", "acct_old", clock.at(0.0)), clock.at(100.0)));
    presence.loaded(false, clock.at(100.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(100.0)), clock.at(100.0));
    assert_eq!(at("acct_a", 101.0), AccountPresence::Online);
    assert_eq!(
        at("acct_old", 139.0),
        AccountPresence::Uncertain,
        "a hello may bring it back"
    );
    assert_eq!(
        at("acct_old", 140.0),
        AccountPresence::Offline(Some(clock.at(0.0).time))
    );
    assert_eq!(at("acct_other", 140.0), AccountPresence::Offline(None));

    presence.goodbye("r_1", clock.at(150.0));
    assert_eq!(
        at("acct_a", 151.0),
        AccountPresence::Offline(Some(clock.at(150.0).time))
    );
    for gap in [Presence::reset_silence_from, Presence::missed] {
        presence.loaded(false, clock.at(100.0));
        gap(&presence, clock.at(160.0));
        assert_eq!(at("acct_a", 199.0), AccountPresence::Uncertain);
        assert!(!presence.knows_all(clock.at(199.0)));
        assert_eq!(
            at("acct_a", 200.0),
            AccountPresence::Offline(Some(clock.at(150.0).time))
        );
        assert!(presence.knows_all(clock.at(200.0)));
    }
}

#[test]
fn sessions_that_nobody_issued_are_bounded() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    let heard = |number: usize| session(&format!("s_{number}"), "a", "acct_a", clock.at(0.0));
    for number in 0..MAX_UNISSUED {
        assert!(presence.insert_heard(heard(number), clock.at(0.0)));
    }
    assert!(!presence.insert_heard(heard(MAX_UNISSUED), clock.at(0.0)));
    assert!(presence.insert_heard(heard(7), clock.at(0.0)), "that one is there");
    presence.insert(session("own", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    assert_eq!(presence.len(), MAX_UNISSUED + 1);
    // What was stored of one from here makes no room. One that the store knew before, and one that leaves, do.
    let own = heard(3);
    presence.set_origin("s_3", own.connected_at, own.server_id);
    presence.set_origin("s_1", clock.at(0.0).time, "another".to_owned());
    presence.goodbye("s_2", clock.at(0.0));
    for (number, fits) in [(1, true), (2, true), (3, false)] {
        assert_eq!(presence.insert_heard(heard(MAX_UNISSUED + number), clock.at(0.0)), fits);
    }
}

#[test]
fn floods_do_not_keep_a_registry_unsure() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.loaded(true, clock.at(0.0));
    assert!(presence.is_warm(clock.at(1.0)));
    presence.overflowed(clock.at(1.0));
    assert!(!presence.is_warm(clock.at(40.0)), "somebody may have been lost");
    let warm = (2..400).filter(|second| {
        presence.overflowed(clock.at(f64::from(*second)));
        presence.is_warm(clock.at(f64::from(*second)))
    });
    assert!(warm.count() > 300);
    presence.overflowed(clock.at(401.0));
    assert!(!presence.is_warm(clock.at(402.0)), "that is another one");
}

#[test]
fn an_empty_store_knows_nobody_who_could_be_missed() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.loaded(true, clock.at(0.0));
    assert!(presence.is_warm(clock.at(0.0)));
    assert!(
        !presence.knows_all(clock.at(39.0)),
        "others may be there that it does not know"
    );
    presence.missed(clock.at(1.0));
    assert!(!presence.is_warm(clock.at(40.0)) && presence.is_warm(clock.at(41.0)));
}
