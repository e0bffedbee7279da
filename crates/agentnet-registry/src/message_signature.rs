//! Whether a message is signed by the account that it names as its sender (PROTOCOL.md section 13.4).

use std::sync::Arc;

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::{Envelope, Text, json};
use agentnet_store::StoreError;

use crate::batch_lookup::AccountLoader;

/// Why a message does not count as signed.
#[derive(Debug, Clone)]
pub(crate) enum SignatureError {
    /// The code of the receipt.
    Invalid(MessageAuthError),
    /// The sender's key cannot be read.
    Store(Arc<StoreError>),
}

/// Checks the signature of a message against the key that is bound to its sender's account.
///
/// # Errors
/// [`SignatureError`]
pub(crate) async fn verify(accounts: &AccountLoader, message: &Envelope) -> Result<(), SignatureError> {
    let signed = SignedMessage::read(message).map_err(SignatureError::Invalid)?;
    let sender = message.from_account_id.as_deref().unwrap_or_default();
    let account = accounts.load(sender.to_owned()).await.map_err(SignatureError::Store)?;
    let key = account.as_ref().and_then(|account| account.public_key.as_deref());
    // As receivers read it.
    let mut read = message.clone();
    if read.thread_id.is_none() {
        read.thread_id = Some(default_thread_id(read.trace_or_message_id()));
    }
    let version = json::trim(&read.schema_version);
    if version.len() != read.schema_version.len() {
        read.schema_version = Text::from(version);
    }
    let verdict = signed.verify(key, &read);
    // A sender that leaves the thread out has signed the message without one.
    let verdict = verdict.or_else(|error| match message.thread_id {
        None => signed.verify(key, message),
        Some(_) => Err(error),
    });
    verdict.map_err(SignatureError::Invalid)
}
