//! Holding recorded conversations again.

mod judge;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use agentnet_protocol::compose::default_thread_id;
use agentnet_protocol::subject::Subject;
use async_nats::Client;
use async_nats::client::RequestErrorKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::RegistryOptions;
use super::counters::Counters;
use super::listing::{Names, arrange_sessions};
use super::signing::signed;
use super::steps::{Answer, Body, Conversation, Step};
use crate::compare::{Rules, same_shape};
use crate::error::ConformanceError;
use crate::fresh::Run;
use crate::placeholder::Bindings;
use crate::report::{StepReport, Verdict};
use crate::spec::unusable;

/// How long after a publication or a registration a reply may still lack its effect, the more so where several registries
/// answer; until then the request is repeated.
const SETTLE: Duration = Duration::from_secs(10);
/// As above, for a reply that is already as the original's, or that others' data fills.
const SETTLE_SOON: Duration = Duration::from_secs(2);
/// How long a message may take into the history.
const RECORDED: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(40);
/// What the original never answers, ours has to answer at once: longer than this is no answer.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The verdict, and what there is to say about it.
type Outcome = (Verdict, Vec<String>);

/// Plays conversations one after another, and keeps account of the verdicts.
pub(super) struct Replay<'a> {
    client: &'a Client,
    run: &'a Run,
    options: &'a RegistryOptions,
    rules: Rules,
    needs: serde_json::Map<String, Value>,
    bindings: Bindings,
    names: Names,
    counters: Counters,
    /// The last publication or registration.
    changed_at: Option<Instant>,
    /// The first registration, and how long sessions live without a heartbeat.
    sessions: Option<(Instant, Duration)>,
    /// Session tags that a goodbye is owed.
    tags: Vec<String>,
    /// The registries that gave out sessions.
    server_ids: BTreeSet<String>,
    /// Whether messages have reached the history so far.
    records: bool,
    metrics: Option<Value>,
    steps: Vec<StepReport>,
}

impl<'a> Replay<'a> {
    /// Sees that a registry answers.
    pub(super) async fn start(
        client: &'a Client,
        run: &'a Run,
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
            names: Names::default(),
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
            if let Answer::Reply(expected) = &step.expect {
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

    pub(super) async fn play(&mut self, conversation: &Conversation) -> Result<(), ConformanceError> {
        self.rules = Rules {
            strict: self.options.strict,
            settings: conversation.settings.clone(),
            additions: conversation.additions.clone(),
            growing: &[],
        };
        self.needs.clone_from(&conversation.needs);
        for step in &conversation.steps {
            let own = self.run.letters().to_owned();
            let body = match &step.body {
                Body::Json(request) => {
                    let request = signed(&step.note, request, &conversation.keys)
                        .map_err(|why| unusable(&step.file, format!("step {}: {why}", step.index)))?;
                    self.bindings.fill_value(&request, &own).to_string()
                }
                Body::Raw(text) => text.clone(),
            };
            let subject = self.bindings.fill(&step.subject, &own);
            let (verdict, details) = match &step.expect {
                Answer::Published => {
                    let message = serde_json::from_str(&body).unwrap_or_default();
                    self.publish(&subject, body).await?;
                    if let Some((thread, id)) = recorded_as(&subject, &message) {
                        self.await_recorded(&thread, id).await;
                    }
                    continue;
                }
                Answer::SameShape => self.ask_again(&subject, &body).await,
                Answer::Reply(_) | Answer::Silence => self.ask(step, &subject, &body).await?,
            };
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
        Ok(())
    }

    /// Gives the sessions of the run back.
    pub(super) async fn leave(&mut self) -> Result<(), ConformanceError> {
        for tag in std::mem::take(&mut self.tags) {
            let goodbye = json!({ "agent_id": "conformance", "session_tag": tag });
            self.publish("registry.goodbye", goodbye.to_string()).await?;
        }
        Ok(())
    }

    /// The ids of the registries that gave out the sessions.
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
            self.owe_goodbye(&hello);
        }
        let sent = self.client.publish(subject.to_owned(), body.into()).await;
        sent.map_err(ConformanceError::connection)?;
        self.client.flush().await.map_err(ConformanceError::connection)?;
        self.changed_at = Some(Instant::now());
        Ok(())
    }

    /// Waits until a message is in the history: several registries may record it, and the next one must not come before it.
    async fn await_recorded(&mut self, thread_id: &str, message_id: &str) {
        let question = json!({ "thread_id": thread_id, "limit": 200 }).to_string();
        let end = Instant::now() + RECORDED;
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
            tokio::time::sleep(PAUSE).await;
        }
        // The steps that ask for messages will tell; the rest is not waited for.
        self.records = false;
    }

    fn owe_goodbye(&mut self, session: &Value) {
        if let Some(tag) = session["session_tag"]
            .as_str()
            .filter(|tag| !self.tags.iter().any(|known| known == tag))
        {
            self.tags.push(tag.to_owned());
        }
    }

    /// The reply's body, or what there was instead.
    async fn request(&self, subject: &str, body: &str, timeout: Duration) -> Result<Vec<u8>, String> {
        let request = async_nats::Request::new()
            .timeout(Some(timeout))
            .payload(body.to_owned().into());
        match self.client.send_request(subject.to_owned(), request).await {
            Ok(message) => Ok(message.payload.to_vec()),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::TimedOut => format!("no reply within {timeout:?}"),
                RequestErrorKind::NoResponders => format!("nobody is subscribed to {subject}"),
                _ => error.to_string(),
            }),
        }
    }

    /// Requests until the reply is as expected, or everything that was published must have had its effect.
    async fn ask(&mut self, step: &Step, subject: &str, body: &str) -> Result<Outcome, ConformanceError> {
        let silent_before = step.original == Answer::Silence;
        let timeout = if silent_before {
            self.options.timeout.min(AT_ONCE)
        } else {
            self.options.timeout
        };
        let (mut expected, mut original) = (reply_of(&step.expect), reply_of(&step.original));
        for template in expected.iter_mut().chain(&mut original) {
            match step.subject.as_str() {
                "registry.search" => self.names.arrange(template),
                "registry.list" => arrange_sessions(template, &self.bindings),
                _ => {}
            }
        }
        let sent_at = SystemTime::now();
        let mut repeated = 0;
        let judged = loop {
            let answer = self.request(subject, body, timeout).await;
            let judged = self.judge(step, answer, (expected.as_ref(), original.as_ref()), repeated);
            let patience = match judged.verdict {
                Verdict::Pass => break judged,
                Verdict::IntendedDifference | Verdict::NotRun => SETTLE_SOON,
                Verdict::Fail => SETTLE,
            };
            let settled = self.changed_at.is_none_or(|changed| changed.elapsed() >= patience);
            // What is never answered is not asked again; a registration would be another one.
            if settled || silent_before || subject == "registry.register" {
                break judged;
            }
            tokio::time::sleep(PAUSE).await;
            repeated += 1;
        };
        self.counters.note_repeated(subject, repeated);
        self.bindings = judged.bindings;
        if subject == "registry.register" {
            self.note_registration(expected.as_ref(), &judged.reply);
            wait_for_next_millisecond(sent_at).await;
            check_dev_auth(self.options.dev_auth, expected.as_ref(), &judged.reply)?;
        }
        if subject == "registry.metrics" {
            self.metrics = Some(judged.reply);
        }
        Ok(match (judged.verdict, self.too_late(subject)) {
            (Verdict::Fail, Some(why)) => (Verdict::NotRun, vec![why]),
            (verdict, _) => (verdict, judged.details),
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
        self.owe_goodbye(reply);
    }

    /// Why a step on sessions cannot be judged any more: nobody sends their heartbeats.
    fn too_late(&self, subject: &str) -> Option<String> {
        let (registered, ttl) = self.sessions?;
        let about_sessions = ["registry.list", "registry.search", "registry.profile"].contains(&subject);
        (about_sessions && registered.elapsed() + Duration::from_secs(1) > ttl)
            .then(|| format!("the sessions of the run are too old: the registry forgets them after {ttl:?}"))
    }

    /// A reply that was recorded as having the shape of the metrics before it. The RPC itself may have joined the names.
    async fn ask_again(&mut self, subject: &str, body: &str) -> Outcome {
        let reply = match self.request(subject, body, self.options.timeout).await {
            Ok(body) => serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        // The names of RPCs that others call in between may join too.
        let fixed = |mut metrics: Value, strict: bool| {
            for (map, name) in [("latency_ms", "handler.metrics"), ("handlers", "metrics")] {
                match metrics[map].as_object_mut() {
                    Some(names) if strict => drop(names.remove(name)),
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

/// Whether the registry checks signatures, or not, as the steps want it.
fn check_dev_auth(dev_auth: bool, expected: Option<&Value>, reply: &Value) -> Result<(), ConformanceError> {
    let required = |reply: &Value| reply["error"] == "auth_required";
    match dev_auth {
        false if required(reply) => Err(ConformanceError::DevAuthOn),
        true if expected.is_some_and(required) && reply["session_tag"].is_string() => Err(ConformanceError::DevAuthOff),
        _ => Ok(()),
    }
}

/// Thread and id of a message that the registry has to record.
fn recorded_as<'a>(subject: &str, message: &'a Value) -> Option<(String, &'a str)> {
    let recorded = matches!(
        Subject::parse(subject),
        Some(Subject::Inbox { .. } | Subject::Capability { .. } | Subject::Reply)
    );
    let text = |member: &str| message[member].as_str().filter(|text| !text.is_empty());
    let id = text("message_id").filter(|_| recorded)?;
    let thread = text("thread_id").map_or_else(
        || default_thread_id(text("trace_id").unwrap_or(id)).to_string(),
        str::to_owned,
    );
    Some((thread, id))
}

fn reply_of(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Reply(reply) => Some(reply.clone()),
        _ => None,
    }
}

/// Ids that are made in the same millisecond have no order; the recording's were made one after another.
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
