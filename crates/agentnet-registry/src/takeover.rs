//! Taking over the sessions that the store holds as online (PROTOCOL.md section 0, decision 6): at start, or as soon as the
//! database answers.

use std::sync::Arc;
use std::time::Duration;

use agentnet_store::StoreError;
use agentnet_store::model::AccountQuery;
use futures::StreamExt as _;

use crate::clock::Now;
use crate::context::Context;

/// Accounts that are read at the same time.
const READS: usize = 16;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes over what the store holds. Those that were silent for too long went offline while no registry looked, or said
/// hello to one that could not write it: they are put right when all had time to say hello.
///
/// # Errors
/// What the store says; may be repeated.
pub(crate) async fn attempt(ctx: &Context) -> Result<(), StoreError> {
    let sessions = ctx.store.online_sessions().await?;
    let anybody = AccountQuery {
        limit: 1,
        ..AccountQuery::default()
    };
    let empty = sessions.is_empty() && ctx.store.accounts(&anybody).await?.items.is_empty();
    let now = Now::read();
    let total = sessions.len();
    let online = sessions
        .into_iter()
        .filter(|session| ctx.presence.restore(session.clone(), now))
        .count();
    load_profiles(ctx).await?;
    ctx.presence.loaded(empty, Now::read());
    if empty && ctx.capture.fresh {
        ctx.presence.first_of_all(Now::read());
    }
    ctx.bell.ring();
    if total > 0 {
        tracing::info!(online, silent = total - online, "sessions taken over from the store");
    }
    Ok(())
}

/// Tries until it has succeeded, as soon as the database answers.
pub(crate) async fn when_possible(ctx: Arc<Context>) {
    let mut warned = false;
    loop {
        ctx.database.up().await;
        let Err(error) = attempt(&ctx).await else { return };
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(%error, "the sessions in the store cannot be read; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads the profiles of those who are online and cannot be found without.
///
/// # Errors
/// What the store says.
pub(crate) async fn load_profiles(ctx: &Context) -> Result<(), StoreError> {
    let mut profiles = futures::stream::iter(ctx.presence.without_profile())
        .map(|id| async move { ctx.store.account_by_id(&id).await })
        .buffer_unordered(READS);
    while let Some(profile) = profiles.next().await {
        if let Some(account) = profile? {
            ctx.presence.set_profile(account);
        }
    }
    Ok(())
}
