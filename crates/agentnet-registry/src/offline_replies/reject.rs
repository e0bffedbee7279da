//! Whether a message has a receiver, and the reply if it has none. One whose sender asks for it is kept in the receiver's mailbox
//! (PROTOCOL.md section 21.2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::compose::{Sender, error_reply};
use agentnet_protocol::subject::{Subject, may_reply_to, registry_account};
use agentnet_protocol::{Envelope, Reject, Text, Timestamp, ids};
use agentnet_store::Store;
use agentnet_store::model::KnownAccount;
use async_nats::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::keep::keep;
use super::receipt::{self, ReceiptLimit};
use super::turns::{Turn, Turns};
use crate::batch_lookup::AccountLoader;
use crate::clock::Now;
use crate::context::Context;
use crate::presence::offline_certainty::AccountPresence;
use crate::tasks::Phase;

/// Requests that are handled at the same time; further ones run into their timeout.
const MAX_REQUESTS: usize = 256;
/// KiB of other messages that are handled at the same time, each rounded up; further ones get no receipt. Their accounts are
/// looked up together, so that many small ones may wait.
const MAX_MESSAGES_KIB: usize = 16 * 1024;
/// Requests that may wait until a goodbye is verified. They have a limit of their own: every client can send a goodbye for
/// another, and until it is ignored, requests to that account wait.
const MAX_REQUESTS_BEHIND_GOODBYE: usize = 256;
/// An account that registered less than so many microseconds ago may have a session that was not announced yet. With room for
/// clocks that differ.
const JUST_REGISTERED_MICROS: i64 = 2_000_000;
/// How long a message to such an account waits for the announcement, and how often presence is asked.
const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_millis(500);
const ANNOUNCEMENT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Checks messages, and replies to those without a receiver. Requests have limits and lookups of their own: their senders wait,
/// and a flood of other messages must leave room for them.
pub(super) struct Rejections {
    messages: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    requests_behind_goodbye: Arc<Semaphore>,
    accounts_of_messages: AccountLoader,
    accounts_of_requests: AccountLoader,
    receipts: ReceiptLimit,
    turns: Arc<Turns>,
}

/// The receiver of a message.
#[derive(Debug, Clone)]
enum Target {
    Account(String),
    Capability(String),
}

impl Rejections {
    pub(super) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            messages: Arc::new(Semaphore::new(MAX_MESSAGES_KIB)),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            requests_behind_goodbye: Arc::new(Semaphore::new(MAX_REQUESTS_BEHIND_GOODBYE)),
            accounts_of_messages: AccountLoader::new(store),
            accounts_of_requests: AccountLoader::new(store),
            receipts: ReceiptLimit::default(),
            turns: Arc::default(),
        }
    }

    /// Replies to a message that has no receiver, in a task of its own. One that has a receiver costs no task.
    pub(super) fn check(self: &Arc<Self>, ctx: &Arc<Context>, message: Message) {
        let mut behind_goodbye = false;
        let target = match Subject::parse(&message.subject) {
            Some(Subject::Inbox { account_id, .. }) => {
                if ctx.presence.online(account_id) > 0 {
                    behind_goodbye = ctx.pending_lookups.has_goodbye(account_id);
                    if !behind_goodbye {
                        return;
                    }
                }
                Target::Account(account_id.to_owned())
            }
            Some(Subject::Capability { capability, .. }) if !ctx.presence.serves(capability) => {
                Target::Capability(capability.to_owned())
            }
            _ => return,
        };
        let Some(place) = self.place(&message, behind_goodbye) else {
            return;
        };
        let mut turn = self.turn(&message, &target);
        let (rejections, owner) = (Arc::clone(self), Arc::clone(ctx));
        ctx.tasks.spawn(Phase::Requests, async move {
            let _place = place;
            rejections.reply(&owner, message, &target, &mut turn).await;
            if let Some(turn) = &mut turn {
                turn.come().await;
            }
        });
    }

    /// The place of a message that may have to be kept in the order of those to its account.
    fn turn(&self, message: &Message, target: &Target) -> Option<Turn> {
        match target {
            Target::Account(account_id) if message.reply.is_none() && mentions_mailbox(&message.payload) => {
                Some(self.turns.take(account_id))
            }
            _ => None,
        }
    }

    /// A place for a message, if there is one.
    fn place(&self, message: &Message, behind_goodbye: bool) -> Option<OwnedSemaphorePermit> {
        let (places, wanted) = match (behind_goodbye, &message.reply) {
            (true, _) => (&self.requests_behind_goodbye, 1),
            (false, Some(_)) => (&self.requests, 1),
            // The largest message that a server takes finds a place too.
            (false, None) => {
                let kib = 1 + message.payload.len() / 1024;
                (&self.messages, kib.min(MAX_MESSAGES_KIB / 4))
            }
        };
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        Arc::clone(places).try_acquire_many_owned(wanted).ok()
    }

    async fn reply(&self, ctx: &Context, message: Message, target: &Target, turn: &mut Option<Turn>) {
        let reply_to = message.reply.filter(|subject| may_reply_to(subject));
        let body = message.payload;
        let Ok(envelope) = Envelope::decode(body.clone()) else {
            return;
        };
        // Its receivers refuse it too (section 23.6).
        if !ctx
            .issuer
            .vouches_for(&message.subject, envelope.from_account_id.as_deref())
        {
            return;
        }
        // A message without reply subject whose sender gets no receipt needs no lookup.
        let sender: Option<Text> = match &reply_to {
            Some(_) => None,
            None => match self.receipts.receiver(&envelope) {
                Some(sender) => Some(sender),
                None => return,
            },
        };
        let accounts = match &reply_to {
            Some(_) => &self.accounts_of_requests,
            None => &self.accounts_of_messages,
        };
        let Some(reject) = rejection(ctx, accounts, target).await else {
            return;
        };
        tracing::debug!(subject = %message.subject, code = reject.code(), "replies for an offline agent");
        match (reply_to, sender) {
            (Some(reply_to), _) => send_error(ctx, &envelope, reply_to, &reject).await,
            (None, Some(_)) => {
                if !receipt::is_authentic(ctx, accounts, &envelope).await {
                    return;
                }
                match (target, reject) {
                    (Target::Account(account_id), Reject::RecipientOffline(offline)) if envelope.mailbox.is_some() => {
                        keep(ctx, account_id, body, envelope, offline, turn).await;
                    }
                    (_, reject) => receipt::send(ctx, envelope, &reject).await,
                }
            }
            (None, None) => {}
        }
    }
}

/// Whether the member of a message that asks for the mailbox may be in a body.
fn mentions_mailbox(body: &[u8]) -> bool {
    const NAME: &[u8] = b"\"mailbox\"";
    body.windows(NAME.len()).any(|bytes| bytes == NAME)
}

/// Why a message has no receiver; `None` if it may have one.
async fn rejection(ctx: &Context, accounts: &AccountLoader, target: &Target) -> Option<Reject> {
    // Events that came before the message, and still need the store, count.
    ctx.pending_lookups.settled().await;
    let account_id = match target {
        Target::Account(account_id) => account_id,
        Target::Capability(capability) => {
            let unavailable = ctx.presence.knows_all(Now::read()) && !ctx.presence.serves(capability);
            return unavailable.then(|| Reject::CapabilityUnavailable(capability.clone()));
        }
    };
    // Read after the message came, so an account that was created before it is found.
    let account = match accounts.load(account_id.clone()).await {
        Ok(account) => account,
        Err(error) => {
            if !error.is_unreachable() {
                tracing::warn!(%error, %account_id, "an account could not be looked up; its messages run into their timeout");
            }
            return None;
        }
    };
    if let Some(account) = &account {
        await_announcement(ctx, account).await;
    }
    let now = Now::read();
    match (account, ctx.presence.account_presence(account_id, now)) {
        (_, AccountPresence::Online | AccountPresence::Uncertain) => None,
        (None, AccountPresence::Offline(_)) => ctx.presence.knows_all(now).then_some(Reject::AccountNotFound),
        (Some(account), AccountPresence::Offline(since)) => Some(Reject::RecipientOffline(offline_since(
            &account.username,
            since,
            account.updated_at,
        ))),
    }
}

/// Waits for the session of an account that has just registered, unless that session was seen to end: another registry stores
/// it first and announces it then.
async fn await_announcement(ctx: &Context, account: &KnownAccount) {
    let start = Instant::now();
    while start.elapsed() < ANNOUNCEMENT_TIMEOUT {
        let now = Now::read();
        let AccountPresence::Offline(since) = ctx.presence.account_presence(&account.account_id, now) else {
            return;
        };
        let is_new = now.time.micros_since(account.updated_at) < JUST_REGISTERED_MICROS;
        if !is_new || since.is_some_and(|since| since >= account.updated_at) {
            return;
        }
        tokio::time::sleep(ANNOUNCEMENT_POLL_INTERVAL).await;
    }
}

fn offline_since(username: &str, since: Option<Timestamp>, registered: Timestamp) -> String {
    match since {
        Some(since) => format!("@{username} is offline since {since}"),
        None => format!("@{username} is offline; it registered last at {registered}"),
    }
}

/// Replies to a request with an error envelope.
async fn send_error(ctx: &Context, request: &Envelope, reply_to: async_nats::Subject, reject: &Reject) {
    let now = Now::read().time;
    let name = &ctx.config.server_id;
    let sender = Sender {
        agent_id: format!("registry_{name}").into(),
        account_id: registry_account(name).into(),
        session_tag: Text::new(),
    };
    let message_id = ids::registry_message_id(now.as_unix_millis(), rand::random());
    let mut reply = error_reply(request, reject, &sender, message_id.into(), now);
    reply.from_session_tag = None;
    if let Some(identity) = &ctx.identity {
        identity.sign(&mut reply);
    }
    let body = reply.encode();
    let reply_to = ctx.issuer.publish_subject(reply_to.as_str());
    if ctx.client.publish(reply_to.clone(), body.clone()).await.is_ok() {
        // The server does not deliver to this connection what the connection itself publishes.
        ctx.capture.record(&reply_to, body, now).await;
    }
}
