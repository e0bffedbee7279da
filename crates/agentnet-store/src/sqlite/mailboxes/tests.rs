//! Tests of mailboxes in SQLite alone: query plans, and a row that it refuses.

use agentnet_protocol::mailbox::MailboxState;
use sqlx::QueryBuilder;
use tempfile::TempDir;

use super::{ACCOUNTS, COUNTS, TOTAL_COUNTS, changes, ends, lease_ends, leases, page_query, put};
use crate::OpenOptions;
use crate::contract::sample::{any_message, lease, mailbox, message_ids, queued, roomy};
use crate::model::{MailboxChoice, MailboxQuery, NewQueued, PutOutcome};
use crate::sqlite::tests::{plan, with_poison};
use crate::sqlite::{DatabaseLocation, SqliteStore};

#[tokio::test]
async fn every_statement_walks_an_index() {
    let store = SqliteStore::open(&DatabaseLocation::Memory, &OpenOptions::default())
        .await
        .unwrap();
    let by_account = "idx_agent_mailbox_account (account_id=? AND state=?";
    let one_state = MailboxQuery {
        state: Some(MailboxState::Dead),
        ..mailbox("a")
    };
    let chosen = |choice: &MailboxChoice| {
        let mut sql = QueryBuilder::new("SELECT seq FROM agent_mailbox WHERE ");
        assert!(changes::push_choice(&mut sql, "a", choice, &[MailboxState::Dead]));
        sql.into_string()
    };
    for (sql, index) in [
        (page_query(&mailbox("a")).into_string(), "AND seq>?"),
        (page_query(&one_state).into_string(), "AND seq>?"),
        (COUNTS.into(), by_account),
        (TOTAL_COUNTS.into(), "idx_agent_mailbox_done (state=?"),
        (TOTAL_COUNTS.into(), "idx_agent_mailbox_attempts (state=?"),
        (TOTAL_COUNTS.into(), "idx_agent_mailbox_queued"),
        (ACCOUNTS.into(), "PRIMARY KEY (account_id>?)"),
        (leases::CANDIDATES.into(), "AND seq>?"),
        (leases::IN_FORCE.into(), by_account),
        (lease_ends::END.into(), "INTEGER PRIMARY KEY"),
        (lease_ends::EXTEND.into(), "INTEGER PRIMARY KEY"),
        (
            leases::ALONE.into(),
            "idx_agent_mailbox_alone (account_id=? AND lease_until>?",
        ),
        (
            leases::RELEASE.into(),
            "idx_agent_mailbox_sender (account_id=? AND from_account_id=? AND state=?",
        ),
        (leases::PUSHED.into(), by_account),
        (leases::ABANDON.into(), "INTEGER PRIMARY KEY"),
        (put::DEAD.into(), by_account),
        (ends::UNTOLD.into(), "idx_agent_mailbox_untold (untold_since<?)"),
        (changes::EXPIRED.into(), "idx_agent_mailbox_expires (expires_at<?)"),
        (changes::BURY.into(), "idx_agent_mailbox_attempts (state=?"),
        (changes::PRUNE.into(), "idx_agent_mailbox_done (state=? AND done_at<?)"),
        (changes::PRUNE.into(), "idx_agent_mailbox_forget (forget_at<?)"),
        (changes::SENDERS.into(), "(account_id=?"),
        (chosen(&MailboxChoice::State(MailboxState::Dead, 9)), by_account),
    ] {
        let plan = plan(&store, &sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\nsorts:\n{plan}");
        for step in plan.lines().filter(|step| step.starts_with("SCAN")) {
            assert!(step.contains("CONSTANT ROW"), "{sql}\nscans a table:\n{plan}");
        }
    }
    // Few rows are sorted here: those that an operator names.
    let named = chosen(&MailboxChoice::Messages(vec!["m1".into(), "m2".into()]));
    let plan = plan(&store, &named).await;
    assert!(plan.contains("SEARCH agent_mailbox USING INDEX"), "{plan}");
}

/// The other messages of the call are kept, and are counted; nothing is left of the refused one.
#[tokio::test]
async fn a_refused_message_does_not_stop_the_others() {
    for (table, column) in [("agent_messages", "message_id"), ("agent_threads", "thread_id")] {
        let directory = TempDir::new().unwrap();
        let store = with_poison(&directory, table, column).await;
        let mut batch: Vec<NewQueued> = (0..5)
            .map(|index| queued(&format!("m{index}"), "acct_a", "acct_b"))
            .collect();
        batch[2].message.message.message_id = "poison".into();
        batch[2].message.message.thread_id = "poison".into();
        let outcomes = store.put_messages(&batch, &roomy()).await.unwrap();
        let position = |position| PutOutcome::Queued { position };
        let expected = [position(0), position(1), PutOutcome::Refused, position(2), position(3)];
        assert_eq!(outcomes, expected, "{table}");
        let counts = store.mailbox_counts(Some("acct_b")).await.unwrap();
        assert_eq!((counts.queued, counts.bytes), (4, 40));
        assert_eq!(message_ids(&*store, &any_message()).await, ["m4", "m3", "m1", "m0"]);
        let leased = store.lease_messages(&lease("acct_b", 1)).await.unwrap();
        assert_eq!((leased.messages.len(), leased.remaining), (4, 0));
    }
}
