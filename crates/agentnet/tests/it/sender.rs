//! What our nodes put on the wire, compared with what the original's nodes put there.
//!
//! `spec/transcripts/agent_sender.json` is the original's traffic in order. The test reads from it what the agents were told
//! to do (start, send, request, close), makes our nodes do the same against a registry that answers as the original's, and
//! compares everything that a passive subscriber sees. `AGENTNET_TRANSCRIPTS=DIR` takes the file from another directory.

mod bindings;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet::{AgentNode, RawJson};
use agentnet_testkit::Captured;
use bindings::Bindings;
use serde_json::{Map, Value, json};

use crate::net::{DEADLINE, Net, parse};

/// The SDK repeats a registry call that is not answered within this time. On a machine that slow, the traffic has more messages
/// than that of the Python implementation: the test drops the repeats before it compares.
const REGISTRY_RETRY_AFTER: Duration = Duration::from_millis(600);

type Covers = fn(&Captured) -> bool;
/// Where our traffic is meant to differ (PROTOCOL.md section 0): what it is, and which of our messages it covers.
/// Everything else must be in the transcript, in its order.
const DIFFERENCES: &[(&str, Covers)] = &[
    (
        "a node asks the server for a round trip with an empty message to its own connection's inbox, at start and at close",
        |message| message.subject.starts_with("_AGENTNET.") && message.payload.is_empty() && message.reply.is_none(),
    ),
    (
        "a node looks into its mailbox, which this registry does not know",
        |message| message.subject == "registry.mailbox_lease" || *message.payload == *br#"{"error":"not scripted"}"#,
    ),
];

#[derive(Debug, Clone)]
struct Step {
    subject: String,
    reply: Option<String>,
    raw_first_bytes: Option<String>,
    body: Value,
}

fn transcript() -> Vec<Step> {
    let directory = std::env::var_os("AGENTNET_TRANSCRIPTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/transcripts"),
        PathBuf::from,
    );
    let path = directory.join("agent_sender.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let steps = parse(&text)["steps"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    steps
        .iter()
        .map(|step| Step {
            subject: text(&step["subject"]).unwrap(),
            reply: text(&step["reply"]),
            raw_first_bytes: text(&step["raw_first_bytes"]),
            body: step["body"].clone(),
        })
        .collect()
}

/// What an agent was told to do, as far as its traffic shows.
enum Action<'t> {
    Start(&'t Map<String, Value>),
    /// A message; with the username where it was resolved just before.
    Send(&'t Step, Option<String>),
    Request(&'t Step, Option<String>),
    Close(String),
}

/// Which steps are the agents' own doing; the others follow from them.
fn action<'t>(steps: &'t [Step], index: usize) -> Option<Action<'t>> {
    let step = &steps[index];
    let body = step.body.as_object()?;
    let member = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match step.subject.as_str() {
        "registry.register" => Some(Action::Start(body)),
        "registry.resolve_account" => {
            let message = steps[index..].iter().find(|step| is_message(step))?;
            Some(to_action(message, Some(member("username").to_owned())))
        }
        "registry.goodbye" => Some(Action::Close(member("agent_id").to_owned())),
        _ if is_message(step) => {
            let resolved = index >= 2 && steps[index - 2].subject == "registry.resolve_account";
            (!resolved).then(|| to_action(step, None))
        }
        _ => None,
    }
}

fn to_action(step: &Step, username: Option<String>) -> Action<'_> {
    match step.reply {
        Some(_) => Action::Request(step, username),
        None => Action::Send(step, username),
    }
}

fn is_message(step: &Step) -> bool {
    step.subject.ends_with(".inbox") || step.subject.starts_with("agent.capability.")
}

/// Starts the agent of a register step. It answers requests as the transcript's agents do.
async fn start(net: &Net, agent: &Map<String, Value>, answers: Arc<HashMap<String, Value>>) -> AgentNode {
    let text = |name: &str| agent.get(name).and_then(Value::as_str);
    let capabilities = agent["capabilities"].as_array().unwrap().iter();
    let mut builder = AgentNode::builder(text("agent_id").unwrap())
        .name(text("name").unwrap())
        .capabilities(capabilities.map(|capability| capability.as_str().unwrap()))
        .metadata(agent["metadata"].clone())
        .nats_url(net.nats.url())
        .ignore_environment()
        .limits(crate::net::generous)
        .on_message(move |message, context| {
            let answers = answers.clone();
            async move {
                if message.wants_reply() {
                    let payload: Value = message.json()?;
                    let answer = answers.get(&payload.to_string()).ok_or("not in the transcript")?;
                    context.reply(answer).await?;
                }
                Ok(())
            }
        });
    if let Some(username) = text("username") {
        builder = builder.username(username);
    }
    if let Some(account_id) = text("account_id") {
        builder = builder.account_id(account_id);
    }
    builder.start().await.unwrap()
}

/// The reply payload to every request payload.
fn answers(steps: &[Step]) -> HashMap<String, Value> {
    let requests = steps.iter().filter(|step| is_message(step) && step.reply.is_some());
    requests
        .filter_map(|request| {
            let id = &request.body["message_id"];
            let reply = steps
                .iter()
                .find(|step| step.body["kind"] == "reply" && step.body["parent_message_id"] == *id)?;
            Some((request.body["payload"].to_string(), reply.body["payload"].clone()))
        })
        .collect()
}

/// The options of a message that are not the defaults, applied to a send or a request.
macro_rules! with_options {
    ($call:expr, $body:expr) => {{
        let mut call = $call;
        let text = |name: &str| $body[name].as_str();
        let id = text("message_id").unwrap();
        if let Some(trace) = text("trace_id").filter(|trace| *trace != id) {
            call = call.trace(trace);
        }
        let default_thread = format!("thread_{}", text("trace_id").unwrap_or(id));
        if let Some(thread) = text("thread_id").filter(|thread| *thread != default_thread) {
            call = call.thread(thread);
        }
        if let Some(parent) = text("parent_message_id") {
            call = call.parent(parent);
        }
        if let Some(key) = text("idempotency_key") {
            call = call.idempotency_key(key);
        }
        if let Some(ttl_ms) = $body["ttl_ms"].as_i64().filter(|ttl_ms| *ttl_ms != 30_000) {
            call = call.ttl_ms(ttl_ms);
        }
        if let Some(kind) = text("kind").filter(|kind| !["direct", "request"].contains(kind)) {
            call = call.kind(kind);
        }
        call.await.unwrap();
    }};
}

async fn perform(nodes: &HashMap<String, (AgentNode, String)>, step: &Step, username: Option<String>) {
    let body = &step.body;
    let (node, _) = &nodes[body["from_agent"].as_str().unwrap()];
    let payload = RawJson::from(body["payload"].clone());
    let capability = step.subject.strip_prefix("agent.capability.");
    let account = step
        .subject
        .strip_prefix("account.")
        .and_then(|rest| rest.strip_suffix(".inbox"))
        .map(|placeholder| {
            let target = nodes.values().find(|(_, account)| account == placeholder);
            target.map_or(placeholder.to_owned(), |(node, _)| node.account_id().unwrap())
        });
    match (step.reply.is_some(), username, capability, account) {
        (false, Some(username), ..) => with_options!(node.send_to_username(username, payload), body),
        (false, _, Some(capability), _) => with_options!(node.send_to_capability(capability, payload), body),
        (false, _, _, Some(account)) => with_options!(node.send_to_account(account, payload), body),
        (true, Some(username), ..) => with_options!(node.request_username(username, payload), body),
        (true, _, Some(capability), _) => with_options!(node.request_capability(capability, payload), body),
        (true, _, _, Some(account)) => with_options!(node.request_account(account, payload), body),
        (_, None, None, None) => panic!("no target: {}", step.subject),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_nodes_traffic_is_the_originals() {
    let steps = transcript();
    let net = Net::start().await;
    let wire = net.capture(">").await;
    let answers = Arc::new(answers(&steps));
    let mut nodes: HashMap<String, (AgentNode, String)> = HashMap::new();
    let began = Instant::now();
    for index in 0..steps.len() {
        let Some(action) = action(&steps, index) else { continue };
        match action {
            Action::Start(agent) => {
                let node = start(&net, agent, answers.clone()).await;
                let account = steps[index + 1].body["account_id"].as_str().unwrap().to_owned();
                nodes.insert(agent["agent_id"].as_str().unwrap().to_owned(), (node, account));
            }
            Action::Send(step, username) | Action::Request(step, username) => perform(&nodes, step, username).await,
            Action::Close(agent_id) => nodes[&agent_id].0.close().await,
        }
        // What follows from an action must have happened before the next one, so that the order is certain.
        let next = (index + 1..steps.len()).find(|next| self::action(&steps, *next).is_some());
        let expected = next.unwrap_or(steps.len());
        wire.wait_until(|seen| compared(seen, began).len() >= expected, DEADLINE)
            .await
            .unwrap_or_else(|error| panic!("step {}, {}: {error}", index + 1, steps[index].subject));
    }
    net.settle().await;
    compare(&steps, &compared(&wire.messages(), began));
    // Every session was ended, and with it everything that says more: nothing came after the last step.
}

/// What of the traffic, which began then, is to be in the transcript.
fn compared(seen: &[Captured], began: Instant) -> Vec<Captured> {
    // The plain client's own round trips to see that the server has caught up are the test's, not a node's.
    let own = |message: &Captured| message.subject.starts_with("_INBOX.") && message.payload.is_empty();
    let mut compared: Vec<Captured> = seen
        .iter()
        .filter(|message| !own(message) && !DIFFERENCES.iter().any(|(_, covers)| covers(message)))
        .cloned()
        .collect();
    if began.elapsed() >= REGISTRY_RETRY_AFTER {
        drop_repeats(&mut compared);
    }
    compared
}

/// Removes messages that nodes repeated to the registry, and the replies to them.
fn drop_repeats(seen: &mut Vec<Captured>) {
    let mut said = HashSet::new();
    let mut answers = HashSet::new();
    seen.retain(|message| match message.subject.as_str() {
        // One of each session.
        "registry.hello" => said.insert(parse(&message.payload)["session_tag"].to_string()),
        subject if subject.starts_with("registry.") => {
            // The connection that asks is named in the reply subject, before the number of the call.
            let reply = message.reply.clone().unwrap_or_default();
            let asking = reply.rsplit_once('.').map_or("", |(connection, _)| connection);
            let first = said.insert(format!("{subject} {asking} {}", message.text()));
            first || !answers.insert(reply)
        }
        subject => !answers.contains(subject),
    });
}

fn compare(steps: &[Step], seen: &[Captured]) {
    let mut bound = Bindings::default();
    for (number, (step, message)) in steps.iter().zip(seen).enumerate() {
        let at = format!("step {} ({})", number + 1, step.subject);
        bound.text(&at, &step.subject, &message.subject);
        match (&step.reply, &message.reply) {
            (Some(expected), Some(actual)) => bound.text(&format!("{at} reply subject"), expected, actual),
            (None, None) => {}
            (expected, actual) => panic!("{at}: reply subject {actual:?}, expected {expected:?}"),
        }
        assert_eq!(message.headers, None, "{at}: no headers");
        assert!(message.payload.is_ascii(), "{at}: the wire text is ASCII");
        match &step.raw_first_bytes {
            Some(first) => assert!(
                message.payload.starts_with(first.as_bytes()),
                "{at}: {}",
                message.text()
            ),
            None => bound.value(&at, &step.body, &without_additions(message)),
        }
    }
    let subjects = |from: usize| -> Vec<String> {
        let rest = seen
            .iter()
            .skip(from)
            .map(|message| format!("{} {}", message.subject, message.text()));
        rest.collect()
    };
    assert_eq!(
        seen.len(),
        steps.len(),
        "more than the transcript has: {:#?}",
        subjects(steps.len())
    );
}

/// The body without what ours has beside the members of the original (section 0.10): the counters and the way of the mailbox,
/// last in every hello, the latter also in a registration.
fn without_additions(message: &Captured) -> Value {
    let mut body = parse(&message.payload);
    if ["registry.hello", "registry.register"].contains(&message.subject.as_str()) {
        let last = crate::net::keys(&body).last().map(|name| (*name).to_owned());
        assert_eq!(last.as_deref(), Some("mailbox"), "{body}");
        assert_eq!(
            body.as_object_mut().unwrap().shift_remove("mailbox"),
            Some(json!("pull"))
        );
    }
    if message.subject == "registry.hello" {
        assert_eq!(crate::net::keys(&body).last(), Some(&"counters"), "{body}");
        body.as_object_mut().unwrap().shift_remove("counters");
    }
    body
}

#[test]
fn repeats_are_told_from_calls() {
    let said = |subject: &str, reply: Option<&str>, body: Value| Captured {
        subject: subject.to_owned(),
        reply: reply.map(str::to_owned),
        payload: body.to_string().into(),
        headers: None,
    };
    let resolve = |reply: &str, name: &str| said("registry.resolve_account", Some(reply), json!({ "username": name }));
    let kept = [
        resolve("_AGENTNET.a.1", "bob"),
        resolve("_AGENTNET.b.1", "bob"),
        resolve("_AGENTNET.a.3", "carol"),
        said("_AGENTNET.a.1", None, json!({})),
        said("registry.hello", None, json!({ "session_tag": "s", "counters": 1 })),
        said("registry.hello", None, json!({ "session_tag": "t", "counters": 1 })),
    ];
    let mut all = kept.to_vec();
    all.insert(1, resolve("_AGENTNET.a.2", "bob"));
    all.push(said("_AGENTNET.a.2", None, json!({})));
    all.push(said(
        "registry.hello",
        None,
        json!({ "session_tag": "s", "counters": 2 }),
    ));
    drop_repeats(&mut all);
    assert_eq!(all, kept);
}

#[test]
fn a_difference_is_noticed() {
    let differs = |expected: Value, actual: Value| {
        std::panic::catch_unwind(|| Bindings::default().value("here", &expected, &actual)).is_err()
    };
    assert!(!differs(json!({ "a": "<hex32:1>" }), json!({ "a": "0".repeat(32) })));
    assert!(differs(json!({ "a": 1 }), json!({ "a": 1.0 })));
    assert!(differs(json!({ "a": 1 }), json!({ "a": 1, "b": null })));
    assert!(differs(json!({ "a": 1, "b": 2 }), json!({ "b": 2, "a": 1 })));
    assert!(differs(
        json!({ "a": "<hex32:1>", "b": "<hex32:1>" }),
        json!({ "a": "0".repeat(32), "b": "1".repeat(32) })
    ));
    assert!(differs(
        json!({ "a": "<hex32:1>", "b": "<hex32:2>" }),
        json!({ "a": "0".repeat(32), "b": "0".repeat(32) })
    ));
    assert!(differs(
        json!({ "a": "<timestamp>" }),
        json!({ "a": "2001-01-01T00:00:00Z" })
    ));
}
