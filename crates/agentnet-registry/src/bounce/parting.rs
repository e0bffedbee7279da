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

use crate::context::Context;

/// The longest time until a goodbye is applied; one that is not by then was refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(1);
/// Goodbyes that are remembered before those that are over are looked for.
const MOST: usize = 1000;

/// See the module.
pub(super) struct Parting {
    goodbyes: Subscriber,
    /// By account: the session that has said goodbye last, and when.
    sessions: HashMap<String, (String, Instant)>,
}

impl Parting {
    /// Hears goodbyes from now on.
    pub(super) async fn subscribe(client: &Client) -> Result<Self, SubscribeError> {
        Ok(Self {
            goodbyes: client.subscribe(format!("{REGISTRY_PREFIX}goodbye")).await?,
            sessions: HashMap::new(),
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
        while let Some(Some(goodbye)) = tokio::task::unconstrained(self.goodbyes.next()).now_or_never() {
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
        if self.sessions.len() >= MOST {
            self.sessions.retain(|_, (tag, heard)| is_parting(ctx, tag, *heard));
        }
        self.sessions.insert(account_id, (tag, Instant::now()));
    }
}

fn is_parting(ctx: &Context, tag: &str, heard: Instant) -> bool {
    heard.elapsed() < PATIENCE && ctx.presence.knows(tag)
}

/// Returns when the session has ended, or does not end.
pub(super) async fn gone(ctx: &Context, tag: &str) {
    let heard = Instant::now();
    while is_parting(ctx, tag, heard) {
        tokio::time::sleep(PAUSE).await;
    }
}
