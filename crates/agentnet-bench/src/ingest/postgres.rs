//! The store on PostgreSQL, beside COPY of the same rows into the same table and indexes on one connection.

use std::time::{Duration, Instant};

use agentnet_store::model::NewMessage;
use agentnet_store::{OpenOptions, open};
use agentnet_testkit::Postgres;
use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};

use super::append::{BATCH, append, beside, check_count, rate, with_target};
use crate::Failure;
use crate::database::connect;
use crate::measurement::Measurement;
use crate::settings::Settings;

pub(super) async fn run(settings: &Settings, messages: &[NewMessage]) -> Result<Vec<Measurement>, Failure> {
    let server = Postgres::launch_durable().await?;
    let (mut ours, mut whole, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..settings.repeat {
        let url = server.create_database(&format!("ours_{turn}")).await?;
        let store = open(&url, &OpenOptions::default()).await?;
        server.execute("CHECKPOINT").await?;
        ours.push(append(store.as_ref(), messages).await?);
        store.close().await;
        let chunks = rows(&url).await?;
        check_count("counted", chunks.iter().map(|chunk| chunk.rows).sum(), messages.len())?;
        let all = [CopyChunk {
            rows: messages.len() as u64,
            text: chunks
                .iter()
                .flat_map(|chunk| chunk.text.iter().copied())
                .collect::<Bytes>(),
        }];
        for (name, chunks, took) in [("whole", &all[..], &mut whole), ("batched", &chunks[..], &mut batched)] {
            let url = server.create_database(&format!("{name}_{turn}")).await?;
            // Creates the table and its indexes.
            open(&url, &OpenOptions::default()).await?.close().await;
            server.execute("CHECKPOINT").await?;
            took.push(copy(&url, chunks, messages.len()).await?);
        }
        for name in ["ours", "whole", "batched"] {
            server.execute(&format!("DROP DATABASE {name}_{turn}")).await?;
        }
    }
    let ours = rate(messages, &ours);
    Ok(vec![
        with_target(
            beside("PostgreSQL, beside one COPY of all", ours, rate(messages, &whole)),
            0.7,
        ),
        beside(
            &format!("PostgreSQL, beside a COPY and commit of each {BATCH}"),
            ours,
            rate(messages, &batched),
        ),
    ])
}

/// Rows in COPY format.
struct CopyChunk {
    rows: u64,
    text: Bytes,
}

/// The stored rows in COPY format, in chunks of one batch.
async fn rows(url: &str) -> Result<Vec<CopyChunk>, Failure> {
    let client = connect(url).await?;
    let chunks: Vec<Bytes> = client
        .copy_out("COPY agent_messages TO STDOUT")
        .await?
        .try_collect()
        .await?;
    // A chunk is a row.
    Ok(chunks
        .chunks(BATCH)
        .map(|rows| CopyChunk {
            rows: rows.len() as u64,
            text: rows.concat().into(),
        })
        .collect())
}

/// Copies the rows into another table with the same columns.
async fn copy(url: &str, chunks: &[CopyChunk], expected: usize) -> Result<Duration, Failure> {
    let client = connect(url).await?;
    let mut copied = 0;
    let since = Instant::now();
    for chunk in chunks {
        let mut sink = Box::pin(client.copy_in("COPY agent_messages FROM STDIN").await?);
        sink.send(chunk.text.clone()).await?;
        copied += sink.as_mut().finish().await?;
    }
    let took = since.elapsed();
    check_count("copied", copied, expected)?;
    Ok(took)
}
