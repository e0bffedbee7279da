//! Composes what a session publishes, messages and receipts, and signs it where the node signs.

use std::sync::Arc;

use agentnet_protocol::compose::{Draft, Sender, error_reply};
use agentnet_protocol::json::MAX_DEPTH;
use agentnet_protocol::message_auth;
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::{Envelope, RawJson, Receipt, ReceiptStatus, Reject, Text};
use bytes::Bytes;

use crate::config::Config;
use crate::identity::Identity;
use crate::ids;
use crate::message_options::MessageOptions;
use crate::route::Route;
use crate::send::error::SendError;

/// Composes and signs in the name of one session.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) sender: Sender,
    identity: Option<Arc<Identity>>,
    schema_version: Text,
    default_ttl_ms: i64,
    pub(crate) max_payload_bytes: usize,
}

impl Composer {
    /// Without an identity nothing is signed.
    pub(crate) fn new(sender: Sender, identity: Option<Arc<Identity>>, config: &Config) -> Self {
        Self {
            sender,
            identity,
            schema_version: Text::from(config.schema_version.as_str()),
            default_ttl_ms: config.limits.default_ttl_ms,
            max_payload_bytes: config.limits.max_payload_bytes,
        }
    }

    /// A draft without an address.
    pub(crate) fn draft(&self, options: MessageOptions, payload: RawJson, default_kind: &'static str) -> Draft {
        let mut draft = options.draft(payload, default_kind, self.default_ttl_ms);
        draft.schema_version = self.schema_version.clone();
        draft
    }

    /// A message with its id and time. Nothing that the signature covers may change afterwards.
    pub(crate) fn compose(&self, draft: Draft) -> Envelope {
        let now = ids::now();
        self.signed(draft.compose(&self.sender, ids::message_id(now), now))
    }

    /// A message to a route, and its wire text, if that is not larger than `max_payload_bytes`.
    pub(crate) fn compose_to(
        &self,
        route: &Route,
        options: MessageOptions,
        payload: RawJson,
        default_kind: &'static str,
    ) -> Result<(Envelope, Bytes), SendError> {
        self.compose_draft_to(route, self.draft(options, payload, default_kind))
    }

    /// A draft as a message to a route, as [`Composer::compose_to`].
    pub(crate) fn compose_draft_to(&self, route: &Route, draft: Draft) -> Result<(Envelope, Bytes), SendError> {
        self.compose_draft_as(route, draft, None)
    }

    /// As [`Composer::compose_draft_to`], with this message id where one is given.
    pub(crate) fn compose_draft_as(
        &self,
        route: &Route,
        mut draft: Draft,
        message_id: Option<Text>,
    ) -> Result<(Envelope, Bytes), SendError> {
        draft.to_agent = route.to_agent.clone();
        draft.to_account_id = route.to_account_id.clone();
        let now = ids::now();
        let message_id = message_id.unwrap_or_else(|| ids::message_id(now));
        let envelope = self.signed(draft.compose(&self.sender, message_id, now));
        let body = self.encode(&envelope)?;
        Ok((envelope, body))
    }

    /// The error reply to a message that was rejected.
    pub(crate) fn error_reply(&self, message: &Envelope, reject: &Reject) -> Envelope {
        let now = ids::now();
        self.signed(error_reply(message, reject, &self.sender, ids::message_id(now), now))
    }

    /// The wire text of a message, if it can be read and is not larger than `max_payload_bytes`.
    pub(crate) fn encode(&self, envelope: &Envelope) -> Result<Bytes, SendError> {
        // The envelope is a level too.
        if !envelope.payload.fits_inside(1) {
            let room = MAX_DEPTH - 1;
            return Err(SendError::Payload(format!(
                "it is nested too deeply: a message has room for {room} levels of arrays and objects"
            )));
        }
        let body = envelope.encode();
        let limit = self.max_payload_bytes;
        if body.len() > limit {
            return Err(SendError::TooLarge {
                size: body.len(),
                limit,
            });
        }
        Ok(body)
    }

    /// The receipt for a message.
    pub(crate) fn receipt(&self, message: &Envelope, status: ReceiptStatus, reject: Option<&Reject>) -> Receipt {
        let own = &self.sender;
        let mut receipt = Receipt::for_message(message, status, reject, &own.account_id, &own.session_tag, ids::now());
        if let Some(identity) = &self.identity {
            receipt.sign(&identity.key());
        }
        receipt
    }

    /// The key that signs hellos and goodbyes, if the node signs.
    pub(crate) fn presence_key(&self) -> Option<Arc<SigningKey>> {
        self.identity.as_ref().map(|identity| identity.key())
    }

    fn signed(&self, mut envelope: Envelope) -> Envelope {
        if let Some(identity) = &self.identity {
            envelope.auth = Some(message_auth::sign(&identity.key(), &envelope));
        }
        envelope
    }
}
