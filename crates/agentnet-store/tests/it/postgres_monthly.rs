//! The contract on a PostgreSQL database whose history is one table a month (`docs/sql/partition_by_month.sql`).

use std::sync::Arc;

use agentnet_store::contract::sample::{any_message, at, message, message_ids};
use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::Postgres;

const SCRIPT: &str = include_str!("../../../../docs/sql/partition_by_month.sql");

async fn fresh() -> (Arc<dyn Store>, Postgres) {
    let postgres = Postgres::launch().await.unwrap();
    open(&postgres.url(), &OpenOptions::default())
        .await
        .unwrap()
        .close()
        .await;
    postgres.execute(SCRIPT).await.unwrap();
    let store = open(&postgres.url(), &OpenOptions::default()).await.unwrap();
    (store, postgres)
}

agentnet_store::contract_tests!(fresh);

/// What was stored before stays, is known, and goes with retention; an emptied month is dropped.
#[tokio::test]
async fn a_history_is_divided_as_it_stands() {
    let server = Postgres::launch().await.unwrap();
    let store = open(&server.url(), &OpenOptions::default()).await.unwrap();
    store.append_messages(&[message("m1", "t", 1)]).await.unwrap();
    store.close().await;
    server.execute(SCRIPT).await.unwrap();

    let store = open(&server.url(), &OpenOptions::default()).await.unwrap();
    // Sent again, and received at another time: still the same message.
    let again = message("m1", "t", 40 * 86_400);
    let appended = store
        .append_messages(&[again.clone(), message("m2", "t", 2)])
        .await
        .unwrap();
    assert_eq!((appended.stored, appended.duplicates), (1, 1));
    assert_eq!(message_ids(&*store, &any_message()).await, ["m2", "m1"]);
    let pruned = store.prune_threads(at(41 * 86_400), 10).await.unwrap();
    assert_eq!((pruned.threads, pruned.messages), (1, 2));
    assert_eq!(
        store.append_messages(&[again]).await.unwrap().stored,
        1,
        "a pruned id is free again"
    );

    server
        .execute(
            "\
             DO $$ BEGIN \
             ASSERT agentnet_add_month('2100-01-31') = 'agent_messages_2100_01'; \
             ASSERT ARRAY(SELECT agentnet_drop_empty_months('2100-02-01')) @> '{agent_messages_2100_01}'; \
             ASSERT to_regclass('agent_messages_2100_01') IS NULL; \
             ASSERT to_regclass('agent_messages_before') IS NOT NULL; \
             END $$",
        )
        .await
        .unwrap();
}
