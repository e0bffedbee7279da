//! Compacts a thread: writes a checkpoint, a message that sums up what was said before (PROTOCOL.md section 9).
//!
//! 1. The registry says how long the thread is, and how far it is covered.
//! 2. The messages up to the tail are read and summed up by the model; where that fails, by an extract.
//! 3. If nobody else was faster, the checkpoint is sent to the agent's own inbox. Its message id follows from what it
//!    covers, so that the history keeps one of two.

mod summary;

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use agentnet::protocol::compose::{Draft, Sender};
use agentnet::protocol::envelope::kind;
use agentnet::protocol::rpc::ResolveKeyRequest;
use agentnet::protocol::{Timestamp, subject};
use agentnet::{AgentNode, RawJson, Text};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::summary::{MAX_SUMMARY_CHARS, summary_request};
use super::AgentParts;
use super::model_call::{ModelCaller, Spent};
use super::reply_sink::ReplySink;
use crate::config::CompactionConfig;
use crate::memory::checkpoint::{Coverage, extract};
use crate::memory::estimate::cut;
use crate::memory::history::{Entry, ReadLimits, ThreadTail, ThreadView, read_thread};
use crate::memory::names::{AccountNames, KnownNames};

/// Tokens that the model reads for a summary at least, where the configuration starts earlier.
const MIN_READ_TOKENS: u64 = 8_000;
/// Wait for a summary.
const SUMMARY_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait for the registry to store a checkpoint.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two looks for it.
const STORE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Threads that one agent compacts at the same time.
const MAX_RUNNING: usize = 8;

/// Why a thread is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A registry asked for it.
    Event,
    /// The messages since the last checkpoint may be too long.
    Size,
    /// They were too long for the model.
    Overflow,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compacted {
    /// A checkpoint was written.
    Written,
    /// None is needed, or possible.
    NotNeeded,
}

/// Compacts the threads of one agent, each once at a time.
#[derive(Debug, Default)]
pub(super) struct Compactor(Mutex<HashSet<String>>);

/// Names a thread that is being compacted until it is dropped.
struct Running<'a> {
    threads: &'a Mutex<HashSet<String>>,
    thread_id: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.threads.lock().remove(self.thread_id);
    }
}

/// What is compacted, and for which agent.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) parts: &'a AgentParts,
    pub(super) node: &'a AgentNode,
    pub(super) names: &'a AccountNames,
    pub(super) thread_id: &'a str,
    pub(super) trigger: Trigger,
    /// The message that is answered: what comes after it does not count.
    pub(super) current: Option<&'a str>,
    pub(super) deadline: Instant,
}

/// What a checkpoint says, before it is summed up.
struct Plan {
    coverage: Coverage,
    /// The oldest first.
    covered: Vec<Entry>,
    names: KnownNames,
    earlier: Option<String>,
}

impl Compactor {
    /// Compacts a thread, if it is due.
    ///
    /// # Errors
    /// A text for the log.
    pub(super) async fn compact(&self, job: Job<'_>) -> Result<Compacted, String> {
        let Some(config) = &job.parts.config.memory.compaction else {
            return Ok(Compacted::NotNeeded);
        };
        let Some(_running) = self.begin(job.thread_id) else {
            return Ok(Compacted::NotNeeded);
        };
        let own = job.node.account_id().ok_or("the agent is leaving the network")?;
        let Some(plan) = job.plan(config, &own).await? else {
            return Ok(Compacted::NotNeeded);
        };
        let (summary, source) = job.summarize(config, &own, &plan).await;
        if job.is_covered(plan.coverage).await? {
            return Ok(Compacted::NotNeeded);
        }
        job.publish(&own, &plan, &summary).await?;
        job.parts.metrics.record_checkpoint(&job.parts.config.key, source);
        let Coverage { start, end } = plan.coverage;
        tracing::info!(thread_id = job.thread_id, start, end, source, "checkpoint written");
        if job.trigger == Trigger::Overflow {
            job.until_stored(plan.coverage).await?;
        }
        Ok(Compacted::Written)
    }

    fn begin<'a>(&'a self, thread_id: &'a str) -> Option<Running<'a>> {
        let mut threads = self.0.lock();
        let may_begin = threads.len() < MAX_RUNNING && threads.insert(thread_id.to_owned());
        may_begin.then(|| Running {
            threads: &self.0,
            thread_id,
        })
    }
}

impl Job<'_> {
    /// Reads what a checkpoint would cover; `None` where none is due.
    async fn plan(&self, config: &CompactionConfig, own: &str) -> Result<Option<Plan>, String> {
        let status = self
            .node
            .thread_status(self.thread_id)
            .await
            .map_err(|error| error.to_string())?;
        let thread = &status.thread;
        // Anybody can send the event: only what concerns the agent costs it a summary.
        if !thread.participants.iter().any(|account| account == own) {
            return Ok(None);
        }
        let count = u64::try_from(thread.message_count).unwrap_or_default();
        let latest = possible_end(thread.latest_checkpoint_end, count);
        let keep_tail = self.keep_tail();
        // The message that is answered may not be stored yet.
        if Coverage::next(latest, count + 1, keep_tail).is_none() {
            return Ok(None);
        }
        let view = ThreadView {
            thread_id: self.thread_id,
            own,
            current: None,
        };
        let limits = ReadLimits {
            entries: usize::MAX,
            messages: config.max_messages.max(1) as u64,
            tokens: u64::MAX,
        };
        let tail = read_thread(self.node, view, limits, Some(count))
            .await
            .map_err(|error| error.to_string())?;
        if self.trigger == Trigger::Size && tail.tokens < config.at_tokens {
            return Ok(None);
        }
        Ok(self.plan_of(tail, latest, keep_tail).await)
    }

    async fn plan_of(&self, tail: ThreadTail, latest: u64, keep_tail: u64) -> Option<Plan> {
        let count = tail.message_count.unwrap_or_default();
        let number = |entry: &Entry| count.saturating_sub(entry.position);
        let coverage = self.coverage(&tail.entries, count, latest, keep_tail)?;
        let covered = tail
            .entries
            .iter()
            .rev()
            .filter(|entry| coverage.contains(number(entry)));
        let covered: Vec<Entry> = covered.cloned().collect();
        if covered.is_empty() {
            return None;
        }
        let accounts: BTreeSet<String> = covered
            .iter()
            .filter_map(|entry| entry.from_account_id.clone())
            .collect();
        let names = self.names.resolve(self.node, accounts).await;
        let earlier = tail.checkpoint.map(|checkpoint| checkpoint.summary);
        Some(Plan {
            coverage,
            covered,
            names,
            earlier,
        })
    }

    /// What a checkpoint would cover: all but the tail before the message that is answered, or before the end of the
    /// thread.
    fn coverage(&self, entries: &[Entry], count: u64, latest: u64, keep_tail: u64) -> Option<Coverage> {
        let number = |entry: &Entry| count.saturating_sub(entry.position);
        let stored = self
            .current
            .and_then(|id| entries.iter().find(|entry| entry.id == id))
            .map(number);
        let is_missing = self.current.is_some() && stored.is_none();
        let last = stored.unwrap_or(count + u64::from(is_missing));
        let coverage = Coverage::next(latest, last, keep_tail)?;
        // The tail are texts: frames of streams, errors and checkpoints are messages too.
        let kept = usize::try_from(keep_tail).ok()?.saturating_sub(usize::from(is_missing));
        match kept.checked_sub(1) {
            Some(index) => coverage.before(number(entries.iter().filter(|entry| number(entry) <= last).nth(index)?)),
            None => Some(coverage),
        }
    }

    /// Messages that stay as they are. For a model that could not read them all, fewer.
    fn keep_tail(&self) -> u64 {
        let keep_tail = self.parts.config.memory.keep_tail;
        match self.trigger {
            Trigger::Event | Trigger::Size => keep_tail,
            Trigger::Overflow => (keep_tail / 2).max(1),
        }
    }

    /// The summary, and whether it is the model's or an extract.
    async fn summarize(&self, config: &CompactionConfig, own: &str, plan: &Plan) -> (String, &'static str) {
        let named: Vec<(String, &Entry)> = plan
            .covered
            .iter()
            .map(|entry| (self.name(own, entry, plan), entry))
            .collect();
        let request = summary_request(&named, plan.earlier.as_deref(), config.at_tokens.max(MIN_READ_TOKENS));
        let caller = ModelCaller {
            parts: self.parts,
            models: &self.parts.compaction_models,
            thread_id: self.thread_id,
            deadline: self.deadline.min(Instant::now() + SUMMARY_TIMEOUT),
        };
        let called = caller
            .call(&request, &mut Spent::default(), &mut ReplySink::Whole)
            .await;
        let problem = match called {
            Ok(answer) if !answer.turn.text.trim().is_empty() => {
                return (cut(answer.turn.text.trim(), MAX_SUMMARY_CHARS), "model");
            }
            Ok(_) => "the model wrote nothing".to_owned(),
            Err(failure) => failure.into_answer_failure(&self.parts.config).detail,
        };
        tracing::warn!(
            thread_id = self.thread_id,
            problem,
            "the checkpoint gets an extract in place of a summary"
        );
        (extract(plan.earlier.as_deref(), &named), "extract")
    }

    fn name(&self, own: &str, entry: &Entry, plan: &Plan) -> String {
        let account = entry.from_account_id.as_deref().unwrap_or_default();
        if account == own {
            return format!(
                "@{}",
                self.node
                    .username()
                    .unwrap_or_else(|| self.parts.config.username.clone())
            );
        }
        plan.names.name(account, entry.from_label.as_deref())
    }

    /// Whether another agent has written such a checkpoint meanwhile.
    async fn is_covered(&self, coverage: Coverage) -> Result<bool, String> {
        let status = self
            .node
            .thread_status(self.thread_id)
            .await
            .map_err(|error| error.to_string())?;
        let count = u64::try_from(status.thread.message_count).unwrap_or_default();
        Ok(possible_end(status.thread.latest_checkpoint_end, count) >= coverage.end)
    }

    /// Waits until the registry has the checkpoint: the thread is read again at once.
    async fn until_stored(&self, coverage: Coverage) -> Result<(), String> {
        let end = Instant::now() + STORE_TIMEOUT;
        while !self.is_covered(coverage).await? && Instant::now() < end {
            tokio::time::sleep(STORE_POLL_INTERVAL).await;
        }
        Ok(())
    }

    async fn publish(&self, own: &str, plan: &Plan, summary: &str) -> Result<(), String> {
        let config = &self.parts.config;
        let now = Timestamp::from(SystemTime::now());
        let payload = plan
            .coverage
            .to_payload(config.memory.keep_tail, summary, &now.to_string(), &config.agent_id);
        let key = plan.coverage.idempotency_key(self.thread_id);
        if self.is_signed(own).await {
            let sending = self
                .node
                .send_to_account(own, payload)
                .kind(kind::SYSTEM)
                .thread(self.thread_id);
            let sent = sending
                .idempotency_key(key)
                .ttl_ms(config.reply.ttl_ms)
                .without_ack()
                .await;
            return sent.map(drop).map_err(|error| error.to_string());
        }
        let info = self.node.info();
        let sender = Sender {
            agent_id: Text::from(info.agent_id),
            account_id: Text::from(own),
            session_tag: Text::from(info.session_tag.unwrap_or_default()),
        };
        let draft = Draft {
            to_agent: Text::from(own),
            to_account_id: Some(Text::from(own)),
            payload: RawJson::from(payload),
            kind: Text::from_static(kind::SYSTEM),
            ttl_ms: Some(config.reply.ttl_ms),
            thread_id: Some(Text::from(self.thread_id)),
            idempotency_key: Some(Text::from(key)),
            ..Draft::default()
        };
        let message_id = Text::from(plan.coverage.message_id(self.thread_id));
        let body = draft.compose(&sender, message_id, now).encode();
        let registry = self.node.registry().map_err(|error| error.to_string())?;
        let published = registry.nats().publish(subject::inbox(own), body).await;
        published.map_err(|error| error.to_string())
    }

    /// Whether the network wants messages of this account to be signed. The node signs what it sends itself, but gives
    /// each message an id of its own.
    async fn is_signed(&self, own: &str) -> bool {
        let Ok(registry) = self.node.registry() else {
            return true;
        };
        let key = registry
            .call(&ResolveKeyRequest {
                account_id: own.to_owned(),
            })
            .await;
        // Where the registry cannot say, the node's own way is right in both cases.
        !key.is_err_and(|error| error.refusal() == Some(agentnet::RegistryRefusal::NotFound))
    }
}

/// The end of the latest checkpoint. One that claims to cover more than there is, is false.
fn possible_end(latest_checkpoint_end: i64, message_count: u64) -> u64 {
    let end = u64::try_from(latest_checkpoint_end).unwrap_or_default();
    if end <= message_count { end } else { 0 }
}

#[cfg(test)]
mod tests;
