//! Claims that come while another transaction writes share the next one: a commit is synced to the disk, which takes as long for
//! many claims as for one. (A PostgreSQL server does the same with the commits of its connections.)

use parking_lot::Mutex;
use sqlx::{Sqlite, Transaction};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::claims::{Claimed, claim_in};
use crate::error::StoreError;
use crate::model::TaskClaimQuery;
use crate::sqlite::SqliteStore;
use crate::sqlite::error::failed;

/// Claims in one transaction.
const MAX_CLAIMS: usize = 64;

/// The claims of a store that wait for its connection that writes.
#[derive(Debug, Default)]
pub(in crate::sqlite) struct ClaimQueue {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the caller that makes the claims of all that wait.
    leader: AsyncMutex<()>,
}

#[derive(Debug)]
struct Waiting {
    query: TaskClaimQuery,
    outcome: oneshot::Sender<Result<Claimed, StoreError>>,
}

impl ClaimQueue {
    fn join(&self, query: TaskClaimQuery) -> oneshot::Receiver<Result<Claimed, StoreError>> {
        let (outcome, answer) = oneshot::channel();
        self.waiting.lock().push(Waiting { query, outcome });
        answer
    }

    #[cfg(test)]
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Those that came first, without those whose callers have gone.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|claim| !claim.outcome.is_closed());
        let count = waiting.len().min(MAX_CLAIMS);
        waiting.drain(..count).collect()
    }
}

/// Claims tasks in a transaction with the others that wait.
pub(super) async fn claim(store: &SqliteStore, query: &TaskClaimQuery) -> Result<Claimed, StoreError> {
    let queue = &store.claims;
    let mut answer = queue.join(query.clone());
    loop {
        let leader = tokio::select! {
            biased;
            outcome = &mut answer => match outcome {
                Ok(outcome) => return outcome,
                // The caller that made this claim was dropped. What it has committed is found by the token of the claim.
                Err(_) => {
                    answer = queue.join(query.clone());
                    continue;
                }
            },
            leader = queue.leader.lock() => leader,
        };
        match answer.try_recv() {
            // The leader before has made it.
            Ok(outcome) => return outcome,
            // The leader before was dropped. A receiver that has said so must not be asked again.
            Err(TryRecvError::Closed) => answer = queue.join(query.clone()),
            Err(TryRecvError::Empty) => {}
        }
        claim_waiting(store).await;
        drop(leader);
    }
}

/// Makes the claims that wait.
async fn claim_waiting(store: &SqliteStore) {
    let begun = store.begin_write().await;
    let waiting = store.claims.take();
    let error = match begun {
        Err(error) => error,
        Ok(transaction) => match claim_together(store, transaction, &waiting).await {
            Ok(claimed) => {
                for (claim, claimed) in waiting.into_iter().zip(claimed) {
                    // Its caller may have gone: the leases run out.
                    let _ = claim.outcome.send(Ok(claimed));
                }
                return;
            }
            // One that fails must not fail the others.
            Err(error) if waiting.len() == 1 || error.is_unreachable() => error,
            Err(_) => return claim_each(store, waiting).await,
        },
    };
    for claim in waiting {
        let _ = claim.outcome.send(Err(error.clone()));
    }
}

async fn claim_each(store: &SqliteStore, waiting: Vec<Waiting>) {
    for claim in waiting {
        if claim.outcome.is_closed() {
            continue;
        }
        let claimed = match store.begin_write().await {
            Ok(transaction) => claim_together(store, transaction, std::slice::from_ref(&claim)).await,
            Err(error) => Err(error),
        };
        let _ = claim
            .outcome
            .send(claimed.map(|mut claimed| claimed.pop().unwrap_or_default()));
    }
}

/// Makes claims in one transaction; what each of them gets.
async fn claim_together(
    store: &SqliteStore,
    mut transaction: Transaction<'static, Sqlite>,
    claims: &[Waiting],
) -> Result<Vec<Claimed>, StoreError> {
    let mut all = Vec::with_capacity(claims.len());
    let mut has_changed = false;
    for claim in claims {
        let (claimed, is_new) = claim_in(&mut transaction, &claim.query).await.map_err(failed)?;
        has_changed |= is_new;
        all.push(claimed);
    }
    match has_changed {
        true => transaction.commit().await.map_err(failed)?,
        false => transaction.rollback().await.map_err(failed)?,
    }
    store.check_file()?;
    Ok(all)
}
