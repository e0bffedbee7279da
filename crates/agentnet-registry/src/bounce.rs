//! Messages that nobody can take fail at once (PROTOCOL.md section 0, decision 9).
//!
//! While a registry captures messages, NATS sees interest in every inbox and capability, and a message to an agent that is
//! gone would run into its timeout. So one of the registries looks at each of them; where the account has no live session, or
//! no live session has the capability, it answers: a request with an error envelope, any other message with a `rejected`
//! receipt (`receipt`). The message itself stays in the history.
//!
//! Nobody is refused wrongly: only registries whose presence is warm take part (`presence::whereabouts`).

mod hidden;
mod parting;
mod receipt;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::compose::{Sender, error_reply};
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, Subject, may_reply_to, registry_account};
use agentnet_protocol::{Envelope, Reject, Timestamp, ids};
use agentnet_store::StoreError;
use agentnet_store::model::KnownAccount;
use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::hidden::Hidden;
use self::parting::{Parting, gone};
use self::receipt::Receipts;
use crate::clock::Now;
use crate::connect::end;
use crate::context::Context;
use crate::error::StartError;
use crate::presence::whereabouts::Whereabouts;
use crate::together::AccountLookups;

/// Not the group of the capture: of two subscriptions in one group, NATS would serve only one.
const GROUP: &str = "agentnet-registry-bounce";
/// Requests that may be answered at the same time; those beyond run into their timeout.
const CONCURRENCY: usize = 256;
/// KiB of other messages that may be answered at the same time, each begun one counted whole; those beyond have no receipt.
/// Their accounts are looked up together, so that many small ones may wait.
const MESSAGES_KIB: usize = 16 * 1024;
/// Requests that may wait for a goodbye at the same time. They are counted apart: anybody can say goodbye for another, and until
/// it is refused, requests to that one wait.
const WAITING: usize = 256;
/// An account that registered less than so long ago may have a session that was not announced yet; microseconds, with room for
/// clocks that differ.
const JUST_REGISTERED_MICROS: i64 = 2_000_000;
/// How long a message to such an account waits for the announcement, and how often is looked.
const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_millis(500);
const ANNOUNCEMENT_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How often is looked whether presence is warm.
const LOOK: Duration = Duration::from_millis(100);

/// What is heard.
pub(crate) enum Heard {
    /// By a registry that is sure of who is there.
    Sure(Inboxes),
    /// By one that is not: nothing, if all messages come to the capture.
    Unsure(Option<Hidden>),
}

/// What is heard to be answered.
pub(crate) struct Inboxes {
    inboxes: Subscriber,
    capabilities: Subscriber,
    parting: Parting,
}

/// Who may be at work, and for how long. Requests have places and lookups of their own: their senders wait, and a flood of other
/// messages is to leave them room.
struct Room {
    messages: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    accounts_of_messages: AccountLookups,
    accounts_of_requests: AccountLookups,
    receipts: Receipts,
    stop: CancellationToken,
}

impl Room {
    /// A place for a message, if there is one.
    fn place(&self, message: &Message, leaves: bool) -> Option<OwnedSemaphorePermit> {
        let (places, wanted) = match (leaves, &message.reply) {
            (true, _) => (&self.waiting, 1),
            (false, Some(_)) => (&self.requests, 1),
            // The largest that a server takes finds a place too.
            (false, None) => (&self.messages, (1 + message.payload.len() / 1024).min(MESSAGES_KIB / 4)),
        };
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        Arc::clone(places).try_acquire_many_owned(wanted).ok()
    }
}

/// Hears every inbox and capability from now on.
pub(crate) async fn subscribe(ctx: &Context) -> Result<Heard, StartError> {
    let subscribed = match is_sure(ctx) {
        true => subscribe_all(&ctx.client).await.map(Heard::Sure),
        false => Hidden::subscribe(ctx).await.map(Heard::Unsure),
    };
    subscribed.map_err(|error| StartError::Nats(error.to_string()))
}

async fn subscribe_all(client: &Client) -> Result<Inboxes, SubscribeError> {
    Ok(Inboxes {
        parting: Parting::subscribe(client).await?,
        inboxes: client.queue_subscribe(ALL_INBOXES, GROUP.to_owned()).await?,
        capabilities: client.queue_subscribe(ALL_CAPABILITIES, GROUP.to_owned()).await?,
    })
}

/// Answers until `stop`, whenever presence is warm. A registry that is not sure of anybody stays out of the group: it would
/// draw requests that another could answer.
pub(crate) async fn run(ctx: Arc<Context>, heard: Heard, stop: CancellationToken) {
    let room = Arc::new(Room {
        messages: Arc::new(Semaphore::new(MESSAGES_KIB)),
        requests: Arc::new(Semaphore::new(CONCURRENCY)),
        waiting: Arc::new(Semaphore::new(WAITING)),
        accounts_of_messages: AccountLookups::of(&ctx.store),
        accounts_of_requests: AccountLookups::of(&ctx.store),
        receipts: Receipts::default(),
        stop: stop.clone(),
    });
    let mut heard = heard;
    while !stop.is_cancelled() {
        // The next is heard before the last is left, so that no message falls between them.
        let next = match heard {
            Heard::Sure(mut inboxes) => {
                tokio::select! {
                    () = answer_all(&ctx, &mut inboxes, &room) => return,
                    () = becomes_sure(&ctx, false) => {}
                    () = stop.cancelled() => {}
                }
                let next = match stop.is_cancelled() {
                    true => Ok(None),
                    false => Hidden::subscribe(&ctx).await,
                };
                for messages in [&mut inboxes.inboxes, &mut inboxes.capabilities] {
                    for message in end(&ctx.client, messages).await {
                        hidden::record(&ctx, &message).await;
                        // A goodbye may have come behind it.
                        look(&ctx, None, message, &room);
                    }
                }
                next.map(Heard::Unsure)
            }
            Heard::Unsure(mut hidden) => {
                let record_all = async {
                    match &mut hidden {
                        Some(hidden) => hidden.record_all(&ctx).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = record_all => return,
                    () = becomes_sure(&ctx, true) => {}
                    () = stop.cancelled() => {}
                }
                let next = match stop.is_cancelled() {
                    true => Ok(Heard::Unsure(None)),
                    false => subscribe_all(&ctx.client).await.map(Heard::Sure),
                };
                if let Some(hidden) = hidden {
                    hidden.end(&ctx).await;
                }
                next
            }
        };
        heard = match next {
            Ok(heard) => heard,
            Err(error) => {
                tracing::debug!(%error, "requests to absent agents are not heard");
                return;
            }
        };
    }
}

/// Looks at every message.
async fn answer_all(ctx: &Arc<Context>, heard: &mut Inboxes, room: &Arc<Room>) {
    let Inboxes {
        inboxes,
        capabilities,
        parting,
    } = heard;
    loop {
        let message = tokio::select! {
            Some(message) = inboxes.next() => message,
            Some(message) = capabilities.next() => message,
            () = parting.hear(ctx) => continue,
            else => return,
        };
        hidden::record(ctx, &message).await;
        look(ctx, Some(parting), message, room);
    }
}

/// Whether this registry answers for the absent now.
fn is_sure(ctx: &Context) -> bool {
    ctx.config.offline_replies && ctx.presence.is_warm(Now::read())
}

/// Returns when the registry is sure, or is not.
async fn becomes_sure(ctx: &Context, wanted: bool) {
    while is_sure(ctx) != wanted {
        tokio::time::sleep(LOOK).await;
    }
}

/// To whom a message goes.
#[derive(Debug, Clone)]
enum Target {
    Account(String),
    Capability(String),
}

/// Answers a message if nobody else will.
fn look(ctx: &Arc<Context>, parting: Option<&mut Parting>, message: Message, room: &Arc<Room>) {
    let (target, leaves) = match Subject::parse(&message.subject) {
        Some(Subject::Inbox { account_id }) => {
            let leaves = parting.and_then(|parting| parting.session(ctx, account_id));
            if leaves.is_none() && ctx.presence.online(account_id) > 0 {
                return;
            }
            (Target::Account(account_id.to_owned()), leaves)
        }
        Some(Subject::Capability { capability }) if !ctx.presence.serves(capability) => {
            (Target::Capability(capability.to_owned()), None)
        }
        _ => return,
    };
    let Some(place) = room.place(&message, leaves.is_some()) else {
        return;
    };
    let (work, room) = (Arc::clone(ctx), Arc::clone(room));
    ctx.tasks.spawn(async move {
        let _place = place;
        let reply_to = message.reply.filter(|subject| may_reply_to(subject));
        let Ok(envelope) = Envelope::decode(message.payload) else {
            return;
        };
        // Who is not to be told need not be looked for.
        let sender = match &reply_to {
            Some(_) => None,
            None => match room.receipts.addressee(&envelope) {
                Some(sender) => Some(sender),
                None => return,
            },
        };
        if let Some(tag) = leaves {
            gone(&work, &tag, &room.stop).await;
        }
        let accounts = match &reply_to {
            Some(_) => &room.accounts_of_requests,
            None => &room.accounts_of_messages,
        };
        let Some(reject) = refusal(&work, accounts, &target).await else {
            return;
        };
        tracing::debug!(subject = %message.subject, code = reject.code(), "answers for an absent agent");
        match (reply_to, sender) {
            (Some(reply_to), _) => answer(&work, &envelope, reply_to, &reject).await,
            (None, Some(sender)) => receipt::reject(&work, accounts, &sender, envelope, &reject).await,
            (None, None) => {}
        }
    });
}

/// Why a message fails; `None` if somebody may take it.
async fn refusal(ctx: &Context, accounts: &AccountLookups, target: &Target) -> Option<Reject> {
    // Sessions that came in on the same connection before the message count.
    ctx.adoptions.settled().await;
    let account_id = match target {
        Target::Account(account_id) => account_id,
        Target::Capability(capability) => {
            let nobody = ctx.presence.heard_all(Now::read()) && !ctx.presence.serves(capability);
            return nobody.then(|| Reject::CapabilityUnavailable(capability.clone()));
        }
    };
    // Asked for after the message came, so an account that was there before it is found.
    let account = match accounts.ask(account_id.clone()).await {
        Ok(account) => account,
        Err(error) => {
            if !matches!(*error, StoreError::Unavailable(_) | StoreError::Gone(_)) {
                tracing::warn!(%error, %account_id, "an account could not be looked up; its messages run into their timeout");
            }
            return None;
        }
    };
    if let Some(account) = &account {
        heard_of(ctx, account).await;
    }
    let now = Now::read();
    match (account, ctx.presence.whereabouts(account_id, now)) {
        (_, Whereabouts::Online | Whereabouts::Unsure) => None,
        (None, Whereabouts::Offline(_)) => ctx.presence.heard_all(now).then_some(Reject::AccountNotFound),
        (Some(account), Whereabouts::Offline(since)) => Some(Reject::RecipientOffline(offline_since(
            &account.username,
            since,
            account.updated_at,
        ))),
    }
}

/// Waits, within reason, until the session of an account is heard of that has just registered, and was not seen to end since:
/// another registry stores it first and announces it then.
async fn heard_of(ctx: &Context, account: &KnownAccount) {
    let asked = Instant::now();
    while asked.elapsed() < ANNOUNCEMENT_TIMEOUT {
        let now = Now::read();
        let Whereabouts::Offline(since) = ctx.presence.whereabouts(&account.account_id, now) else {
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

async fn answer(ctx: &Context, request: &Envelope, reply_to: async_nats::Subject, reject: &Reject) {
    let now = Now::read().time;
    let name = &ctx.config.server_id;
    let sender = Sender {
        agent_id: format!("registry_{name}").into(),
        account_id: registry_account(name).into(),
        session_tag: agentnet_protocol::Text::new(),
    };
    let message_id = ids::registry_message_id(now.as_unix_millis(), rand::random());
    let mut reply = error_reply(request, reject, &sender, message_id.into(), now);
    reply.from_session_tag = None;
    if let Some(identity) = &ctx.identity {
        identity.sign(&mut reply);
    }
    let body = reply.encode();
    if ctx.client.publish(reply_to, body.clone()).await.is_ok() {
        // What this connection publishes is not delivered back to its own tap.
        ctx.capture.record(body, now).await;
    }
}
