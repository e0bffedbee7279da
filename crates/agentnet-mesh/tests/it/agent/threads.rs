//! What an agent remembers: the thread in the registry, also after a restart, and of other agents.

use agentnet_testkit::eventually;
use serde_json::json;

use crate::agent::harness::{DEADLINE, Network, answer, ask, config, history, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel, transcript};

#[tokio::test]
async fn a_conversation_goes_on_after_a_restart() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| Say::Owned(format!("answer {number}")));
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    answer(&user, "@planner", "t1", "first").await;
    answer(&user, "@planner", "other", "elsewhere").await;
    until_stored(&user, "t1", 2).await;
    agent.node.close().await;
    let _agent = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "second").await;
    let last = model.requests().pop().unwrap();
    assert_eq!(
        transcript(&last),
        "user: <message from=\"@alice\">first</message>\n\
         assistant: answer 0\n\
         user: <message from=\"@alice\">second</message>"
    );
}

#[tokio::test]
async fn what_was_just_said_is_known_before_it_is_stored() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| Say::Owned(format!("answer {number}")));
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    for number in 0..5 {
        answer(&user, "@planner", "t1", &format!("question {number}")).await;
    }
    let last = model.requests().pop().unwrap();
    let lines = transcript(&last);
    for number in 0..4 {
        assert!(
            lines.contains(&format!("question {number}<")) && lines.contains(&format!("answer {number}")),
            "{lines}"
        );
    }
    assert_eq!(last.messages.len(), 9, "{lines}");
}

#[tokio::test]
async fn a_streamed_answer_is_remembered_as_one() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| match number {
        0 => Say::Text(vec!["one ", "two ", "three"]),
        _ => Say::Text(vec!["yes"]),
    });
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let question = json!({ "text": "count", "stream": true });
    let deltas = user
        .request_stream("@planner", question)
        .thread("t1")
        .timeout(DEADLINE)
        .await
        .unwrap();
    let end = deltas.finish().await.unwrap().message.message_id.to_string();
    eventually(DEADLINE, async || {
        let stored = history(&user, "t1").await;
        stored
            .iter()
            .any(|message| message.message_id == end)
            .then_some(())
            .ok_or("the end is not stored yet")
    })
    .await
    .unwrap();
    // Without what this process has seen itself.
    agent.node.close().await;
    let _agent = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "ready?").await;
    let last = model.requests().pop().unwrap();
    assert_eq!(
        transcript(&last),
        "user: <message from=\"@alice\">count</message>\n\
         assistant: one two three\n\
         user: <message from=\"@alice\">ready?</message>"
    );
}

#[tokio::test]
async fn several_people_of_one_thread_are_told_apart() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("ok");
    let _agent = network.agent(config("planner"), &model).await;
    let alice = network.user("alice").await;
    let bob = network.user("bob").await;
    answer(&alice, "@planner", "t1", "from alice").await;
    alice
        .send_to_username("bob", json!({ "text": "to bob" }))
        .thread("t1")
        .without_ack()
        .await
        .unwrap();
    until_stored(&alice, "t1", 3).await;
    answer(&bob, "@planner", "t1", "from bob").await;
    let last = transcript(&model.requests().pop().unwrap());
    assert_eq!(
        last,
        "user: <message from=\"@alice\">from alice</message>\n\
         assistant: ok\n\
         user: <message from=\"@alice\" to=\"@bob\">to bob</message>\n\n<message from=\"@bob\">from bob</message>"
    );
}

#[tokio::test]
async fn a_note_is_kept_for_the_agent_alone() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| match number {
        0 => Say::Call(vec![("network_note", json!({ "text": "alice likes tea" }).to_string())]),
        _ => Say::Text(vec!["ok"]),
    });
    let other = ScriptedModel::saying("ok");
    let _agent = network.agent(config("planner"), &model).await;
    let _other = network.agent(config("other"), &other).await;
    let user = network.user("alice").await;
    answer(&user, "@planner", "t1", "I like tea").await;
    until_stored(&user, "t1", 3).await;
    answer(&user, "@planner", "t1", "what do I like?").await;
    answer(&user, "@other", "t1", "and you?").await;
    assert!(transcript(&model.requests().pop().unwrap()).contains("<note>alice likes tea</note>"));
    assert!(!transcript(&other.requests().pop().unwrap()).contains("likes tea"));
}

#[tokio::test]
async fn an_agent_without_memory_knows_the_question_alone() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("ok");
    let mut forgetful = config("planner");
    forgetful.memory.uses_thread = false;
    let _agent = network.agent(forgetful, &model).await;
    let user = network.user("alice").await;
    for text in ["one", "two"] {
        answer(&user, "@planner", "t1", text).await;
    }
    assert_eq!(
        transcript(&model.requests().pop().unwrap()),
        "user: <message from=\"@alice\">two</message>"
    );
}

#[tokio::test]
async fn json_without_a_text_is_shown_as_it_is() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("ok");
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    ask(&user, "@planner", "t1", json!({ "city": "Zürich", "n": 3 })).await;
    let asked = transcript(&model.requests().pop().unwrap());
    assert_eq!(
        asked,
        "user: <message from=\"@alice\">{\"city\":\"Zürich\",\"n\":3}</message>"
    );
}
