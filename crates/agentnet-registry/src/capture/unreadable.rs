//! Messages of the stream with a header block that the client cannot parse.
//!
//! The server delivers any block of bytes as a header. The client, though, ends the connection, or itself, over a block that it
//! cannot parse: such a message would be redelivered again and again, and no message behind it would be stored. So before the
//! stream is read, the messages that were delivered and not acknowledged are checked through the server's API, which returns
//! headers as text; those that no client can parse are stored from there and removed from the stream.

use agentnet_protocol::Timestamp;
use agentnet_store::Store;
use async_nats::StatusCode;
use async_nats::header::HeaderName;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{Context, ErrorCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::decode;
use super::stream::{PullConsumer, STREAM};
use crate::clock::Now;
use crate::metrics::Metrics;

/// The server's answer to `STREAM.MSG.GET`.
#[derive(Deserialize)]
struct GetMessageReply {
    message: StoredMessage,
}

/// A message of the stream; header block and body in base64.
#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

/// Checks the messages that the consumer has delivered and no registry has acknowledged.
///
/// # Errors
/// The error of server or store.
pub(super) async fn remove_unreadable(
    context: &Context,
    consumer: &PullConsumer,
    store: &dyn Store,
    metrics: &Metrics,
    chars_per_token: f64,
) -> Result<(), String> {
    let info = consumer.cached_info();
    if info.num_ack_pending == 0 {
        return Ok(());
    }
    let stream = context
        .get_stream_no_info(STREAM)
        .await
        .map_err(|error| error.to_string())?;
    let mut next = info.ack_floor.stream_sequence + 1;
    while next <= info.delivered.stream_sequence {
        let Some(kept) = message_from(context, next).await? else {
            break;
        };
        next = kept.seq + 1;
        if is_readable(&decoded(&kept.hdrs)?) {
            continue;
        }
        let new = decode::message(decoded(&kept.data)?.into(), published(&kept.time), chars_per_token);
        match new {
            None => metrics.ignored.add(1),
            Some(new) => {
                let appended = store.append_messages(&[new]).await.map_err(|error| error.to_string())?;
                metrics.stored.add(appended.stored);
                metrics.duplicates.add(appended.duplicates);
                metrics.refused.add(appended.refused.len());
                if let Some(refused) = appended.refused.first() {
                    tracing::error!(sequence = kept.seq, reason = %refused.reason, "the store refused a message");
                    if !refused.lasting {
                        continue;
                    }
                }
            }
        }
        tracing::warn!(
            sequence = kept.seq,
            "a message with a header block that no client can parse was stored and removed from the stream"
        );
        // Another registry may have been faster.
        if let Err(error) = stream.delete_message(kept.seq).await {
            tracing::debug!(%error, sequence = kept.seq, "the message is not in the stream any more");
        }
    }
    Ok(())
}

/// The first message from this sequence on; `None` if there is none.
async fn message_from(context: &Context, sequence: u64) -> Result<Option<StoredMessage>, String> {
    let question = json!({"seq": sequence, "next_by_subj": ">"});
    let answer = context
        .request(format!("STREAM.MSG.GET.{STREAM}"), &question)
        .await
        .map_err(|error| error.to_string())?;
    match answer {
        Response::Ok(GetMessageReply { message }) => Ok(Some(message)),
        Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
        Response::Err { error } => Err(error.to_string()),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| error.to_string())
}

/// The time at which the stream got a message.
fn published(time: &str) -> Timestamp {
    Timestamp::parse(time).unwrap_or_else(|| Now::read().time)
}

/// Whether the client can parse this header block. In doubt `false`: a message that is removed is stored all the same.
fn is_readable(block: &[u8]) -> bool {
    if block.is_empty() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(block) else {
        return false;
    };
    let Some(text) = text.strip_suffix("\r\n\r\n").or_else(|| text.strip_suffix("\r\n")) else {
        return false;
    };
    let mut lines = text.split("\r\n");
    let Some(status) = lines.next().and_then(|line| line.strip_prefix("NATS/1.0")) else {
        return false;
    };
    let status = status.split_whitespace().next();
    status.is_none_or(|status| status.parse::<StatusCode>().is_ok())
        && !text.replace("\r\n", "").contains(['\r', '\n'])
        && lines.all(|line| {
            line.split_once(':')
                .is_some_and(|(name, _)| name.parse::<HeaderName>().is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_blocks_that_the_client_cannot_parse_are_recognised() {
        for block in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 404 No Messages\r\n\r\n",
            "NATS/1.0\r\ntraceparent: 00-1-2-01\r\nX: a:b\r\n\r\n",
            "NATS/1.0\r\nempty:\r\n\r\n",
            "NATS/1.0\r\n: no name\r\n\r\n",
        ] {
            assert!(is_readable(block.as_bytes()), "{block:?}");
        }
        for block in [
            "\r\n\r\n",
            "NATS/2.0\r\n\r\n",
            "NATS/1.0 abc\r\n\r\n",
            "NATS/1.0\r\nno colon\r\n\r\n",
            "NATS/1.0\r\nä: b\r\n\r\n",
            "NATS/1.0\r\na b: c\r\n\r\n",
            "NATS/1.0\r\na: b\rc\r\n\r\n",
            "NATS/1.0\r\na: b\nc\r\n\r\n",
            "NATS/1.0\r\na: b",
        ] {
            assert!(!is_readable(block.as_bytes()), "{block:?}");
        }
        assert!(!is_readable(b"NATS/1.0\r\na: \xff\r\n\r\n"));
    }
}
