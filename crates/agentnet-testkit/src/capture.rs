//! Records all messages on a subject, in order.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wait::WaitError;

/// The longest wait until the server has the subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// One message as it was seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Subject it was published to.
    pub subject: String,
    /// Reply subject, if the sender gave one.
    pub reply: Option<String>,
    /// The body, byte for byte.
    pub payload: Bytes,
    /// NATS headers, if there are any.
    pub headers: Option<HeaderMap>,
}

impl Captured {
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Setting up a [`Capture`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The subject is not one that can be subscribed to, or the connection is closed.
    #[error("cannot subscribe to {subject:?}: {reason}")]
    Subscribe {
        /// What was asked for.
        subject: String,
        /// The client's reason.
        reason: String,
    },
    /// The server did not confirm the subscription in time: is it down?
    #[error("the server did not confirm the subscription to {subject:?} within {SUBSCRIBE_TIMEOUT:?}")]
    Unconfirmed {
        /// What was asked for.
        subject: String,
    },
}

/// Collects every message on a subject until dropped.
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Mutex<Vec<Captured>>>,
    count: watch::Receiver<usize>,
    collector: JoinHandle<()>,
}

impl Capture {
    /// Subscribes to `subject` (with NATS wildcards, `>` for everything) and returns once the server has the subscription:
    /// every message that any client publishes afterwards is recorded.
    ///
    /// # Errors
    /// [`CaptureError`] for a subject that NATS does not accept and for a server that does not answer.
    pub async fn subscribe(client: &Client, subject: &str) -> Result<Self, CaptureError> {
        let failed = |reason: String| CaptureError::Subscribe {
            subject: subject.to_owned(),
            reason,
        };
        let mut messages = client
            .subscribe(subject.to_owned())
            .await
            .map_err(|e| failed(e.to_string()))?;

        // The server handles a connection's commands in order: when the probe comes back, the subscription exists.
        let probe = client.new_inbox();
        let mut probes = client
            .subscribe(probe.clone())
            .await
            .map_err(|e| failed(e.to_string()))?;
        client
            .publish(probe.clone(), Bytes::new())
            .await
            .map_err(|e| failed(e.to_string()))?;
        match timeout(SUBSCRIBE_TIMEOUT, probes.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(failed("the connection was closed".to_owned())),
            Err(_) => {
                return Err(CaptureError::Unconfirmed {
                    subject: subject.to_owned(),
                });
            }
        }

        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let collected = Arc::clone(&seen);
        let collector = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                if message.subject.as_str() == probe {
                    continue;
                }
                let mut seen = collected.lock();
                seen.push(Captured {
                    subject: message.subject.into_string(),
                    reply: message.reply.map(|reply| reply.into_string()),
                    payload: message.payload,
                    headers: message.headers,
                });
                counted.send_replace(seen.len());
            }
        });
        Ok(Self { seen, count, collector })
    }

    /// The recorded messages, oldest first.
    pub fn messages(&self) -> Vec<Captured> {
        self.seen.lock().clone()
    }

    /// The first message that `predicate` accepts, recorded before the call or within `deadline`.
    ///
    /// # Errors
    /// [`WaitError`], with the subjects that were seen instead.
    pub async fn wait_for(
        &self,
        mut predicate: impl FnMut(&Captured) -> bool,
        deadline: Duration,
    ) -> Result<Captured, WaitError> {
        self.find(|seen| seen.iter().find(|message| predicate(message)).cloned(), deadline)
            .await
    }

    /// All recorded messages, once `predicate` accepts them, for instance `|all| all.len() >= 3`.
    ///
    /// # Errors
    /// [`WaitError`], with the subjects that were seen.
    pub async fn wait_until(
        &self,
        mut predicate: impl FnMut(&[Captured]) -> bool,
        deadline: Duration,
    ) -> Result<Vec<Captured>, WaitError> {
        self.find(|seen| predicate(seen).then(|| seen.to_vec()), deadline).await
    }

    async fn find<T>(
        &self,
        mut find: impl FnMut(&[Captured]) -> Option<T>,
        deadline: Duration,
    ) -> Result<T, WaitError> {
        let mut count = self.count.clone();
        let search = async {
            loop {
                count.borrow_and_update();
                if let Some(found) = find(&self.seen.lock()) {
                    return Some(found);
                }
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };
        match timeout(deadline, search).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.missing(deadline, "the connection was closed")),
            Err(_) => Err(self.missing(deadline, "no such message")),
        }
    }

    fn missing(&self, deadline: Duration, reason: &str) -> WaitError {
        let seen = self.messages();
        let subjects: Vec<_> = seen.iter().map(|message| message.subject.as_str()).collect();
        let last = format!("{reason}; seen were {} messages: {}", seen.len(), subjects.join(", "));
        WaitError { deadline, last }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.collector.abort();
    }
}
