//! From a question to its reply.

use std::time::SystemTime;

use agentnet::protocol::Timestamp;
use agentnet::protocol::expiry::{self, DEFAULT_CLOCK_SKEW_MS, ExpiryError};
use agentnet::{Context, HandlerResult, Message, SendError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::answering::Answering;
use super::failure::{AnswerFailure, CANCELLED, EXPIRED, NOT_SENT};
use super::incoming::Question;
use super::reply::Replier;
use super::reply_sink::ReplySink;
use super::work::{Deadlines, Progress, Work};
use super::{AgentParts, AnswerOutcome, Responder, spans};
use crate::memory::conversation::Recalled;
use crate::tools::network::allowance::TaskAllowance;
use crate::tools::network::chain::CallChain;
use crate::tools::network::thread_of;

/// The lifetime of a request that names none. The Python implementation sends it however long it waits for the reply: for
/// [`DEFAULT_WAIT_MS`] unless told otherwise.
const DEFAULT_TTL_MS: i128 = 30_000;
const DEFAULT_WAIT_MS: i128 = 90_000;

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
    let chain = CallChain::of(message);
    let work = Work {
        parts,
        node,
        message,
        task_id: None,
        task_allowance: TaskAllowance::new(chain.tasks),
        thread_id: thread_of(message),
        own: node.account_id().ok_or(SendError::NotRunning)?,
        chain,
        deadlines: Deadlines::new(started, config.limits.max_time),
        cancelled,
    };
    let span = spans::agent(&config.name, &config.agent_id, &work.thread_id);
    let answering = Answering {
        responder,
        work: &work,
        question: &question,
    };
    let respond = Respond {
        answering: &answering,
        context,
        started,
    };
    let responding = respond.run().instrument(span.clone());
    let outcome = tokio::select! {
        biased;
        outcome = responding => outcome,
        () = context.cancelled() => Err(AnswerFailure::new(CANCELLED, "the reader has cancelled the answer").into()),
    };
    let code = match &outcome {
        Ok(_) => "ok",
        Err(ended) => ended.failure.code,
    };
    parts.metrics.record_request(&config.key, code, started.elapsed());
    match outcome {
        Ok(recalled) => {
            answering.compact_if_long(&recalled).instrument(span).await;
            Ok(())
        }
        Err(ended) => {
            let AnswerFailure { code, detail, .. } = &ended.failure;
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
        let AnswerFailure { code, detail, .. } = self.failure;
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
    answering: &'a Answering<'a>,
    context: &'a Context,
    started: Instant,
}

impl Respond<'_> {
    /// Answers, and gives what was said before.
    async fn run(&self) -> Result<Recalled, Ended> {
        let Answering {
            responder,
            work,
            question,
        } = self.answering;
        let replier = Replier {
            work,
            context: self.context,
            memory: &responder.memory,
        };
        let mut sink = ReplySink::Whole;
        let mut progress = Progress::default();
        let outcome = match self.refusal() {
            Some(failure) => Err(failure),
            None => {
                if question.wants_stream {
                    sink = ReplySink::open(self.context, &work.parts.config)
                        .await
                        .map_err(AnswerFailure::from)?;
                }
                self.answering.answer_in_time(&mut progress, &mut sink).await
            }
        };
        match outcome {
            Ok((answer, recalled)) => {
                let text = replier.answer(answer, &progress, sink).await?;
                let outcome = AnswerOutcome::Answered(&text);
                responder.observe(work.message, outcome, self.started.elapsed());
                Ok(recalled)
            }
            Err(failure) if failure.is_cancelled() => Err(failure.into()),
            Err(failure) => {
                let not_told = replier.failure(&failure, sink).await.err();
                Err(Ended { failure, not_told })
            }
        }
    }

    /// Why the question is not begun. It may have waited for other answers for a long time.
    fn refusal(&self) -> Option<AnswerFailure> {
        if self.answering.responder.stopping.is_cancelled() {
            return Some(AnswerFailure::stopping());
        }
        let message = self.answering.work.message;
        // The sender of a message waits for nothing, so it cannot have given up.
        if !message.wants_reply() {
            return None;
        }
        let now = Timestamp::from(SystemTime::now());
        let (ttl_ms, expires_at) = match message.ttl_ms {
            Some(DEFAULT_TTL_MS) => (Some(DEFAULT_WAIT_MS), None),
            ttl_ms => (ttl_ms, message.expires_at.as_deref()),
        };
        let lifetime = expiry::check(&message.sent_at, ttl_ms, expires_at, now, DEFAULT_CLOCK_SKEW_MS);
        let has_expired = lifetime == Err(ExpiryError::Expired);
        has_expired.then(|| AnswerFailure::new(EXPIRED, "the question waited until its lifetime (ttl_ms) was over"))
    }
}
