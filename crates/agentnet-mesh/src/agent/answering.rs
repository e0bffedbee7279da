//! Finds the answer to a question, whether a message or a task asks it.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::Responder;
use super::compaction::{Job, Trigger};
use super::debate::Debate;
use super::failure::{AnswerFailure, out_of_time};
use super::incoming::Question;
use super::prompt::system_prompt;
use super::reply_sink::ReplySink;
use super::turns::{self, Overflow, Prompt};
use super::work::{Answer, Progress, Work};
use crate::memory::conversation::{Recalled, marked_message};

/// Time that a checkpoint after the reply needs at least.
const MIN_COMPACTION_TIME: Duration = Duration::from_secs(3);
/// Rules for tasks, behind the model's prompt.
const TASK_RULES: &str = "The last message is a task. Work at it now: your answer ends the task and is its result. Questions \
                          that you ask in it are not answered.";

/// A question, and the agent that answers it.
pub(super) struct Answering<'a> {
    pub(super) responder: &'a Responder,
    pub(super) work: &'a Work<'a>,
    pub(super) question: &'a Question,
}

impl Answering<'_> {
    /// Finds the answer within the time of the question, unless the host stops.
    pub(super) async fn answer_in_time(
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

    async fn answer(&self, progress: &mut Progress, sink: &mut ReplySink) -> Result<(Answer, Recalled), AnswerFailure> {
        let work = self.work;
        let config = &*work.parts.config;
        let memory = &self.responder.memory;
        if work.task_id.is_none() {
            memory.received(&work.thread_id, work.message, &self.question.text);
        }
        let recalled = memory.recall(work.node, &config.memory, &work.thread_id, work.message);
        let recalled = sink.during(recalled).await?;
        let sender = work.message.from_account_id.as_deref().unwrap_or_default();
        let sender = recalled.names.name(sender, Some(&work.message.from_agent));
        let username = work.node.username().unwrap_or_else(|| config.username.clone());
        let mut prompt = Prompt {
            system: self.system(&config.prompt, &username),
            question: marked_message(&sender, None, &self.question.text),
            recalled: recalled.clone(),
        };
        let mut debate = config
            .orchestrate
            .as_ref()
            .filter(|_| work.expects_answer() && !self.question.is_debate_round)
            .and_then(|orchestrate| Debate::new(orchestrate, &username));
        if let Some(debate) = &mut debate {
            debate.hold(&self.question.text, work, progress, sink).await?;
            if debate.has_views() {
                if let Some(own) = config
                    .orchestrate
                    .as_ref()
                    .and_then(|config| config.synthesis_prompt.as_ref())
                {
                    prompt.system = self.system(own, &username);
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

    fn system(&self, prompt: &str, username: &str) -> String {
        let mut system = system_prompt(&self.work.parts.config, prompt, username, jiff::Timestamp::now());
        if self.work.task_id.is_some() {
            system.push_str("\n\n");
            system.push_str(TASK_RULES);
        }
        system
    }

    /// Compacts the thread after the reply, if it has become long.
    pub(super) async fn compact_if_long(&self, recalled: &Recalled) {
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
        // A task is no message of its thread.
        current: work.task_id.is_none().then_some(&*work.message.message_id),
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
