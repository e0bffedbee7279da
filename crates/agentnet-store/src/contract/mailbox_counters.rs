//! The counters of mailboxes, and their order, while everything happens at once.

use std::collections::HashMap;
use std::sync::Arc;

use agentnet_protocol::mailbox::{MailboxOutcome, MailboxState};

use super::sample::{at, end, lease, mailbox, queued, roomy};
use crate::model::{LeaseEnd, LeaseQuery, MailboxChoice, MailboxCounts, MailboxLimits, NewQueued};
use crate::store::Store;

const ACCOUNTS: [&str; 4] = ["acct_a", "acct_b", "acct_c", "acct_d"];

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn account(&mut self) -> &'static str {
        ACCOUNTS[self.below(ACCOUNTS.len())]
    }
}

/// One of the changes of mailboxes.
async fn change(store: &dyn Store, writer: usize, step: usize, numbers: &mut Numbers) {
    let seconds = i64::try_from(step).unwrap();
    let account = numbers.account();
    match numbers.below(9) {
        0..=2 => {
            let batch: Vec<NewQueued> = (0..5)
                .map(|index| {
                    // Some are put in by several writers.
                    let id = format!("m{}-{step}-{index}", numbers.below(3));
                    let mut new = queued(&id, &format!("sender{}", numbers.below(3)), numbers.account());
                    new.body = "x".repeat(1 + numbers.below(50));
                    new.expires_at = at(seconds + 30);
                    new
                })
                .collect();
            let limits = MailboxLimits {
                max_bytes: 1_000,
                ..roomy()
            };
            store.put_messages(&batch, &limits).await.unwrap();
        }
        3..=5 => {
            let query = LeaseQuery {
                session_tag: format!("tag{writer}"),
                token: format!("token{writer}x{step}"),
                max: 4,
                ..lease(account, seconds)
            };
            let leased = store.lease_messages(&query).await.unwrap().messages;
            let mut ends: Vec<LeaseEnd> = Vec::new();
            for message in &leased {
                let outcome = [MailboxOutcome::Done, MailboxOutcome::Retry, MailboxOutcome::Dead][numbers.below(3)];
                // Some get no answer.
                if numbers.below(4) > 0 {
                    ends.push(end(&message.lease, outcome));
                }
            }
            store
                .end_leases(account, &query.session_tag, &ends, at(seconds), 3)
                .await
                .unwrap();
        }
        6 => {
            let dead = MailboxChoice::State(MailboxState::Dead, 3);
            store
                .requeue_messages(account, &dead, at(seconds), &roomy())
                .await
                .unwrap();
        }
        7 => {
            let state = [MailboxState::Queued, MailboxState::Leased, MailboxState::Dead][numbers.below(3)];
            store
                .drop_messages(account, &MailboxChoice::State(state, 2), at(seconds))
                .await
                .unwrap();
        }
        _ => {
            store.expire_messages(at(seconds), 5).await.unwrap();
            store.bury_messages(at(seconds), 3, 5).await.unwrap();
            store
                .prune_mailboxes(at(seconds + 24 * 60 * 60 - 5), at(seconds - 10), 5)
                .await
                .unwrap();
            let untold = store.untold_ends(at(seconds), at(seconds), 5).await.unwrap();
            let seqs: Vec<i64> = untold.iter().map(|end| end.row.seq).collect();
            store.ends_told(&seqs).await.unwrap();
        }
    }
}

/// What the counters say, is what a count of the rows gives: of each account and of all.
pub async fn counters_are_exact_after_concurrent_changes(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..4_usize)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut numbers = Numbers(writer as u64 + 1);
                for step in 0..60 {
                    change(&*store, writer, step, &mut numbers).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut total = MailboxCounts::default();
    for account in ACCOUNTS {
        let mut counted = MailboxCounts::default();
        for row in store.mailbox_messages(&mailbox(account)).await.unwrap().items {
            assert_eq!(
                row.done_at.is_some(),
                matches!(row.state, MailboxState::Done | MailboxState::Dead)
            );
            match row.state {
                MailboxState::Queued => {
                    counted.queued += 1;
                    counted.oldest_queued_at = Some(at(0));
                }
                MailboxState::Leased => counted.leased += 1,
                MailboxState::Dead => counted.dead += 1,
                MailboxState::Done => continue,
            }
            counted.bytes += row.bytes;
        }
        assert_eq!(store.mailbox_counts(Some(account)).await.unwrap(), counted, "{account}");
        let waiting = store
            .lease_messages(&LeaseQuery {
                max_attempts: 0,
                ..lease(account, 999)
            })
            .await
            .unwrap();
        assert_eq!(waiting.remaining, counted.queued + counted.leased, "{account}");
        total.queued += counted.queued;
        total.leased += counted.leased;
        total.dead += counted.dead;
        total.bytes += counted.bytes;
        total.oldest_queued_at = total.oldest_queued_at.or(counted.oldest_queued_at);
    }
    assert_eq!(store.mailbox_counts(None).await.unwrap(), total);
}

/// A reader that has seen a message never sees an earlier one of the same mailbox appear: the numbers follow the commits.
pub async fn the_order_of_a_mailbox_is_that_of_the_commits(store: Arc<dyn Store>) {
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for step in 0..25 {
                    let id = format!("m{writer}-{step:02}");
                    let batch = [
                        queued(&id, &format!("sender{writer}"), "acct_b"),
                        queued(&id, &format!("sender{writer}"), ["acct_a", "acct_c"][writer % 2]),
                    ];
                    store.put_messages(&batch, &roomy()).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen: Vec<(i64, String)> = Vec::new();
    loop {
        let is_last = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let rows = store.mailbox_messages(&mailbox("acct_b")).await.unwrap().items;
        let now: Vec<_> = rows.into_iter().map(|row| (row.seq, row.message_id)).collect();
        assert_eq!(now[..seen.len()], seen[..]);
        seen = now;
        if is_last {
            break;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(seen.len(), 100);
    let mut last: HashMap<String, String> = HashMap::new();
    for (_, id) in seen {
        let (writer, step) = id.split_once('-').unwrap();
        let before = last.insert(writer.to_owned(), step.to_owned());
        assert!(before.is_none_or(|before| *before < *step), "{writer}");
    }
}
