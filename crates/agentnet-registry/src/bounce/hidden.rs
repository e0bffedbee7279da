//! Messages that their sender has kept out of the history.
//!
//! With a header for the server (`Nats-Expected-Stream`, `Nats-Rollup`, …) a message is delivered and handled, while the stream
//! refuses or loses it; one with a status in its headers is taken for a word of the server when it comes from the stream. Our agents refuse such messages; those of others do not. So the registry that looks at a message records
//! it. A registry that is not sure of who is there looks at messages for this alone, in a group of its own.

use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, is_server_header};
use async_nats::{Message, SubscribeError, Subscriber};
use futures::StreamExt as _;

use crate::capture::CaptureMode;
use crate::clock::Now;
use crate::connect::end;
use crate::context::Context;

const GROUP: &str = "agentnet-registry-hidden";

/// Records a message that the stream may lack.
pub(super) async fn record(ctx: &Context, message: &Message) {
    let steers = |headers: &async_nats::HeaderMap| headers.iter().any(|(name, _)| is_server_header(name.as_ref()));
    let hidden = message.status.is_some() || message.headers.as_ref().is_some_and(steers);
    if ctx.capture.mode == CaptureMode::JetStream && hidden {
        ctx.capture.record(message.payload.clone(), Now::read().time).await;
    }
}

/// What a registry hears that is not sure of who is there.
pub(crate) struct Hidden([Subscriber; 2]);

impl Hidden {
    /// Hears every inbox and capability from now on, unless all messages come to the capture anyway.
    pub(super) async fn subscribe(ctx: &Context) -> Result<Option<Self>, SubscribeError> {
        if ctx.capture.mode != CaptureMode::JetStream {
            return Ok(None);
        }
        let hear = |subject: &'static str| ctx.client.queue_subscribe(subject, GROUP.to_owned());
        Ok(Some(Self([hear(ALL_INBOXES).await?, hear(ALL_CAPABILITIES).await?])))
    }

    /// Records what its sender hides.
    pub(super) async fn record_all(&mut self, ctx: &Context) {
        let [inboxes, capabilities] = &mut self.0;
        loop {
            tokio::select! {
                Some(message) = inboxes.next() => record(ctx, &message).await,
                Some(message) = capabilities.next() => record(ctx, &message).await,
                else => return,
            }
        }
    }

    /// Ends, with what has been delivered until then.
    pub(super) async fn end(mut self, ctx: &Context) {
        for messages in &mut self.0 {
            for message in end(&ctx.client, messages).await {
                record(ctx, &message).await;
            }
        }
    }
}
