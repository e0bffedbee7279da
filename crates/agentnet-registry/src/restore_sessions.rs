//! Restores the sessions that are online in the store (PROTOCOL.md section 0, decision 6): at the start, or as soon as the
//! database answers.

use std::sync::Arc;
use std::time::Duration;

use agentnet_store::StoreError;
use agentnet_store::model::AccountQuery;
use futures::StreamExt as _;

use crate::clock::Now;
use crate::context::Context;

/// Profiles that are read at the same time.
const CONCURRENCY: usize = 16;
/// The delay after a failure.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Restores the sessions of the store. One whose last sign of life is too old went offline while no registry ran, or its
/// registry could not write: its row is corrected when every session has had time to say hello.
///
/// # Errors
/// The store's error; may be called again.
pub(crate) async fn attempt(ctx: &Context) -> Result<(), StoreError> {
    let sessions = ctx.store.online_sessions().await?;
    let any_account = AccountQuery {
        limit: 1,
        ..AccountQuery::default()
    };
    let empty = sessions.is_empty() && ctx.store.accounts(&any_account).await?.items.is_empty();
    let now = Now::read();
    let total = sessions.len();
    let online = sessions
        .into_iter()
        .filter(|session| ctx.presence.restore(session.clone(), now))
        .count();
    load_profiles(ctx).await?;
    ctx.presence.loaded(empty, Now::read());
    if empty && ctx.capture.new_stream {
        ctx.presence.first_registry(Now::read());
    }
    ctx.flush.notify();
    if total > 0 {
        tracing::info!(online, silent = total - online, "sessions restored from the store");
    }
    Ok(())
}

/// Tries, whenever the database answers, until it succeeds.
pub(crate) async fn when_possible(ctx: Arc<Context>) {
    let mut warned = false;
    loop {
        ctx.database.up().await;
        let Err(error) = attempt(&ctx).await else { return };
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(%error, "the sessions in the store cannot be read; trying again");
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Reads the profiles that searches lack of online accounts.
///
/// # Errors
/// The store's error.
pub(crate) async fn load_profiles(ctx: &Context) -> Result<(), StoreError> {
    let mut profiles = futures::stream::iter(ctx.presence.accounts_without_profile())
        .map(|id| async move { ctx.store.account_by_id(&id).await })
        .buffer_unordered(CONCURRENCY);
    while let Some(profile) = profiles.next().await {
        if let Some(account) = profile? {
            ctx.presence.set_profile(account);
        }
    }
    Ok(())
}
