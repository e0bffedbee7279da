//! From a question to its reply.

use std::time::{Duration, SystemTime};

use agentnet::protocol::Timestamp;
use agentnet::protocol::expiry::{self, DEFAULT_CLOCK_SKEW_MS, ExpiryError};
use agentnet::{Context, HandlerResult, Message, SendError};
use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::compaction::{Job, Trigger};
use super::debate::Debate;
use super::failure::{AnswerFailure, CANCELLED, EXPIRED, NOT_SENT, out_of_time};
use super::incoming::Question;
use super::prompt::system_prompt;
use super::reply::Replier;
use super::reply_sink::ReplySink;
use super::turns::{self, Overflow, Prompt};
use super::work::{Answer, Deadlines, Progress, Work};
use super::{AgentParts, AnswerOutcome, Responder, spans};
use crate::memory::conversation::{Recalled, marked_message};
use crate::tools::network::chain::CallChain;
use crate::tools::network::thread_of;

/// Time that a checkpoint after the reply needs at least.
const MIN_COMPACTION_TIME: Duration = Duration::from_secs(3);

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
        let replier = Replier {
            work,
            context: self.context,
            memory: &self.responder.memory,
        };
        let mut sink = ReplySink::Whole;
        let mut progress = Progress::default();
        let outcome = match self.refusal() {
            Some(failure) => Err(failure),
            None => {
                if self.question.wants_stream {
                    sink = ReplySink::open(self.context, &work.parts.config)
                        .await
                        .map_err(AnswerFailure::from)?;
                }
                self.answer_in_time(&mut progress, &mut sink).await
            }
        };
        match outcome {
            Ok((answer, recalled)) => {
                let text = replier.answer(answer, &progress, sink).await?;
                let outcome = AnswerOutcome::Answered(&text);
                self.responder.observe(work.message, outcome, self.started.elapsed());
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
        if self.responder.stopping.is_cancelled() {
            return Some(AnswerFailure::stopping());
        }
        let message = self.work.message;
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

    /// Finds the answer within the time of the message, unless the host stops.
    async fn answer_in_time(
        &self,
        progress: &mut Progress,
        sink: &mut ReplySink,
    ) -> Result<(Answer, Recalled), AnswerFailure> {
        let work = self.work;
        let config = &*work.parts.config;
        work.chain
            .check_received(&work.own, config.limits.max_hops)
            .map_err(|failure| AnswerFailure::of_chain(&failure))?;
        tokio::select! {
            biased;
            answered = timeout_at(work.deadlines.answer, self.answer(progress, sink)) => match answered {
                Ok(outcome) => outcome,
                Err(_) => Err(out_of_time(config)),
            },
            () = self.responder.stopping.cancelled() => Err(AnswerFailure::stopping()),
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
