//! Sending the messages of the steps, one exchange after another, and judging what comes back.

use std::time::Duration;

use async_nats::Client;
use tokio::time::Instant;

use super::AgentOptions;
use super::compose::{Names, Sent};
use super::records::{Comparison, compare, compare_copies, gist, outcome};
use super::registry::Network;
use super::steps::{AgentStep, Exchange, Expect, Need, Sending};
use super::wire::Wire;
use crate::error::ConformanceError;
use crate::fresh::Run;
use crate::placeholder::Bindings;
use crate::report::{StepReport, Verdict};

/// What is wrong is not waited for: only so long, to see more of it.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// Between two messages that are sent until one is answered as expected.
const AGAIN: Duration = Duration::from_millis(500);
/// How long nothing may come before the run ends.
const QUIET: Duration = Duration::from_millis(300);
/// The longest that the run waits for quiet.
const UNQUIET: Duration = Duration::from_secs(5);

type Outcome = (Verdict, Vec<String>);

/// Runs the steps.
pub(super) struct Player<'a> {
    client: &'a Client,
    options: &'a AgentOptions,
    names: Names,
    bindings: Bindings,
    wire: Wire,
    steps: Vec<StepReport>,
    /// Everything that was sent, with the number of its report; whether its receipts were looked at.
    sent: Vec<(usize, Sent, bool)>,
}

impl<'a> Player<'a> {
    pub(super) async fn start(
        client: &'a Client,
        run: &Run,
        options: &'a AgentOptions,
        network: &Network,
    ) -> Result<Self, ConformanceError> {
        let mut bindings = Bindings::default();
        if let Some((agent_id, session_tag)) = &network.agent.listed {
            bindings.bind("text:agent_id", agent_id);
            bindings.bind("text:agent_session", session_tag);
        }
        Ok(Self {
            client,
            options,
            names: Names {
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

    /// Sees that the agent answers at all.
    pub(super) async fn greet(&mut self) -> Result<(), ConformanceError> {
        let sent = self.names.compose(&Sending::default(), 0, None);
        self.publish(&sent).await?;
        let deadline = Instant::now() + self.options.timeout;
        while self.wire.seen(&sent).replies.is_empty() && self.wire.next(deadline).await? {}
        let seen = self.wire.seen(&sent);
        let no_agent = |why: String| ConformanceError::NoAgent {
            account_id: self.names.agent.clone(),
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
                let receipts: Vec<String> = seen.receipts.iter().map(gist).collect();
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
        // Its receipts are looked at by the first step.
        self.wire.take(&sent);
        Ok(())
    }

    pub(super) async fn play(&mut self, index: usize, step: &AgentStep) -> Result<(), ConformanceError> {
        self.names.step = index + 1;
        let (verdict, details) = match step.needs {
            Some(Need::Capability) if self.options.capability.is_none() => {
                not_run("it needs a capability of the agent; name one with --capability")
            }
            Some(Need::Slow) if !self.options.slow => not_run("it takes half a minute; ask for it with --slow"),
            _ => self.exchanges(step).await?,
        };
        self.steps.push(StepReport {
            file: "agent".to_owned(),
            step: index,
            name: step.name.clone(),
            subject: match step.needs {
                Some(Need::Capability) => "capability".to_owned(),
                _ => "inbox".to_owned(),
            },
            section: step.section.clone(),
            verdict,
            reasons: step.why.clone(),
            details,
        });
        Ok(())
    }

    /// Waits until nothing comes any more, and holds what came too much against its step.
    pub(super) async fn finish(mut self) -> Result<Vec<StepReport>, ConformanceError> {
        let end = Instant::now() + UNQUIET;
        while self.wire.next(end.min(Instant::now() + QUIET)).await? && Instant::now() < end {}
        for (report, sent, receipts) in &self.sent {
            let Some(step) = self.steps.get_mut(*report) else {
                continue;
            };
            for event in self.wire.left(sent).filter(|event| *receipts || !event.is_receipt()) {
                if step.verdict != Verdict::Fail {
                    step.details.clear();
                }
                step.verdict = Verdict::Fail;
                step.details
                    .push(format!("came besides, later: {}", gist(&event.record)));
            }
        }
        Ok(self.steps)
    }

    /// The worst outcome of a step's exchanges; one that fails is the last.
    async fn exchanges(&mut self, step: &AgentStep) -> Result<Outcome, ConformanceError> {
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
        patience: Duration,
    ) -> Result<Outcome, ConformanceError> {
        let end = Instant::now() + patience;
        loop {
            let outcome = self.exchange(exchange, number).await?;
            if outcome.0 != Verdict::Fail || Instant::now() >= end {
                return Ok(outcome);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn exchange(&mut self, exchange: &Exchange, number: usize) -> Result<Outcome, ConformanceError> {
        let sending = &exchange.send;
        let copies: Vec<Option<usize>> = match sending.copies {
            Some(copies) => (1..=copies).map(Some).collect(),
            None => vec![None],
        };
        let sent: Vec<Sent> = copies
            .into_iter()
            .map(|copy| self.names.compose(sending, number, copy))
            .collect();
        for sent in &sent {
            self.publish(sent).await?;
        }
        let within = exchange.within_ms.map_or(self.options.timeout, Duration::from_millis);
        let mut deadline = Instant::now() + within;
        loop {
            let (comparison, bindings) = self.look(&exchange.expect, &sent);
            if comparison.is_complete() {
                self.bindings = bindings;
                break;
            }
            if !comparison.wrong.is_empty() {
                deadline = deadline.min(Instant::now() + LOOK_AROUND);
            }
            if !self.wire.next(deadline).await? {
                break;
            }
            // Many come at once.
            while self.wire.next(Instant::now()).await? {}
        }
        let outcome = self.judge(exchange, &sent);
        for sent in sent {
            self.wire.take(&sent);
            self.sent.push((self.steps.len(), sent, sending.copies.is_none()));
        }
        Ok(outcome)
    }

    fn judge(&mut self, exchange: &Exchange, sent: &[Sent]) -> Outcome {
        let (comparison, bindings) = self.look(&exchange.expect, sent);
        if comparison.is_complete() {
            self.bindings = bindings;
            return (Verdict::Pass, Vec::new());
        }
        let original = exchange.original.as_ref().map(|original| self.look(original, sent));
        match original.filter(|(comparison, _)| comparison.is_complete()) {
            Some((_, bindings)) => {
                self.bindings = bindings;
                let came = sent.first().map(|sent| self.wire.seen(sent)).unwrap_or_default();
                let came = [came.receipts, came.replies, came.elsewhere].concat();
                let came: Vec<String> = came.iter().map(gist).collect();
                let came = if came.is_empty() {
                    "nothing came".to_owned()
                } else {
                    came.join("; ")
                };
                (Verdict::IntendedDifference, vec![format!("as the original: {came}")])
            }
            None => (Verdict::Fail, comparison.into_lines()),
        }
    }

    /// Compares what came so far.
    fn look(&self, expect: &Expect, sent: &[Sent]) -> (Comparison, Bindings) {
        let mut bindings = self.bindings.clone();
        let comparison = match sent {
            [sent] if expect.copies.is_empty() => {
                compare(expect, sent, &self.names.agent, &self.wire.seen(sent), &mut bindings)
            }
            copies => {
                let last = self.wire.last_replies();
                let last = |sent: &Sent| last.get(sent.reply_subject.as_str()).map(|reply| outcome(reply));
                let outcomes: Vec<Option<String>> = copies.iter().map(last).collect();
                compare_copies(expect, &outcomes)
            }
        };
        (comparison, bindings)
    }

    async fn publish(&self, sent: &Sent) -> Result<(), ConformanceError> {
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

fn not_run(why: &str) -> Outcome {
    (Verdict::NotRun, vec![why.to_owned()])
}
