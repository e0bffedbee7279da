//! From a question to its reply.

use agentnet::protocol::envelope::kind;
use agentnet::{Context, HandlerResult, Message, SendError};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::compaction::{Job, Trigger};
use super::debate::Debate;
use super::failure::{AnswerFailure, CANCELLED, LIMIT_REACHED, NOT_SENT};
use super::incoming::Question;
use super::prompt::system_prompt;
use super::reply_sink::ReplySink;
use super::turns::{self, Overflow, Prompt, to_payload};
use super::work::{Answer, Deadlines, Progress, Work};
use super::{AgentParts, AnswerOutcome, Responder, spans};
use crate::memory::conversation::{Recalled, marked_message};
use crate::memory::estimate::cut;
use crate::tools::network::chain::CallChain;
use crate::tools::network::thread_of;

/// Characters of a text that does not fit into a message.
const MAX_CUT_CHARS: usize = 20_000;
/// Time that a checkpoint after the reply needs at least.
const MIN_COMPACTION_TIME: std::time::Duration = std::time::Duration::from_secs(3);

/// Answers a question, unless its reader cancels.
pub(super) async fn respond(
    responder: &Responder,
    parts: &AgentParts,
    message: &Message,
    context: &Context,
    question: Question,
) -> HandlerResult {
    let config = &*parts.config;
    let started = Instant::now();
    let node = context.node();
    // Ends what tools have begun elsewhere, when this future is dropped.
    let cancelled = CancellationToken::new();
    let _ends = cancelled.clone().drop_guard();
    let work = Work {
        parts,
        node,
        message,
        thread_id: thread_of(message),
        own: node.account_id().ok_or(SendError::NotRunning)?,
        chain: CallChain::of(message),
        deadlines: Deadlines::new(started, config.limits.max_time),
        cancelled,
    };
    let span = spans::agent(&config.name, &config.agent_id, &work.thread_id);
    let respond = Respond {
        responder,
        work: &work,
        context,
        question,
        started,
    };
    let answering = respond.run().instrument(span.clone());
    let outcome = tokio::select! {
        biased;
        outcome = answering => outcome,
        () = context.cancelled() => Err(AnswerFailure::new(CANCELLED, "the reader has cancelled the answer").into()),
    };
    let code = match &outcome {
        Ok(_) => "ok",
        Err(ended) => ended.failure.code,
    };
    parts.metrics.record_request(&config.key, code, started.elapsed());
    match outcome {
        Ok(recalled) => {
            respond.compact_if_long(&recalled).instrument(span).await;
            Ok(())
        }
        Err(ended) => {
            let AnswerFailure { code, detail } = &ended.failure;
            spans::failed(&span, code, detail);
            responder.observe(message, AnswerOutcome::Failed { code, detail }, started.elapsed());
            ended.into_handler_result(message)
        }
    }
}

/// Why there was no answer, and whether the requester was told.
struct Ended {
    failure: AnswerFailure,
    not_told: Option<SendError>,
}

impl From<AnswerFailure> for Ended {
    fn from(failure: AnswerFailure) -> Self {
        Self {
            failure,
            not_told: None,
        }
    }
}

impl Ended {
    /// The requester has its error reply: the message is handled. Only what could not be sent is a failure of the
    /// handler.
    fn into_handler_result(self, message: &Message) -> HandlerResult {
        let AnswerFailure { code, detail } = self.failure;
        if code == CANCELLED {
            tracing::debug!(message_id = %message.message_id, "the reader has cancelled the answer");
            return Ok(());
        }
        tracing::warn!(message_id = %message.message_id, code, detail, "no answer");
        match self.not_told {
            Some(error) => Err(error.into()),
            None if code == NOT_SENT => Err(detail.into()),
            None => Ok(()),
        }
    }
}

struct Respond<'a> {
    responder: &'a Responder,
    work: &'a Work<'a>,
    context: &'a Context,
    question: Question,
    started: Instant,
}

impl Respond<'_> {
    /// Answers, and gives what was said before.
    async fn run(&self) -> Result<Recalled, Ended> {
        let work = self.work;
        let config = &*work.parts.config;
        let mut sink = ReplySink::Whole;
        if self.question.wants_stream {
            sink = ReplySink::open(self.context, config)
                .await
                .map_err(AnswerFailure::from)?;
        }
        let mut progress = Progress::default();
        let checked = work.chain.check_received(&work.own, config.limits.max_hops);
        let outcome = match checked {
            Ok(()) => {
                let answering = self.answer(&mut progress, &mut sink);
                match tokio::time::timeout_at(work.deadlines.answer, answering).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(super::failure::out_of_time(config)),
                }
            }
            Err(failure) => Err(AnswerFailure::of_chain(&failure)),
        };
        match outcome {
            Ok((answer, recalled)) => {
                self.reply(answer, &progress, sink).await?;
                Ok(recalled)
            }
            Err(failure) if failure.is_cancelled() => Err(failure.into()),
            Err(failure) => {
                let not_told = self.tell_failure(&failure, sink).await.err();
                Err(Ended { failure, not_told })
            }
        }
    }

    /// Finds the answer.
    async fn answer(&self, progress: &mut Progress, sink: &mut ReplySink) -> Result<(Answer, Recalled), AnswerFailure> {
        let work = self.work;
        let config = &*work.parts.config;
        let memory = &self.responder.memory;
        memory.received(&work.thread_id, work.message, &self.question.text);
        let recalled = memory.recall(work.node, &config.memory, &work.thread_id, work.message);
        let recalled = sink.during(recalled).await?;
        let sender = work.message.from_account_id.as_deref().unwrap_or_default();
        let sender = recalled.names.name(sender, Some(&work.message.from_agent));
        let username = work.node.username().unwrap_or_else(|| config.username.clone());
        let mut prompt = Prompt {
            system: system_prompt(config, &config.prompt, &username, jiff::Timestamp::now()),
            question: marked_message(&sender, None, &self.question.text),
            recalled: recalled.clone(),
        };
        let mut debate = config
            .orchestrate
            .as_ref()
            .filter(|_| work.message.wants_reply() && !self.question.is_debate_round)
            .and_then(|orchestrate| Debate::new(orchestrate, &username));
        if let Some(debate) = &mut debate {
            debate.hold(&self.question.text, work, progress, sink).await?;
            if debate.has_views() {
                if let Some(own) = config
                    .orchestrate
                    .as_ref()
                    .and_then(|config| config.synthesis_prompt.as_ref())
                {
                    prompt.system = system_prompt(config, own, &username, jiff::Timestamp::now());
                }
                let answer = debate.conclude(&prompt, work, progress, sink).await?;
                return Ok((answer, recalled));
            }
        }
        let overflow = CompactOnOverflow(self.responder);
        let mut answer = turns::run(work, prompt, &overflow, progress, sink).await?;
        if let Some(debate) = &debate {
            debate.name_missing(&mut answer, sink).await?;
        }
        Ok((answer, recalled))
    }

    /// Sends the answer.
    async fn reply(&self, answer: Answer, progress: &Progress, sink: ReplySink) -> Result<(), AnswerFailure> {
        let work = self.work;
        let memory = &self.responder.memory;
        match sink {
            ReplySink::Stream(stream) => {
                let id = stream.stream_id().to_owned();
                let text = stream.whole_text().trim().to_owned();
                // The end repeats the text of the pieces: here is the rest.
                let payload = to_payload(&answer, &text, progress, work);
                memory.answered(&work.thread_id, &work.own, &id, &text);
                stream.end(payload).await?;
                self.observe_answer(&text);
                Ok(())
            }
            ReplySink::Whole => {
                let mut payload = to_payload(&answer, &answer.text, progress, work);
                let sent = match self.send(&payload, kind::REPLY).await {
                    Err(SendError::TooLarge { .. }) => {
                        shorten(&mut payload, &answer.text);
                        self.send(&payload, kind::REPLY).await
                    }
                    sent => sent,
                };
                memory.answered(&work.thread_id, &work.own, &sent?, &answer.text);
                self.observe_answer(&answer.text);
                Ok(())
            }
        }
    }

    fn observe_answer(&self, text: &str) {
        self.responder
            .observe(self.work.message, AnswerOutcome::Answered(text), self.started.elapsed());
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
        payload["mesh"] = work.chain.member_of_message(&work.own, true);
        let sending = work.node.send_to_account(sender, payload).ttl_ms(ttl_ms);
        match sending.thread(&*work.thread_id).parent(&*work.message.message_id).await {
            Ok(sent) => Ok(sent.message_id),
            // It was sent; some agents send no receipts.
            Err(SendError::AckTimeout { message_id, .. } | SendError::AckUnusable { message_id, .. }) => Ok(message_id),
            Err(error) => Err(error),
        }
    }

    /// Tells the requester why there is no answer (PROTOCOL.md section 5.4). A sender that waits for no reply gets none.
    async fn tell_failure(&self, failure: &AnswerFailure, sink: ReplySink) -> Result<(), SendError> {
        let AnswerFailure { code, detail } = failure;
        if let ReplySink::Stream(stream) = sink {
            return match stream.fail(code, detail).await {
                Err(agentnet::StreamError::Send(error)) => Err(error),
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

    /// Compacts the thread after the reply, if it has become long.
    async fn compact_if_long(&self, recalled: &Recalled) {
        let work = self.work;
        let memory = &work.parts.config.memory;
        let Some(compaction) = memory.compaction.as_ref().filter(|_| memory.uses_thread) else {
            return;
        };
        let may_be_long = !recalled.is_complete || recalled.tokens >= compaction.at_tokens;
        let deadline = work.deadlines.answer;
        if may_be_long && Instant::now() + MIN_COMPACTION_TIME < deadline {
            self.responder
                .compact(job(self.responder, work, Trigger::Size, deadline))
                .await;
        }
    }
}

/// Compacts the thread of the message that is answered.
fn job<'a>(responder: &'a Responder, work: &'a Work<'_>, trigger: Trigger, deadline: Instant) -> Job<'a> {
    Job {
        parts: work.parts,
        node: work.node,
        names: &responder.memory.names,
        thread_id: &work.thread_id,
        trigger,
        current: Some(&work.message.message_id),
        deadline,
    }
}

/// Makes a reply fit into a message: without results of tools, with a shorter text.
fn shorten(payload: &mut Value, text: &str) {
    if let Some(payload) = payload.as_object_mut() {
        payload.shift_remove("tool_results");
    }
    payload["text"] = cut(text, MAX_CUT_CHARS).into();
    payload["truncated"] = true.into();
}

/// Writes a checkpoint of a thread that is too long for the model.
struct CompactOnOverflow<'a>(&'a Responder);

#[async_trait]
impl Overflow for CompactOnOverflow<'_> {
    async fn compact(&self, work: &Work<'_>) -> Option<Recalled> {
        let memory = &work.parts.config.memory;
        if !memory.uses_thread {
            return None;
        }
        let job = job(self.0, work, Trigger::Overflow, work.deadlines.tools);
        let is_written = self.0.compact(job).await;
        if !is_written {
            return None;
        }
        Some(
            self.0
                .memory
                .recall(work.node, memory, &work.thread_id, work.message)
                .await,
        )
    }
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
