//! Messages of the stream whose header block the client cannot read.
//!
//! The server delivers any block of bytes as a header. The client, though, ends the connection over a block that it cannot
//! read, or itself: such a message would be offered again and again, and nothing behind it would be stored. So before the
//! stream is followed, what has been delivered and was not acknowledged is looked through by way of the server's API, which
//! gives headers as text; what no client can be given is stored from there and taken out of the stream.

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

use super::convert;
use super::stream::{PullConsumer, STREAM};
use crate::clock::Now;
use crate::metrics::Metrics;

/// What the server tells of a message.
#[derive(Deserialize)]
struct Told {
    message: Kept,
}

/// A message as the stream keeps it; header block and body in base64.
#[derive(Deserialize)]
struct Kept {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

/// Looks through what the consumer has delivered and nobody has acknowledged.
///
/// # Errors
/// What server or store says.
pub(super) async fn take_out(
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
        let new = convert::message(decoded(&kept.data)?.into(), published(&kept.time), chars_per_token);
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
            "a message with a header block that no client can read was stored and taken out of the stream"
        );
        // Another registry may have been faster.
        if let Err(error) = stream.delete_message(kept.seq).await {
            tracing::debug!(%error, sequence = kept.seq, "the message is not in the stream any more");
        }
    }
    Ok(())
}

/// The first message from this sequence on; `None` if there is none.
async fn message_from(context: &Context, sequence: u64) -> Result<Option<Kept>, String> {
    let question = json!({"seq": sequence, "next_by_subj": ">"});
    let answer = context
        .request(format!("STREAM.MSG.GET.{STREAM}"), &question)
        .await
        .map_err(|error| error.to_string())?;
    match answer {
        Response::Ok(Told { message }) => Ok(Some(message)),
        Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
        Response::Err { error } => Err(error.to_string()),
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| error.to_string())
}

/// When the stream got it.
fn published(time: &str) -> Timestamp {
    Timestamp::parse(time).unwrap_or_else(|| Now::read().time)
}

/// Whether the client reads this header block. In doubt it does not: what is taken out is stored all the same.
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
    fn what_the_client_cannot_read_is_known() {
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
