//! PostgreSQL, beside COPY of the same rows into the same table with the same indexes on one connection.

use std::time::{Duration, Instant};

use agentnet_store::model::NewMessage;
use agentnet_store::{OpenOptions, open};
use agentnet_testkit::Postgres;
use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};

use super::{BATCH, append, beside, counted, rate, with_target};
use crate::Failure;
use crate::cli::Settings;
use crate::database::connect;
use crate::figure::Figure;

pub(super) async fn run(settings: &Settings, messages: &[NewMessage]) -> Result<Vec<Figure>, Failure> {
    let server = Postgres::launch_durable().await?;
    let (mut ours, mut whole, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..settings.repeat {
        let url = server.create_database(&format!("ours_{turn}")).await?;
        let store = open(&url, &OpenOptions::default()).await?;
        server.execute("CHECKPOINT").await?;
        ours.push(append(store.as_ref(), messages).await?);
        store.close().await;
        let parts = rows(&url).await?;
        counted("counted", parts.iter().map(|part| part.rows).sum(), messages.len())?;
        let all = [Part {
            rows: messages.len() as u64,
            text: parts
                .iter()
                .flat_map(|part| part.text.iter().copied())
                .collect::<Bytes>(),
        }];
        for (name, parts, took) in [("whole", &all[..], &mut whole), ("batched", &parts[..], &mut batched)] {
            let url = server.create_database(&format!("{name}_{turn}")).await?;
            // It makes the table and its indexes.
            open(&url, &OpenOptions::default()).await?.close().await;
            server.execute("CHECKPOINT").await?;
            took.push(copy(&url, parts, messages.len()).await?);
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

/// Rows as COPY writes them.
struct Part {
    rows: u64,
    text: Bytes,
}

/// What was stored, as COPY writes it, in parts as large as a batch.
async fn rows(url: &str) -> Result<Vec<Part>, Failure> {
    let client = connect(url).await?;
    let chunks: Vec<Bytes> = client
        .copy_out("COPY agent_messages TO STDOUT")
        .await?
        .try_collect()
        .await?;
    // A chunk is a row.
    Ok(chunks
        .chunks(BATCH)
        .map(|rows| Part {
            rows: rows.len() as u64,
            text: rows.concat().into(),
        })
        .collect())
}

/// Copies the rows into another table of the same form.
async fn copy(url: &str, parts: &[Part], expected: usize) -> Result<Duration, Failure> {
    let client = connect(url).await?;
    let mut copied = 0;
    let since = Instant::now();
    for part in parts {
        let mut sink = Box::pin(client.copy_in("COPY agent_messages FROM STDIN").await?);
        sink.send(part.text.clone()).await?;
        copied += sink.as_mut().finish().await?;
    }
    let took = since.elapsed();
    counted("copied", copied, expected)?;
    Ok(took)
}
