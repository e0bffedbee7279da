//! Who signed the reply to a request.
//!
//! Anybody on the network can publish on a reply subject. So a signing node takes as a reply only what the account that it
//! asked has signed, or the registry in its place, and what answers this very request; everything else is passed over, and
//! the wait goes on: a forger cannot end a request.

use agentnet_protocol::envelope::kind;
use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::subject::REGISTRY_ACCOUNT_PREFIX;
use agentnet_protocol::{Envelope, Text};

use super::Verdict;
use crate::handler::error_code_of;
use crate::metrics::Metrics;
use crate::session::Live;

/// Codes with which the registry answers for accounts and capabilities that cannot (PROTOCOL.md section 0.9).
pub(crate) const UNREACHED: [&str; 3] = ["recipient_offline", "account_not_found", "capability_unavailable"];

/// What a request asked, and whom.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The account; `None` if a capability was asked, which anybody may have.
    pub(crate) account_id: Option<Text>,
    /// The request.
    pub(crate) message_id: Text,
}

/// The replies that were passed over.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) count: u32,
    pub(crate) last: &'static str,
}

impl Refusals {
    pub(crate) fn note(&mut self, message_id: &str, why: &'static str, metrics: &Metrics) {
        self.count = self.count.saturating_add(1);
        self.last = why;
        metrics.refused_replies.add_one();
        tracing::warn!(
            message_id,
            why,
            "passed over a reply that whom was asked has not signed"
        );
    }
}

impl Live {
    /// Whether a message is a reply to what was asked. A node that does not sign takes every reply.
    ///
    /// # Errors
    /// The code of what is wrong with it.
    pub(crate) async fn verify_reply(&self, reply: &Envelope, asked: &Asked) -> Result<(), &'static str> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        let signed = SignedMessage::read(reply).map_err(MessageAuthError::code)?;
        let sender = reply.from_account_id.clone().unwrap_or_default();
        // Cheap things first: they keep others' messages from causing questions.
        expected(reply, &sender, asked, &self.sender.account_id)?;
        let refused = match identity.examine(&sender, &signed, reply) {
            Verdict::Genuine => return Ok(()),
            Verdict::Refused(error) => Err(error),
            Verdict::Ask => {
                identity.keys.ask(&sender).await;
                identity.conclude(&sender, &signed, reply)
            }
        };
        refused.map_err(MessageAuthError::code)
    }
}

/// Whether a reply is from whom was asked, to whom has asked, and about that.
fn expected(reply: &Envelope, sender: &str, asked: &Asked, own_account_id: &str) -> Result<(), &'static str> {
    let from_whom = match &asked.account_id {
        Some(account_id) if sender == &**account_id => true,
        _ if sender.starts_with(REGISTRY_ACCOUNT_PREFIX) => {
            *reply.kind == *kind::ERROR && error_code_of(reply).is_some_and(|code| UNREACHED.contains(&code.as_str()))
        }
        asked => asked.is_none(),
    };
    if !from_whom {
        return Err("reply_sender_mismatch");
    }
    if reply.to_account_id.as_deref().is_some_and(|to| to != own_account_id) {
        return Err("reply_recipient_mismatch");
    }
    let names = |text: &Option<Text>| text.as_ref() == Some(&asked.message_id);
    // A recorded reply to an earlier request answers nothing.
    if names(&reply.parent_message_id) || names(&reply.trace_id) {
        Ok(())
    } else {
        Err("reply_request_mismatch")
    }
}
