//! Signed registration: checks the signature over the account that a request would get (PROTOCOL.md section 13.3).
//!
//! Everything is checked before an account is created or changed (section 0, decision 5). The key is compared once more, and
//! bound, in the store's transaction.

use agentnet_protocol::json::Value;
use agentnet_protocol::register_auth::{self, Registrant, Registration};
use agentnet_protocol::rpc::{RegisterRequest, RpcError};
use agentnet_store::model::{Account, AccountClaim, DesiredName};
use agentnet_store::{Store, StoreError};

use crate::clock::Now;
use crate::context::Context;

/// Announces a used nonce to the other registries, whether or not the request is valid otherwise: it must not be replayed to
/// another registry. A registry that gets the replay before the announcement still accepts it.
pub(crate) async fn announce_used(ctx: &Context, nonce: Option<String>) {
    if let Some(nonce) = nonce {
        ctx.peer_events.nonce_used(&nonce).await;
    }
}

/// Checks the signature of a request; returns the registrant.
///
/// # Errors
/// The code of section 13.3; `auth_validation_failed` if the account cannot be looked up.
pub(crate) async fn check(
    ctx: &Context,
    request: &RegisterRequest,
    claim: &AccountClaim,
    now: Now,
) -> Result<Registrant, RpcError> {
    let target = target(ctx.store.as_ref(), claim).await.map_err(|error| {
        tracing::error!(%error, "a registration's account could not be looked up");
        RpcError::fault("auth_validation_failed")
    })?;
    let registration = Registration {
        agent_id: &request.agent.agent_id,
        name: &request.agent.name,
        requested_username: request.agent.username.as_deref(),
        account_id: &target.account_id,
        username: &target.username,
        bound_key: target.key.as_deref(),
    };
    let skew = u64::try_from(ctx.config.dev_auth_max_skew.as_millis()).unwrap_or(u64::MAX);
    let auth = request.auth.as_ref().map_or(Value::NULL, |auth| auth.view());
    let mut used = None;
    let checked = register_auth::check(&auth, &registration, now.time, skew, |nonce| {
        let new = ctx.nonces.remember(nonce, now.instant);
        used = new.then(|| nonce.to_owned());
        new
    });
    announce_used(ctx, used).await;
    checked.map_err(|error| RpcError::new(error.code()))
}

/// The account that a claim would get, without creating it.
struct Target {
    account_id: String,
    username: String,
    key: Option<String>,
}

async fn target(store: &dyn Store, claim: &AccountClaim) -> Result<Target, StoreError> {
    let requested = matches!(claim.name, DesiredName::Requested(_));
    let (name, owner) = match &claim.name {
        DesiredName::Requested(name) | DesiredName::Derived(name) => (name, store.account_by_username(name).await?),
        // A made-up name never joins an account.
        DesiredName::Generated(name) => (name, None),
    };
    let known = match &claim.account_id {
        Some(id) => store.account_by_id(id).await?,
        None => None,
    };
    let of = |account: Account, username: String| Target {
        account_id: account.account_id,
        username,
        key: account.public_key,
    };
    let free = owner.is_none();
    Ok(match (known, &claim.account_id, owner) {
        // A known account takes a requested name that is free, else keeps its own.
        (Some(account), _, _) => {
            let username = if requested && free {
                name.clone()
            } else {
                account.username.clone()
            };
            of(account, username)
        }
        // A new account of this id; with a taken name it would get another one, which cannot have been signed.
        (None, Some(id), owner) => {
            let username = if owner.is_none() { name.clone() } else { String::new() };
            Target {
                account_id: id.clone(),
                username,
                key: None,
            }
        }
        (None, None, Some(account)) => {
            let username = account.username.clone();
            of(account, username)
        }
        (None, None, None) => Target {
            account_id: claim.new_account_id.clone(),
            username: name.clone(),
            key: None,
        },
    })
}
