//! Receipts that the registry sends in the place of a receiver: to messages that have none (section 0, decision 9), and of what
//! becomes of messages in mailboxes (section 21).

use std::sync::Arc;

use agentnet_nats::Issuer;
use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::subject::{self, registry_account};
use agentnet_protocol::{Envelope, Receipt, ReceiptStatus, Text};
use async_nats::Client;

use crate::clock::Now;
use crate::identity::Identity;

/// Sends receipts from the registry's account, signed under signed identity.
#[derive(Debug)]
pub(crate) struct RegistryReceipts {
    client: Client,
    issuer: Issuer,
    identity: Option<Arc<Identity>>,
    account_id: Text,
}

impl RegistryReceipts {
    pub(crate) fn new(client: Client, issuer: Issuer, identity: Option<Arc<Identity>>, server_id: &str) -> Self {
        Self {
            client,
            issuer,
            identity,
            account_id: registry_account(server_id).into(),
        }
    }

    /// Sends the receipt for a message to its sender. The message has to name an account that fits into a subject.
    pub(crate) async fn send(
        &self,
        mut message: Envelope,
        status: ReceiptStatus,
        code: Option<&'static str>,
        detail: String,
    ) {
        let Some(sender) = message.from_account_id.clone() else {
            return;
        };
        if message.thread_id.is_none() {
            message.thread_id = Some(default_thread_id(message.trace_or_message_id()));
        }
        let now = Now::read().time;
        let mut receipt = Receipt::for_message(&message, status, None, &self.account_id, &Text::new(), now);
        receipt.code = code.map(Text::from_static);
        receipt.detail = Some(detail.into());
        if let Some(identity) = &self.identity {
            identity.sign_receipt(&mut receipt);
        }
        let subject = self.issuer.publish_subject(subject::receipts(&sender));
        let published = self.client.publish(subject, receipt.encode());
        if let Err(error) = published.await {
            tracing::debug!(%error, "a receipt could not be sent");
        }
    }
}
