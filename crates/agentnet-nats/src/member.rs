//! Logging in as a member of a network in secure mode (PROTOCOL.md section 23.3).

use std::sync::Arc;

use agentnet_protocol::nkey::{Nkey, is_nonce};
use agentnet_protocol::subject::{
    REGISTRY_ACCOUNT_PREFIX, connection_inbox_prefix, join_inbox_prefix, registry_inbox_prefix,
};
use async_nats::{Auth, AuthError, ConnectOptions};

/// The account of a member, and the key that the broker knows it by.
#[derive(Clone)]
pub struct MemberLogin {
    account_id: Arc<str>,
    nkey: Arc<Nkey>,
    inbox_prefix: Arc<str>,
}

impl std::fmt::Debug for MemberLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberLogin")
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

impl PartialEq for MemberLogin {
    fn eq(&self, other: &Self) -> bool {
        self.account_id == other.account_id && self.nkey.public() == other.nkey.public()
    }
}

impl Eq for MemberLogin {}

impl MemberLogin {
    /// A member with an account id and its nkey.
    #[must_use]
    pub fn new(account_id: &str, nkey: Nkey) -> Self {
        // Registries publish below the inboxes of others, so they have one apart.
        let inbox_prefix = match account_id.starts_with(REGISTRY_ACCOUNT_PREFIX) {
            true => registry_inbox_prefix(account_id),
            false => connection_inbox_prefix(account_id),
        };
        Self::with_inbox(account_id, nkey, &inbox_prefix)
    }

    /// The credential of an invite, which can enrol a member and do nothing else. It publishes as the invite's id.
    #[must_use]
    pub fn of_invite(invite_id: &str, join_seed: &[u8; 32]) -> Self {
        Self::with_inbox(invite_id, Nkey::from_seed(join_seed), &join_inbox_prefix(invite_id))
    }

    fn with_inbox(account_id: &str, nkey: Nkey, inbox_prefix: &str) -> Self {
        Self {
            account_id: account_id.into(),
            nkey: Arc::new(nkey),
            inbox_prefix: inbox_prefix.into(),
        }
    }

    /// The account that the broker proves.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Below it are the inboxes of its connections.
    pub(crate) fn inbox_prefix(&self) -> String {
        self.inbox_prefix.to_string()
    }

    /// The public key by which the broker knows it.
    #[must_use]
    pub fn public_nkey(&self) -> String {
        self.nkey.public()
    }

    /// Options of a connection that signs the nonce of each server that it comes to.
    pub(crate) fn options(&self) -> ConnectOptions {
        let nkey = Arc::clone(&self.nkey);
        ConnectOptions::with_auth_callback(move |nonce| {
            let auth = sign(&nkey, &nonce);
            async move { auth }
        })
    }
}

/// A false server could have any text signed as its nonce, so only what looks like one is.
fn sign(nkey: &Nkey, nonce: &[u8]) -> Result<Auth, AuthError> {
    let is_nonce = std::str::from_utf8(nonce).is_ok_and(is_nonce);
    if !is_nonce {
        return Err(AuthError::new(
            "the server sent no nonce that can be signed: it is not a network in secure mode",
        ));
    }
    let mut auth = Auth::new();
    auth.nkey = Some(nkey.public());
    auth.signature = Some(nkey.sign(nonce).to_vec());
    Ok(auth)
}
