//! Leased messages, handed to the intake: those of one sender one after another, those of several senders side by side
//! (PROTOCOL.md section 21.4). A sender whose messages take long does not hold up the others.
//!
//! A message of a sender is handed on when the one before has ended as it asks: accepted, or processed. If one goes back to the
//! mailbox, the later ones of its sender go back too, so that none overtakes it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::mailbox::{MAX_DETAIL_BYTES, MAX_LEASE_MESSAGES, MailboxOutcome};
use agentnet_protocol::rpc::{LeasedMessage, MailboxAckItem};
use agentnet_protocol::{Envelope, Reject, Text};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
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

/// Hands on leased messages.
pub(super) struct Dispatch<'a> {
    owner: &'a MailboxOwner,
    notices: &'a mpsc::Sender<Notice>,
    acks: &'a mpsc::Sender<AckCommand>,
    leaving: &'a CancellationToken,
    state: Mutex<State>,
    /// The messages of a sender have ended.
    ended: Notify,
}

#[derive(Default)]
struct State {
    /// The leases that have not ended.
    open: HashSet<String>,
    /// The messages of each sender that wait for the one before them. A sender is in it while one of its messages is handled.
    waiting: HashMap<Option<Text>, VecDeque<Held>>,
    /// When a message is to be delivered again.
    retry_at: Option<Instant>,
    /// Whether the messages of a sender have ended, and the pull has not seen it yet.
    has_ended: bool,
}

/// The senders whose messages are to be handled, one after another for each.
pub(super) type Senders = mpsc::Receiver<Option<Text>>;

/// A leased message, read.
struct Held {
    lease: String,
    attempt: i64,
    size: usize,
    envelope: Result<Envelope, String>,
}

impl<'a> Dispatch<'a> {
    pub(super) fn new(
        owner: &'a MailboxOwner,
        notices: &'a mpsc::Sender<Notice>,
        acks: &'a mpsc::Sender<AckCommand>,
        leaving: &'a CancellationToken,
    ) -> Self {
        Self {
            owner,
            notices,
            acks,
            leaving,
            state: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Takes leased messages. Those of a sender that has messages here wait behind them; other senders are given to
    /// [`run`](Self::run).
    pub(super) async fn take(&self, messages: Vec<LeasedMessage>, senders: &mpsc::Sender<Option<Text>>) {
        for sender in self.add(messages) {
            // Fails only when the session has ended.
            let _ = senders.send(sender).await;
        }
    }

    /// Returns the senders that had no messages here.
    fn add(&self, messages: Vec<LeasedMessage>) -> Vec<Option<Text>> {
        let mut state = self.state.lock();
        let mut added = Vec::new();
        for message in messages {
            // A request with such a name would be refused as a whole.
            if message.lease.len() > MAX_NAME_BYTES || !state.open.insert(message.lease.clone()) {
                continue;
            }
            let held = Held::read(message);
            let envelope = held.envelope.as_ref().ok();
            let sender = envelope.and_then(|envelope| envelope.from_account_id.clone());
            match state.waiting.entry(sender) {
                Entry::Occupied(mut waiting) => waiting.get_mut().push_back(held),
                Entry::Vacant(vacant) => {
                    added.push(vacant.key().clone());
                    vacant.insert(VecDeque::from([held]));
                }
            }
        }
        added
    }

    /// Hands on the messages of these senders. Returns when no sender can come any more, and all messages have ended.
    pub(super) async fn run(&self, mut senders: Senders) {
        // Boxed, because the mailbox is empty nearly always.
        while let Some(sender) = senders.recv().await {
            Box::pin(self.run_until_all_ended(sender, &mut senders)).await;
        }
    }

    /// Hands on the messages of this sender, and of those that come meanwhile.
    async fn run_until_all_ended(&self, sender: Option<Text>, senders: &mut Senders) {
        let mut in_order = FuturesUnordered::new();
        in_order.push(self.in_order(sender));
        let handing_on = async {
            while !in_order.is_empty() {
                tokio::select! {
                    Some(sender) = senders.recv() => in_order.push(self.in_order(sender)),
                    Some(()) = in_order.next() => {
                        self.state.lock().has_ended = true;
                        self.ended.notify_one();
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = handing_on => {}
            () = self.keep() => {}
        }
    }

    /// The number of leases that have not ended.
    pub(super) fn open_count(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Whether messages have ended since the last call.
    pub(super) fn take_ended(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_ended)
    }

    /// When the first message that went back is delivered again; for one call.
    pub(super) fn take_retry_at(&self) -> Option<Instant> {
        self.state.lock().retry_at.take()
    }

    /// Returns when the messages of a sender have ended that [`take_ended`](Self::take_ended) has not told of; for one caller at a
    /// time.
    pub(super) async fn next_end(&self) {
        while !self.state.lock().has_ended {
            self.ended.notified().await;
        }
    }

    /// Returns when all messages have ended; for one caller at a time.
    pub(super) async fn all_ended(&self) {
        while self.open_count() > 0 {
            self.ended.notified().await;
        }
    }

    /// Hands on the messages of one sender, until none is left.
    async fn in_order(&self, sender: Option<Text>) {
        let mut returned = None;
        while let Some(held) = self.next_of(&sender) {
            let lease = held.lease.clone();
            let attempt = held.attempt;
            let end = if !self.state.lock().open.contains(&lease) {
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
            let mut state = self.state.lock();
            state.open.remove(&lease);
            if let Some(delay) = returned {
                let at = Instant::now() + delay;
                state.retry_at = Some(state.retry_at.map_or(at, |before| before.min(at)));
            }
        }
    }

    /// The next message of a sender.
    fn next_of(&self, sender: &Option<Text>) -> Option<Held> {
        let mut state = self.state.lock();
        let held = state.waiting.get_mut(sender).and_then(VecDeque::pop_front);
        if held.is_none() {
            state.waiting.remove(sender);
        }
        held
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
    async fn keep(&self) {
        loop {
            tokio::time::sleep(LEASE_TIME / 3).await;
            let leases: Vec<String> = self.state.lock().open.iter().cloned().collect();
            for leases in leases.chunks(MAX_LEASE_MESSAGES) {
                match self.owner.extend(leases.to_vec()).await {
                    Ok(reply) => {
                        let mut state = self.state.lock();
                        for lost in &reply.lost {
                            state.open.remove(lost);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "leases of mailbox messages could not be extended"),
                }
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
