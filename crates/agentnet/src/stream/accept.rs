//! The one place where a message that belongs to a stream is taken from the wire, and its sender checked under signed
//! identity (PROTOCOL.md section 13.7): frames by the account that was asked, cancels by the account that asked.

use std::sync::Arc;

use agentnet_protocol::{DecodeError, Envelope};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::feed::{Arrived, Capacity, Inflow, Outflow, feed};
use crate::handler::Message;
use crate::identity::Asked;
use crate::session::Live;
use crate::spans::Origin;

/// Frames of one stream that may be checked at the same time.
const CHECKS: usize = 64;

/// Decodes what came to a reply subject or to a cancel subject.
pub(crate) fn accept(body: Bytes) -> Result<Message, DecodeError> {
    Ok(Message::new(Envelope::decode_reply(body)?, None, Origin::default()))
}

/// What of a stream's replies whom was asked has signed; all of them where the node does not sign.
pub(crate) fn genuine(live: &Arc<Live>, replies: Outflow, capacity: Capacity, asked: Asked) -> Outflow {
    if live.identity.is_none() {
        return replies;
    }
    let (checked, reader) = feed(capacity);
    let live = live.clone();
    tokio::spawn(async move {
        let ended = live.ended.clone();
        ended.run_until_cancelled(check(&live, replies, checked, &asked)).await;
    });
    reader
}

/// Hands on what is genuine, until the stream is read no more.
async fn check(live: &Live, mut replies: Outflow, checked: Inflow, asked: &Asked) {
    let mut checks = FuturesUnordered::new();
    let mut open = true;
    while open || !checks.is_empty() {
        tokio::select! {
            Some((arrived, verdict)) = checks.next() => {
                let arrived: Arrived = arrived;
                match verdict {
                    Ok(()) if checked.push(arrived.message) => {}
                    Ok(()) => return,
                    Err(why) => pass_over(live, asked, why),
                }
            }
            arrived = replies.next(), if open && checks.len() < CHECKS => match arrived {
                None => open = false,
                // Also the server's word that nobody is there: anybody can publish it.
                Some(arrived) => match Envelope::decode_reply(arrived.message.payload.clone()) {
                    Ok(envelope) if arrived.message.status.is_none() => checks.push(async move {
                        let verdict = live.verify_reply(&envelope, asked).await;
                        (arrived, verdict)
                    }),
                    _ => pass_over(live, asked, "message_invalid"),
                },
            },
        }
    }
    if replies.overrun().is_some() {
        checked.give_up();
    }
}

fn pass_over(live: &Live, asked: &Asked, why: &'static str) {
    live.metrics.refused_replies.add_one();
    tracing::warn!(message_id = %asked.message_id, why, "passed over a frame that whom was asked has not signed");
}
