//! Runs the steps: sends their messages, one exchange after another, and compares what comes back.

use std::time::Duration;

use async_nats::Client;
use tokio::time::Instant;

use super::AgentOptions;
use super::compose::{MessageComposer, SentMessage};
use super::expectations::{Comparison, compare, compare_copies, outcome, summary};
use super::registry::Participants;
use super::steps::{AgentStep, Exchange, Expectation, MessageSpec, Requirement};
use super::wire::Wire;
use crate::error::ConformanceError;
use crate::placeholder::Bindings;
use crate::report::{StepOutcome, StepReport, Verdict};
use crate::unique_names::RunSuffix;

/// After a wrong record, the time to collect more records for the report.
const FAILURE_GRACE: Duration = Duration::from_millis(250);
/// Time between two attempts of an exchange that is repeated until its answer is as expected.
const RESEND_INTERVAL: Duration = Duration::from_millis(500);
/// Time without records after which the run ends.
const QUIET_PERIOD: Duration = Duration::from_millis(300);
/// The longest wait for a [`QUIET_PERIOD`].
const MAX_QUIET_WAIT: Duration = Duration::from_secs(5);

/// Runs the steps against the agent.
pub(super) struct AgentRunner<'a> {
    client: &'a Client,
    options: &'a AgentOptions,
    composer: MessageComposer,
    bindings: Bindings,
    wire: Wire,
    steps: Vec<StepReport>,
    /// Every sent message, with the number of its report and whether its receipts are compared.
    sent: Vec<(usize, SentMessage, bool)>,
}

impl<'a> AgentRunner<'a> {
    pub(super) async fn start(
        client: &'a Client,
        run: &RunSuffix,
        options: &'a AgentOptions,
        network: &Participants,
    ) -> Result<Self, ConformanceError> {
        let mut bindings = Bindings::default();
        if let Some((agent_id, session_tag)) = &network.agent.listed {
            bindings.bind("text:agent_id", agent_id);
            bindings.bind("text:agent_session", session_tag);
        }
        Ok(Self {
            client,
            options,
            composer: MessageComposer {
                run: run.letters().to_owned(),
                step: 0,
                agent: network.agent.account_id.clone(),
                peer: network.peer.account_id.clone(),
                stranger: network.stranger.account_id.clone(),
                session: network.peer.session_tag.clone(),
                capability: options.capability.clone().unwrap_or_default(),
            },
            bindings,
            wire: Wire::listen(client, network, run.letters()).await?,
            steps: Vec::new(),
            sent: Vec::new(),
        })
    }

    /// Checks that the agent answers a plain request.
    pub(super) async fn check_agent_answers(&mut self) -> Result<(), ConformanceError> {
        let sent = self.composer.compose(&MessageSpec::default(), 0, None);
        self.publish(&sent).await?;
        let deadline = Instant::now() + self.options.timeout;
        while self.wire.seen(&sent).replies.is_empty() && self.wire.next(deadline).await? {}
        let seen = self.wire.seen(&sent);
        let no_agent = |why: String| ConformanceError::NoAgent {
            account_id: self.composer.agent.clone(),
            why,
        };
        match seen.replies.first().map(outcome) {
            Some(answer) if answer == "echo" => {}
            Some(answer) if answer.starts_with("auth_") => {
                return Err(no_agent(format!(
                    "it checks signatures ({answer}); run it with DEV_AUTH off"
                )));
            }
            Some(answer) => return Err(no_agent(format!("a plain request is answered with {answer}"))),
            None => {
                let receipts: Vec<String> = seen.receipts.iter().map(summary).collect();
                let receipts = if receipts.is_empty() {
                    "no receipt".to_owned()
                } else {
                    receipts.join("; ")
                };
                let waited = self.options.timeout;
                return Err(no_agent(format!(
                    "no reply to a plain request within {waited:?}, {receipts}"
                )));
            }
        }
        // Later records of this message do not belong to the first step.
        self.wire.take(&sent);
        Ok(())
    }

    pub(super) async fn run_step(&mut self, index: usize, step: &AgentStep) -> Result<(), ConformanceError> {
        self.composer.step = index + 1;
        let (verdict, details) = match step.needs {
            Some(Requirement::Capability) if self.options.capability.is_none() => {
                not_run("it needs a capability of the agent; name one with --capability")
            }
            Some(Requirement::Slow) if !self.options.slow => not_run("it takes half a minute; ask for it with --slow"),
            _ => self.exchanges(step).await?,
        };
        self.steps.push(StepReport {
            file: "agent".to_owned(),
            step: index,
            name: step.name.clone(),
            subject: match step.needs {
                Some(Requirement::Capability) => "capability".to_owned(),
                _ => "inbox".to_owned(),
            },
            section: step.section.clone(),
            verdict,
            reasons: step.why.clone(),
            details,
        });
        Ok(())
    }

    /// Waits until no more records arrive, and fails the steps that got unexpected late ones.
    pub(super) async fn finish(mut self) -> Result<Vec<StepReport>, ConformanceError> {
        let end = Instant::now() + MAX_QUIET_WAIT;
        while self.wire.next(end.min(Instant::now() + QUIET_PERIOD)).await? && Instant::now() < end {}
        for (report, sent, receipts) in &self.sent {
            let Some(step) = self.steps.get_mut(*report) else {
                continue;
            };
            for late in self.wire.left(sent).filter(|late| *receipts || !late.is_receipt()) {
                if step.verdict != Verdict::Fail {
                    step.details.clear();
                }
                step.verdict = Verdict::Fail;
                step.details
                    .push(format!("came unexpectedly, later: {}", summary(&late.body)));
            }
        }
        Ok(self.steps)
    }

    /// Runs a step's exchanges, up to the first that fails. Returns the worst outcome.
    async fn exchanges(&mut self, step: &AgentStep) -> Result<StepOutcome, ConformanceError> {
        let (mut verdict, mut details) = (Verdict::Pass, Vec::new());
        let count = step.exchanges.len();
        for (index, exchange) in step.exchanges.iter().enumerate() {
            let number = index + 1;
            let (one, lines) = match exchange.again_for_ms {
                Some(millis) => {
                    self.exchange_again(exchange, number, Duration::from_millis(millis))
                        .await?
                }
                None => self.exchange(exchange, number).await?,
            };
            let name = |line: String| {
                if count > 1 {
                    format!("message {number}: {line}")
                } else {
                    line
                }
            };
            details.extend(lines.into_iter().map(name));
            if one != Verdict::Pass {
                verdict = one;
            }
            if one == Verdict::Fail {
                break;
            }
        }
        Ok((verdict, details))
    }

    async fn exchange_again(
        &mut self,
        exchange: &Exchange,
        number: usize,
        retry_for: Duration,
    ) -> Result<StepOutcome, ConformanceError> {
        let end = Instant::now() + retry_for;
        loop {
            let outcome = self.exchange(exchange, number).await?;
            if outcome.0 != Verdict::Fail || Instant::now() >= end {
                return Ok(outcome);
            }
            tokio::time::sleep(RESEND_INTERVAL).await;
        }
    }

    async fn exchange(&mut self, exchange: &Exchange, number: usize) -> Result<StepOutcome, ConformanceError> {
        let sending = &exchange.send;
        let copies: Vec<Option<usize>> = match sending.copies {
            Some(copies) => (1..=copies).map(Some).collect(),
            None => vec![None],
        };
        let sent: Vec<SentMessage> = copies
            .into_iter()
            .map(|copy| self.composer.compose(sending, number, copy))
            .collect();
        for sent in &sent {
            self.publish(sent).await?;
        }
        let within = exchange.within_ms.map_or(self.options.timeout, Duration::from_millis);
        let mut deadline = Instant::now() + within;
        loop {
            let (comparison, bindings) = self.compare_received(&exchange.expect, &sent);
            if comparison.is_complete() {
                self.bindings = bindings;
                break;
            }
            if !comparison.wrong.is_empty() {
                deadline = deadline.min(Instant::now() + FAILURE_GRACE);
            }
            if !self.wire.next(deadline).await? {
                break;
            }
            // Takes all records that have arrived before the next comparison.
            while self.wire.next(Instant::now()).await? {}
        }
        let outcome = self.assert_exchange(exchange, &sent);
        for sent in sent {
            self.wire.take(&sent);
            self.sent.push((self.steps.len(), sent, sending.copies.is_none()));
        }
        Ok(outcome)
    }

    fn assert_exchange(&mut self, exchange: &Exchange, sent: &[SentMessage]) -> StepOutcome {
        let (comparison, bindings) = self.compare_received(&exchange.expect, sent);
        if comparison.is_complete() {
            self.bindings = bindings;
            return (Verdict::Pass, Vec::new());
        }
        let original = exchange
            .original
            .as_ref()
            .map(|original| self.compare_received(original, sent));
        match original.filter(|(comparison, _)| comparison.is_complete()) {
            Some((_, bindings)) => {
                self.bindings = bindings;
                let came = sent.first().map(|sent| self.wire.seen(sent)).unwrap_or_default();
                let came = [came.receipts, came.replies, came.elsewhere].concat();
                let came: Vec<String> = came.iter().map(summary).collect();
                let came = if came.is_empty() {
                    "nothing came".to_owned()
                } else {
                    came.join("; ")
                };
                (
                    Verdict::IntendedDifference,
                    vec![format!("as the Python implementation: {came}")],
                )
            }
            None => (Verdict::Fail, comparison.into_lines()),
        }
    }

    /// Compares the records received so far.
    fn compare_received(&self, expect: &Expectation, sent: &[SentMessage]) -> (Comparison, Bindings) {
        let mut bindings = self.bindings.clone();
        let comparison = match sent {
            [sent] if expect.copies.is_empty() => {
                compare(expect, sent, &self.composer.agent, &self.wire.seen(sent), &mut bindings)
            }
            copies => {
                let last = self.wire.last_replies();
                let last = |sent: &SentMessage| last.get(sent.reply_subject.as_str()).map(|reply| outcome(reply));
                let outcomes: Vec<Option<String>> = copies.iter().map(last).collect();
                compare_copies(expect, &outcomes)
            }
        };
        (comparison, bindings)
    }

    async fn publish(&self, sent: &SentMessage) -> Result<(), ConformanceError> {
        let (subject, body) = (sent.subject.clone(), sent.body.clone().into());
        let published = if sent.asks_reply {
            self.client
                .publish_with_reply(subject, sent.reply_subject.clone(), body)
                .await
        } else {
            self.client.publish(subject, body).await
        };
        published.map_err(ConformanceError::connection)
    }
}

fn not_run(why: &str) -> StepOutcome {
    (Verdict::NotRun, vec![why.to_owned()])
}
