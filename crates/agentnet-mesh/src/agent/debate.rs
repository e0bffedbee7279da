//! A debate before the answer: peers answer the question, see one another's answers in the next rounds, and the agent
//! draws the conclusion.
//!
//! A round is one request to each peer, all at the same time, in the thread of the question. A peer without an answer
//! is named in the conclusion.

use std::collections::BTreeMap;
use std::time::Duration;

use agentnet::Message;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::activity::{Activity, StepState};
use super::failure::{AnswerFailure, CallFailure};
use super::incoming::STAGE_MEMBER;
use super::reply_sink::ReplySink;
use super::tool_calls;
use super::turns::Prompt;
use super::work::{Answer, Progress, Work};
use crate::config::OrchestrateConfig;
use crate::memory::conversation::{defused, marked_message};
use crate::memory::entry;
use crate::memory::estimate::cut;
use crate::model::{ChatRequest, ToolCall, ToolChoice};
use crate::tools::network::{ToolFailure, following};

/// The stage in the payload of a round's request: the name that the Python implementation uses.
const STAGE: &str = "agent1_debate_round";
/// Peers that take part.
const MAX_PEERS: usize = 16;
/// Characters of a peer's answer.
const MAX_VIEW_CHARS: usize = 8_000;
/// Pause before a peer is asked again; it grows with each try.
const RETRY_DELAY: Duration = Duration::from_millis(750);
/// The longest such pause.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// What the peers said.
pub(super) struct Debate<'a> {
    config: &'a OrchestrateConfig,
    /// Usernames without `@`.
    peers: Vec<String>,
    /// What the tools returned that ran before.
    findings: String,
    /// The latest answers, by peer.
    views: BTreeMap<String, String>,
    /// Peers without an answer in the last round, and why.
    missing: BTreeMap<String, String>,
    rounds: u32,
}

impl<'a> Debate<'a> {
    /// The debate of an agent, if it has enough peers beside itself.
    pub(super) fn new(config: &'a OrchestrateConfig, own_username: &str) -> Option<Self> {
        let mut peers: Vec<String> = Vec::new();
        for peer in &config.peers {
            let peer = agentnet::protocol::username::lookup_key(peer);
            if !peer.is_empty() && peer != own_username && !peers.contains(&peer) && peers.len() < MAX_PEERS {
                peers.push(peer);
            }
        }
        (peers.len() >= 2).then(|| Self {
            config,
            peers,
            findings: String::new(),
            views: BTreeMap::new(),
            missing: BTreeMap::new(),
            rounds: 0,
        })
    }

    /// Runs the tools and the rounds. Afterwards at least one peer has answered, or [`Debate::has_views`] is false.
    pub(super) async fn hold(
        &mut self,
        question: &str,
        work: &Work<'_>,
        progress: &mut Progress,
        sink: &mut ReplySink,
    ) -> Result<(), AnswerFailure> {
        self.run_kickoff_tools(work, progress, sink).await?;
        for round in 1..=self.config.rounds.max(1) {
            if Instant::now() >= work.deadlines.tools {
                break;
            }
            let (config, peers) = (self.config, self.peers.clone());
            let texts: Vec<String> = peers
                .iter()
                .map(|peer| self.round_text(question, peer, round))
                .collect();
            let asked = peers.iter().zip(&texts);
            let asked = asked.map(|(peer, text)| async move { (peer, ask(work, config, peer, text, round).await) });
            let answers = sink.during(join_all(asked)).await?;
            self.rounds = round;
            self.missing.clear();
            for (peer, answer) in answers {
                let state = if answer.is_ok() {
                    StepState::Done
                } else {
                    StepState::Failed
                };
                sink.event(Activity::Debate { round, peer, state }).await?;
                match answer {
                    Ok(text) => {
                        self.views.insert(peer.clone(), cut(&text, MAX_VIEW_CHARS));
                    }
                    Err(failure) => {
                        tracing::warn!(
                            peer,
                            round,
                            code = failure.code,
                            detail = failure.detail,
                            "no answer in a debate"
                        );
                        self.missing.insert(peer.clone(), failure.code);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a peer has answered.
    pub(super) fn has_views(&self) -> bool {
        !self.views.is_empty()
    }

    async fn run_kickoff_tools(
        &mut self,
        work: &Work<'_>,
        progress: &mut Progress,
        sink: &mut ReplySink,
    ) -> Result<(), AnswerFailure> {
        let calls = self
            .config
            .kickoff_tools
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| ToolCall {
                id: format!("kickoff_{}", index + 1),
                name: work.parts.tools.model_name(name).unwrap_or_else(|| name.clone()),
                arguments: arguments.to_string(),
            });
        let calls: Vec<ToolCall> = calls.collect();
        if calls.is_empty() {
            return Ok(());
        }
        let results = tool_calls::run(work, &calls, progress, sink).await?;
        self.findings = results
            .iter()
            .map(|result| cut(&result.content, MAX_VIEW_CHARS))
            .collect::<Vec<_>>()
            .join("\n");
        Ok(())
    }

    /// What a peer is asked.
    fn round_text(&self, question: &str, peer: &str, round: u32) -> String {
        let mut text = format!(
            "You and {} other agents answer the same question, in {} rounds. This is round {round}.\n\nThe question:\n{question}",
            self.peers.len() - 1,
            self.config.rounds.max(1),
        );
        if !self.findings.is_empty() {
            text.push_str(&format!("\n\nWhat is known:\n{}", self.findings));
        }
        let others = self.shown_views(|name| name != peer);
        if round == 1 || others.is_empty() {
            text.push_str("\n\nGive your answer, with your reasons, briefly.");
            return text;
        }
        text.push_str(&format!("\n\nThe others have answered:\n{others}"));
        if let Some(own) = self.views.get(peer) {
            text.push_str(&format!("\n\nYou have answered:\n{own}"));
        }
        text.push_str("\n\nSay briefly where you agree, where you do not, and what your answer is now.");
        text
    }

    fn shown_views(&self, is_shown: impl Fn(&str) -> bool) -> String {
        let shown = self.views.iter().filter(|(name, _)| is_shown(name));
        let shown = shown.map(|(name, view)| marked_message(&format!("@{name}"), None, view));
        shown.collect::<Vec<_>>().join("\n")
    }

    /// What the model draws its conclusion from.
    fn conclusion_question(&self, question: &str) -> String {
        let mut text = format!(
            "{question}\n\nOther agents have discussed this. Their last answers:\n{}",
            self.shown_views(|_| true)
        );
        if !self.findings.is_empty() {
            text.push_str(&format!("\n\nWhat is known:\n{}", defused(&self.findings)));
        }
        if !self.missing.is_empty() {
            text.push_str(&format!(
                "\n\nNo answer came in the last round from {}: say so.",
                self.missing_names().join(", ")
            ));
        }
        text.push_str("\n\nWeigh the answers, and give the conclusion.");
        text
    }

    fn missing_names(&self) -> Vec<String> {
        self.missing.keys().map(|peer| format!("@{peer}")).collect()
    }

    /// The conclusion, by the agent's model. Where that fails, the answer of the first peer that has one.
    pub(super) async fn conclude(
        &self,
        prompt: &Prompt,
        work: &Work<'_>,
        progress: &mut Progress,
        sink: &mut ReplySink,
    ) -> Result<Answer, AnswerFailure> {
        let question = self.conclusion_question(&prompt.question);
        let max_tokens = work.parts.config.memory.max_tokens;
        let request = ChatRequest {
            system: prompt.system.clone(),
            messages: prompt.recalled.to_conversation(&work.own, &question, max_tokens),
            tool_choice: ToolChoice::None,
            ..ChatRequest::default()
        };
        let called = work.caller().call(&request, &mut progress.spent, sink).await;
        progress.steps += 1;
        let mut answer = match called {
            Ok(answer) if !answer.turn.text.trim().is_empty() => Answer {
                text: answer.turn.text.trim().to_owned(),
                model: answer.model,
                ..Answer::default()
            },
            Err(CallFailure::Reply(error)) => return Err(error.into()),
            outcome => {
                let failure = outcome
                    .err()
                    .map(|failure| failure.into_answer_failure(&work.parts.config));
                self.first_view(failure, sink).await?
            }
        };
        self.name_missing(&mut answer, sink).await?;
        Ok(answer)
    }

    /// The answer of the first peer in place of a conclusion.
    async fn first_view(&self, failure: Option<AnswerFailure>, sink: &mut ReplySink) -> Result<Answer, AnswerFailure> {
        let first = self.peers.iter().find_map(|peer| Some((peer, self.views.get(peer)?)));
        let Some((peer, view)) = first else {
            return Err(failure.unwrap_or_else(|| AnswerFailure::new(super::failure::LIMIT_REACHED, "nobody answered")));
        };
        let code = failure.as_ref().map_or("no_text", |failure| failure.code);
        tracing::warn!(
            code,
            "a debate has no conclusion: replying with the answer of its first peer"
        );
        let text = format!("@{peer} answered: {view}");
        sink.text(&text).await?;
        Ok(Answer {
            text,
            ..Answer::default()
        })
    }

    /// Says who did not answer, where the text does not.
    pub(super) async fn name_missing(&self, answer: &mut Answer, sink: &mut ReplySink) -> Result<(), AnswerFailure> {
        let unnamed = self
            .missing_names()
            .into_iter()
            .filter(|name| !answer.text.contains(name.as_str()));
        let unnamed: Vec<String> = unnamed.collect();
        if !unnamed.is_empty() {
            let line = format!("\n\n(No answer came from {}.)", unnamed.join(", "));
            answer.text.push_str(&line);
            sink.text(&line).await?;
        }
        answer.debate = Some(self.to_report());
        Ok(())
    }

    fn to_report(&self) -> Value {
        json!({ "rounds": self.rounds, "peers": self.peers.iter().map(|peer| format!("@{peer}")).collect::<Vec<_>>(), "missing": self.missing_names() })
    }
}

/// Asks a peer, and asks again where that may help.
async fn ask(
    work: &Work<'_>,
    config: &OrchestrateConfig,
    peer: &str,
    text: &str,
    round: u32,
) -> Result<String, ToolFailure> {
    let mut retries = 0;
    loop {
        let failure = match ask_once(work, config, peer, text, round).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let is_final = matches!(
            &*failure.code,
            "wait_cycle" | "hop_limit" | "account_not_found" | "no_time"
        );
        if is_final || retries >= config.peer_retries {
            return Err(failure);
        }
        retries += 1;
        tokio::time::sleep((RETRY_DELAY * retries).min(MAX_RETRY_DELAY)).await;
    }
}

async fn ask_once(
    work: &Work<'_>,
    config: &OrchestrateConfig,
    peer: &str,
    text: &str,
    round: u32,
) -> Result<String, ToolFailure> {
    let failed = |code: &str, detail: String| ToolFailure {
        code: code.to_owned(),
        detail,
    };
    let account_id = work.node.resolve_username(peer).await;
    let account_id = account_id.map_err(|error| failed("account_not_found", error.to_string()))?;
    work.chain
        .check_ask(&work.own, &account_id, work.parts.config.limits.max_hops)?;
    let timeout = config
        .peer_timeout
        .min(work.deadlines.tools.saturating_duration_since(Instant::now()));
    if timeout.is_zero() {
        return Err(failed("no_time", "the time for the whole answer is over".to_owned()));
    }
    let payload = json!({
        "text": text,
        STAGE_MEMBER: STAGE,
        "round": round,
        "mesh": work.chain.member_of_request(&work.own, work.task_allowance.take_part()),
    });
    let request = work.node.request_username(peer, payload);
    let reply = following!(request, work.message, work.task_id)
        .ttl_ms(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))
        .timeout(timeout)
        .await
        .map_err(|error| failed("not_answered", error.to_string()))?;
    view_of(&reply)
}

/// What a peer answered.
fn view_of(reply: &Message) -> Result<String, ToolFailure> {
    let failed = |code: String, detail: &str| ToolFailure {
        code,
        detail: cut(detail, 300),
    };
    if let Some(code) = reply.error_code() {
        return Err(failed(cut(&code, 64), reply.payload().get()));
    }
    entry::shown_text(reply.payload()).ok_or_else(|| failed("empty".to_owned(), "the answer is empty"))
}

#[cfg(test)]
mod tests;
