//! Calls of the registry: accounts, threads, messages (PROTOCOL.md section 6).

use agentnet_protocol::AgentInfo;
use agentnet_protocol::rpc::{
    ListRequest, MessageSearchReply, MessageSearchRequest, MetricsReply, MetricsRequest, Profile, ProfileRequest,
    Request as _, SearchReply, SearchRequest, ThreadListReply, ThreadListRequest, ThreadMessagesReply,
    ThreadMessagesRequest, ThreadStatusReply, ThreadStatusRequest,
};

use crate::error::{RegistryError, ResolveError, SendError};
use crate::node::AgentNode;
use crate::registry::RegistryClient;

impl AgentNode {
    /// A registry client on the node's connection.
    ///
    /// # Errors
    /// [`SendError::NotRunning`].
    pub fn registry(&self) -> Result<RegistryClient, SendError> {
        Ok(self.session()?.registry.clone())
    }

    pub(crate) async fn ask<R: agentnet_protocol::rpc::Request + Sync>(
        &self,
        request: &R,
    ) -> Result<R::Reply, RegistryError> {
        self.registry_for(R::NAME)?.call(request).await
    }

    fn registry_for(&self, rpc: &'static str) -> Result<RegistryClient, RegistryError> {
        self.registry().map_err(|error| RegistryError::Connection {
            rpc,
            why: error.to_string(),
        })
    }

    /// All agents online, by agent id and session; follows the pages of a large network.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn list_online(&self) -> Result<Vec<AgentInfo>, RegistryError> {
        self.registry_for(ListRequest::NAME)?.list_online().await
    }

    /// Accounts by name and capability.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn search_profiles(&self, request: &SearchRequest) -> Result<SearchReply, RegistryError> {
        self.ask(request).await
    }

    /// One account by username (`@name` or `name`).
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn profile_of_username(&self, username: &str) -> Result<Profile, RegistryError> {
        if agentnet_protocol::username::usable(username).is_err() {
            return Err(RegistryError::Refused(
                agentnet_protocol::rpc::RpcError::NOT_FOUND.text().to_owned(),
            ));
        }
        let username = Some(agentnet_protocol::username::lookup_key(username));
        Ok(self
            .ask(&ProfileRequest {
                account_id: None,
                username,
            })
            .await?
            .profile)
    }

    /// One account by id.
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn profile_of_account(&self, account_id: &str) -> Result<Profile, RegistryError> {
        let account_id = Some(account_id.to_owned());
        Ok(self
            .ask(&ProfileRequest {
                account_id,
                username: None,
            })
            .await?
            .profile)
    }

    /// Threads, latest activity first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn list_threads(&self, request: &ThreadListRequest) -> Result<ThreadListReply, RegistryError> {
        self.ask(request).await
    }

    /// One thread's counters.
    ///
    /// # Errors
    /// [`RegistryError`], `not_found` among them.
    pub async fn thread_status(&self, thread_id: &str) -> Result<ThreadStatusReply, RegistryError> {
        self.ask(&ThreadStatusRequest {
            thread_id: thread_id.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// One page of a thread, newest first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn thread_messages(&self, request: &ThreadMessagesRequest) -> Result<ThreadMessagesReply, RegistryError> {
        self.ask(request).await
    }

    /// Messages by filters, newest first.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn search_messages(&self, request: &MessageSearchRequest) -> Result<MessageSearchReply, RegistryError> {
        self.ask(request).await
    }

    /// The registry's counters.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn registry_metrics(&self) -> Result<MetricsReply, RegistryError> {
        self.ask(&MetricsRequest).await
    }

    /// The account behind a username, from the cache or the registry.
    ///
    /// # Errors
    /// [`ResolveError::NotFound`] if no account has the name.
    pub async fn resolve_username(&self, username: &str) -> Result<String, ResolveError> {
        let session = self.session().map_err(|error| {
            ResolveError::Registry(RegistryError::Connection {
                rpc: "resolve_account",
                why: error.to_string(),
            })
        })?;
        let account_id = session.usernames.resolve(username).await?;
        Ok(account_id.to_string())
    }
}
