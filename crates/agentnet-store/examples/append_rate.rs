//! Measures how fast messages are stored durably, on a SQLite file or (`AGENTNET_TEST_STORE=postgres`) a PostgreSQL server of the
//! testkit, which does not call fsync: `cargo run --release -p agentnet-store --example append_rate -- [MESSAGES] [BATCH]
//! [MESSAGES_PER_THREAD]`.
#![allow(clippy::print_stdout, reason = "prints its result")]

use std::time::Instant;

use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{Message, MessageQuery, NewMessage};
use agentnet_store::{OpenOptions, open};
use agentnet_testkit::TestDatabase;

fn message(number: usize, per_thread: usize) -> Result<NewMessage, Box<dyn std::error::Error>> {
    let at = Timestamp::from_micros(1_780_000_000_000_000 + i64::try_from(number)? * 500);
    let from = format!("acct_01k0000000000000000000{:04}", number % 50);
    let to = format!("acct_01k0000000000000000000{:04}", number % 51);
    // The ids of the wire are random: so is the order in which they enter the index.
    let id = format!(
        "{:016x}{number:016x}",
        (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    Ok(NewMessage {
        message: Message {
            thread_id: format!("thread_{}", number / per_thread),
            parent_message_id: None,
            from_agent: "sender".into(),
            from_account_id: Some(from),
            from_session_tag: Some("registry_01K00000000000000000000000".into()),
            to_agent: to.clone(),
            to_account_id: Some(to),
            kind: "direct".into(),
            schema_version: "1.1".into(),
            idempotency_key: None,
            payload: RawJson::parse(format!(r#"{{"text":"message number {number}","n":{number}}}"#))?,
            trace_id: Some(id.clone()),
            message_id: id,
            sent_at: at,
            received_at: at,
            ttl_ms: Some("30000".into()),
            expires_at: None,
            auth_scheme: String::new(),
            issuer: None,
        },
        byte_count: 40,
        approx_tokens: 10,
        checkpoint_end: 0,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let total = numbers.next().transpose()?.unwrap_or(100_000);
    let batch = numbers.next().transpose()?.unwrap_or(256).max(1);
    let per_thread = numbers.next().transpose()?.unwrap_or(20).max(1);
    let database = TestDatabase::start().await?;
    let store = open(&database.url(), &OpenOptions::default()).await?;

    let messages = (0..total)
        .map(|number| message(number, per_thread))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut lap = start;
    for (index, part) in messages.chunks(batch).enumerate() {
        store.append_messages(part).await?;
        let stored = (index + 1) * batch;
        if stored / 20_000 != (stored - batch) / 20_000 {
            println!("{stored:>8} stored, the last 20,000 in {:.2?}", lap.elapsed());
            lap = Instant::now();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a printed rate")]
    let rate = total as f64 / seconds;
    println!(
        "{}: {total} messages in batches of {batch}, {per_thread} a thread: {rate:.0} messages/s",
        store.backend()
    );

    let start = Instant::now();
    let query = MessageQuery {
        thread_id: Some("thread_7".into()),
        limit: 50,
        ..MessageQuery::default()
    };
    let found = store.messages(&query).await?.items.len();
    println!("a page of {found} of one thread: {:.2?}", start.elapsed());
    store.close().await;
    Ok(())
}
