//! Sessions that left the memory, and what the store says of them.

use agentnet_store::{OpenOptions, Store, open};

use super::*;

/// A registry that has heard for its time to live, and a store that holds these sessions.
async fn with(sessions: &[(&str, Now)]) -> (Presence, std::sync::Arc<dyn Store>) {
    let store = open("sqlite::memory:", &OpenOptions::default()).await.unwrap();
    let rows: Vec<Session> = sessions
        .iter()
        .map(|(tag, seen)| session(tag, "a", "acct_a", *seen))
        .collect();
    store.upsert_sessions(&rows).await.unwrap();
    let presence = Presence::new(TTL, 1, ago(100));
    presence.replica(2, false, ago(0));
    (presence, store)
}

/// A session has left the memory; the store is to be asked at `due`.
fn leave(presence: &Presence, tag: &str, due: Now, seen: Now) {
    let left = LeftSession {
        at: seen.time,
        said_goodbye: false,
    };
    presence.lock().unsettled.add(due.instant, tag.into(), left);
}

fn ago(seconds: u64) -> Now {
    let now = Now::read();
    Now {
        instant: now.instant - Duration::from_secs(seconds),
        time: now.time.saturating_add_millis(-1000 * i128::from(seconds)),
    }
}

async fn online(store: &dyn Store) -> Vec<String> {
    let online = store.online_sessions().await.unwrap();
    online.into_iter().map(|session| session.session_tag).collect()
}

/// Tags that this registry owns, and that the other one owns.
fn tags(presence: &Presence) -> [Vec<String>; 2] {
    let owns = |tag: &String| presence.lock().ownership.owns(tag);
    (0..100)
        .map(|number| format!("r_{number}"))
        .partition::<Vec<_>, _>(owns)
        .into()
}

#[tokio::test]
async fn a_session_that_others_hear_is_not_ended_by_one_that_missed_it() {
    let (presence, store) = with(&[]).await;
    let [mine, theirs] = tags(&presence);
    let [silent, heard] = [ago(60), ago(20)];
    let rows = [
        (&mine[0], silent),
        (&mine[1], heard),
        (&theirs[0], silent),
        (&theirs[1], heard),
    ];
    for (tag, seen) in rows {
        store
            .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
            .await
            .unwrap();
        presence
            .lock()
            .insert(session(tag, "a", "acct_a", silent), silent.instant, true);
    }
    assert_eq!(presence.evict(Now::read()), 4);
    settle(&presence, store.as_ref(), false).await.unwrap();
    assert_eq!(online(store.as_ref()).await.len(), 4, "the store has just come back");
    presence.lock().unsettled.take_all();

    for (tag, seen) in rows {
        let asked_at = ago(if mine.contains(tag) { 0 } else { 1 });
        leave(&presence, tag, asked_at, silent);
        assert_eq!(seen.time < ago(40).time, seen.time == silent.time);
    }
    settle(&presence, store.as_ref(), true).await.unwrap();
    let mut alive = vec![mine[1].clone(), theirs[1].clone()];
    alive.sort_unstable();
    assert_eq!(online(store.as_ref()).await, alive);
    assert_eq!(presence.lock().unsettled.len(), 2, "those are looked after");
}

#[tokio::test]
async fn the_owner_of_a_session_is_waited_for() {
    let (presence, store) = with(&[]).await;
    let [mine, theirs] = tags(&presence);
    let seen = ago(50);
    for tag in [&mine[0], &theirs[0]] {
        store
            .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
            .await
            .unwrap();
        presence
            .lock()
            .insert(session(tag, "a", "acct_a", seen), seen.instant, true);
    }
    presence.evict(Now::read());
    settle(&presence, store.as_ref(), true).await.unwrap();
    assert_eq!(online(store.as_ref()).await, [theirs[0].clone()]);
}

#[tokio::test]
async fn a_goodbye_is_looked_after_unless_the_session_came_back() {
    let (presence, store) = with(&[]).await;
    let [_, theirs] = tags(&presence);
    for (tag, seen) in [(&theirs[0], ago(10)), (&theirs[1], ago(3))] {
        store
            .upsert_sessions(&[session(tag, "a", "acct_a", seen)])
            .await
            .unwrap();
        presence
            .lock()
            .insert(session(tag, "a", "acct_a", ago(10)), ago(10).instant, true);
        presence.goodbye(tag, ago(5));
    }
    assert!(presence.take_all(true).is_empty(), "the other one writes it");
    settle(&presence, store.as_ref(), false).await.unwrap();
    assert_eq!(online(store.as_ref()).await.len(), 2, "in its time");
    let waiting = presence.lock().unsettled.take_all();
    for ((due, tag), left) in waiting {
        assert!(due > Now::read().instant);
        presence.lock().unsettled.add(ago(0).instant, tag, left);
    }
    settle(&presence, store.as_ref(), false).await.unwrap();
    assert_eq!(online(store.as_ref()).await, [theirs[1].clone()]);
}

#[tokio::test]
async fn many_are_asked_for_at_once_and_one_that_lives_here_is_left_alone() {
    let (presence, store) = with(&[]).await;
    let silent = ago(60);
    let rows: Vec<Session> = (0..700)
        .map(|number| session(&format!("r_{number:03}"), "a", "acct_a", silent))
        .collect();
    store.upsert_sessions(&rows).await.unwrap();
    for row in rows {
        leave(&presence, &row.session_tag, silent, silent);
    }
    presence.insert_heard(session("r_699", "a", "acct_a", silent), Now::read());
    settle(&presence, store.as_ref(), true).await.unwrap();
    assert_eq!(online(store.as_ref()).await, ["r_699"]);
    assert!(presence.lock().unsettled.len() == 0);
}
