//! Signed identity (`DEV_AUTH`, PROTOCOL.md section 13): the node's own key, and what it makes of others' signatures.
//!
//! - `key_source`: where the key comes from; `rotate`: a new key in its place
//! - all messages and receipts of the node are signed in one place, the [`Composer`](crate::composer::Composer)
//! - `key_cache`: the keys of other accounts, cached for a while
//! - `verify_inbound`: messages to the node; `verify_reply`: replies to its requests; `verify_receipt`: receipts for its messages

pub(crate) mod error;
mod expected_receipts;
mod key_cache;
pub(crate) mod key_source;
pub(crate) mod rotate;
mod verify_inbound;
mod verify_receipt;
mod verify_reply;

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::rpc::RegisterRequest;
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Envelope, Text, register_auth};
use parking_lot::RwLock;

use expected_receipts::ExpectedReceipts;
use key_cache::{KeyCache, KeyLookup};
pub(crate) use key_source::{KeySource, OpenedKeys};
pub(crate) use verify_inbound::{InboundMessage, InboundVerifier, Verification};
pub(crate) use verify_receipt::{ReceiptChecks, expect_receipts};
pub(crate) use verify_reply::{Came, ISSUER_MISMATCH, IgnoredReplies, ReplyExpectation, verify_reply};

use crate::ids;
use crate::registry::RegistryClient;

/// The key of a signing node, and those of others.
#[derive(Debug)]
pub(crate) struct Identity {
    key: RwLock<Arc<SigningKey>>,
    own_account_id: Text,
    keys: Arc<KeyCache>,
    expected_receipts: ExpectedReceipts,
}

/// What the cached keys tell of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignatureVerdict {
    Genuine,
    Refused(MessageAuthError),
    /// The registry has to be asked for the sender's key, or whether the key has changed.
    Ask,
}

impl Identity {
    pub(crate) fn new(
        key: Arc<SigningKey>,
        own_account_id: Text,
        registry: RegistryClient,
        key_cache_ttl: Duration,
    ) -> Self {
        Self {
            key: RwLock::new(key),
            own_account_id,
            keys: Arc::new(KeyCache::new(registry, key_cache_ttl)),
            expected_receipts: ExpectedReceipts::default(),
        }
    }

    pub(crate) fn key(&self) -> Arc<SigningKey> {
        self.key.read().clone()
    }

    pub(crate) fn set_key(&self, key: Arc<SigningKey>) {
        *self.key.write() = key;
    }

    /// Verifies a message by the cached keys.
    fn examine(&self, account_id: &str, signed: &SignedMessage, envelope: &Envelope) -> SignatureVerdict {
        let known = match self.keys.cached(account_id) {
            None => return SignatureVerdict::Ask,
            Some(KeyLookup::Key(known)) => known,
            Some(KeyLookup::NoKey { .. } | KeyLookup::Failed) => {
                return SignatureVerdict::Refused(MessageAuthError::KeyNotFound);
            }
        };
        match signed.verify(Some(&known.public_key), envelope) {
            Ok(()) => SignatureVerdict::Genuine,
            // The registry is asked only about a message that is valid under the key that it names.
            Err(MessageAuthError::PublicKey) if signed.is_consistent(envelope) => SignatureVerdict::Ask,
            Err(error) => SignatureVerdict::Refused(error),
        }
    }

    /// Verifies a message once the registry has been asked.
    fn conclude(&self, account_id: &str, signed: &SignedMessage, envelope: &Envelope) -> Result<(), MessageAuthError> {
        match self.keys.cached(account_id) {
            Some(KeyLookup::Key(known)) => signed.verify(Some(&known.public_key), envelope),
            _ => Err(MessageAuthError::KeyNotFound),
        }
    }
}

/// A registration, signed if there is a key; each has a nonce of its own.
pub(crate) fn registration(agent: AgentInfo, key: Option<&SigningKey>) -> RegisterRequest {
    let auth = key.map(|key| {
        let claims = register_auth::claims(
            &agent.agent_id,
            &agent.name,
            agent.username.as_deref(),
            agent.account_id.as_deref(),
            ids::now(),
            &ids::nonce(),
        );
        key.auth(&claims.and(SigningScope::MEMBER, &SigningScope::ALL.to_string()))
    });
    RegisterRequest {
        agent,
        auth,
        ..RegisterRequest::default()
    }
}

/// Warns where the registry has not bound the node's key: it binds no keys at all, and the node rejects every message.
pub(crate) async fn warn_if_unbound(identity: Arc<Identity>) {
    let bound = identity.keys.ask(&identity.own_account_id).await;
    if let KeyLookup::NoKey { .. } = bound {
        tracing::warn!(
            account_id = %identity.own_account_id,
            "this agent signs, but the registry does not check signatures: it refuses all messages, since nobody's key is \
             known; run the registry with DEV_AUTH=true too, or this agent without"
        );
    }
}
