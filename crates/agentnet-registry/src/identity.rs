//! The registry's own key under signed identity: it signs the receipts and errors that it sends in an account's place
//! (PROTOCOL.md section 13.7).
//!
//! The account `acct_registry_<server_id>` holds the key in the store, so that `registry.resolve_key` of any replica returns
//! it. Agents cannot register such an account. Registries trust the store, so a registry that restarts with another key binds
//! the new one.

use std::sync::Arc;
use std::time::Duration;

use agentnet_keys::KeyFileError;
use agentnet_protocol::signature::{SigningKey, key_file_name};
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::subject::{REGISTRY_ACCOUNT_PREFIX, registry_account};
use agentnet_protocol::{Envelope, RawJson, Receipt, message_auth, username};
use agentnet_store::model::{AccountClaim, DesiredName};
use agentnet_store::{Store, StoreError};

use crate::clock::Now;
use crate::config::RegistryConfig;
use crate::database::Database;
use crate::tasks::{Phase, TaskSet};

/// The delay after a failure.
const BIND_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The registry as a sender.
#[derive(Debug)]
pub(crate) struct Identity {
    account_id: String,
    key: SigningKey,
}

impl Identity {
    /// Reads the key file in the configured directory, or creates it; without a directory, generates a key for this run.
    /// `None` where signed identity is off.
    ///
    /// # Errors
    /// [`KeyFileError`]
    pub(crate) fn open(config: &RegistryConfig) -> Result<Option<Self>, KeyFileError> {
        if !config.dev_auth {
            return Ok(None);
        }
        let account_id = registry_account(&config.server_id);
        let key = match &config.key_dir {
            Some(directory) => agentnet_keys::load_or_create(&directory.join(key_file_name(None, &account_id)))?,
            None => agentnet_keys::generate(),
        };
        Ok(Some(Self { account_id, key }))
    }

    /// Signs a finished message.
    pub(crate) fn sign(&self, envelope: &mut Envelope) {
        envelope.auth = Some(message_auth::sign(&self.key, envelope));
    }

    /// Signs a finished receipt.
    pub(crate) fn sign_receipt(&self, receipt: &mut Receipt) {
        receipt.sign(&self.key);
    }

    /// Stores the key in the registry's account.
    async fn bind_key(&self, store: &dyn Store) -> Result<(), StoreError> {
        let key = self.key.public_text();
        let now = Now::read();
        let name = username::normalise(self.account_id.trim_start_matches("acct_"));
        let claim = AccountClaim {
            account_id: Some(self.account_id.clone()),
            name: DesiredName::Requested(name),
            new_account_id: self.account_id.clone(),
            display_name: "Registry".to_owned(),
            capabilities: Vec::new(),
            metadata: RawJson::empty_object(),
            agent_id: self.account_id.trim_start_matches("acct_").to_owned(),
            public_key: Some(key.to_owned()),
            signs: SigningScope::default(),
            at: now.time,
        };
        loop {
            match store.claim_account(&claim).await {
                Err(StoreError::KeyMismatch) => {}
                outcome => return outcome.map(drop),
            }
            let bound = store.account_by_id(&self.account_id).await?;
            let Some(old) = bound.and_then(|account| account.public_key) else {
                continue;
            };
            tracing::info!(account_id = %self.account_id, "this registry has another key than before; binding the new one");
            match store.rotate_key(&self.account_id, &old, key, now.time).await {
                // Another registry was faster: read again.
                Err(StoreError::KeyMismatch) | Ok(None) => {}
                outcome => return outcome.map(drop),
            }
        }
    }
}

/// Whether an account id is reserved for registries.
pub(crate) fn is_reserved(account_id: &str) -> bool {
    account_id.starts_with(REGISTRY_ACCOUNT_PREFIX)
}

/// Binds the registry's key; while the database is down, as soon as it answers.
///
/// # Errors
/// The store's error, unless the database is down.
pub(crate) async fn bind(identity: &Arc<Identity>, database: &Database, tasks: &TaskSet) -> Result<(), StoreError> {
    let store = database.fail_fast();
    match identity.bind_key(store.as_ref()).await {
        Err(StoreError::Unavailable(reason)) => {
            tracing::warn!(reason, "this registry's key cannot be bound yet; trying again");
            let (identity, database) = (Arc::clone(identity), database.clone());
            tasks.spawn(Phase::Background, async move {
                loop {
                    database.up().await;
                    match identity.bind_key(store.as_ref()).await {
                        Ok(()) => return,
                        Err(error) => tracing::debug!(%error, "this registry's key cannot be bound yet"),
                    }
                    tokio::time::sleep(BIND_RETRY_DELAY).await;
                }
            });
            Ok(())
        }
        outcome => outcome,
    }
}
