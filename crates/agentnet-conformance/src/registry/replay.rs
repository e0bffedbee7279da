//! Replays recorded conversations.

mod assert;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::RegistryOptions;
use super::counters::Counters;
use super::listing::{GeneratedNames, arrange_sessions};
use super::signing::signed;
use super::steps::{Conversation, RecordedAnswer, RegistryStep, RequestBody, recorded_as};
use crate::compare::{Rules, same_shape};
use crate::error::ConformanceError;
use crate::placeholder::Bindings;
use crate::report::{StepOutcome, StepReport, Verdict};
use crate::spec::unusable;
use crate::unique_names::RunSuffix;

/// How long after a publication or a registration a reply may still lack its effect, above all where several registries answer.
/// Until then a failing request is repeated.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a reply that already equals the Python implementation's, or that is full of other users' data.
const SHORT_SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a message may take to reach the history.
const RECORD_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two requests of the same thing.
const POLL_INTERVAL: Duration = Duration::from_millis(40);
/// The timeout for requests that the Python implementation never answers and this protocol answers at once.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Replays conversations one after another and collects the step reports.
pub(super) struct Replay<'a> {
    client: &'a Client,
    run: &'a RunSuffix,
    options: &'a RegistryOptions,
    rules: Rules,
    needs: serde_json::Map<String, Value>,
    bindings: Bindings,
    names: GeneratedNames,
    counters: Counters,
    /// Time of the last publication or registration.
    changed_at: Option<Instant>,
    /// Time of the first registration, and how long sessions live without a heartbeat.
    sessions: Option<(Instant, Duration)>,
    /// Tags of the sessions to end when the run ends.
    tags: Vec<String>,
    /// Ids of the registries that created sessions.
    server_ids: BTreeSet<String>,
    /// Whether all messages so far have reached the history.
    records: bool,
    metrics: Option<Value>,
    steps: Vec<StepReport>,
}

impl<'a> Replay<'a> {
    /// Checks that a registry answers.
    pub(super) async fn start(
        client: &'a Client,
        run: &'a RunSuffix,
        options: &'a RegistryOptions,
        conversations: &[Conversation],
    ) -> Result<Self, ConformanceError> {
        let mut replay = Self {
            client,
            run,
            options,
            rules: Rules::default(),
            needs: serde_json::Map::new(),
            bindings: Bindings::default(),
            names: GeneratedNames::default(),
            counters: Counters::default(),
            changed_at: None,
            sessions: None,
            tags: Vec::new(),
            server_ids: BTreeSet::new(),
            records: true,
            metrics: None,
            steps: Vec::new(),
        };
        for step in conversations.iter().flat_map(|conversation| &conversation.steps) {
            if let RecordedAnswer::Reply(expected) = &step.expect {
                replay.names.read(expected);
            }
        }
        if !options.strict {
            let list = replay.request("registry.list", "{}", options.timeout).await;
            list.map_err(|why| ConformanceError::NoRegistry { rpc: "list", why })?;
            // A registry without metrics fails that step, not the run.
            let metrics = replay.request("registry.metrics", "{}", options.timeout).await;
            replay.counters = Counters::new(metrics.ok().and_then(|body| serde_json::from_slice(&body).ok()));
        }
        Ok(replay)
    }

    pub(super) async fn run(&mut self, conversation: &Conversation) -> Result<(), ConformanceError> {
        self.rules = Rules {
            strict: self.options.strict,
            settings: conversation.settings.clone(),
            additions: conversation.additions.clone(),
            growing: &[],
        };
        self.needs.clone_from(&conversation.needs);
        let missing = self.missing(conversation).await;
        if conversation.requires.is_some() {
            // It uses sessions of its own.
            self.sessions = None;
        }
        for step in &conversation.steps {
            if let Some(why) = &missing {
                if step.expect != RecordedAnswer::Published {
                    self.report(step, (Verdict::NotRun, vec![why.clone()]));
                }
                continue;
            }
            let own = self.run.letters().to_owned();
            let body = match &step.body {
                RequestBody::Json(request) => {
                    let request = self.bindings.fill_value(request, &own);
                    let request = signed(&step.note, &request, &conversation.keys)
                        .map_err(|why| unusable(&step.file, format!("step {}: {why}", step.index)))?;
                    request.to_string()
                }
                RequestBody::Raw(text) => text.clone(),
            };
            let subject = self.bindings.fill(&step.subject, &own);
            let outcome = match &step.expect {
                RecordedAnswer::Published => {
                    let message = serde_json::from_str(&body).unwrap_or_default();
                    self.publish(&subject, body).await?;
                    if let Some((thread, id)) = recorded_as(&subject, &message) {
                        self.await_recorded(&thread, id).await;
                    }
                    continue;
                }
                RecordedAnswer::SameShape => self.ask_for_same_shape(&subject, &body).await,
                RecordedAnswer::Reply(_) | RecordedAnswer::Silence => self.ask(step, &subject, &body).await?,
            };
            self.report(step, outcome);
        }
        Ok(())
    }

    /// Why none of a conversation's steps can be tested, if that is so.
    async fn missing(&self, conversation: &Conversation) -> Option<String> {
        let requirement = conversation.requires.as_ref()?;
        let body = requirement.request.to_string();
        requirement.unmet(self.request(&requirement.subject, &body, self.options.timeout).await)
    }

    fn report(&mut self, step: &RegistryStep, (verdict, details): StepOutcome) {
        self.steps.push(StepReport {
            file: step.file.clone(),
            step: step.index,
            name: step.note.clone(),
            subject: step.subject.clone(),
            section: step.section().to_owned(),
            verdict,
            reasons: step.why.clone(),
            details,
        });
    }

    /// Ends the sessions of the run.
    pub(super) async fn leave(&mut self) -> Result<(), ConformanceError> {
        for tag in std::mem::take(&mut self.tags) {
            let goodbye = json!({ "agent_id": "conformance", "session_tag": tag });
            self.publish("registry.goodbye", goodbye.to_string()).await?;
        }
        Ok(())
    }

    /// The ids of the registries that created the sessions.
    pub(super) fn server_ids(&self) -> String {
        self.server_ids
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }

    pub(super) fn into_steps(self) -> Vec<StepReport> {
        self.steps
    }

    async fn publish(&mut self, subject: &str, body: String) -> Result<(), ConformanceError> {
        if subject == "registry.hello"
            && let Ok(hello) = serde_json::from_str::<Value>(&body)
        {
            self.remember_session(&hello);
        }
        let sent = self.client.publish(subject.to_owned(), body.into()).await;
        sent.map_err(ConformanceError::connection)?;
        self.client.flush().await.map_err(ConformanceError::connection)?;
        self.changed_at = Some(Instant::now());
        Ok(())
    }

    /// Waits until a message is in the history: where several registries record messages, the next one could overtake it.
    async fn await_recorded(&mut self, thread_id: &str, message_id: &str) {
        let question = json!({ "thread_id": thread_id, "limit": 200 }).to_string();
        let end = Instant::now() + RECORD_TIMEOUT;
        while !self.options.strict && self.records && Instant::now() < end {
            let subject = "registry.thread_messages";
            let answer = self.request(subject, &question, self.options.timeout).await;
            self.counters.note_repeated(subject, 1);
            let reply: Value = answer
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
                .unwrap_or_default();
            let mut messages = reply["messages"].as_array().into_iter().flatten();
            if messages.any(|message| message["message_id"] == message_id) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        // The steps that read messages report the failure; later messages are not waited for.
        self.records = false;
    }

    fn remember_session(&mut self, session: &Value) {
        if let Some(tag) = session["session_tag"]
            .as_str()
            .filter(|tag| !self.tags.iter().any(|known| known == tag))
        {
            self.tags.push(tag.to_owned());
        }
    }

    /// The reply's body, or the reason why there is none.
    async fn request(&self, subject: &str, body: &str, timeout: Duration) -> Result<Vec<u8>, String> {
        let request = async_nats::Request::new()
            .timeout(Some(timeout))
            .payload(body.to_owned().into());
        match self.client.send_request(subject.to_owned(), request).await {
            Ok(message) => Ok(message.payload.to_vec()),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::TimedOut => format!("no reply within {timeout:?}"),
                RequestErrorKind::NoResponders => format!("there is no subscription to {subject}"),
                _ => error.to_string(),
            }),
        }
    }

    /// Repeats a request until the reply is as expected, or earlier publications must have had their effect.
    async fn ask(&mut self, step: &RegistryStep, subject: &str, body: &str) -> Result<StepOutcome, ConformanceError> {
        let silent_before = step.original == RecordedAnswer::Silence;
        let timeout = if silent_before {
            self.options.timeout.min(SILENCE_TIMEOUT)
        } else {
            self.options.timeout
        };
        let (mut expected, mut original) = (step.expect.reply(), step.original.reply());
        for template in expected.iter_mut().chain(&mut original) {
            match step.subject.as_str() {
                "registry.search" => self.names.arrange(template),
                "registry.list" => arrange_sessions(template, &self.bindings),
                _ => {}
            }
        }
        let sent_at = SystemTime::now();
        let mut repeated = 0;
        let asserted = loop {
            let answer = self.request(subject, body, timeout).await;
            let asserted = self.assert_reply(step, answer, (expected.as_ref(), original.as_ref()), repeated);
            let settle_timeout = match asserted.verdict {
                Verdict::Pass => break asserted,
                Verdict::IntendedDifference | Verdict::NotRun => SHORT_SETTLE_TIMEOUT,
                Verdict::Fail => SETTLE_TIMEOUT,
            };
            let settled = self
                .changed_at
                .is_none_or(|changed| changed.elapsed() >= settle_timeout);
            // A request without an answer is not repeated; a repeated registration would create another session.
            if settled || silent_before || subject == "registry.register" {
                break asserted;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            repeated += 1;
        };
        self.counters.note_repeated(subject, repeated);
        self.bindings = asserted.bindings;
        if subject == "registry.register" {
            self.note_registration(expected.as_ref(), &asserted.reply);
            wait_for_next_millisecond(sent_at).await;
            check_dev_auth(self.options.dev_auth, expected.as_ref(), &asserted.reply)?;
        }
        if subject == "registry.metrics" {
            self.metrics = Some(asserted.reply);
        }
        Ok(match (asserted.verdict, self.sessions_expired(subject)) {
            (Verdict::Fail, Some(why)) => (Verdict::NotRun, vec![why]),
            (verdict, _) => (verdict, asserted.details),
        })
    }

    fn note_registration(&mut self, expected: Option<&Value>, reply: &Value) {
        if let (Some(account), Some(name)) = (
            expected.and_then(|expected| expected["account_id"].as_str()),
            reply["username"].as_str(),
        ) {
            self.names.note(account, name);
        }
        if let Some((server, _)) = reply["session_tag"].as_str().and_then(|tag| tag.rsplit_once('_')) {
            self.server_ids.insert(server.to_owned());
        }
        if self.sessions.is_none()
            && let Some(seconds) = reply["ttl_seconds"].as_f64().filter(|ttl| (0.0..1e9).contains(ttl))
        {
            self.sessions = Some((Instant::now(), Duration::from_secs_f64(seconds)));
        }
        self.changed_at = Some(Instant::now());
        self.remember_session(reply);
    }

    /// Why a step on sessions cannot be tested any more: the run sends no heartbeats, so its sessions expire.
    fn sessions_expired(&self, subject: &str) -> Option<String> {
        let (registered, ttl) = self.sessions?;
        let about_sessions = ["registry.list", "registry.search", "registry.profile"].contains(&subject)
            || subject.starts_with("registry.mailbox_")
            || subject.starts_with("registry.task_");
        (about_sessions && registered.elapsed() + Duration::from_secs(1) > ttl)
            .then(|| format!("the sessions of the run are too old: the registry forgets them after {ttl:?}"))
    }

    /// Checks a reply that was recorded as having the shape of the metrics before it. The name of the RPC itself may be new.
    async fn ask_for_same_shape(&mut self, subject: &str, body: &str) -> StepOutcome {
        let reply = match self.request(subject, body, self.options.timeout).await {
            Ok(body) => serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        // RPCs that others call in between may add names too.
        let fixed = |mut metrics: Value, strict: bool| {
            for (map, name) in [("latency_ms", "handler.metrics"), ("handlers", "metrics")] {
                match metrics[map].as_object_mut() {
                    Some(names) if strict => drop(names.shift_remove(name)),
                    Some(names) => names.clear(),
                    None => {}
                }
            }
            metrics
        };
        match (reply, self.metrics.clone()) {
            (Ok(reply), Some(before))
                if same_shape(
                    &fixed(reply.clone(), self.options.strict),
                    &fixed(before.clone(), self.options.strict),
                ) =>
            {
                (Verdict::Pass, Vec::new())
            }
            (Ok(reply), before) => {
                let before = before.unwrap_or_default();
                (
                    Verdict::Fail,
                    vec![format!("expected the shape of {before}, got {reply}")],
                )
            }
            (Err(why), _) => (Verdict::Fail, vec![why]),
        }
    }
}

/// Fails if the registry's `DEV_AUTH` differs from the one that the steps are for.
fn check_dev_auth(dev_auth: bool, expected: Option<&Value>, reply: &Value) -> Result<(), ConformanceError> {
    let required = |reply: &Value| reply["error"] == "auth_required";
    match dev_auth {
        false if required(reply) => Err(ConformanceError::DevAuthOn),
        true if expected.is_some_and(required) && reply["session_tag"].is_string() => Err(ConformanceError::DevAuthOff),
        _ => Ok(()),
    }
}

/// Waits for the next millisecond. Ids created in the same millisecond have no order, and the recorded ones are in order.
async fn wait_for_next_millisecond(since: SystemTime) {
    let millis = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis())
    };
    let end = millis(SystemTime::now()).max(millis(since));
    while millis(SystemTime::now()) == end {
        tokio::task::yield_now().await;
    }
}
