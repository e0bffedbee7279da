//! The requests that only the owner of a mailbox makes, signed where the node signs (PROTOCOL.md sections 13.8 and 21.3).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::mailbox::{DEFAULT_LEASE_MS, MAX_LEASE_MESSAGES, MailboxAction};
use agentnet_protocol::rpc::{
    MailboxAckItem, MailboxAckReply, MailboxAckRequest, MailboxActionReply, MailboxActionRequest, MailboxExtendRequest,
    MailboxLeaseReply, MailboxLeaseRequest, RequestAuth, SignedRequest,
};

use crate::identity::Identity;
use crate::ids;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How long a registry may take to answer.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a leased message stays with the session, unless the lease is extended.
pub(crate) const LEASE_TIME: Duration = Duration::from_millis(DEFAULT_LEASE_MS as u64);

/// Makes requests in the name of one session.
#[derive(Debug, Clone)]
pub(crate) struct MailboxOwner {
    registry: RegistryClient,
    identity: Option<Arc<Identity>>,
    account_id: String,
    session_tag: String,
}

impl MailboxOwner {
    pub(crate) fn of(session: &Session) -> Self {
        let sender = session.sender();
        Self {
            // Many networks have a registry that keeps no messages: it is not waited for.
            registry: session.registry.clone().with_timeout(CALL_TIMEOUT).fail_fast(),
            identity: session.identity.clone(),
            account_id: sender.account_id.to_string(),
            session_tag: sender.session_tag.to_string(),
        }
    }

    /// Signs a request, if the node signs. A signature counts once.
    pub(crate) fn sign<R: SignedRequest>(&self, mut request: R) -> R {
        if let Some(identity) = &self.identity {
            request.sign(&identity.key(), ids::now(), &ids::nonce());
        }
        request
    }

    /// The next messages, at most `max`; with the same `lease_id`, the same ones again.
    pub(crate) async fn lease(
        &self,
        max: usize,
        lease_id: &str,
        timeout: Duration,
    ) -> Result<MailboxLeaseReply, RegistryError> {
        let request = self.sign(MailboxLeaseRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            max: max.clamp(1, MAX_LEASE_MESSAGES),
            lease_id: Some(lease_id.to_owned()),
            ..MailboxLeaseRequest::default()
        });
        self.registry.clone().with_timeout(timeout).call(&request).await
    }

    /// Reports the ends of leases; at most 100.
    pub(crate) async fn acknowledge(&self, acks: Vec<MailboxAckItem>) -> Result<MailboxAckReply, RegistryError> {
        let request = self.sign(MailboxAckRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            acks,
            ..MailboxAckRequest::default()
        });
        self.registry.call(&request).await
    }

    /// Deletes messages; at most 100.
    pub(crate) async fn drop_messages(&self, message_ids: Vec<String>) -> Result<MailboxActionReply, RegistryError> {
        let request = self.sign(MailboxActionRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            action: MailboxAction::Drop,
            message_ids,
            state: None,
            auth: RequestAuth::default(),
        });
        self.registry.call(&request).await
    }

    /// Keeps leases for [`LEASE_TIME`] from now on; at most 100.
    pub(crate) async fn extend(&self, leases: Vec<String>) -> Result<MailboxAckReply, RegistryError> {
        let request = self.sign(MailboxExtendRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            leases,
            lease_ms: DEFAULT_LEASE_MS,
            ..MailboxExtendRequest::default()
        });
        self.registry.call(&request).await
    }
}
