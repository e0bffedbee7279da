//! Tests of tasks in PostgreSQL alone: query plans, a row that it refuses, locks, and random histories.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::task::TaskState;
use agentnet_testkit::{Postgres, eventually_true};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::{CHILDREN, CHILDREN_WITH_CHILDREN, EVENTS, LATEST_EVENTS, changes, claims, create, page_query};
use crate::contract::sample::at;
use crate::contract::sample_tasks::{any_task, cancel, claim_at, claimed_ids, create as create_all, new_task};
use crate::model::{TaskClaimQuery, TaskCreated, TaskQuery};
use crate::postgres::tests::{opened, plan, run};
use crate::task_histories::check_store;

const DEADLINE: Duration = Duration::from_secs(30);

const POISON: &str = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
     IF NEW.task_id LIKE 'poison%' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql; \
     CREATE TRIGGER refuse BEFORE INSERT ON agent_tasks FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test]
async fn claims_lists_and_sweeps_walk_an_index() {
    let server = Postgres::launch().await.unwrap();
    opened(&server).await.close().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let one_state = TaskQuery {
        states: vec![TaskState::Working],
        ..any_task()
    };
    for (sql, index) in [
        (claims::CANDIDATES.into(), "idx_agent_tasks_for_account"),
        (claims::CANDIDATES.into(), "idx_agent_tasks_for_capability"),
        (claims::REPEATED.into(), "idx_agent_tasks_lease"),
        (changes::DUE.into(), "idx_agent_tasks_due"),
        (changes::DUE.into(), "idx_agent_tasks_cancel"),
        (changes::OLD.into(), "idx_agent_tasks_finished"),
        (create::OPEN.into(), "Index Only Scan using idx_agent_tasks_coordinator"),
        (EVENTS.into(), "agent_task_events_pkey"),
        (LATEST_EVENTS.into(), "agent_task_events_pkey"),
        (CHILDREN.into(), "agent_task_parts_pkey"),
        (CHILDREN_WITH_CHILDREN.into(), "idx_agent_task_parts_parent"),
        (
            page_query(&any_task()).into_string(),
            "Index Scan Backward using idx_agent_tasks_state",
        ),
        (
            page_query(&one_state).into_string(),
            "Index Scan Backward using idx_agent_tasks_state",
        ),
    ] {
        let plan = plan(&mut connection, &sql).await;
        assert!(plan.contains(index), "{sql}\nshould use {index}, but:\n{plan}");
    }
}

/// The other tasks of the call are stored.
#[tokio::test]
async fn a_refused_task_does_not_stop_the_others() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    run(&server, POISON).await;
    let batch = ["t1", "poison", "t2"].map(new_task);
    let outcomes = store.create_tasks(&batch, 100).await.unwrap();
    assert!(
        matches!(
            &outcomes[..],
            [TaskCreated::New(..), TaskCreated::Refused, TaskCreated::New(..)]
        ),
        "{outcomes:?}"
    );
    assert_eq!(store.task_counts().await.unwrap(), [(TaskState::Submitted, 2)]);
}

/// A claim and a sweep pass over what another transaction has locked; a change waits for it.
#[tokio::test]
async fn claims_do_not_wait_for_locks() {
    let server = Postgres::launch().await.unwrap();
    let store = opened(&server).await;
    let due = |id: &str| crate::model::Task {
        deadline_at: Some(at(50)),
        ..new_task(id)
    };
    create_all(&*store, &[due("t1"), due("t2")]).await;
    let mut other = PgConnection::connect(&server.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM agent_tasks WHERE task_id = 't1' FOR UPDATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let both = TaskClaimQuery { max: 2, ..claim_at(1) };
    assert_eq!(claimed_ids(&*store, &both).await, ["t2"]);
    let ticked = store.tick_tasks(at(50), 1, 9).await.unwrap();
    let ids: Vec<_> = ticked.iter().map(|(task, _)| task.task_id.as_str()).collect();
    assert_eq!(ids, ["t2"]);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.change_tasks(&[("t1".to_owned(), cancel())], at(2)).await }
    });
    let mut observer = PgConnection::connect(&server.url()).await.unwrap();
    eventually_true(DEADLINE, "the change waits for the lock", async || {
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND query LIKE '%agent_tasks%')";
        sqlx::query_scalar(sql).fetch_one(&mut observer).await.unwrap()
    })
    .await
    .unwrap();
    lock.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(store.task("t1").await.unwrap().unwrap().state, TaskState::Canceled);
}

#[test]
fn histories_on_postgres() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (server, store) = runtime.block_on(async {
        let server = Postgres::launch().await.unwrap();
        let store = opened(&server).await;
        (server, store)
    });
    check_store(&runtime, &store, 40);
    runtime.block_on(store.close());
    runtime.block_on(async { drop(server) });
}
