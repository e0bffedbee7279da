//! Sends what became of a question: the answer or an error, as one reply or as the end of a stream.

use agentnet::protocol::envelope::kind;
use agentnet::{Context, SendError, StreamError};
use serde_json::{Value, json};

use super::failure::{AnswerFailure, LIMIT_REACHED};
use super::reply_sink::{ReplySink, StreamedReply};
use super::turns::to_payload;
use super::work::{Answer, Progress, Work};
use crate::memory::Memory;
use crate::memory::estimate::cut;

/// Characters of a text that does not fit into a message.
const MAX_CUT_CHARS: usize = 20_000;
/// Bytes of the result at the end of a stream, as JSON: of the 256,000 of a message, the rest is for ids and names. A message that is
/// too large ends the stream, so there is no second try.
pub(super) const MAX_RESULT_BYTES: usize = 220_000;

/// Sends the replies to one message.
pub(super) struct Replier<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) context: &'a Context,
    pub(super) memory: &'a Memory,
}

impl Replier<'_> {
    /// Sends an answer. Returns its text.
    pub(super) async fn answer(
        &self,
        answer: Answer,
        progress: &Progress,
        sink: ReplySink,
    ) -> Result<String, AnswerFailure> {
        match sink {
            ReplySink::Stream(stream) => self.end(stream, &answer, progress).await,
            ReplySink::Whole | ReplySink::Task(_) => {
                let mut payload = to_payload(&answer, &answer.text, progress, self.work);
                let sent = match self.send(&payload, kind::REPLY).await {
                    Err(SendError::TooLarge { .. }) => {
                        shorten(&mut payload, &answer.text);
                        self.send(&payload, kind::REPLY).await
                    }
                    sent => sent,
                };
                self.remember(&sent?, &answer.text);
                Ok(answer.text)
            }
        }
    }

    /// Ends a stream. Its pieces are the whole text, which the end repeats as far as it fits.
    async fn end(&self, stream: StreamedReply, answer: &Answer, progress: &Progress) -> Result<String, AnswerFailure> {
        let id = stream.stream_id().to_owned();
        let text = stream.whole_text().trim().to_owned();
        let mut payload = to_payload(answer, &text, progress, self.work);
        if payload.to_string().len() > MAX_RESULT_BYTES {
            shorten(&mut payload, &text);
        }
        stream.end(payload).await?;
        self.remember(&id, &text);
        Ok(text)
    }

    /// Keeps an answer that was sent.
    fn remember(&self, id: &str, text: &str) {
        self.memory.answered(&self.work.thread_id, &self.work.own, id, text);
    }

    /// Tells the requester why there is no answer (PROTOCOL.md section 5.4). A sender that waits for no reply gets none.
    pub(super) async fn failure(&self, failure: &AnswerFailure, sink: ReplySink) -> Result<(), SendError> {
        let AnswerFailure { code, detail, .. } = failure;
        if let ReplySink::Stream(stream) = sink {
            return match stream.fail(code, detail).await {
                Err(StreamError::Send(error)) => Err(error),
                _ => Ok(()),
            };
        }
        let message = self.work.message;
        if !message.wants_reply() {
            return Ok(());
        }
        let mut payload = json!({
            "error": code,
            "detail": detail,
            "request_message_id": &*message.message_id,
            "trace_id": &**message.trace_or_message_id(),
            "agent_key": self.work.parts.config.key,
        });
        if *code == LIMIT_REACHED {
            payload["text"] = format!("I have no answer: {detail}.").into();
        }
        self.send(&payload, kind::ERROR).await.map(drop)
    }

    /// Sends a reply; to a sender that waits for none, a message. Returns its id.
    async fn send(&self, payload: &Value, kind: &str) -> Result<String, SendError> {
        let work = self.work;
        let ttl_ms = work.parts.config.reply.ttl_ms;
        if work.message.wants_reply() {
            let sent = self.context.reply(payload).kind(kind).ttl_ms(ttl_ms).await?;
            return Ok(sent.message_id);
        }
        let Some(sender) = work.message.from_account_id.as_deref() else {
            return Err(SendError::NoReplySubject);
        };
        let mut payload = payload.clone();
        payload["mesh"] = work.chain.member_of_answer(&work.own, work.task_allowance.take_part());
        let sending = work.node.send_to_account(sender, payload).ttl_ms(ttl_ms);
        match sending.thread(&*work.thread_id).parent(&*work.message.message_id).await {
            Ok(sent) => Ok(sent.message_id),
            // It was sent; some agents send no receipts.
            Err(SendError::AckTimeout { message_id, .. } | SendError::AckUnusable { message_id, .. }) => Ok(message_id),
            Err(error) => Err(error),
        }
    }
}

/// Makes a reply fit into a message: without results of tools, with a shorter text.
pub(super) fn shorten(payload: &mut Value, text: &str) {
    if let Some(payload) = payload.as_object_mut() {
        payload.shift_remove("tool_results");
    }
    payload["text"] = cut(text, MAX_CUT_CHARS).into();
    payload["truncated"] = true.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_is_too_large_loses_its_results_first() {
        let text = "x".repeat(300_000);
        let mut payload = json!({ "text": text, "model": "m", "tool_results": [1] });
        shorten(&mut payload, &text);
        assert_eq!(payload["text"].as_str().unwrap().chars().count(), MAX_CUT_CHARS);
        assert_eq!(payload["truncated"], true);
        assert!(payload.get("tool_results").is_none());
    }
}
