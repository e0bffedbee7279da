//! Calls of the registry about mailboxes (PROTOCOL.md section 21.3).

use agentnet_protocol::mailbox::{MailboxAction, MailboxState};
use agentnet_protocol::rpc::{
    MailboxActionReply, MailboxActionRequest, MailboxListReply, MailboxListRequest, MailboxStatusReply,
    MailboxStatusRequest, Request as _, RequestAuth, SignedRequest as _,
};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::target::Target;
use agentnet_protocol::username::lookup_key;

use super::owner::MailboxOwner;
use crate::error::RegistryError;
use crate::ids;
use crate::node::AgentNode;
use crate::registry::RegistryClient;
use crate::session::Session;

impl RegistryClient {
    /// How full the mailbox of an account is; without one, how full all mailboxes of the network are.
    ///
    /// # Errors
    /// [`RegistryError`]; a capability has no mailbox.
    pub async fn mailbox_status(&self, account: Option<&Target>) -> Result<MailboxStatusReply, RegistryError> {
        self.call(&match account {
            None => MailboxStatusRequest::default(),
            Some(Target::Account(account_id)) => MailboxStatusRequest {
                account_id: Some(account_id.clone()),
                username: None,
            },
            Some(Target::Username(username)) => MailboxStatusRequest {
                account_id: None,
                username: Some(lookup_key(username)),
            },
            Some(Target::Capability(_)) => {
                return Err(RegistryError::Refused(
                    "a capability has no mailbox: name an account or a username".to_owned(),
                ));
            }
        })
        .await
    }

    /// A page of the messages of one mailbox, oldest first.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn mailbox_list(&self, request: MailboxListRequest) -> Result<MailboxListReply, RegistryError> {
        self.call(&request).await
    }

    /// Has dead messages delivered again, or messages deleted. Under signed identity (section 13.8) the key is needed that the
    /// account is bound to.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn mailbox_action(
        &self,
        mut request: MailboxActionRequest,
        key: Option<&SigningKey>,
    ) -> Result<MailboxActionReply, RegistryError> {
        if let Some(key) = key {
            request.sign(key, ids::now(), &ids::nonce());
        }
        self.call(&request).await
    }
}

impl AgentNode {
    /// How full the node's own mailbox is.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn mailbox_status(&self) -> Result<MailboxStatusReply, RegistryError> {
        let session = self.mailbox_session(MailboxStatusRequest::NAME)?;
        let own = Target::Account(session.account_id().to_string());
        session.registry.mailbox_status(Some(&own)).await
    }

    /// A page of the messages of a mailbox, oldest first: of the node's own unless the request names another.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn mailbox_list(&self, mut request: MailboxListRequest) -> Result<MailboxListReply, RegistryError> {
        let session = self.mailbox_session(MailboxListRequest::NAME)?;
        if request.account_id.is_none() && request.username.is_none() {
            request.account_id = Some(session.account_id().to_string());
        }
        session.registry.mailbox_list(request).await
    }

    /// Has dead messages of the node's own mailbox delivered again, or messages of it deleted: those with these ids, or all in
    /// this state where no id is given. Signed where the node signs.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn mailbox_action(
        &self,
        action: MailboxAction,
        message_ids: Vec<String>,
        state: Option<MailboxState>,
    ) -> Result<MailboxActionReply, RegistryError> {
        let session = self.mailbox_session(MailboxActionRequest::NAME)?;
        let request = MailboxOwner::of(&session).sign(MailboxActionRequest {
            account_id: session.account_id().to_string(),
            session_tag: session.sender().session_tag.to_string(),
            action,
            message_ids,
            state,
            auth: RequestAuth::default(),
        });
        session.registry.call(&request).await
    }

    fn mailbox_session(&self, rpc: &'static str) -> Result<std::sync::Arc<Session>, RegistryError> {
        self.session().map_err(|error| RegistryError::Connection {
            rpc,
            why: error.to_string(),
        })
    }
}
