//! Who signed the reply to a request.
//!
//! Every client of the network can publish on a reply subject. So a signing node accepts as a reply only a message to this
//! request that is signed by the account that it asked, or by the registry in its place. It ignores everything else and keeps
//! waiting: a forger cannot end a request.

use std::sync::Arc;

use agentnet_protocol::envelope::kind;
use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::reject::UNREACHABLE_CODES;
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Envelope, Text};

use super::{Identity, SignatureVerdict};
use crate::message::error_code_of;
use crate::metrics::Metrics;
use agentnet_nats::Issuer;

/// The code of a message whose sender is not the account that published it (PROTOCOL.md section 23.6).
pub(crate) const ISSUER_MISMATCH: &str = "auth_issuer_mismatch";

/// What the reply to a request has to be.
#[derive(Debug, Clone)]
pub(crate) struct ReplyExpectation {
    /// The account that was asked; `None` if the request went to a capability, which any account may have.
    pub(crate) account_id: Option<Text>,
    /// The id of the request.
    pub(crate) message_id: Text,
}

/// The replies that were ignored.
#[derive(Debug, Default)]
pub(crate) struct IgnoredReplies {
    pub(crate) count: u32,
    /// The code of the last one.
    pub(crate) last: &'static str,
}

impl IgnoredReplies {
    pub(crate) fn note(&mut self, message_id: &str, why: &'static str, metrics: &Metrics) {
        self.count = self.count.saturating_add(1);
        self.last = why;
        metrics.refused_replies.add_one();
        tracing::warn!(
            message_id,
            why,
            "ignored reply: not signed by the account that was asked"
        );
    }
}

/// The way that a reply took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came<'a> {
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a Issuer,
}

/// Whether a message is a reply to the request. A node that does not sign accepts every reply, in secure mode every one that the
/// broker proves to come from the account that was asked.
///
/// # Errors
/// The code of what is wrong with it.
pub(crate) async fn verify_reply(
    identity: Option<&Arc<Identity>>,
    came: Came<'_>,
    reply: &Envelope,
    expectation: &ReplyExpectation,
) -> Result<(), &'static str> {
    if let Some(own) = came.issuer.account_id() {
        let sender = reply.from_account_id.as_deref();
        if !came.issuer.vouches_for(came.subject, sender) {
            return Err(ISSUER_MISMATCH);
        }
        check_expectation(reply, sender.unwrap_or_default(), expectation, own)?;
    }
    let Some(identity) = identity else {
        return Ok(());
    };
    let signed = SignedMessage::read(reply).map_err(MessageAuthError::code)?;
    let sender = reply.from_account_id.clone().unwrap_or_default();
    // Cheap checks first: they keep forged messages from causing look-ups.
    check_expectation(reply, &sender, expectation, &identity.own_account_id)?;
    let verified = match identity.examine(&sender, &signed, reply) {
        SignatureVerdict::Genuine => return Ok(()),
        SignatureVerdict::Refused(error) => Err(error),
        SignatureVerdict::Ask => {
            identity.keys.ask(&sender).await;
            identity.conclude(&sender, &signed, reply)
        }
    };
    verified.map_err(MessageAuthError::code)
}

/// Whether a reply is from the account that was asked, to this account, and about this request.
fn check_expectation(
    reply: &Envelope,
    sender: &str,
    expectation: &ReplyExpectation,
    own_account_id: &str,
) -> Result<(), &'static str> {
    let is_from_expected = match &expectation.account_id {
        Some(account_id) if sender == &**account_id => true,
        _ if sender.starts_with(REGISTRY_ACCOUNT_PREFIX) => {
            *reply.kind == *kind::ERROR
                && error_code_of(reply).is_some_and(|code| UNREACHABLE_CODES.contains(&code.as_str()))
        }
        account_id => account_id.is_none(),
    };
    if !is_from_expected {
        return Err("reply_sender_mismatch");
    }
    if reply.to_account_id.as_deref().is_some_and(|to| to != own_account_id) {
        return Err("reply_recipient_mismatch");
    }
    let names = |text: &Option<Text>| text.as_ref() == Some(&expectation.message_id);
    // A recorded reply to an earlier request answers nothing.
    if names(&reply.parent_message_id) || names(&reply.trace_id) {
        Ok(())
    } else {
        Err("reply_request_mismatch")
    }
}
