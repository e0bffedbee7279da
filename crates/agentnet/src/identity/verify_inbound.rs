//! Check 4 of section 12: the signature of an inbound message.
//!
//! Messages of a sender whose key is cached are verified at once. Those of other senders wait, in their order, for the look-up
//! of the key, while all other messages go on. The limits on waiting messages, in all and per sender, keep a flood of invented
//! senders cheap: beyond them a message is rejected as `busy`, before its id counts as seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::{Envelope, Reject, Text, json, version};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::{Identity, SignatureVerdict};
use crate::config::Config;
use crate::mailbox::lease::Lease;
use crate::message::Message;
use crate::spans::Origin;

/// Messages that may wait for keys, of all senders and of one, and the size of all of them.
const MAX_PENDING: usize = 1024;
const MAX_PENDING_PER_SENDER: usize = 64;
const MAX_PENDING_BYTES: usize = 16 << 20;

/// A message with its reply subject and the span that it comes from.
pub(crate) struct InboundMessage {
    pub(crate) envelope: Envelope,
    pub(crate) reply: Option<Text>,
    pub(crate) origin: Origin,
    /// Bytes of the wire text, all of which stay in memory as long as a part of it does.
    pub(crate) size: usize,
    /// Of a message that comes from the mailbox.
    pub(crate) lease: Option<Arc<Lease>>,
}

impl From<InboundMessage> for Message {
    fn from(inbound: InboundMessage) -> Self {
        Self::with_lease(inbound.envelope, inbound.reply, inbound.origin, inbound.lease)
    }
}

/// The outcome of the verification of a message.
pub(crate) enum Verification {
    /// It goes on to the other checks.
    Valid(InboundMessage),
    Rejected(InboundMessage, Reject),
    /// It waits for its sender's key.
    Pending,
}

/// The messages of one sender that wait for its key.
#[derive(Default)]
struct Queue {
    messages: VecDeque<(InboundMessage, SignedMessage)>,
    /// The sender's key is cached, and these messages do not match it; those that match need not wait behind them.
    is_mismatched: bool,
}

/// Verifies messages for the one intake task.
pub(crate) struct InboundVerifier {
    identity: Option<Arc<Identity>>,
    account_id: Text,
    capabilities: Vec<String>,
    supported_schema_major: u32,
    /// By the sender's account, a text of at most 256 bytes.
    waiting: HashMap<Text, Queue>,
    messages: usize,
    bytes: usize,
    lookups: FuturesUnordered<BoxFuture<'static, Text>>,
}

impl InboundVerifier {
    /// Without an identity, every message is valid.
    pub(crate) fn new(identity: Option<Arc<Identity>>, account_id: Text, config: &Config) -> Self {
        Self {
            identity,
            account_id,
            capabilities: config.capabilities.clone(),
            supported_schema_major: config.supported_schema_major,
            waiting: HashMap::new(),
            messages: 0,
            bytes: 0,
            lookups: FuturesUnordered::new(),
        }
    }

    /// Verifies a message whose thread is filled in.
    pub(crate) fn verify(&mut self, mut inbound: InboundMessage) -> Verification {
        let Some(identity) = self.identity.clone() else {
            return Verification::Valid(inbound);
        };
        // The schema check comes first.
        let Ok(version) = version::check(&inbound.envelope.schema_version, self.supported_schema_major) else {
            return Verification::Valid(inbound);
        };
        if version.len() != inbound.envelope.schema_version.len() {
            inbound.envelope.schema_version = Text::from(version);
        }
        let signed = match SignedMessage::read(&inbound.envelope) {
            Ok(signed) => signed,
            Err(error) => return Verification::Rejected(inbound, reject(error)),
        };
        // Not empty: `SignedMessage::read` checks that first.
        let sender = inbound.envelope.from_account_id.clone().unwrap_or_default();
        let verdict = match self.waiting.get(&sender) {
            Some(queue) if !queue.is_mismatched => SignatureVerdict::Ask,
            _ => identity.examine(&sender, &signed, &inbound.envelope),
        };
        match verdict {
            SignatureVerdict::Genuine => self.addressed(inbound),
            SignatureVerdict::Refused(error) => Verification::Rejected(inbound, reject(error)),
            SignatureVerdict::Ask => self.wait(&identity, sender, inbound, signed),
        }
    }

    fn wait(
        &mut self,
        identity: &Arc<Identity>,
        sender: Text,
        inbound: InboundMessage,
        signed: SignedMessage,
    ) -> Verification {
        let size = size(&inbound);
        let of_sender = self.waiting.get(&sender).map_or(0, |queue| queue.messages.len());
        if self.messages >= MAX_PENDING
            || of_sender >= MAX_PENDING_PER_SENDER
            || self.bytes.saturating_add(size) > MAX_PENDING_BYTES
        {
            return Verification::Rejected(inbound, Reject::Busy);
        }
        self.messages += 1;
        self.bytes += size;
        let queue = self.waiting.entry(sender.clone()).or_insert_with(|| {
            let lookup = identity.keys.ask(&sender);
            let asked = sender.clone();
            self.lookups.push(Box::pin(async move {
                lookup.await;
                asked
            }));
            Queue {
                messages: VecDeque::new(),
                is_mismatched: identity.keys.cached(&sender).is_some(),
            }
        });
        queue.messages.push_back((inbound, signed));
        Verification::Pending
    }

    /// Waits until a key was looked up, and verifies the messages that waited for it, in their order. Does not return while
    /// none waits.
    pub(crate) async fn looked_up(&mut self) -> Vec<Verification> {
        let Some(sender) = self.lookups.next().await else {
            return std::future::pending().await;
        };
        let (Some(queue), Some(identity)) = (self.waiting.remove(&sender), self.identity.clone()) else {
            return Vec::new();
        };
        let mut verified = Vec::with_capacity(queue.messages.len());
        for (inbound, signed) in queue.messages {
            self.messages -= 1;
            self.bytes -= size(&inbound);
            verified.push(match identity.conclude(&sender, &signed, &inbound.envelope) {
                Ok(()) => self.addressed(inbound),
                Err(error) => Verification::Rejected(inbound, reject(error)),
            });
        }
        verified
    }

    /// Whether messages wait.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the waiting messages, and ends the look-ups.
    pub(crate) fn abandon(&mut self) -> Vec<InboundMessage> {
        self.lookups.clear();
        (self.messages, self.bytes) = (0, 0);
        let waiting = self.waiting.drain();
        waiting
            .flat_map(|(_, queue)| queue.messages.into_iter().map(|(inbound, _)| inbound))
            .collect()
    }

    /// Checks that a signed message is addressed to this agent: one that was signed for another may have been replayed.
    fn addressed(&self, inbound: InboundMessage) -> Verification {
        let envelope = &inbound.envelope;
        let to_agent = json::trim(&envelope.to_agent);
        let for_us = match &envelope.to_account_id {
            Some(account_id) => *account_id == self.account_id,
            None => match to_agent.strip_prefix("capability:") {
                Some(capability) => self.capabilities.iter().any(|own| json::trim(own) == capability),
                None => *to_agent == *self.account_id,
            },
        };
        if for_us {
            Verification::Valid(inbound)
        } else {
            Verification::Rejected(inbound, reject(MessageAuthError::Claims))
        }
    }
}

fn size(inbound: &InboundMessage) -> usize {
    inbound.size + 1024
}

fn reject(error: MessageAuthError) -> Reject {
    Reject::Auth(error.code())
}
