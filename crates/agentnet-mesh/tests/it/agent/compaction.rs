//! Checkpoints of long threads.

use agentnet::AgentNode;
use agentnet::protocol::rpc::HistoryMessage;
use agentnet_mesh::config::AgentConfig;
use agentnet_mesh::model::ModelErrorKind;
use agentnet_testkit::eventually;
use serde_json::{Value, json};

use crate::agent::harness::{DEADLINE, Network, TestAgent, answer, config, history, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel, transcript};

/// Sends messages to an agent that does not answer them.
async fn chatter(user: &AgentNode, agent: &str, thread: &str, count: usize) {
    for number in 1..=count {
        let payload = json!({ "text": format!("message {number}") });
        user.send_to_username(agent, payload)
            .thread(thread)
            .without_ack()
            .await
            .unwrap();
    }
    until_stored(user, thread, count).await;
}

fn event(thread: &str, count: u64) -> Value {
    json!({
        "type": "compaction_required", "thread_id": thread, "status": "needs_compaction", "message_count": count,
        "keep_tail_messages": 24, "latest_checkpoint_end": 0, "reason": "thread_token_limit_exceeded",
    })
}

/// Asks an agent to compact a thread, and waits until it has handled that.
async fn require(user: &AgentNode, agent: &str, thread: &str, count: u64) {
    let sending = user
        .send_to_username(agent, event(thread, count))
        .kind("system")
        .thread("events");
    sending.until(agentnet::Until::Processed).await.unwrap();
}

fn checkpoints(messages: &[HistoryMessage]) -> Vec<(Value, &HistoryMessage)> {
    let payload = |message: &HistoryMessage| message.payload.deserialize::<Value>().unwrap();
    let found = messages.iter().map(|message| (payload(message), message));
    found.filter(|(payload, _)| payload["type"] == "checkpoint").collect()
}

async fn until_checkpoints(user: &AgentNode, thread: &str, count: usize) -> Vec<HistoryMessage> {
    eventually(DEADLINE, async || {
        let messages = history(user, thread).await;
        match checkpoints(&messages).len() {
            found if found >= count => Ok(messages),
            found => Err(format!("{found} of {count} checkpoints")),
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn an_event_is_answered_by_a_checkpoint() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("They counted to thirty-six.");
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    chatter(&user, "planner", "t1", 60).await;
    require(&user, "planner", "t1", 60).await;
    let messages = until_checkpoints(&user, "t1", 1).await;
    let (payload, message) = &checkpoints(&messages)[0];
    assert_eq!(
        (&payload["covers_start"], &payload["covers_end"]),
        (&json!(1), &json!(36))
    );
    assert_eq!(
        (&payload["summary"], &payload["keep_tail_messages"]),
        (&json!("They counted to thirty-six."), &json!(24))
    );
    assert_eq!(
        (&payload["summary_version"], &payload["generated_by"]),
        (&json!("v1"), &json!("planner"))
    );
    assert_eq!(
        (&*message.kind, message.idempotency_key.as_deref()),
        ("system", Some("checkpoint:t1:36"))
    );
    assert_eq!(
        (&message.from_account_id, &message.to_account_id),
        (&agent.node.account_id(), &agent.node.account_id())
    );
    let status = user.thread_status("t1").await.unwrap();
    assert_eq!(
        (status.thread.latest_checkpoint_end, status.thread.pending_messages),
        (36, 25)
    );
    let asked = transcript(&model.requests()[0]);
    assert!(
        asked.contains("message 1<") && asked.contains("message 36<") && !asked.contains("message 37<"),
        "{asked}"
    );

    // Once more: nothing is left to cover.
    require(&user, "planner", "t1", 61).await;
    assert_eq!(model.requests().len(), 1);

    // The next question sees the summary, and what it does not cover. A message that comes while the thread is read makes one
    // more of them seem uncovered.
    answer(&user, "@planner", "t1", "and?").await;
    let asked = transcript(&model.requests().pop().unwrap());
    assert!(
        asked.starts_with("user: <summary>They counted to thirty-six.</summary>\n\n<message "),
        "{asked}"
    );
    for (message, is_shown) in [("message 34<", false), ("message 37<", true), ("message 60<", true)] {
        assert_eq!(asked.contains(message), is_shown, "{message}: {asked}");
    }
}

#[tokio::test]
async fn without_the_model_the_checkpoint_is_an_extract() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Fail(ModelErrorKind::Server, Some(500))]);
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    chatter(&user, "planner", "t1", 60).await;
    require(&user, "planner", "t1", 60).await;
    let messages = until_checkpoints(&user, "t1", 1).await;
    let summary = checkpoints(&messages)[0].0["summary"].as_str().unwrap().to_owned();
    assert!(
        summary.starts_with("(24 earlier messages)\n@alice: message 25\n"),
        "{summary}"
    );
    assert!(summary.ends_with("@alice: message 36"), "{summary}");
    assert!(agent.metrics.encode().contains("summary=\"extract\"} 1"));
}

#[tokio::test]
async fn two_agents_of_a_thread_write_one_checkpoint() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("a summary");
    let _one = network.agent(config("one"), &model).await;
    let _two = network.agent(config("two"), &model).await;
    // A second host of the first one.
    let _replica = network.agent(config("one"), &model).await;
    let user = network.user("alice").await;
    for number in 1..=60 {
        let agent = if number % 2 == 0 { "one" } else { "two" };
        let payload = json!({ "text": format!("message {number}") });
        user.send_to_username(agent, payload)
            .thread("t1")
            .without_ack()
            .await
            .unwrap();
    }
    until_stored(&user, "t1", 60).await;
    let asked = ["one", "two", "one", "two", "one"].map(|agent| require(&user, agent, "t1", 60));
    futures::future::join_all(asked).await;
    let messages = until_checkpoints(&user, "t1", 1).await;
    assert_eq!(checkpoints(&messages).len(), 1);
    assert_eq!(user.thread_status("t1").await.unwrap().thread.latest_checkpoint_end, 36);
}

#[tokio::test]
async fn only_threads_of_the_agent_are_compacted() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("never");
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let _other = network.user("bob").await;
    chatter(&user, "bob", "t1", 60).await;
    require(&user, "planner", "t1", 60).await;
    let mut off = config("off");
    off.memory.compaction = None;
    let _off = network.agent(off, &model).await;
    chatter(&user, "off", "t2", 60).await;
    require(&user, "off", "t2", 60).await;
    assert!(model.requests().is_empty());
}

fn compacting(key: &str) -> AgentConfig {
    let mut config = config(key);
    config.memory.keep_tail = 4;
    if let Some(compaction) = &mut config.memory.compaction {
        compaction.at_tokens = 300;
    }
    config
}

#[tokio::test]
async fn a_thread_that_has_become_long_is_compacted_after_the_reply() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|request, _| {
        if request.system.starts_with("You sum up") {
            Say::Text(vec!["a summary"])
        } else {
            Say::Owned("word ".repeat(100))
        }
    });
    let agent: TestAgent = network.agent(compacting("planner"), &model).await;
    let user = network.user("alice").await;
    for round in 1..=6 {
        answer(&user, "@planner", "t1", "go on").await;
        // The agent counts what is stored: question and answer.
        until_stored(&user, "t1", 2 * round).await;
    }
    let messages = until_checkpoints(&user, "t1", 1).await;
    let (payload, _) = &checkpoints(&messages)[0];
    assert_eq!(payload["covers_start"], 1);
    assert!(payload["covers_end"].as_u64().is_some_and(|end| end >= 1), "{payload}");
    assert!(agent.metrics.encode().contains("summary=\"model\"}"));
}

#[tokio::test]
async fn an_overflow_compacts_the_thread_before_the_second_try() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|request, _| {
        if request.system.starts_with("You sum up") {
            Say::Text(vec!["a summary"])
        } else if transcript(request).contains("message 1<") {
            Say::Fail(ModelErrorKind::ContextOverflow, Some(400))
        } else {
            Say::Text(vec!["Fits."])
        }
    });
    let mut patient = config("planner");
    patient.memory.keep_tail = 8;
    let _agent = network.agent(patient, &model).await;
    let user = network.user("alice").await;
    chatter(&user, "planner", "t1", 20).await;
    assert_eq!(answer(&user, "@planner", "t1", "and?").await["text"], "Fits.");
    let messages = until_checkpoints(&user, "t1", 1).await;
    let (payload, _) = &checkpoints(&messages)[0];
    // Of 21 messages, half of the tail stays.
    assert!(matches!(payload["covers_end"].as_u64(), Some(16 | 17)), "{payload}");
}
