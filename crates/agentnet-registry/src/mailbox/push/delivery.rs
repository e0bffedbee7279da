//! The delivery of one message to an agent that does not ask for it: the same bytes to its inbox, until its receipt says enough.

use std::time::Duration;

use agentnet_protocol::mailbox::MailboxOutcome;
use agentnet_protocol::{Receipt, Timestamp, subject};
use agentnet_store::StoreError;
use agentnet_store::model::{LeaseEnd, LeasedRow};
use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::verdict::{Reason, Verdict, judge};
use super::{LEASE_MS, lease_end, retry_delay_ms, session_tag};
use crate::clock::Now;
use crate::context::Context;
use crate::presence::mailbox_mode::PushTarget;

/// How long a copy waits for its receipt.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Copies without a receipt.
const MAX_SILENT_COPIES: usize = 3;
/// How long a message that was accepted waits for the end of its handler: twice the time that handlers have by default.
const PROCESSED_TIMEOUT: Duration = Duration::from_secs(60);
/// Copies to a receiver without room, before the message waits and others have their turn.
const MAX_BUSY_COPIES: u32 = 4;
/// The first delay before another copy to a receiver without room; each one is twice as long as the last.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// How often presence is asked whether the receiver lives.
const PRESENCE_INTERVAL: Duration = Duration::from_millis(250);
/// The code of a message whose receiver sends no receipts.
const UNCONFIRMED: &str = "unconfirmed";
/// The code of a message whose receiver went away.
const SESSION_ENDED: &str = "session_ended";
/// The code of a message whose handler did not come to an end.
const NOT_PROCESSED: &str = "not_processed";

/// A message on its way.
pub(super) struct Delivery<'a> {
    ctx: &'a Context,
    stop: &'a CancellationToken,
    account_id: &'a str,
    row: LeasedRow,
    body: Bytes,
    /// The sessions that were live when the last copy was published: one of them has got it.
    targets: Vec<PushTarget>,
    /// The key that receipts have to be signed with.
    key: Option<String>,
    receipts: Subscriber,
    leased_until: Timestamp,
    /// When the last copy was published.
    copy_at: Timestamp,
}

/// What ends the wait for a receipt.
enum Heard {
    Verdict(Verdict),
    Nothing,
    Stopped,
}

impl<'a> Delivery<'a> {
    /// Listens for receipts; `None` if that cannot be: then the lease runs out.
    pub(super) async fn begin(
        ctx: &'a Context,
        account_id: &'a str,
        mut row: LeasedRow,
        stop: &'a CancellationToken,
    ) -> Result<Option<Self>, StoreError> {
        let receipts = ctx.client.subscribe(subject::receipts(&row.from_account_id)).await;
        let Ok(receipts) = receipts else {
            return Ok(None);
        };
        let key = match ctx.presence.signs(account_id) {
            Some(scope) if ctx.config.dev_auth && scope.receipts => {
                let account = ctx.store.account_by_id(account_id).await?;
                account.and_then(|account| account.public_key)
            }
            _ => None,
        };
        let now = Now::read().time;
        Ok(Some(Self {
            body: std::mem::take(&mut row.body).into(),
            targets: Vec::new(),
            leased_until: lease_end(now),
            copy_at: now,
            ctx,
            stop,
            account_id,
            row,
            key,
            receipts,
        }))
    }

    /// Delivers the message; `None` if the lease was lost meanwhile.
    pub(super) async fn run(mut self) -> Result<Option<LeaseEnd>, StoreError> {
        let mut silent_copies = 0;
        let mut busy_copies = 0;
        loop {
            // An agent that was started again meanwhile gets the remaining copies, and no more.
            let Some(targets) = self.ctx.presence.mailbox_targets(self.account_id) else {
                return Ok(Some(self.retry(SESSION_ENDED, silent_copies == 0)));
            };
            self.targets = targets;
            // The sweep tells its sender.
            if self.row.expires_at <= Now::read().time || self.stop.is_cancelled() {
                return Ok(Some(self.retry_with(None, true, 0)));
            }
            if !self.keep_lease().await? {
                return Ok(None);
            }
            self.copy_at = Now::read().time;
            let published = self
                .ctx
                .client
                .publish(subject::inbox(self.account_id), self.body.clone());
            if let Err(error) = published.await {
                tracing::debug!(%error, "a message of a mailbox could not be published");
                return Ok(Some(self.retry(SESSION_ENDED, true)));
            }
            match self.hear(Instant::now() + RECEIPT_TIMEOUT).await {
                Heard::Verdict(Verdict::Again(reason)) => {
                    busy_copies += 1;
                    if busy_copies == MAX_BUSY_COPIES {
                        return Ok(Some(self.end(MailboxOutcome::Retry, Some(reason))));
                    }
                    let backoff = MIN_BACKOFF * 2_u32.pow(busy_copies - 1);
                    let _ = tokio::time::timeout(backoff, self.stop.cancelled()).await;
                }
                Heard::Verdict(verdict) => return self.conclude(verdict).await,
                Heard::Stopped => return Ok(Some(self.retry_with(None, true, 0))),
                Heard::Nothing => {
                    silent_copies += 1;
                    if silent_copies == MAX_SILENT_COPIES {
                        return self.unconfirmed().await;
                    }
                }
            }
        }
    }

    /// The end that a receipt means.
    async fn conclude(mut self, verdict: Verdict) -> Result<Option<LeaseEnd>, StoreError> {
        let mut verdict = verdict;
        let deadline = Instant::now() + PROCESSED_TIMEOUT;
        loop {
            match verdict {
                Verdict::Done => return Ok(Some(self.end(MailboxOutcome::Done, None))),
                Verdict::Retry(reason) => return Ok(Some(self.end(MailboxOutcome::Retry, Some(reason)))),
                Verdict::Dead(reason) => return Ok(Some(self.end(MailboxOutcome::Dead, Some(reason)))),
                Verdict::Again(_) | Verdict::Accepted => {}
            }
            if !self.keep_lease().await? {
                return Ok(None);
            }
            let until = deadline.min(Instant::now() + PRESENCE_INTERVAL);
            verdict = match self.hear(until).await {
                Heard::Verdict(verdict) => verdict,
                Heard::Stopped => return Ok(Some(self.retry_with(None, true, 0))),
                Heard::Nothing if self.has_ended() => return Ok(Some(self.retry(SESSION_ENDED, false))),
                Heard::Nothing if Instant::now() >= deadline => {
                    // The receiver knows the message for a while, and does not handle it again so long.
                    let delay_ms = retry_delay_ms(self.row.attempt);
                    return Ok(Some(self.retry_with(Some(NOT_PROCESSED), false, delay_ms)));
                }
                Heard::Nothing => Verdict::Accepted,
            };
        }
    }

    /// No copy has got a receipt. A receiver that says hello after the last one is alive, and sends no receipts; if all have gone
    /// that may have got it, it may be lost with them.
    async fn unconfirmed(mut self) -> Result<Option<LeaseEnd>, StoreError> {
        loop {
            if self.has_ended() {
                return Ok(Some(self.retry(SESSION_ENDED, false)));
            }
            if self.is_alive_since(self.copy_at) {
                let mut end = self.end(MailboxOutcome::Done, None);
                end.code = Some(UNCONFIRMED.to_owned());
                return Ok(Some(end));
            }
            if !self.keep_lease().await? {
                return Ok(None);
            }
            match self.hear(Instant::now() + PRESENCE_INTERVAL).await {
                Heard::Nothing | Heard::Verdict(Verdict::Again(_)) => {}
                Heard::Verdict(verdict) => return self.conclude(verdict).await,
                Heard::Stopped => return Ok(Some(self.retry_with(None, false, 0))),
            }
        }
    }

    /// Waits for a receipt that says something of the message.
    async fn hear(&mut self, until: Instant) -> Heard {
        loop {
            let receipt = tokio::select! {
                () = self.stop.cancelled() => return Heard::Stopped,
                receipt = timeout_at(until, self.receipts.next()) => receipt,
            };
            let receipt = match receipt {
                Ok(Some(receipt)) => receipt,
                Ok(None) => {
                    // The client has ended.
                    tokio::time::sleep_until(until).await;
                    return Heard::Nothing;
                }
                Err(_) => return Heard::Nothing,
            };
            if let Some(verdict) = self.read(receipt.payload) {
                return Heard::Verdict(verdict);
            }
        }
    }

    fn read(&self, body: Bytes) -> Option<Verdict> {
        // The sender has other messages under way.
        if Receipt::message_id_at_front(&body).is_some_and(|message_id| message_id != self.row.message_id) {
            return None;
        }
        let receipt = Receipt::decode(body).ok()?;
        let (message_id, ack, attempt) = (&self.row.message_id, self.row.ack, self.row.attempt);
        let verdict = judge(&receipt, message_id, self.account_id, ack, attempt)?;
        let is_own = receipt.from_account_id.as_deref() == Some(self.account_id);
        match &self.key {
            Some(key) if is_own && receipt.signed_by().as_ref() != Some(key) => None,
            _ => Some(verdict),
        }
    }

    /// Whether all sessions are gone that may have got the message, or another one asks for the messages now.
    fn has_ended(&self) -> bool {
        self.live_targets().is_empty()
    }

    /// Whether a session that may have got the message has shown after this time that it lives.
    fn is_alive_since(&self, time: Timestamp) -> bool {
        self.live_targets().iter().any(|live| live.last_seen > time)
    }

    /// The sessions that may have got the message, and are live.
    fn live_targets(&self) -> Vec<PushTarget> {
        let mut live = self.ctx.presence.mailbox_targets(self.account_id).unwrap_or_default();
        live.retain(|live| self.targets.iter().any(|target| target.session_tag == live.session_tag));
        live
    }

    /// Extends the lease before it runs out; `false` if it was lost.
    async fn keep_lease(&mut self) -> Result<bool, StoreError> {
        let now = Now::read().time;
        if now.saturating_add_millis(LEASE_MS / 2) < self.leased_until {
            return Ok(true);
        }
        let (until, leases) = (lease_end(now), [self.row.lease.clone()]);
        let tag = session_tag(self.ctx);
        let extended = self.ctx.store.extend_leases(self.account_id, &tag, &leases, now, until);
        let extended = extended.await?.first().copied().unwrap_or(false);
        self.leased_until = until;
        Ok(extended)
    }

    fn retry(&self, code: &str, free: bool) -> LeaseEnd {
        self.retry_with(Some(code), free, 1_000)
    }

    fn retry_with(&self, code: Option<&str>, free: bool, delay_ms: i64) -> LeaseEnd {
        LeaseEnd {
            lease: self.row.lease.clone(),
            outcome: MailboxOutcome::Retry,
            available_at: Now::read().time.saturating_add_millis(delay_ms.into()),
            free,
            code: code.map(str::to_owned),
            detail: None,
        }
    }

    fn end(&self, outcome: MailboxOutcome, reason: Option<Reason>) -> LeaseEnd {
        let mut end = self.retry_with(None, false, 0);
        end.outcome = outcome;
        if let Some(reason) = reason {
            end.available_at = end.available_at.saturating_add_millis(reason.delay_ms.into());
            end.free = reason.free;
            end.code = Some(reason.code);
            end.detail = reason.detail;
        }
        end
    }
}
