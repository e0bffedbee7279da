//! Check 4 of section 12: who signed a message that came in.
//!
//! A sender whose key is known is checked at once. Messages of another wait, in their order, until the registry has said its
//! key, while everybody else's go on. So few may wait, and of one sender so few, that a flood of made-up senders costs
//! little: beyond that a message is refused as `busy`, before its id counts as seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agentnet_protocol::message_auth::{MessageAuthError, SignedMessage};
use agentnet_protocol::{Envelope, Reject, Text, json, version};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use super::{Identity, Verdict};
use crate::config::Config;
use crate::handler::Message;
use crate::spans::Origin;

/// Messages that may wait for keys, of all senders and of one, and the size of all of them.
const WAITING: usize = 1024;
const WAITING_OF_ONE: usize = 64;
const WAITING_BYTES: usize = 16 << 20;

/// A message with its reply subject and the span that it comes from.
pub(crate) struct Held {
    pub(crate) envelope: Envelope,
    pub(crate) reply: Option<Text>,
    pub(crate) origin: Origin,
    /// Bytes of the message as it came: what is kept of it keeps all of it.
    pub(crate) size: usize,
}

impl From<Held> for Message {
    fn from(held: Held) -> Self {
        Self::new(held.envelope, held.reply, held.origin)
    }
}

/// What is to be done with a message.
pub(crate) enum Judged {
    /// It goes on to the other checks.
    Genuine(Held),
    Refused(Held, Reject),
    /// It waits for its sender's key.
    Waiting,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<(Held, SignedMessage)>,
    /// The sender's key is known, and these messages do not fit it; those that do need not wait behind them.
    doubtful: bool,
}

/// Verifies messages for the one intake task.
pub(crate) struct Verifier {
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

impl Verifier {
    /// Without an identity, everything is genuine.
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

    /// Judges a message whose thread is filled in.
    pub(crate) fn judge(&mut self, mut held: Held) -> Judged {
        let Some(identity) = self.identity.clone() else {
            return Judged::Genuine(held);
        };
        // What the schema check refuses, it refuses first.
        let Ok(version) = version::check(&held.envelope.schema_version, self.supported_schema_major) else {
            return Judged::Genuine(held);
        };
        if version.len() != held.envelope.schema_version.len() {
            held.envelope.schema_version = Text::from(version);
        }
        let signed = match SignedMessage::read(&held.envelope) {
            Ok(signed) => signed,
            Err(error) => return Judged::Refused(held, reject(error)),
        };
        // Not empty: that was the first thing to be read.
        let sender = held.envelope.from_account_id.clone().unwrap_or_default();
        let verdict = match self.waiting.get(&sender) {
            Some(queue) if !queue.doubtful => Verdict::Ask,
            _ => identity.examine(&sender, &signed, &held.envelope),
        };
        match verdict {
            Verdict::Genuine => self.addressed(held),
            Verdict::Refused(error) => Judged::Refused(held, reject(error)),
            Verdict::Ask => self.wait(&identity, sender, held, signed),
        }
    }

    fn wait(&mut self, identity: &Arc<Identity>, sender: Text, held: Held, signed: SignedMessage) -> Judged {
        let size = size(&held);
        let of_one = self.waiting.get(&sender).map_or(0, |queue| queue.messages.len());
        if self.messages >= WAITING || of_one >= WAITING_OF_ONE || self.bytes.saturating_add(size) > WAITING_BYTES {
            return Judged::Refused(held, Reject::Busy);
        }
        self.messages += 1;
        self.bytes += size;
        let queue = self.waiting.entry(sender.clone()).or_insert_with(|| {
            let question = identity.keys.ask(&sender);
            let asked = sender.clone();
            self.lookups.push(Box::pin(async move {
                question.await;
                asked
            }));
            Queue {
                messages: VecDeque::new(),
                doubtful: identity.keys.cached(&sender).is_some(),
            }
        });
        queue.messages.push_back((held, signed));
        Judged::Waiting
    }

    /// Waits until a key was looked up, and judges the messages that waited for it, in their order. Never returns while none
    /// waits.
    pub(crate) async fn looked_up(&mut self) -> Vec<Judged> {
        let Some(sender) = self.lookups.next().await else {
            return std::future::pending().await;
        };
        let (Some(queue), Some(identity)) = (self.waiting.remove(&sender), self.identity.clone()) else {
            return Vec::new();
        };
        let mut judged = Vec::with_capacity(queue.messages.len());
        for (held, signed) in queue.messages {
            self.messages -= 1;
            self.bytes -= size(&held);
            judged.push(match identity.conclude(&sender, &signed, &held.envelope) {
                Ok(()) => self.addressed(held),
                Err(error) => Judged::Refused(held, reject(error)),
            });
        }
        judged
    }

    /// Whether messages wait.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Gives up what waits.
    pub(crate) fn abandon(&mut self) -> Vec<Held> {
        self.lookups.clear();
        (self.messages, self.bytes) = (0, 0);
        let waiting = self.waiting.drain();
        waiting
            .flat_map(|(_, queue)| queue.messages.into_iter().map(|(held, _)| held))
            .collect()
    }

    /// A genuine message is for this agent, or somebody else has passed it on: what was signed for another is not taken.
    fn addressed(&self, held: Held) -> Judged {
        let envelope = &held.envelope;
        let to_agent = json::trim(&envelope.to_agent);
        let for_us = match &envelope.to_account_id {
            Some(account_id) => *account_id == self.account_id,
            None => match to_agent.strip_prefix("capability:") {
                Some(capability) => self.capabilities.iter().any(|own| json::trim(own) == capability),
                None => *to_agent == *self.account_id,
            },
        };
        if for_us {
            Judged::Genuine(held)
        } else {
            Judged::Refused(held, reject(MessageAuthError::Claims))
        }
    }
}

fn size(held: &Held) -> usize {
    held.size + 1024
}

fn reject(error: MessageAuthError) -> Reject {
    Reject::Auth(error.code())
}
