//! The requests about tasks that a node makes in its own name, signed where the node signs (PROTOCOL.md section 13.8).

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::rpc::SignedRequest;

use crate::identity::Identity;
use crate::ids;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryError;
use crate::session::Session;

/// How long a registry may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a signed request is made that may be repeated: its nonce counts once, so it is signed anew.
const SIGNED_ATTEMPTS: u32 = 3;

/// Makes requests in the name of one session.
#[derive(Debug, Clone)]
pub(crate) struct TaskCaller {
    registry: RegistryClient,
    identity: Option<Arc<Identity>>,
    pub(crate) account_id: String,
    pub(crate) session_tag: String,
}

impl TaskCaller {
    pub(crate) fn of(session: &Session) -> Self {
        let sender = session.sender();
        Self {
            registry: session.registry.clone().with_timeout(CALL_TIMEOUT),
            identity: session.identity.clone(),
            account_id: sender.account_id.to_string(),
            session_tag: sender.session_tag.to_string(),
        }
    }

    /// Of a worker: it asks again by itself, and does not wait for a registry that is not there.
    pub(crate) fn fail_fast(mut self) -> Self {
        self.registry = self.registry.fail_fast();
        self
    }

    /// Waits so long for each reply.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.registry = self.registry.with_timeout(timeout);
        self
    }

    /// Makes a request, signed if the node signs.
    pub(crate) async fn call<R: SignedRequest + Sync>(&self, mut request: R) -> Result<R::Reply, RegistryError> {
        if let Some(identity) = &self.identity {
            request.sign(&identity.key(), ids::now(), &ids::nonce());
        }
        self.registry.call(&request).await
    }

    /// As [`call`](Self::call), for a request that changes nothing when it comes again: it is repeated while no reply comes.
    pub(crate) async fn call_repeatedly<R: SignedRequest + Clone + Sync>(
        &self,
        request: R,
    ) -> Result<R::Reply, RegistryError> {
        let mut attempts = match self.identity {
            Some(_) => SIGNED_ATTEMPTS,
            // The client repeats it by itself.
            None => 1,
        };
        loop {
            attempts -= 1;
            match self.call(request.clone()).await {
                Err(RegistryError::Timeout { .. }) if attempts > 0 => {
                    tracing::debug!(rpc = R::NAME, "no reply of the registry; asking again");
                }
                outcome => return outcome,
            }
        }
    }
}
