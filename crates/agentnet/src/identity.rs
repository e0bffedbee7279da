//! Signed identity (`DEV_AUTH`, PROTOCOL.md section 13): the node's own key, and what it makes of others' signatures.
//!
//! - `source`: where the key comes from; `rotate`: another key in its place
//! - everything that the node says is signed in one place, [`Live::sign`] and its siblings below
//! - `keys`: the keys of others, remembered for a while
//! - `intake`: messages that come in; `replies`: answers to requests; `receipts`: receipts

mod intake;
mod keys;
mod receipts;
mod replies;
mod rotate;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use agentnet_protocol::compose::Sender;
use agentnet_protocol::message_auth::{self, MessageAuthError, SignedMessage};
use agentnet_protocol::rpc::RegisterRequest;
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, Envelope, Receipt, register_auth};

pub(crate) use intake::{Held, Judged, Verifier};
use keys::{Keys, Looked};
pub(crate) use receipts::ReceiptChecks;
pub(crate) use replies::{Asked, Refusals, UNREACHED};
pub use rotate::RotateError;
pub(crate) use source::{KeySource, Opened};

use crate::config::Config;
use crate::ids;
use crate::registry::RegistryClient;
use crate::session::Live;

/// What a signing node is made of.
#[derive(Debug)]
pub(crate) struct Identity {
    key: RwLock<Arc<SigningKey>>,
    keys: Arc<Keys>,
    awaited: receipts::Awaited,
}

/// What can be said of a signature at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Genuine,
    Refused(MessageAuthError),
    /// The registry has to be asked for the sender's key, or whether it has another one by now.
    Ask,
}

impl Identity {
    pub(crate) fn new(key: Arc<SigningKey>, registry: RegistryClient, config: &Config) -> Self {
        Self {
            key: RwLock::new(key),
            keys: Arc::new(Keys::new(registry, config.limits.key_cache_ttl)),
            awaited: receipts::Awaited::default(),
        }
    }

    pub(crate) fn key(&self) -> Arc<SigningKey> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_key(&self, key: Arc<SigningKey>) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// What the keys that are known say of a message.
    fn examine(&self, account_id: &str, signed: &SignedMessage, envelope: &Envelope) -> Verdict {
        let known = match self.keys.cached(account_id) {
            None => return Verdict::Ask,
            Some(Looked::Key(known)) => known,
            Some(Looked::NoKey { .. } | Looked::Failed) => return Verdict::Refused(MessageAuthError::KeyNotFound),
        };
        match signed.verify(Some(&known.public_key), envelope) {
            Ok(()) => Verdict::Genuine,
            // Only what is a whole message of some key is worth a question.
            Err(MessageAuthError::PublicKey) if signed.is_consistent(envelope) => Verdict::Ask,
            Err(error) => Verdict::Refused(error),
        }
    }

    /// What is to be said once the registry has been asked.
    fn conclude(&self, account_id: &str, signed: &SignedMessage, envelope: &Envelope) -> Result<(), MessageAuthError> {
        match self.keys.cached(account_id) {
            Some(Looked::Key(known)) => signed.verify(Some(&known.public_key), envelope),
            _ => Err(MessageAuthError::KeyNotFound),
        }
    }
}

impl Live {
    /// Signs a finished message, if the node signs. Nothing that the signature covers may be changed after it.
    pub(crate) fn sign(&self, envelope: &mut Envelope) {
        if let Some(identity) = &self.identity {
            envelope.auth = Some(message_auth::sign(&identity.key(), envelope));
        }
    }

    /// Signs a finished receipt, if the node signs.
    pub(crate) fn sign_receipt(&self, receipt: &mut Receipt) {
        if let Some(identity) = &self.identity {
            receipt.sign(&identity.key());
        }
    }

    /// The key that hellos and goodbyes are signed with, if the node signs.
    pub(crate) fn presence_key(&self) -> Option<Arc<SigningKey>> {
        self.identity.as_ref().map(|identity| identity.key())
    }
}

/// A registration, signed if there is a key; each has a nonce of its own.
pub(crate) fn registration(agent: AgentInfo, keep_profile: bool, key: Option<&SigningKey>) -> RegisterRequest {
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
        keep_profile,
    }
}

/// Says so where the registry has not bound the node's key: nobody's key is bound there, and every message is refused.
pub(crate) async fn mind_binding(identity: Arc<Identity>, sender: Sender) {
    let bound = identity.keys.ask(&sender.account_id).await;
    if let Looked::NoKey { .. } = bound {
        tracing::warn!(
            account_id = %sender.account_id,
            "this agent signs, but the registry does not check signatures: it refuses all messages, since nobody's key is \
             known; run the registry with DEV_AUTH=true too, or this agent without"
        );
    }
}
