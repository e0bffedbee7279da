//! Holding a recorded conversation again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use agentnet_testkit::eventually;
use async_nats::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::compare::{differences, same_shape};
use crate::differences::DIFFERENCES;
use crate::placeholder::Bindings;
use crate::rules::{Case, Story, is_generated};
use crate::signing::signed;
use crate::transcript::{Body, Recorded, Step, Transcript};

/// How long after a publication a reply may still lack its effect; until then the request is repeated.
const SETTLE: Duration = Duration::from_secs(10);

/// Plays transcripts one after another, and keeps account of what differed.
pub(crate) struct Replay {
    client: Client,
    bindings: Bindings,
    story: Story,
    settled_at: Instant,
    /// Requests that were repeated, by RPC: the registry has counted them.
    repeated: BTreeMap<String, i64>,
    /// Username of each account, as registered: recorded account to actual name.
    names: BTreeMap<String, String>,
    metrics: Option<Value>,
    /// Entries of the list of differences that are due, and those that were met.
    due: Vec<(usize, String, &'static str)>,
    met: BTreeSet<(usize, String, &'static str)>,
    compared: usize,
    failures: Vec<String>,
}

impl Replay {
    pub(crate) fn new(client: Client, server_id: &str) -> Self {
        Self {
            client,
            bindings: Bindings::new(server_id),
            story: Story::default(),
            settled_at: Instant::now(),
            repeated: BTreeMap::new(),
            names: BTreeMap::new(),
            metrics: None,
            due: Vec::new(),
            met: BTreeSet::new(),
            compared: 0,
            failures: Vec::new(),
        }
    }

    pub(crate) async fn play(&mut self, transcript: &Transcript) {
        self.story.read(transcript);
        for (index, difference) in DIFFERENCES.iter().enumerate() {
            let due = difference.due(&transcript.name).into_iter();
            self.due.extend(due.map(|by| (index, transcript.name.clone(), by)));
        }
        for step in &transcript.steps {
            let body = match &step.body {
                Body::Json(request) => self.bindings.fill_value(&signed(step, request)).to_string(),
                Body::Raw(text) => text.clone(),
            };
            let subject = self.bindings.fill(&step.subject);
            match &step.recorded {
                Recorded::Published => {
                    self.story.note_publication(step);
                    self.client.publish(subject, body.into()).await.unwrap();
                    self.client.flush().await.unwrap();
                    self.settled_at = Instant::now() + SETTLE;
                }
                Recorded::Reply(reply) => self.ask(step, &subject, &body, reply.clone()).await,
                Recorded::NoReply => self.ask(step, &subject, &body, Value::Null).await,
                Recorded::SameShape => self.ask_again(step, &subject, &body).await,
            }
        }
    }

    /// Fails with every step that differed and every intended difference that was not met.
    pub(crate) fn finish(self) {
        let mut report = self.failures;
        for (index, transcript, by) in self.due.iter().filter(|due| !self.met.contains(due)) {
            let difference = &DIFFERENCES[*index];
            report.push(format!(
                "intended difference not met in {transcript} ({by}): {} ({})",
                difference.what, difference.decision
            ));
        }
        assert!(self.compared > 0, "no reply was compared");
        assert!(
            report.is_empty(),
            "{} of {} replies differ:\n{}",
            report.len(),
            self.compared,
            report.join("\n")
        );
    }

    /// Requests, and compares the reply with the recorded one, changed where a difference is intended.
    async fn ask(&mut self, step: &Step, subject: &str, body: &str, mut expected: Value) {
        self.compared += 1;
        for (index, difference) in DIFFERENCES.iter().enumerate() {
            let mut case = Case {
                step,
                expected: &mut expected,
                story: &mut self.story,
            };
            if let Some(by) = difference.apply(&mut case) {
                self.met.insert((index, step.transcript.clone(), by));
            }
        }
        self.expect_generated_names(step, &mut expected);
        let registered_at = SystemTime::now();
        match self.request(subject, body, &expected).await {
            Ok((reply, bindings)) => {
                self.bindings = bindings;
                if let ("registry.register", Some(account), Some(name)) =
                    (subject, expected["account_id"].as_str(), reply["username"].as_str())
                {
                    self.names.insert(account.to_owned(), name.to_owned());
                    wait_for_next_millisecond(registered_at).await;
                }
                if subject == "registry.metrics" {
                    self.metrics = Some(reply);
                }
            }
            Err(lines) => self.failures.push(format!("{step}\n  {}", lines.join("\n  "))),
        }
    }

    /// Requests until the reply is the expected one, or everything that was published must have had its effect.
    async fn request(&mut self, subject: &str, body: &str, expected: &Value) -> Result<(Value, Bindings), Vec<String>> {
        let attempt = async |repeated: i64| {
            let mut bindings = self.bindings.clone();
            let message = self.client.request(subject.to_owned(), body.to_owned().into()).await;
            let message = message.map_err(|error| vec![format!("no reply: {error}")])?;
            let mut reply: Value = serde_json::from_slice(&message.payload)
                .map_err(|error| vec![format!("the reply is no JSON: {error}")])?;
            self.uncount_repeated(&mut reply, subject, repeated);
            let found = differences(expected, &reply, &mut bindings);
            if found.is_empty() {
                Ok((reply, bindings))
            } else {
                Err(found)
            }
        };
        let mut outcome = attempt(0).await;
        let mut repeated = 0;
        let patience = self.settled_at.saturating_duration_since(Instant::now());
        if outcome.is_err() && !patience.is_zero() {
            // What the last look says is in `outcome` already.
            let _ = eventually(patience, async || {
                repeated += 1;
                outcome = attempt(repeated).await;
                if outcome.is_ok() {
                    Ok(())
                } else {
                    Err("still different")
                }
            })
            .await;
        }
        let rpc = subject.trim_start_matches("registry.").to_owned();
        *self.repeated.entry(rpc).or_default() += repeated;
        outcome
    }

    /// Takes the repeated requests out of the registry's own count of calls.
    fn uncount_repeated(&self, reply: &mut Value, subject: &str, repeated: i64) {
        if subject != "registry.metrics" {
            return;
        }
        let counted = self.repeated.iter().map(|(rpc, more)| (rpc.as_str(), *more));
        for (rpc, more) in counted.chain([("metrics", repeated)]) {
            if let Some(calls) = reply.pointer_mut(&format!("/handlers/{rpc}/calls")) {
                *calls = (calls.as_i64().expect("calls are a number") - more).into();
            }
        }
    }

    /// A reply that was recorded as having the shape of the metrics before it. The RPC itself may have joined the names.
    async fn ask_again(&mut self, step: &Step, subject: &str, body: &str) {
        self.compared += 1;
        let message = self.client.request(subject.to_owned(), body.to_owned().into()).await;
        let reply = message
            .ok()
            .and_then(|message| serde_json::from_slice::<Value>(&message.payload).ok());
        let without_itself = |mut metrics: Value| {
            for (map, name) in [("latency_ms", "handler.metrics"), ("handlers", "metrics")] {
                metrics[map].as_object_mut().map(|names| names.remove(name));
            }
            metrics
        };
        match (reply, self.metrics.clone()) {
            (Some(reply), Some(before))
                if same_shape(&without_itself(reply.clone()), &without_itself(before.clone())) => {}
            (reply, before) => {
                self.failures
                    .push(format!("{step}\n  expected the shape of {before:?}, got {reply:?}"));
            }
        }
    }

    /// Generated names are random: two of them stand in a list by name in an order that was not recorded, and now and then
    /// one contains a text that was searched for. Puts the recorded results right for the names of this time.
    fn expect_generated_names(&self, step: &Step, expected: &mut Value) {
        let query = expected.get("query").and_then(Value::as_str).unwrap_or_default();
        let query = query.trim().to_lowercase();
        let limit = expected.get("limit").and_then(Value::as_u64);
        let results = expected.get_mut("results").and_then(Value::as_array_mut);
        let Some(results) = results.filter(|_| step.subject == "registry.search") else {
            return;
        };
        let name_of = |item: &Value| match item["account_id"].as_str().and_then(|account| self.names.get(account)) {
            Some(name) => name.clone(),
            None => item["username"].as_str().unwrap_or_default().to_owned(),
        };
        let generated = |item: &Value| item["username"].as_str().is_some_and(is_generated);
        // The limit may have cut off a name that comes first now.
        let mut items: Vec<Value> = match limit == Some(results.len() as u64) {
            true => self.story.generated_accounts(),
            false => results.iter().filter(|item| generated(item)).cloned().collect(),
        };
        items.sort_by_key(name_of);
        for (place, item) in results.iter_mut().filter(|item| generated(item)).zip(items) {
            *place = item;
        }
        if !query.is_empty() {
            for item in self.story.generated_accounts() {
                if name_of(&item).contains(&query) && !results.contains(&item) {
                    let rank = |item: &Value| (Reverse(item["online_sessions"].as_u64()), name_of(item));
                    let place = results.partition_point(|other| rank(other) < rank(&item));
                    results.insert(place, item);
                }
            }
        }
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
