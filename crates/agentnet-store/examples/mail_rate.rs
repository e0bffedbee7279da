//! Measures how fast messages are put into mailboxes durably and leased again, on a SQLite file or (`AGENTNET_TEST_STORE=postgres`)
//! a PostgreSQL server of the testkit, which does not call fsync. Clients wait for the outcome of each put; what arrives while
//! a batch is stored goes into the next one, as in a registry:
//! `cargo run --release -p agentnet-store --example mail_rate -- [MESSAGES] [CLIENTS] [PUTS_IN_FLIGHT_OF_A_CLIENT]`.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::mailbox::{MailboxAck, MailboxOutcome};
use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{
    LeaseEnd, LeaseEnded, LeaseQuery, MailboxLimits, Message, NewMessage, NewQueued, PutOutcome,
};
use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::TestDatabase;
use tokio::sync::{mpsc, oneshot};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The largest number of messages of one transaction.
const MAX_BATCH: usize = 128;
const ACCOUNTS: usize = 100;
/// All messages are there at this time, in microseconds.
const LAST: i64 = 3_600_000_000;
const LIMITS: MailboxLimits = MailboxLimits {
    max_messages: i64::MAX,
    max_bytes: i64::MAX,
    sender_max_messages: i64::MAX,
    total_bytes: i64::MAX,
};

/// A message and where to send its outcome.
struct Put {
    message: NewQueued,
    outcome: oneshot::Sender<PutOutcome>,
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + micros)
}

fn account(number: usize) -> String {
    format!("acct_01k0000000000000000000{:04}", number % ACCOUNTS)
}

fn message(number: usize) -> Result<NewQueued, Failure> {
    let sent_at = at(i64::try_from(number)? * 500);
    let (from, to) = (format!("acct_sender{:04}", number % 50), account(number));
    // The ids of the wire are random: so is the order in which they enter the index.
    let id = format!(
        "{:016x}{number:016x}",
        (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    let payload = format!(r#"{{"text":"message number {number}","n":{number}}}"#);
    let body = format!(r#"{{"message_id":"{id}","to":"{to}","kind":"direct","mailbox":true,"payload":{payload}}}"#);
    Ok(NewQueued {
        message: NewMessage {
            message: Message {
                thread_id: format!("thread_{}", number / 20),
                parent_message_id: None,
                from_agent: "sender".into(),
                from_account_id: Some(from.clone()),
                from_session_tag: Some("registry_01K00000000000000000000000".into()),
                to_agent: to.clone(),
                to_account_id: Some(to.clone()),
                kind: "direct".into(),
                schema_version: "1.1".into(),
                idempotency_key: None,
                payload: RawJson::parse(payload)?,
                trace_id: Some(id.clone()),
                message_id: id,
                sent_at,
                received_at: sent_at,
                ttl_ms: Some("604800000".into()),
                expires_at: None,
                auth_scheme: String::new(),
                issuer: None,
            },
            byte_count: 40,
            approx_tokens: 10,
            checkpoint_end: 0,
        },
        account_id: to,
        from_account_id: from,
        body,
        ack: MailboxAck::Accepted,
        queued_at: sent_at,
        expires_at: at(7 * 24 * 3600 * 1_000_000),
    })
}

/// Stores what has arrived, in one transaction after the other; returns how many there were.
async fn store_batches(store: Arc<dyn Store>, mut arrived: mpsc::Receiver<Put>) -> Result<usize, Failure> {
    let mut batches = 0;
    let mut puts = Vec::with_capacity(MAX_BATCH);
    while arrived.recv_many(&mut puts, MAX_BATCH).await > 0 {
        let (messages, waiting): (Vec<_>, Vec<_>) = puts.drain(..).map(|put| (put.message, put.outcome)).unzip();
        let outcomes = store.put_messages(&messages, &LIMITS).await?;
        for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
            let _ = waiting.send(outcome);
        }
        batches += 1;
    }
    Ok(batches)
}

/// Puts every `step`th message in, from `first` on; returns how long each took.
async fn client(puts: mpsc::Sender<Put>, first: usize, step: usize, total: usize) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(total / step + 1);
    for number in (first..total).step_by(step) {
        let (outcome, answer) = oneshot::channel();
        let message = message(number)?;
        let start = Instant::now();
        let sent = puts.send(Put { message, outcome }).await;
        sent.map_err(|_| "the writer has ended")?;
        match answer.await? {
            PutOutcome::Queued { .. } => times.push(start.elapsed()),
            other => return Err(format!("message {number} was not kept: {other:?}").into()),
        }
    }
    Ok(times)
}

/// Leases and ends all messages, one account after the other; returns how many there were.
async fn drain(store: &dyn Store) -> Result<usize, Failure> {
    let mut delivered = 0;
    for number in 0..ACCOUNTS {
        let account_id = account(number);
        for call in 0_usize.. {
            let query = LeaseQuery {
                account_id: account_id.clone(),
                session_tag: "tag".into(),
                token: format!("token{call}"),
                max: 50,
                max_bytes: 900_000,
                exclusive: false,
                pushing: None,
                now: at(LAST),
                until: at(LAST + 30_000_000),
                max_attempts: 8,
            };
            let leased = store.lease_messages(&query).await?.messages;
            if leased.is_empty() {
                break;
            }
            let ends: Vec<LeaseEnd> = leased
                .into_iter()
                .map(|message| LeaseEnd {
                    lease: message.lease,
                    outcome: MailboxOutcome::Done,
                    available_at: at(LAST),
                    free: false,
                    code: None,
                    detail: None,
                })
                .collect();
            let ended = store.end_leases(&account_id, "tag", &ends, at(LAST + 1), 8).await?;
            delivered += ended
                .iter()
                .filter(|ended| matches!(ended, LeaseEnded::Done(_)))
                .count();
        }
    }
    Ok(delivered)
}

#[expect(clippy::cast_precision_loss, reason = "a printed rate")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let total = numbers.next().transpose()?.unwrap_or(20_000);
    let clients = numbers.next().transpose()?.unwrap_or(16).max(1);
    let in_flight = numbers.next().transpose()?.unwrap_or(4).max(1);
    let database = TestDatabase::start().await?;
    let store = open(&database.url(), &OpenOptions::default()).await?;

    let (puts, arrived) = mpsc::channel(1024);
    let writer = tokio::spawn(store_batches(Arc::clone(&store), arrived));
    let start = Instant::now();
    let lanes = clients * in_flight;
    let running: Vec<_> = (0..lanes)
        .map(|first| tokio::spawn(client(puts.clone(), first, lanes, total)))
        .collect();
    drop(puts);
    let mut times = Vec::with_capacity(total);
    for client in running {
        times.extend(client.await??);
    }
    let elapsed = start.elapsed();
    let batches = writer.await??;
    times.sort_unstable();
    let percentile = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    println!(
        "{}: {total} puts of {clients} clients with {in_flight} in flight each, in {batches} transactions: {:.0} puts/s, \
         half of them in {:.2?}, 99 % in {:.2?}",
        store.backend(),
        rate(total, elapsed),
        percentile(50).copied().unwrap_or_default(),
        percentile(99).copied().unwrap_or_default()
    );

    let start = Instant::now();
    let delivered = drain(&*store).await?;
    println!(
        "{delivered} leased and ended, 50 at a time: {:.0} messages/s",
        rate(delivered, start.elapsed())
    );
    store.close().await;
    Ok(())
}
