//! Goodbyes that came before a request and are not applied yet.
//!
//! The router applies goodbyes, in a task of its own. A request that comes right behind one would find the session still
//! live, be left to an agent that is gone, and run into its timeout. So who looks at requests hears goodbyes too, and waits
//! with a request for what was heard before it.

use std::collections::HashMap;
use std::future;
use std::time::{Duration, Instant};

use agentnet_protocol::json::Object;
use agentnet_protocol::rpc::Goodbye;
use agentnet_protocol::subject::REGISTRY_PREFIX;
use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// How long a goodbye counts that is not applied: the router may be slow, or refuse it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether it is applied.
const PAUSE: Duration = Duration::from_millis(1);
/// Goodbyes that are remembered; of others, a request comes too early.
const MOST: usize = 1000;
/// Longer names are nobody's.
const LONGEST: usize = 512;
/// Goodbyes that are heard before one request.
const BURST: usize = 1000;

/// See the module.
pub(super) struct Parting {
    goodbyes: Subscriber,
    /// By account: the session that has said goodbye last, and when.
    sessions: HashMap<String, (String, Instant)>,
    /// When those that are over were taken out last.
    tidied: Instant,
}

impl Parting {
    /// Hears goodbyes from now on.
    pub(super) async fn subscribe(client: &Client) -> Result<Self, SubscribeError> {
        Ok(Self {
            goodbyes: client.subscribe(format!("{REGISTRY_PREFIX}goodbye")).await?,
            sessions: HashMap::new(),
            tidied: Instant::now(),
        })
    }

    /// Waits for the next goodbye.
    pub(super) async fn hear(&mut self, ctx: &Context) {
        match self.goodbyes.next().await {
            Some(goodbye) => self.note(ctx, &goodbye),
            None => future::pending().await,
        }
    }

    /// The session of this account that has said goodbye before now and still counts as live.
    pub(super) fn session(&mut self, ctx: &Context, account_id: &str) -> Option<String> {
        for _ in 0..BURST {
            let next = tokio::task::unconstrained(self.goodbyes.next()).now_or_never();
            let Some(Some(goodbye)) = next else { break };
            self.note(ctx, &goodbye);
        }
        let (tag, heard) = self.sessions.get(account_id)?;
        if is_parting(ctx, tag, *heard) {
            return Some(tag.clone());
        }
        self.sessions.remove(account_id);
        None
    }

    fn note(&mut self, ctx: &Context, goodbye: &Message) {
        let Ok(Some(object)) = Object::parse_body(&goodbye.payload) else {
            return;
        };
        let tag = Goodbye::decode(&object).session_tag;
        // Once it is applied, presence tells by itself.
        let Some(account_id) = ctx.presence.account_of(&tag) else {
            return;
        };
        if tag.len().max(account_id.len()) > LONGEST {
            return;
        }
        let now = Instant::now();
        if self.sessions.len() >= MOST && now - self.tidied >= PATIENCE {
            self.tidied = now;
            self.sessions.retain(|_, (_, heard)| now - *heard < PATIENCE);
        }
        if self.sessions.len() < MOST {
            self.sessions.insert(account_id, (tag, now));
        }
    }
}

fn is_parting(ctx: &Context, tag: &str, heard: Instant) -> bool {
    heard.elapsed() < PATIENCE && ctx.presence.knows(tag)
}

/// Returns when the session has ended, does not end, or the registry stops.
pub(super) async fn gone(ctx: &Context, tag: &str, stop: &CancellationToken) {
    let heard = Instant::now();
    while is_parting(ctx, tag, heard) && !stop.is_cancelled() {
        tokio::time::sleep(PAUSE).await;
    }
}
