//! Delivers messages of mailboxes to agents that do not ask for them: those of the Python implementation (agentnet-realm 0.1.1),
//! and others that do not pull (PROTOCOL.md section 21.4).
//!
//! One of the running registries delivers to an account, to which it owns the account's id (`presence::ownership`), one message
//! after the other (`pusher`). Two that both think so are kept apart by the store: no second message of the account is leased.

mod delivery;
mod pusher;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::Timestamp;
use agentnet_store::StoreError;
use agentnet_store::model::PUSH_SESSION_PREFIX;
use ahash::AHashSet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::tasks::Phase;

/// How often is checked which accounts can take messages.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Accounts to which messages are delivered at the same time.
const MAX_PUSHERS: usize = 256;
/// Accounts in one look at presence, which nothing else can use meanwhile.
const CHUNK_ACCOUNTS: usize = 512;
/// Accounts in one page of the store, and pages of one reading.
const PAGE_ACCOUNTS: usize = 1_000;
const MAX_PAGES: usize = 100;
/// How long a message is leased; a delivery that takes longer extends that.
const LEASE_MS: i128 = 60_000;
/// The delay before the second attempt of a message whose handler failed, and the longest one, in milliseconds.
const FIRST_RETRY_DELAY_MS: i64 = 5_000;
const MAX_RETRY_DELAY_MS: i64 = 300_000;

/// How long a message waits after an attempt that failed, in milliseconds; `attempt` counts from 1.
pub(crate) fn retry_delay_ms(attempt: i64) -> i64 {
    let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 16)).unwrap_or_default();
    FIRST_RETRY_DELAY_MS
        .saturating_mul(1 << doublings)
        .min(MAX_RETRY_DELAY_MS)
}

/// The session that has the leases of this registry.
fn session_tag(ctx: &Context) -> String {
    session_tag_of(&ctx.config.server_id)
}

/// The session that has the leases of a registry.
fn session_tag_of(server_id: &str) -> String {
    format!("{PUSH_SESSION_PREFIX}{server_id}")
}

/// The end of a lease that begins now.
fn lease_end(now: Timestamp) -> Timestamp {
    now.saturating_add_millis(LEASE_MS)
}

/// Accounts to which messages are being delivered.
type Running = Arc<Mutex<AHashSet<String>>>;

/// Delivers messages until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(CHECK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let running = Running::default();
    let places = Arc::new(Semaphore::new(MAX_PUSHERS));
    let mut read_at: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        ctx.mailbox
            .notices
            .recipients
            .recheck(&ctx.presence.take_push_changes());
        if !ctx.database.is_up() || !ctx.is_connected() {
            continue;
        }
        if read_at.is_none_or(|at| at.elapsed() >= ctx.config.gc_interval) {
            read_at = Some(Instant::now());
            match stop.run_until_cancelled(read_recipients(&ctx)).await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "the accounts with messages cannot be read"),
                None => return,
            }
        }
        start(&ctx, &running, &places, &stop);
    }
}

/// Reads for which accounts messages wait.
async fn read_recipients(ctx: &Context) -> Result<(), StoreError> {
    let recipients = &ctx.mailbox.notices.recipients;
    recipients.begin_reading();
    let mut found: Vec<String> = Vec::new();
    for _ in 0..MAX_PAGES {
        let after = found.last().map_or("", String::as_str);
        let page = ctx.store.accounts_with_mail(after, PAGE_ACCOUNTS).await?;
        let is_last = page.len() < PAGE_ACCOUNTS;
        found.extend(page);
        if is_last {
            break;
        }
    }
    recipients.end_reading(&found);
    Ok(())
}

/// Starts to deliver to the accounts that can take messages now, in the order in which they came.
fn start(ctx: &Arc<Context>, running: &Running, places: &Arc<Semaphore>, stop: &CancellationToken) {
    let recipients = &ctx.mailbox.notices.recipients;
    let mut later = Vec::new();
    loop {
        let due = recipients.take_due(CHUNK_ACCOUNTS);
        if due.is_empty() {
            break;
        }
        // The others are due again when their sessions change.
        let mut ready = ctx.presence.to_push_to(due).into_iter();
        for account_id in ready.by_ref() {
            if running.lock().contains(&account_id) {
                later.push(account_id);
                continue;
            }
            let Ok(place) = Arc::clone(places).try_acquire_owned() else {
                recipients.put_back(std::iter::once(account_id).chain(ready).collect());
                recipients.add_all(&later);
                return;
            };
            let runs = Runs::new(running, &account_id);
            let (owner, places, stop) = (Arc::clone(ctx), Arc::clone(places), stop.clone());
            ctx.tasks.spawn(Phase::Requests, async move {
                let (_place, _runs) = (place, runs);
                pusher::run(&owner, &account_id, &places, &stop).await;
            });
        }
    }
    recipients.add_all(&later);
}

/// An account is in the set of those that run until this is dropped.
struct Runs {
    running: Running,
    account_id: String,
}

impl Runs {
    fn new(running: &Running, account_id: &str) -> Self {
        running.lock().insert(account_id.to_owned());
        Self {
            running: Arc::clone(running),
            account_id: account_id.to_owned(),
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.running.lock().remove(&self.account_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_five_minutes() {
        let delays: Vec<i64> = (0..9).map(retry_delay_ms).collect();
        assert_eq!(
            delays,
            [5_000, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]
        );
        assert_eq!(retry_delay_ms(i64::MAX), MAX_RETRY_DELAY_MS);
        assert_eq!(retry_delay_ms(i64::MIN), FIRST_RETRY_DELAY_MS);
    }
}
