//! Ending and extending leases.

use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, leased_ids, mailbox, queued, roomy};
use crate::model::{LeaseEnd, LeaseEnded, LeaseQuery, MailboxCounts, MailboxRow, NewQueued};
use crate::store::Store;

/// Puts these messages in, each from a sender of its own, and leases them at second 0; returns the leases.
async fn leases(store: &dyn Store, ids: &[&str]) -> Vec<String> {
    let batch: Vec<NewQueued> = ids
        .iter()
        .map(|id| queued(id, &format!("acct_of_{id}"), "acct_b"))
        .collect();
    store.put_messages(&batch, &roomy()).await.unwrap();
    let leased = store.lease_messages(&lease("acct_b", 0)).await.unwrap().messages;
    leased.into_iter().map(|message| message.lease).collect()
}

async fn rows(store: &dyn Store) -> Vec<MailboxRow> {
    store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items
}

/// Done without a body, waiting with its reason, dead with its reason; the outcome has the row as it is now.
pub async fn each_outcome_is_kept(store: Arc<dyn Store>) {
    let leases = leases(&*store, &["m1", "m2", "m3"]).await;
    let ends = [
        end(&leases[0], MailboxOutcome::Done),
        LeaseEnd {
            available_at: at(7),
            code: Some("handler_error\0".into()),
            detail: Some("it failed\0".into()),
            ..end(&leases[1], MailboxOutcome::Retry)
        },
        LeaseEnd {
            code: Some("schema_invalid".into()),
            ..end(&leases[2], MailboxOutcome::Dead)
        },
    ];
    let ended = store.end_leases("acct_b", "tag", &ends, at(3), 3).await.unwrap();
    let rows = rows(&*store).await;
    let [LeaseEnded::Done(done), LeaseEnded::Waits(waits), LeaseEnded::Dead(dead)] = ended.as_slice() else {
        panic!("{ended:?}")
    };
    assert_eq!(rows, [done.clone(), waits.clone(), dead.clone()]);
    let state = |row: &MailboxRow| (row.state, row.attempts, row.done_at, row.body.len(), row.bytes);
    assert_eq!(state(done), (MailboxState::Done, 1, Some(at(3)), 0, 10));
    assert_eq!(state(waits), (MailboxState::Queued, 1, None, 10, 10));
    assert_eq!(state(dead), (MailboxState::Dead, 1, Some(at(3)), 10, 10));
    let reason = |row: &MailboxRow| (row.last_code.clone(), row.last_detail.clone());
    assert_eq!(reason(done), (None, None));
    assert_eq!(
        reason(waits),
        (Some("handler_error\0".into()), Some("it failed\0".into()))
    );
    assert_eq!(reason(dead), (Some("schema_invalid".into()), None));
    let counts = MailboxCounts {
        queued: 1,
        leased: 0,
        dead: 1,
        bytes: 20,
        oldest_queued_at: Some(at(0)),
    };
    assert_eq!(store.mailbox_counts(Some("acct_b")).await.unwrap(), counts);
    assert_eq!(store.mailbox_counts(None).await.unwrap(), counts);
    assert!(leased_ids(&*store, &lease("acct_b", 6)).await.is_empty());
    assert_eq!(leased_ids(&*store, &lease("acct_b", 7)).await, ["m2"]);
}

/// The last attempt that counts makes a message dead; an attempt that is free does not count.
pub async fn a_message_is_tried_so_many_times(store: Arc<dyn Store>) {
    let mut leases = leases(&*store, &["m"]).await;
    for (seconds, free, attempts) in [(1, false, 1), (2, true, 1), (3, false, 2), (4, true, 2)] {
        let retry = LeaseEnd {
            free,
            ..end(&leases[0], MailboxOutcome::Retry)
        };
        let ended = store
            .end_leases("acct_b", "tag", &[retry], at(seconds), 3)
            .await
            .unwrap();
        assert!(
            matches!(&ended[..], [LeaseEnded::Waits(row)] if row.attempts == attempts),
            "{seconds}: {ended:?}"
        );
        let leased = store.lease_messages(&lease("acct_b", seconds)).await.unwrap().messages;
        assert_eq!(leased[0].attempt, attempts + 1);
        leases = leased.into_iter().map(|message| message.lease).collect();
    }
    let last = LeaseEnd {
        code: Some("timeout".into()),
        ..end(&leases[0], MailboxOutcome::Retry)
    };
    let ended = store.end_leases("acct_b", "tag", &[last], at(5), 3).await.unwrap();
    assert!(
        matches!(&ended[..], [LeaseEnded::Dead(row)] if row.attempts == 3 && row.last_code.as_deref() == Some("timeout")),
        "{ended:?}"
    );
}

/// Of another session or account, over, ended before, twice in one call, or no lease at all.
pub async fn a_lost_lease_changes_nothing(store: Arc<dyn Store>) {
    let leases = leases(&*store, &["m1", "m2"]).await;
    let before = rows(&*store).await;
    let done = |lease: &str| end(lease, MailboxOutcome::Done);
    let all = [done(&leases[0]), done(&leases[1])];
    let lost = [LeaseEnded::Lost, LeaseEnded::Lost];
    assert_eq!(store.end_leases("acct_b", "other", &all, at(1), 3).await.unwrap(), lost);
    assert_eq!(store.end_leases("acct_c", "tag", &all, at(1), 3).await.unwrap(), lost);
    assert_eq!(store.end_leases("acct_b", "tag", &all, at(10), 3).await.unwrap(), lost);
    let seq = before[0].seq;
    let odd = ["", "token0", "token0-", "token1", "token0-99999"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("token1-{seq}"), seq.to_string(), format!("token0-{seq}0")]);
    for lease in odd {
        let ended = store
            .end_leases("acct_b", "tag", &[done(&lease)], at(1), 3)
            .await
            .unwrap();
        assert_eq!(ended, [LeaseEnded::Lost], "{lease:?}");
    }
    assert_eq!(rows(&*store).await, before);

    let twice = [
        done(&leases[0]),
        end(&leases[0], MailboxOutcome::Dead),
        done(&leases[1]),
    ];
    let ended = store.end_leases("acct_b", "tag", &twice, at(1), 3).await.unwrap();
    assert!(
        matches!(&ended[..], [LeaseEnded::Done(_), LeaseEnded::Lost, LeaseEnded::Done(_)]),
        "{ended:?}"
    );
    assert_eq!(store.end_leases("acct_b", "tag", &all, at(1), 3).await.unwrap(), lost);
    let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
    assert_eq!(counts, MailboxCounts::default());
}

/// An acknowledgement of an earlier lease beside that of the lease in force, in either order: each gets its own answer.
pub async fn the_lease_in_force_counts(store: Arc<dyn Store>) {
    let early = leases(&*store, &["m1", "m2"]).await;
    let leased = store.lease_messages(&lease("acct_b", 20)).await.unwrap().messages;
    let of = |index: usize, early: &str| {
        let in_force = &leased[index].lease;
        assert_ne!(in_force, early);
        [end(early, MailboxOutcome::Dead), end(in_force, MailboxOutcome::Done)]
    };
    let first = of(0, &early[0]);
    let ended = store.end_leases("acct_b", "tag", &first, at(21), 3).await.unwrap();
    assert!(
        matches!(&ended[..], [LeaseEnded::Lost, LeaseEnded::Done(row)] if row.message_id == "m1"),
        "{ended:?}"
    );
    let [old, new] = of(1, &early[1]);
    let ended = store.end_leases("acct_b", "tag", &[new, old], at(21), 3).await.unwrap();
    assert!(
        matches!(&ended[..], [LeaseEnded::Done(row), LeaseEnded::Lost] if row.message_id == "m2"),
        "{ended:?}"
    );
}

/// From now on, for leases in force alone.
pub async fn leases_are_extended(store: Arc<dyn Store>) {
    let leases = leases(&*store, &["m1", "m2"]).await;
    let asked = [leases[0].clone(), "token0-9999".into(), "x".into()];
    let extend = async |account: &str, session: &str, now: i64, until: i64| {
        store
            .extend_leases(account, session, &asked, at(now), at(until))
            .await
            .unwrap()
    };
    assert_eq!(extend("acct_b", "other", 5, 60).await, [false; 3]);
    assert_eq!(extend("acct_c", "tag", 5, 60).await, [false; 3]);
    assert_eq!(extend("acct_b", "tag", 10, 60).await, [false; 3]);
    assert_eq!(extend("acct_b", "tag", 9, 30).await, [true, false, false]);
    assert_eq!(leased_ids(&*store, &lease("acct_b", 29)).await, ["m2"]);
    let shorter = LeaseQuery {
        session_tag: "tag2".into(),
        ..lease("acct_b", 30)
    };
    assert_eq!(leased_ids(&*store, &shorter).await, ["m1"]);
    assert_eq!(extend("acct_b", "tag", 31, 60).await, [false; 3]);
    assert!(
        store
            .extend_leases("acct_b", "tag", &[], at(1), at(2))
            .await
            .unwrap()
            .is_empty()
    );
}
