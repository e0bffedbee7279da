//! Reads the stream by pull requests on a subscription of our own: at a stop, the subscription ends first, and then everything
//! that was delivered before is handled.

use std::time::Duration;

use agentnet_nats::end;
use agentnet_protocol::Timestamp;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::{Message, StatusCode, Subject, Subscriber, jetstream};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::ingest::Ingest;
use super::proof::Proof;
use super::stream::{Jetstream, PullConsumer};
use super::unreadable;
use crate::clock::Now;
use crate::database::Database;

/// Messages of one request.
const MAX_MESSAGES: usize = 500;
/// Bytes of one request, unless single messages may be larger.
const MAX_BYTES: usize = 8 << 20;
/// How long a request waits at the server for a message.
const WAIT_EXPIRY: Duration = Duration::from_secs(30);
/// The interval of the server's heartbeats while a request waits.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A request for the messages that are there counts as answered after this time.
const NO_WAIT_TIMEOUT: Duration = Duration::from_secs(1);
/// The delay between two attempts to reach the consumer.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Why pulling ended before the stop.
enum PullError {
    /// Server, stream or consumer failed.
    Stream(String),
    /// The database is down.
    Database,
}

impl From<String> for PullError {
    fn from(problem: String) -> Self {
        Self::Stream(problem)
    }
}

/// Reads the stream until the stop. After every failure of server, stream or consumer they are set up again. While the database
/// is down, messages stay in the stream, where they are safe and other registries can get them.
pub(crate) async fn follow(
    ingest: Ingest,
    jetstream: Jetstream,
    database: Database,
    mut connected: watch::Receiver<u64>,
) {
    let mut troubled = false;
    while ingest.stop.run_until_cancelled(database.up()).await.is_some() {
        connected.mark_unchanged();
        let problem = match session(&ingest, &jetstream, &database, &mut connected, &mut troubled).await {
            Ok(()) => return,
            Err(PullError::Database) => continue,
            Err(PullError::Stream(problem)) => problem,
        };
        if !troubled {
            tracing::warn!(problem, "the message stream cannot be read; trying again");
            troubled = true;
        }
        tokio::select! {
            () = ingest.stop.cancelled() => {}
            () = tokio::time::sleep(RETRY_DELAY) => {}
            _ = connected.changed() => {}
        }
    }
}

/// Sets up stream and consumer, and pulls until the stop (`Ok`) or a failure.
async fn session(
    ingest: &Ingest,
    jetstream: &Jetstream,
    database: &Database,
    connected: &mut watch::Receiver<u64>,
    troubled: &mut bool,
) -> Result<(), PullError> {
    let Some(consumer) = ingest.stop.run_until_cancelled(jetstream.ensure()).await else {
        return Ok(());
    };
    let consumer = consumer?;
    let (store, metrics) = (database.retrying(), &ingest.metrics);
    let removal =
        unreadable::remove_unreadable(&jetstream.context, &consumer, &*store, metrics, ingest.chars_per_token);
    match ingest.stop.run_until_cancelled(removal).await {
        None => return Ok(()),
        Some(Ok(())) => {}
        Some(Err(problem)) => tracing::warn!(problem, "the stream cannot be searched for unreadable messages"),
    }
    let inbox = Subject::from(ingest.client.new_inbox());
    let mut messages = ingest
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
    let outcome = pull(ingest, source, database, &mut messages, connected).await;
    // Otherwise the server would withhold these messages until their time to acknowledge is over.
    for message in end(&ingest.client, &mut messages).await {
        if message.subject != inbox {
            push(ingest, jetstream, message).await;
        }
    }
    outcome
}

/// The consumer, and the subject that it delivers to.
#[derive(Clone, Copy)]
struct Source<'a> {
    jetstream: &'a Jetstream,
    consumer: &'a PullConsumer,
    inbox: &'a Subject,
}

/// How a request ended.
enum RequestEnd {
    /// There may be more messages.
    Full,
    /// There were no more, after so many.
    Short(usize),
    /// By the stop.
    Stop,
}

/// Sends one request after the other. While no messages come, a request asks for one message and waits. Once a message has come,
/// others usually follow: they gather for a moment and are fetched together, which costs server and registry much less than one
/// by one.
async fn pull(
    ingest: &Ingest,
    source: Source<'_>,
    database: &Database,
    messages: &mut Subscriber,
    connected: &mut watch::Receiver<u64>,
) -> Result<(), PullError> {
    let mut quiet = true;
    loop {
        // No progress is reported for messages in the client's buffer: only as many are requested as there is room for.
        let room = tokio::select! {
            room = ingest.queue.room(MAX_MESSAGES) => room,
            () = ingest.stop.cancelled() => return Ok(()),
            () = database.down() => return Err(PullError::Database),
        };
        // A message larger than this would never come.
        let max_bytes = MAX_BYTES.max(2 * ingest.client.max_payload());
        let request = if quiet {
            wait_for_one(max_bytes)
        } else {
            take_all(room, max_bytes)
        };
        let (due, timeout) = (
            request.batch,
            if quiet { 2 * HEARTBEAT_INTERVAL } else { NO_WAIT_TIMEOUT },
        );
        let asked = source.consumer.request_batch(request, source.inbox.clone()).await;
        asked.map_err(|error| error.to_string())?;
        let gather = match receive(ingest, source, database, messages, connected, due, timeout).await? {
            RequestEnd::Stop => return Ok(()),
            RequestEnd::Full => std::mem::take(&mut quiet),
            RequestEnd::Short(taken) => {
                quiet = taken == 0;
                !quiet
            }
        };
        if gather
            && ingest
                .stop
                .run_until_cancelled(tokio::time::sleep(ingest.gather))
                .await
                .is_none()
        {
            return Ok(());
        }
    }
}

/// A request for the next message.
fn wait_for_one(max_bytes: usize) -> BatchConfig {
    BatchConfig {
        batch: 1,
        max_bytes,
        expires: Some(WAIT_EXPIRY),
        idle_heartbeat: HEARTBEAT_INTERVAL,
        ..BatchConfig::default()
    }
}

/// A request for the messages that are there.
fn take_all(room: usize, max_bytes: usize) -> BatchConfig {
    BatchConfig {
        batch: room,
        max_bytes,
        no_wait: true,
        ..BatchConfig::default()
    }
}

/// Receives the messages of a request for `due` messages.
async fn receive(
    ingest: &Ingest,
    source: Source<'_>,
    database: &Database,
    messages: &mut Subscriber,
    connected: &mut watch::Receiver<u64>,
    due: usize,
    timeout: Duration,
) -> Result<RequestEnd, PullError> {
    let Source { jetstream, inbox, .. } = source;
    let mut taken = 0;
    while taken < due {
        let message = tokio::select! {
            () = ingest.stop.cancelled() => return Ok(RequestEnd::Stop),
            () = database.down() => return Err(PullError::Database),
            _ = connected.changed() => return Err("the connection was lost".to_owned().into()),
            message = tokio::time::timeout(timeout, messages.next()) => message,
        };
        let message = match message {
            Ok(message) => message,
            // The server does not answer for messages that another registry took first, or that it must not deliver now.
            Err(_) if timeout < HEARTBEAT_INTERVAL => return Ok(RequestEnd::Short(taken)),
            Err(_) => return Err("the server does not answer".to_owned().into()),
        };
        let message = message.ok_or_else(|| "the subscription ended".to_owned())?;
        match message.status {
            // Control messages of the server come on our inbox. A message of the stream may carry a status of its sender.
            _ if message.subject != *inbox => {
                push(ingest, jetstream, message).await;
                taken += 1;
            }
            None | Some(StatusCode::IDLE_HEARTBEAT) => {}
            Some(status) => {
                check_end(status, message.description.as_deref())?;
                let by_size = status == StatusCode::REQUEST_TERMINATED;
                return Ok(if by_size {
                    RequestEnd::Full
                } else {
                    RequestEnd::Short(taken)
                });
            }
        }
    }
    Ok(RequestEnd::Full)
}

/// Whether a request ended without an error: by time, by bytes, or without messages.
fn check_end(status: StatusCode, description: Option<&str>) -> Result<(), String> {
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

/// Decodes a message into the queue. Its time of receipt is when the stream got it.
async fn push(ingest: &Ingest, jetstream: &Jetstream, message: Message) {
    let message = jetstream::Message {
        message,
        context: jetstream.context.clone(),
    };
    let published = message.info().ok().and_then(|info| {
        let micros = info.published.unix_timestamp_nanos() / 1000;
        i64::try_from(micros).ok().map(Timestamp::from_micros)
    });
    let message = message.message;
    let proof = Proof::of(&ingest.issuer, &message.subject);
    ingest
        .push(
            message.payload,
            proof,
            published.unwrap_or_else(|| Now::read().time),
            message.reply,
        )
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_without_an_error_or_with_one() {
        assert_eq!(check_end(StatusCode::TIMEOUT, Some("Request Timeout")), Ok(()));
        assert_eq!(check_end(StatusCode::NOT_FOUND, Some("No Messages")), Ok(()));
        assert_eq!(
            check_end(StatusCode::REQUEST_TERMINATED, Some("Message Size Exceeds MaxBytes")),
            Ok(())
        );
        for (status, description) in [
            (StatusCode::REQUEST_TERMINATED, Some("Consumer Deleted")),
            (StatusCode::REQUEST_TERMINATED, Some("Server Shutdown")),
            (StatusCode::REQUEST_TERMINATED, None),
            (StatusCode::NO_RESPONDERS, None),
        ] {
            assert!(check_end(status, description).is_err(), "{status} {description:?}");
        }
    }
}
