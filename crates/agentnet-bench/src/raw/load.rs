//! The sender of the raw benchmarks, which measures.

use std::time::{Duration, Instant};

use agentnet_testkit::RawClient;
use async_nats::{Client, Subject, Subscriber};
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::echo::Subjects;
use super::pattern::RawPattern;
use crate::Failure;
use crate::closed_loop;
use crate::run::{Meter, Run, RunOutcome};
use crate::worker_process::{WorkerIo, WorkerTask};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends messages in one of the patterns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RawSender {
    pub(crate) url: String,
    pub(crate) subjects: Subjects,
}

impl WorkerTask for RawSender {
    const NAME: &'static str = "raw_sender";

    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        io.ready().await?;
        while let Some((kind, run)) = io.next_command::<(RawPattern, Run)>().await? {
            let Subjects {
                requests,
                pings,
                pongs,
                messages,
                own,
            } = self.subjects.clone();
            let outcome = match kind {
                RawPattern::Request => request(&client, requests.into(), run).await?,
                RawPattern::TwoLeg => ping(&client, pings.into(), client.subscribe(pongs).await?, 1, run).await?,
                RawPattern::Receipts => ping(&client, messages.into(), client.subscribe(pongs).await?, 2, run).await?,
                RawPattern::Publish => ping(&client, own.clone().into(), client.subscribe(own).await?, 1, run).await?,
            };
            io.reply(&outcome).await?;
        }
        Ok(())
    }
}

async fn request(client: &Client, subject: Subject, run: Run) -> Result<RunOutcome, Failure> {
    let body = Bytes::from(vec![b'x'; run.bytes]);
    let client = client.clone();
    closed_loop::run(run, move || {
        let (client, subject, body) = (client.clone(), subject.clone(), body.clone());
        async move {
            client.request(subject, body).await?;
            Ok(())
        }
    })
    .await
}

/// Sends a ping for each first answer, so that `run.in_flight` pings are always in flight. A ping begins with its number.
async fn ping(
    client: &Client,
    subject: Subject,
    mut pongs: Subscriber,
    answers: u64,
    run: Run,
) -> Result<RunOutcome, Failure> {
    client.flush().await?;
    let body = numbered(0, run.bytes);
    let mut sent = vec![(Instant::now(), 0); run.in_flight];
    let mut meter = Meter::start(run)?;
    for (number, (since, _)) in sent.iter_mut().enumerate() {
        *since = Instant::now();
        client.publish(subject.clone(), numbered(number, run.bytes)).await?;
    }
    let mut open = answers * run.in_flight as u64;
    while open > 0 {
        let pong = timeout(ANSWER_TIMEOUT, pongs.next())
            .await
            .map_err(|_| format!("{open} answers did not come within {ANSWER_TIMEOUT:?}"))?
            .ok_or("the subscription ended")?;
        open -= 1;
        let number = usize::try_from(u64::from_be_bytes(pong.payload[..8].try_into()?))?;
        let (since, came) = &mut sent[number];
        *came += 1;
        // Only the first answer triggers the next ping.
        if *came % answers == 1 % answers && meter.note(*since) {
            *since = Instant::now();
            let ping = match answers {
                1 => pong.payload,
                _ => numbered(number, body.len()),
            };
            client.publish(subject.clone(), ping).await?;
            open += answers;
        }
    }
    pongs.unsubscribe().await?;
    Ok(meter.finish())
}

fn numbered(number: usize, bytes: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(bytes.max(8));
    body.put_u64(number as u64);
    body.resize(bytes.max(8), b'x');
    body.freeze()
}
