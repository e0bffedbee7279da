//! The side of raw pings that sends and measures.

use std::time::{Duration, Instant};

use agentnet_testkit::RawClient;
use async_nats::{Client, Subject, Subscriber};
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Kind;
use super::echo::Subjects;
use crate::Failure;
use crate::role::Stage;
use crate::run::{Meter, Outcome, Run};
use crate::tasks;

const ANSWER: Duration = Duration::from_secs(10);

/// Runs what it is asked to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sender {
    pub(crate) url: String,
    pub(crate) subjects: Subjects,
}

impl Sender {
    pub(crate) async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        let client = RawClient::connect(&self.url).await?;
        stage.ready().await?;
        while let Some((kind, run)) = stage.next::<(Kind, Run)>().await? {
            let Subjects {
                requests,
                pings,
                pongs,
                messages,
                own,
            } = self.subjects.clone();
            let outcome = match kind {
                Kind::Request => request(&client, requests.into(), run).await?,
                Kind::TwoLeg => ping(&client, pings.into(), client.subscribe(pongs).await?, 1, run).await?,
                Kind::Receipts => ping(&client, messages.into(), client.subscribe(pongs).await?, 2, run).await?,
                Kind::Publish => ping(&client, own.clone().into(), client.subscribe(own).await?, 1, run).await?,
            };
            stage.answer(&outcome).await?;
        }
        Ok(())
    }
}

async fn request(client: &Client, subject: Subject, run: Run) -> Result<Outcome, Failure> {
    let body = Bytes::from(vec![b'x'; run.bytes]);
    let client = client.clone();
    tasks::run(run, move || {
        let (client, subject, body) = (client.clone(), subject.clone(), body.clone());
        async move {
            client.request(subject, body).await?;
            Ok(())
        }
    })
    .await
}

/// One task that sends a ping for every one that got its first answer, so that always so many are under way. A ping begins
/// with its number.
async fn ping(
    client: &Client,
    subject: Subject,
    mut pongs: Subscriber,
    answers: u64,
    run: Run,
) -> Result<Outcome, Failure> {
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
        let pong = timeout(ANSWER, pongs.next())
            .await
            .map_err(|_| format!("{open} answers did not come within {ANSWER:?}"))?
            .ok_or("the subscription ended")?;
        open -= 1;
        let number = usize::try_from(u64::from_be_bytes(pong.payload[..8].try_into()?))?;
        let (since, came) = &mut sent[number];
        *came += 1;
        // Those after the first are read, and nobody waits for them.
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
