//! The messages of one lease, handed to the intake: those of one sender one after another, those of several senders side by
//! side (PROTOCOL.md section 21.4).
//!
//! A message of a sender is handed on when the one before has ended as it asks: accepted, or processed. If one goes back to the
//! mailbox, the later ones of its sender go back too, so that none overtakes it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::mailbox::{MAX_DETAIL_BYTES, MailboxOutcome};
use agentnet_protocol::rpc::{LeasedMessage, MailboxAckItem};
use agentnet_protocol::{Envelope, Reject, Text};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::acks::AckCommand;
use super::lease::{Lease, LeaseEnd, Reason};
use super::owner::{LEASE_TIME, MailboxOwner};
use crate::inbox::notice::{LeasedInbound, Notice};

/// A message that goes back because an earlier one of its sender does.
const OUT_OF_ORDER: &str = "out_of_order";
/// When a message is delivered again that the receiver had no time for.
const BUSY_DELAY: Duration = Duration::from_secs(1);
/// When a message is delivered again whose handling failed, the first time; doubled with each attempt.
const FAILED_DELAY: Duration = Duration::from_secs(5);
const MAX_FAILED_DELAY: Duration = Duration::from_secs(300);

/// Hands on the messages of a lease.
pub(super) struct Batch<'a> {
    pub(super) owner: &'a MailboxOwner,
    pub(super) notices: &'a mpsc::Sender<Notice>,
    pub(super) acks: &'a mpsc::Sender<AckCommand>,
    pub(super) leaving: &'a CancellationToken,
}

/// A leased message, read.
struct Held {
    lease: String,
    attempt: i64,
    size: usize,
    envelope: Result<Envelope, String>,
}

/// The leases that have not ended.
type OpenLeases = Mutex<HashSet<String>>;

impl Batch<'_> {
    /// Returns when all messages have ended: the shortest time after which one is to be delivered again, if any is.
    pub(super) async fn run(&self, messages: Vec<LeasedMessage>) -> Option<Duration> {
        let mut open = HashSet::new();
        let mut by_sender: Vec<(Option<Text>, Vec<Held>)> = Vec::new();
        for message in messages {
            // A request with such a name would be refused as a whole.
            if message.lease.len() > MAX_NAME_BYTES || !open.insert(message.lease.clone()) {
                continue;
            }
            let held = Held::read(message);
            let envelope = held.envelope.as_ref().ok();
            let sender = envelope.and_then(|envelope| envelope.from_account_id.clone());
            match by_sender.iter_mut().find(|(of, _)| *of == sender) {
                Some((_, held_before)) => held_before.push(held),
                None => by_sender.push((sender, vec![held])),
            }
        }
        let open = Mutex::new(open);
        let mut senders: FuturesUnordered<_> = by_sender
            .into_iter()
            .map(|(_, messages)| self.in_order(messages, &open))
            .collect();
        let all = async {
            let mut soonest: Option<Duration> = None;
            while let Some(delay) = senders.next().await {
                soonest = soonest.into_iter().chain(delay).min();
            }
            soonest
        };
        tokio::select! {
            biased;
            soonest = all => soonest,
            () = self.keep(&open) => None,
        }
    }

    /// Hands on the messages of one sender. Returns after which time they are to be delivered again, if they are.
    async fn in_order(&self, messages: Vec<Held>, open: &OpenLeases) -> Option<Duration> {
        let mut returned = None;
        for held in messages {
            let lease = held.lease.clone();
            let attempt = held.attempt;
            let end = if !open.lock().contains(&lease) {
                // Over, and delivered again: what is behind it must not overtake it.
                returned.get_or_insert(BUSY_DELAY);
                continue;
            } else if returned.is_some() {
                LeaseEnd::Retry(Reason {
                    code: OUT_OF_ORDER,
                    detail: "an earlier message of the sender is delivered again".to_owned(),
                })
            } else {
                self.hand_on(held).await
            };
            if let LeaseEnd::Retry(reason) = &end {
                returned.get_or_insert_with(|| retry_delay(reason.code, attempt));
            }
            // Fails only when the session has ended.
            let ended = AckCommand::End(ack(lease.clone(), end, returned));
            let _ = self.acks.send(ended).await;
            open.lock().remove(&lease);
        }
        returned
    }

    /// Gives a message to the intake, and waits for its end.
    async fn hand_on(&self, held: Held) -> LeaseEnd {
        let given_up = || LeaseEnd::Retry((&Reject::ShuttingDown).into());
        if self.leaving.is_cancelled() {
            return given_up();
        }
        let envelope = match held.envelope {
            Ok(envelope) => envelope,
            Err(why) => return LeaseEnd::Dead((&Reject::MessageInvalid(why)).into()),
        };
        let (lease, end) = Lease::new(envelope.mailbox.unwrap_or_default());
        let leased = Box::new(LeasedInbound {
            envelope,
            size: held.size,
            lease: Arc::new(lease),
        });
        if self.notices.send(Notice::Leased(leased)).await.is_err() {
            return given_up();
        }
        end.await.unwrap_or_else(|_| given_up())
    }

    /// Extends the leases that have not ended, again and again.
    async fn keep(&self, open: &OpenLeases) {
        loop {
            tokio::time::sleep(LEASE_TIME / 3).await;
            let leases: Vec<String> = open.lock().iter().cloned().collect();
            if leases.is_empty() {
                continue;
            }
            match self.owner.extend(leases).await {
                Ok(reply) => {
                    let mut open = open.lock();
                    for lost in &reply.lost {
                        open.remove(lost);
                    }
                }
                Err(error) => tracing::debug!(%error, "leases of mailbox messages could not be extended"),
            }
        }
    }
}

impl Held {
    fn read(message: LeasedMessage) -> Self {
        let size = message.envelope.get().len();
        let envelope = Envelope::decode(message.envelope.into_text().into_bytes());
        Self {
            lease: message.lease,
            attempt: message.attempt,
            size,
            envelope: envelope.map_err(|error| error.to_string()),
        }
    }
}

/// When a message is to be delivered again.
fn retry_delay(code: &str, attempt: i64) -> Duration {
    match code {
        "shutting_down" => Duration::ZERO,
        "service_degraded" => FAILED_DELAY,
        "handler_error" | "timeout" => {
            let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 16)).unwrap_or_default();
            FAILED_DELAY.saturating_mul(1 << doublings).min(MAX_FAILED_DELAY)
        }
        _ => BUSY_DELAY,
    }
}

fn ack(lease: String, end: LeaseEnd, delay: Option<Duration>) -> MailboxAckItem {
    let (outcome, reason) = match end {
        LeaseEnd::Done => (MailboxOutcome::Done, None),
        LeaseEnd::Retry(reason) => (MailboxOutcome::Retry, Some(reason)),
        LeaseEnd::Dead(reason) => (MailboxOutcome::Dead, Some(reason)),
    };
    let delay_ms = delay.filter(|_| outcome == MailboxOutcome::Retry);
    let (code, detail) = reason.map(|reason| (reason.code.to_owned(), reason.detail)).unzip();
    MailboxAckItem {
        lease,
        outcome,
        delay_ms: delay_ms.and_then(|delay| i64::try_from(delay.as_millis()).ok()),
        code,
        detail: detail.map(|mut detail| {
            detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
            detail
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_messages_come_again_later_and_later() {
        let seconds = |code, attempt| retry_delay(code, attempt).as_secs();
        let handler: Vec<u64> = (1..=8).map(|attempt| seconds("handler_error", attempt)).collect();
        assert_eq!(handler, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(seconds("timeout", i64::MAX), 300);
        assert_eq!(seconds("timeout", i64::MIN), 5);
        assert_eq!(seconds("shutting_down", 3), 0);
        assert_eq!((seconds("busy", 9), seconds("service_degraded", 9)), (1, 5));
    }

    #[test]
    fn an_acknowledgement_says_what_the_registry_needs() {
        let reason = Reason {
            code: "busy",
            detail: "é".repeat(MAX_DETAIL_BYTES),
        };
        let retry = ack("l".into(), LeaseEnd::Retry(reason.clone()), Some(BUSY_DELAY));
        assert_eq!((retry.outcome, retry.delay_ms), (MailboxOutcome::Retry, Some(1000)));
        assert_eq!(retry.detail.unwrap().len(), MAX_DETAIL_BYTES);
        let dead = ack("l".into(), LeaseEnd::Dead(reason), Some(BUSY_DELAY));
        assert_eq!((dead.outcome, dead.delay_ms), (MailboxOutcome::Dead, None));
        assert_eq!(dead.code.as_deref(), Some("busy"));
        let done = ack("l".into(), LeaseEnd::Done, None);
        assert_eq!(
            (done.outcome, done.code, done.detail),
            (MailboxOutcome::Done, None, None)
        );
    }
}
