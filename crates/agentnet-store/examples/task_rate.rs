//! Measures how fast workers claim and finish tasks, on a SQLite file or (`AGENTNET_TEST_STORE=postgres`) a PostgreSQL server of
//! the testkit, which does not call fsync; and how long lists take while many tasks are open. Ends that arrive while a batch is
//! stored go into the next one, as in a registry:
//! `cargo run --release -p agentnet-store --example task_rate -- [TASKS] [WORKERS] [OPEN_TASKS] [TASKS_OF_A_CLAIM]`.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::task::TaskState;
use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{
    Attempt, Finish, Position, Task, TaskChange, TaskChanged, TaskClaimQuery, TaskCreated, TaskDelivery, TaskQuery,
    TaskTarget,
};
use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::TestDatabase;
use tokio::sync::{mpsc, oneshot};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The largest number of tasks of one transaction.
const MAX_BATCH: usize = 128;
const COORDINATORS: usize = 20;
/// Tasks of a page.
const PAGE: usize = 100;

/// The end of an attempt, and where to send its outcome.
struct End {
    task_id: String,
    change: TaskChange,
    outcome: oneshot::Sender<TaskChanged>,
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + micros)
}

fn task(number: usize, capability: &str) -> Result<Task, Failure> {
    let created_at = at(i64::try_from(number)?);
    Ok(Task {
        task_id: format!("task_01k000000000000000{number:08}"),
        coordinator_account_id: format!("acct_coordinator{:04}", number % COORDINATORS),
        coordinator: None,
        idempotency_key: Some(format!("key-{number}")),
        content_sha256: format!("{number:064x}"),
        target: TaskTarget::Capability(capability.to_owned()),
        delivery: TaskDelivery::Lease,
        title: Some(format!("task number {number}")),
        text: "Run the tests of the branch, and say which of them fail.".to_owned(),
        payload: Some(RawJson::parse(format!(r#"{{"branch":"b{number}"}}"#))?),
        thread_id: format!("thread_{number}"),
        parent_task_id: None,
        metadata: RawJson::empty_object(),
        priority: i64::try_from(number % 3)?,
        not_before: created_at,
        deadline_at: None,
        max_attempts: 3,
        backoff_ms: 1_000,
        heartbeat_ms: 30_000,
        state: TaskState::Submitted,
        attempt: 0,
        lease: None,
        worker_account_id: None,
        heartbeat_at: None,
        cancel_requested_at: None,
        finish_id: None,
        unconfirmed: 0,
        releases: 0,
        is_assigned_by_message: false,
        result: None,
        code: None,
        detail: None,
        checkpoint: None,
        input: None,
        latest_text: String::new(),
        latest_progress_text: None,
        progress_count: 0,
        percent: None,
        phase: None,
        message_id: None,
        event_count: 0,
        event_bytes: 0,
        revision: 0,
        created_at,
        updated_at: created_at,
        finished_at: None,
    })
}

/// Stores tasks; returns how long it took.
async fn create(store: &dyn Store, tasks: &[Task]) -> Result<Duration, Failure> {
    let start = Instant::now();
    for batch in tasks.chunks(MAX_BATCH) {
        for outcome in store.create_tasks(batch, i64::MAX).await? {
            if !matches!(outcome, TaskCreated::New(..)) {
                return Err(format!("a task is not stored: {outcome:?}").into());
            }
        }
    }
    Ok(start.elapsed())
}

/// Ends attempts, in one transaction after the other; returns how many there were.
async fn end_batches(store: Arc<dyn Store>, mut arrived: mpsc::Receiver<End>) -> Result<usize, Failure> {
    let mut batches = 0;
    let mut ends = Vec::with_capacity(MAX_BATCH);
    while arrived.recv_many(&mut ends, MAX_BATCH).await > 0 {
        let (changes, waiting): (Vec<_>, Vec<_>) = ends
            .drain(..)
            .map(|end| ((end.task_id, end.change), end.outcome))
            .unzip();
        let outcomes = store.change_tasks(&changes, at(1_000_001)).await?;
        for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
            let _ = waiting.send(outcome);
        }
        batches += 1;
    }
    Ok(batches)
}

/// Claims and ends tasks until there are none; returns how long each claim, and each way from the claim to the end, took.
async fn worker(
    store: Arc<dyn Store>,
    ends: mpsc::Sender<End>,
    number: usize,
    max: usize,
) -> Result<Vec<(Duration, Duration)>, Failure> {
    let mut times = Vec::new();
    for call in 0_usize.. {
        let start = Instant::now();
        let query = TaskClaimQuery {
            account_id: format!("acct_worker{number:04}"),
            session_tag: format!("registry_worker{number:04}"),
            capabilities: vec!["build".into(), "test".into()],
            task_id: None,
            max,
            token: format!("token{number}x{call}"),
            now: at(1_000_000),
        };
        let claimed = store.claim_tasks(&query).await?;
        let claim_time = start.elapsed();
        if claimed.is_empty() {
            break;
        }
        let mut waiting = Vec::with_capacity(claimed.len());
        for (task, _) in claimed {
            let lease = task.lease.ok_or("a claimed task has no lease")?.token;
            let change = TaskChange::Finish {
                attempt: Attempt {
                    number: task.attempt,
                    lease,
                },
                finish: Finish {
                    finish_id: format!("finish_{}", task.task_id),
                    state: TaskState::Completed,
                    result: Some(RawJson::parse(r#"{"failed":[]}"#.to_owned())?),
                    text: Some("All tests pass.".to_owned()),
                    code: None,
                    detail: None,
                    retryable: false,
                },
            };
            let (outcome, answer) = oneshot::channel();
            let end = End {
                task_id: task.task_id,
                change,
                outcome,
            };
            ends.send(end).await.map_err(|_| "the writer has ended")?;
            waiting.push(answer);
        }
        for answer in waiting {
            match answer.await? {
                TaskChanged::Changed(..) => times.push((claim_time, start.elapsed())),
                other => return Err(format!("an end is refused: {other:?}").into()),
            }
        }
    }
    Ok(times)
}

/// Reads the whole list; returns the number of its tasks, and how long the first page and all pages took.
async fn list(store: &dyn Store, query: &TaskQuery) -> Result<(usize, Duration, Duration), Failure> {
    let mut query = query.clone();
    let (mut count, mut first) = (0, None);
    let start = Instant::now();
    loop {
        let page = store.tasks(&query).await?;
        first.get_or_insert_with(|| start.elapsed());
        count += page.items.len();
        query.before = page.items.last().map(|last| Position {
            at: last.updated_at,
            id: last.task_id.clone(),
        });
        if !page.more {
            return Ok((count, first.unwrap_or_default(), start.elapsed()));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a printed rate")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}

/// Creates tasks, and lets workers claim and finish them.
async fn claim_to_finish(store: &Arc<dyn Store>, total: usize, workers: usize, max: usize) -> Result<(), Failure> {
    let tasks = (0..total)
        .map(|number| task(number, if number % 2 == 0 { "build" } else { "test" }))
        .collect::<Result<Vec<_>, _>>()?;
    let created = create(&**store, &tasks).await?;
    println!(
        "{}: {total} tasks created, {MAX_BATCH} at a time: {:.0} tasks/s",
        store.backend(),
        rate(total, created)
    );
    let (ends, arrived) = mpsc::channel(1024);
    let writer = tokio::spawn(end_batches(Arc::clone(store), arrived));
    let start = Instant::now();
    let running: Vec<_> = (0..workers)
        .map(|number| tokio::spawn(worker(Arc::clone(store), ends.clone(), number, max)))
        .collect();
    drop(ends);
    let mut times = Vec::with_capacity(total);
    for worker in running {
        times.extend(worker.await??);
    }
    let elapsed = start.elapsed();
    let batches = writer.await??;
    let (mut claims, mut ways): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
    claims.sort_unstable();
    ways.sort_unstable();
    println!(
        "{} tasks claimed, {max} at a time, and finished by {workers} workers: {:.0} tasks/s, ends in {batches} transactions; \
         claims: half in {:.2?}, 99 % in {:.2?}; claim to finish: half in {:.2?}, 99 % in {:.2?}",
        times.len(),
        rate(times.len(), elapsed),
        percentile(&claims, 50),
        percentile(&claims, 99),
        percentile(&ways, 50),
        percentile(&ways, 99)
    );
    Ok(())
}

/// Lists of many open tasks, and a sweep that has nothing to do.
async fn lists(store: &dyn Store, total: usize, open_tasks: usize) -> Result<(), Failure> {
    let tasks = (total..total + open_tasks)
        .map(|number| task(number, "deploy"))
        .collect::<Result<Vec<_>, _>>()?;
    create(store, &tasks).await?;
    let base = TaskQuery {
        limit: PAGE,
        ..TaskQuery::default()
    };
    let coordinator = TaskQuery {
        coordinator_account_id: Some("acct_coordinator0003".into()),
        ..base.clone()
    };
    let open = TaskQuery {
        states: vec![TaskState::Submitted],
        ..base.clone()
    };
    for (name, query) in [("all", base), ("open", open), ("of one coordinator", coordinator)] {
        let (count, first, all) = list(store, &query).await?;
        println!("list of {name}: {count} tasks, first page of {PAGE} in {first:.2?}, all pages in {all:.2?}");
    }
    let start = Instant::now();
    let counts = store.task_counts().await?;
    println!("counts of {} states in {:.2?}", counts.len(), start.elapsed());
    let start = Instant::now();
    let ticked = store.tick_tasks(at(2_000_000), 30_000, 1_000).await?;
    println!("sweep that changes {} tasks in {:.2?}", ticked.len(), start.elapsed());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let total = numbers.next().transpose()?.unwrap_or(10_000);
    let workers = numbers.next().transpose()?.unwrap_or(8).max(1);
    let open_tasks = numbers.next().transpose()?.unwrap_or(10_000);
    let max = numbers.next().transpose()?.unwrap_or(1).max(1);
    let database = TestDatabase::start().await?;
    let store = open(&database.url(), &OpenOptions::default()).await?;
    claim_to_finish(&store, total, workers, max).await?;
    lists(&*store, total, open_tasks).await?;
    store.close().await;
    Ok(())
}
