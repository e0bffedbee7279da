//! Following the stream: pull requests on a subscription of our own, so that a stop can end the subscription first and then
//! take everything that was delivered before.

use std::time::Duration;

use agentnet_protocol::Timestamp;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subject, Subscriber, jetstream};
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::listen::Ear;
use super::stream::{Jetstream, PullConsumer};
use super::unreadable;
use crate::clock::Now;
use crate::connect::end;
use crate::database::Database;

/// Messages of one request.
const MESSAGES: usize = 500;
/// Bytes of one request, unless single messages may be larger.
const BYTES: usize = 8 << 20;
/// How long a request waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// While it waits, the server says this often that the consumer is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A request for what is there is answered within this time, or as good as answered.
const PROMPT: Duration = Duration::from_secs(1);
/// The pause between two attempts to reach the consumer.
const RETRY: Duration = Duration::from_millis(500);

/// Why a pull ended before the stop.
enum Broken {
    /// Something is wrong with server, stream or consumer.
    Stream(String),
    /// Nothing can be stored now.
    Database,
}

impl From<String> for Broken {
    fn from(problem: String) -> Self {
        Self::Stream(problem)
    }
}

/// Follows the stream until the stop. Whatever happens to server, stream or consumer: they are set up again. While the
/// database is down, messages stay in the stream, where they are safe and other registries can have them.
pub(crate) async fn follow(ear: Ear, jetstream: Jetstream, database: Database, mut connected: watch::Receiver<u64>) {
    let mut troubled = false;
    while ear.stop.run_until_cancelled(database.up()).await.is_some() {
        connected.mark_unchanged();
        let problem = match session(&ear, &jetstream, &database, &mut connected, &mut troubled).await {
            Ok(()) => return,
            Err(Broken::Database) => continue,
            Err(Broken::Stream(problem)) => problem,
        };
        if !troubled {
            tracing::warn!(problem, "the message stream cannot be read; trying again");
            troubled = true;
        }
        tokio::select! {
            () = ear.stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
            _ = connected.changed() => {}
        }
    }
}

/// Sets everything up and pulls until the stop (`Ok`) or until something is wrong.
async fn session(
    ear: &Ear,
    jetstream: &Jetstream,
    database: &Database,
    connected: &mut watch::Receiver<u64>,
    troubled: &mut bool,
) -> Result<(), Broken> {
    let Some(consumer) = ear.stop.run_until_cancelled(jetstream.ensure()).await else {
        return Ok(());
    };
    let consumer = consumer?;
    let (store, metrics) = (database.patient(), &ear.metrics);
    let taken_out = unreadable::take_out(&jetstream.context, &consumer, &*store, metrics, ear.chars_per_token);
    match ear.stop.run_until_cancelled(taken_out).await {
        None => return Ok(()),
        Some(Ok(())) => {}
        Some(Err(problem)) => tracing::warn!(problem, "the stream cannot be looked through for unreadable messages"),
    }
    let inbox = Subject::from(ear.client.new_inbox());
    let mut messages = ear
        .client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| error.to_string())?;
    if std::mem::take(troubled) {
        tracing::info!("the message stream is read again");
    }
    let source = Source {
        jetstream,
        consumer: &consumer,
        inbox: &inbox,
    };
    let outcome = pull(ear, source, database, &mut messages, connected).await;
    // What was delivered would otherwise be held back from others until its time to acknowledge is over.
    for message in end(&ear.client, &mut messages).await {
        if message.subject != inbox {
            hear(ear, jetstream, message).await;
        }
    }
    outcome
}

/// Where messages come from, and by way of which subject.
#[derive(Clone, Copy)]
struct Source<'a> {
    jetstream: &'a Jetstream,
    consumer: &'a PullConsumer,
    inbox: &'a Subject,
}

/// How a request came to its end.
enum End {
    /// There may be more.
    Full,
    /// There was no more, after so many.
    Short(usize),
    /// By the stop.
    Stop,
}

/// Asks again and again. While nothing comes, it asks for one message and waits. Once one has come, others follow as a rule:
/// they gather for a moment and are taken together, which costs server and registry much less than one by one.
async fn pull(
    ear: &Ear,
    source: Source<'_>,
    database: &Database,
    messages: &mut Subscriber,
    connected: &mut watch::Receiver<u64>,
) -> Result<(), Broken> {
    let mut quiet = true;
    loop {
        // What waits in the client's buffer is not reminded of: only what there is room for is asked for.
        let room = tokio::select! {
            room = ear.queue.room(MESSAGES) => room,
            () = ear.stop.cancelled() => return Ok(()),
            () = database.down() => return Err(Broken::Database),
        };
        // A message larger than this would never come.
        let max_bytes = BYTES.max(2 * ear.client.max_payload());
        let request = if quiet {
            wait_for_one(max_bytes)
        } else {
            take_all(room, max_bytes)
        };
        let (due, patience) = (request.batch, if quiet { 2 * HEARTBEAT } else { PROMPT });
        let asked = source.consumer.request_batch(request, source.inbox.clone()).await;
        asked.map_err(|error| error.to_string())?;
        let gather = match receive(ear, source, database, messages, connected, due, patience).await? {
            End::Stop => return Ok(()),
            End::Full => std::mem::take(&mut quiet),
            End::Short(taken) => {
                quiet = taken == 0;
                !quiet
            }
        };
        if gather
            && ear
                .stop
                .run_until_cancelled(tokio::time::sleep(ear.gather))
                .await
                .is_none()
        {
            return Ok(());
        }
    }
}

/// The next message, when it comes.
fn wait_for_one(max_bytes: usize) -> BatchConfig {
    BatchConfig {
        batch: 1,
        max_bytes,
        expires: Some(EXPIRES),
        idle_heartbeat: HEARTBEAT,
        ..BatchConfig::default()
    }
}

/// What there is.
fn take_all(room: usize, max_bytes: usize) -> BatchConfig {
    BatchConfig {
        batch: room,
        max_bytes,
        no_wait: true,
        ..BatchConfig::default()
    }
}

/// Takes what a request for so many messages brings.
async fn receive(
    ear: &Ear,
    source: Source<'_>,
    database: &Database,
    messages: &mut Subscriber,
    connected: &mut watch::Receiver<u64>,
    due: usize,
    patience: Duration,
) -> Result<End, Broken> {
    let Source { jetstream, inbox, .. } = source;
    let mut taken = 0;
    while taken < due {
        let message = tokio::select! {
            () = ear.stop.cancelled() => return Ok(End::Stop),
            () = database.down() => return Err(Broken::Database),
            _ = connected.changed() => return Err("the connection was lost".to_owned().into()),
            message = timeout(patience, messages.next()) => message,
        };
        let message = match message {
            Ok(message) => message,
            // What another registry took before it, or may not be given out now, the server does not answer for.
            Err(_) if patience < HEARTBEAT => return Ok(End::Short(taken)),
            Err(_) => return Err("the server is silent".to_owned().into()),
        };
        let message = message.ok_or_else(|| "the subscription ended".to_owned())?;
        match message.status {
            // What the server says itself is addressed to us. A message of the stream may carry a status of its sender's.
            _ if message.subject != *inbox => {
                hear(ear, jetstream, message).await;
                taken += 1;
            }
            None | Some(StatusCode::IDLE_HEARTBEAT) => {}
            Some(status) => {
                ended(status, message.description.as_deref())?;
                let by_size = status == StatusCode::REQUEST_TERMINATED;
                return Ok(if by_size { End::Full } else { End::Short(taken) });
            }
        }
    }
    Ok(End::Full)
}

/// Whether a request came to its natural end: by time, by bytes, or without messages.
fn ended(status: StatusCode, description: Option<&str>) -> Result<(), String> {
    let description = description.unwrap_or_default();
    let natural = match status {
        StatusCode::TIMEOUT | StatusCode::NOT_FOUND => true,
        StatusCode::REQUEST_TERMINATED => ["Batch Completed", "Message Size Exceeds MaxBytes"]
            .iter()
            .any(|text| text.eq_ignore_ascii_case(description)),
        _ => false,
    };
    if natural {
        Ok(())
    } else {
        Err(format!("{status} {description}"))
    }
}

/// The time of receipt is when the stream got the message.
async fn hear(ear: &Ear, jetstream: &Jetstream, message: Message) {
    let message = jetstream::Message {
        message,
        context: jetstream.context.clone(),
    };
    let published = message.info().ok().and_then(|info| {
        let micros = info.published.unix_timestamp_nanos() / 1000;
        i64::try_from(micros).ok().map(Timestamp::from_micros)
    });
    let message = message.message;
    ear.hear(
        message.payload,
        published.unwrap_or_else(|| Now::read().time),
        message.reply,
    )
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_naturally_or_something_is_wrong() {
        assert_eq!(ended(StatusCode::TIMEOUT, Some("Request Timeout")), Ok(()));
        assert_eq!(ended(StatusCode::NOT_FOUND, Some("No Messages")), Ok(()));
        assert_eq!(
            ended(StatusCode::REQUEST_TERMINATED, Some("Message Size Exceeds MaxBytes")),
            Ok(())
        );
        for (status, description) in [
            (StatusCode::REQUEST_TERMINATED, Some("Consumer Deleted")),
            (StatusCode::REQUEST_TERMINATED, Some("Server Shutdown")),
            (StatusCode::REQUEST_TERMINATED, None),
            (StatusCode::NO_RESPONDERS, None),
        ] {
            assert!(ended(status, description).is_err(), "{status} {description:?}");
        }
    }
}
