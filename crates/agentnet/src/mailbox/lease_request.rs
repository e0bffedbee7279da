//! The requests for messages of one session. Each has an id, and keeps it until messages have come: what a lost reply has given is
//! given again (PROTOCOL.md section 21.3).

use std::time::Duration;

use agentnet_protocol::rpc::MailboxLeaseReply;

use super::owner::{CALL_TIMEOUT, MailboxOwner};
use crate::ids;
use crate::registry::error::RegistryError;

/// How long a reply is waited for at most: longer than a registry waits for its database.
const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The next request for messages.
pub(super) struct LeaseRequest {
    id: String,
    /// The number of messages that were asked for with this id, if the reply may be lost.
    asked: Option<usize>,
    /// How long the reply is waited for; doubled with each that does not come.
    timeout: Duration,
}

impl LeaseRequest {
    pub(super) fn new() -> Self {
        Self {
            id: ids::nonce(),
            asked: None,
            timeout: CALL_TIMEOUT,
        }
    }

    /// Asks for `max` messages; for as many as before where an earlier request was not answered. There are no more in the reply.
    pub(super) async fn send(&mut self, owner: &MailboxOwner, max: usize) -> Result<MailboxLeaseReply, RegistryError> {
        let max = *self.asked.get_or_insert(max);
        match owner.lease(max, &self.id, self.timeout).await {
            Ok(mut page) => {
                page.messages.truncate(max);
                self.asked = None;
                self.timeout = CALL_TIMEOUT;
                if !page.messages.is_empty() {
                    self.id = ids::nonce();
                }
                Ok(page)
            }
            Err(error) => {
                if let RegistryError::Timeout { .. } = error {
                    self.timeout = (self.timeout * 2).min(MAX_CALL_TIMEOUT);
                }
                Err(error)
            }
        }
    }
}
