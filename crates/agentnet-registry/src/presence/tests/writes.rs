//! What is written to the store, when, and by which registry.

use super::*;

#[test]
fn the_store_learns_of_changes_at_once_and_of_signs_of_life_now_and_then() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    let changes = presence.take_all(false);
    assert_eq!(changes.upserts.len(), 1);
    assert!(presence.take_all(true).is_empty());

    presence.hello(&hello("r_1", "a"), false, clock.at(9.0));
    assert!(presence.take_all(true).is_empty(), "too soon");
    presence.hello(&hello("r_1", "a"), false, clock.at(10.0));
    assert!(presence.take_all(false).is_empty(), "it can wait");
    assert_eq!(
        presence.take_all(true).touches,
        [("r_1".to_owned(), clock.at(10.0).time)]
    );

    presence.hello(&hello("r_1", "renamed"), false, clock.at(11.0));
    assert_eq!(presence.take_all(false).upserts[0].name, "renamed");

    presence.touch_owned();
    assert_eq!(
        presence.take_all(true).touches,
        [("r_1".to_owned(), clock.at(11.0).time)]
    );

    presence.evict(clock.at(60.0));
    assert!(presence.take_all(true).is_empty(), "the store is asked before it ends");
}

#[test]
fn of_several_registries_one_writes() {
    let clock = Clock::new();
    let registries: Vec<Presence> = (1..=3)
        .map(|number| Presence::new(TTL, number, clock.at(0.0)))
        .collect();
    let tags: Vec<String> = (0..60).map(|number| format!("r_{number}")).collect();
    let everybody = |what: &dyn Fn(&Presence)| registries.iter().for_each(what);
    let writes = |at: &str| -> Vec<usize> {
        let taken: Vec<_> = registries.iter().map(|one| one.take_all(true)).collect();
        let count =
            |changes: &pending_writes::WriteBatch| [changes.upserts.len(), changes.touches.len(), changes.ends.len()];
        let sums = taken
            .iter()
            .map(count)
            .fold([0; 3], |sum, one| std::array::from_fn(|i| sum[i] + one[i]));
        assert!(
            taken.iter().filter(|changes| !changes.is_empty()).count() != 1,
            "{at}: they share the work"
        );
        sums.to_vec()
    };
    everybody(&|one| {
        for number in 1..=3 {
            one.replica(number, false, clock.at(0.0));
        }
    });
    let heard = |one: &Presence, name: &str, seconds: f64| {
        for tag in &tags {
            one.hello(&hello(tag, name), false, clock.at(seconds));
        }
    };
    everybody(&|one| {
        for tag in &tags {
            one.insert_heard(session(tag, "a", "acct_a", clock.at(0.0)), clock.at(0.0));
        }
    });
    assert_eq!(writes("new"), [60, 0, 0]);
    everybody(&|one| heard(one, "a", 10.0));
    assert_eq!(writes("alive"), [0, 60, 0]);
    everybody(&|one| heard(one, "renamed", 11.0));
    assert_eq!(writes("changed"), [60, 0, 0]);

    // The share of one that goes is written whole by the others when they hear it next.
    let share = tags
        .iter()
        .filter(|tag| registries[2].lock().ownership.owns(tag))
        .count();
    registries[0].replica(3, true, clock.at(12.0));
    registries[1].detect_pause(Duration::from_secs(4), clock.at(12.0));
    registries[1].replica(1, false, clock.at(12.0));
    registries[..2].iter().for_each(|one| heard(one, "renamed", 13.0));
    assert_eq!(writes("taken over"), [share, 0, 0]);
    registries[..2].iter().for_each(|one| heard(one, "renamed", 14.0));
    assert_eq!(writes("no news"), [0, 0, 0]);
    for tag in &tags {
        registries[..2]
            .iter()
            .for_each(|one| assert!(one.goodbye(tag, clock.at(15.0))));
    }
    assert_eq!(writes("gone"), [0, 0, 60]);
}

#[test]
fn a_session_that_ends_before_it_was_stored_is_stored_as_ended() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    presence.insert(session("r_1", "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    presence.goodbye("r_1", clock.at(1.0));
    let changes = presence.take_all(false);
    assert_eq!(changes.ends, []);
    assert_eq!(changes.upserts.len(), 1);
    assert_eq!(
        (changes.upserts[0].online, changes.upserts[0].disconnected_at),
        (false, Some(clock.at(1.0).time))
    );
}

#[test]
fn what_the_store_refused_is_tried_again_unless_it_is_outdated() {
    let clock = Clock::new();
    let presence = Presence::new(TTL, 1, clock.at(0.0));
    for tag in ["r_1", "r_2"] {
        presence.insert(session(tag, "a", "acct_a", clock.at(0.0)), clock.at(0.0));
    }
    let changes = presence.take_all(true);
    presence.goodbye("r_2", clock.at(1.0));
    presence.put_back(changes);
    let again = presence.take_all(true);
    assert_eq!(
        again
            .upserts
            .iter()
            .map(|session| session.session_tag.as_str())
            .collect::<Vec<_>>(),
        ["r_1"]
    );
    assert_eq!(again.ends, [("r_2".to_owned(), clock.at(1.0).time)]);

    presence.put_back(again);
    assert_eq!(presence.take_all(true).ends.len(), 1, "an end is not lost either");
}
