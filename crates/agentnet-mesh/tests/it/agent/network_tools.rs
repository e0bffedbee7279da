//! The tools of the network, called by the models of real agents.

use agentnet_mesh::model::ChatMessage;
use serde_json::{Value, json};

use crate::agent::harness::{Network, answer, config, history, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel};

/// A model that calls one tool, then says `done`.
pub(crate) fn calling(tool: &'static str, arguments: Value) -> std::sync::Arc<ScriptedModel> {
    ScriptedModel::new(move |request, _| match request.messages.last() {
        Some(ChatMessage::ToolResults(_)) => Say::Text(vec!["done"]),
        _ => Say::Call(vec![(tool, arguments.to_string())]),
    })
}

/// The result of the last tool call that a model was shown.
pub(crate) fn result(model: &ScriptedModel) -> Value {
    let requests = model.requests();
    match requests.last().unwrap().messages.last() {
        Some(ChatMessage::ToolResults(results)) => serde_json::from_str(&results[0].content).unwrap(),
        other => panic!("no result: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_asks_another_one_in_the_same_thread() {
    let network = Network::start().await;
    let planner = calling(
        "network_ask",
        json!({ "agent": "@helper", "text": "what is the time?" }),
    );
    let helper = ScriptedModel::saying("Noon.");
    let _planner = network.agent(config("planner"), &planner).await;
    let agent = network.agent(config("helper"), &helper).await;
    let user = network.user("alice").await;
    assert_eq!(answer(&user, "@planner", "t1", "time?").await["text"], "done");
    assert_eq!(
        result(&planner),
        json!({ "ok": true, "tool": "network_ask", "result": { "from": "@helper", "text": "Noon." } })
    );
    let messages = until_stored(&user, "t1", 4).await;
    let asked = messages
        .iter()
        .find(|message| message.to_account_id == agent.node.account_id())
        .unwrap();
    assert_eq!(
        (&*asked.kind, asked.parent_message_id.as_deref()),
        ("request", Some(&*messages[0].message_id))
    );
    let payload: Value = asked.payload.deserialize().unwrap();
    assert_eq!(payload["mesh"]["hops"], 1);
    assert_eq!(payload["mesh"]["origin"], json!(user.account_id()));
    assert_eq!(payload["mesh"]["chain"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_asks_back_in_a_circle() {
    let network = Network::start().await;
    let planner = calling("network_ask", json!({ "agent": "helper", "text": "help?" }));
    let helper = calling("network_ask", json!({ "agent": "planner", "text": "what exactly?" }));
    let _planner = network.agent(config("planner"), &planner).await;
    let _helper = network.agent(config("helper"), &helper).await;
    let user = network.user("alice").await;
    assert_eq!(answer(&user, "@planner", "t1", "go").await["text"], "done");
    assert_eq!(result(&helper)["error"], "wait_cycle");
    assert_eq!(result(&planner)["result"]["text"], "done");
}

#[tokio::test]
async fn a_chain_of_agents_has_a_limit() {
    let network = Network::start().await;
    let first = calling("network_ask", json!({ "agent": "second", "text": "?" }));
    let second = calling("network_ask", json!({ "agent": "third", "text": "?" }));
    let third = ScriptedModel::saying("never");
    let mut agents = Vec::new();
    for (key, model) in [("first", &first), ("second", &second), ("third", &third)] {
        let mut limited = config(key);
        limited.limits.max_hops = 1;
        agents.push(network.agent(limited, model).await);
    }
    let user = network.user("alice").await;
    answer(&user, "@first", "t1", "go").await;
    assert_eq!(result(&second)["error"], "hop_limit");
    assert!(third.requests().is_empty());
}

#[tokio::test]
async fn a_peer_that_cannot_answer_is_an_error_of_the_tool() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let gone = network.user("gone").await;
    gone.close().await;
    let broken = ScriptedModel::playing(vec![Say::Fail(agentnet_mesh::model::ModelErrorKind::Connect, None)]);
    let _broken = network.agent(config("broken"), &broken).await;
    for (agent, code) in [
        ("@gone", "recipient_offline"),
        ("@nobody", "account_not_found"),
        ("@broken", "model_unavailable"),
        ("capability:x", "bad_args"),
        ("planner", "wait_cycle"),
    ] {
        let model = calling(
            "network_ask",
            json!({ "agent": agent, "text": "?", "timeout_seconds": 20 }),
        );
        let planner = network.agent(config("planner"), &model).await;
        answer(&user, "@planner", &format!("thread of {agent}"), "go").await;
        assert_eq!(result(&model)["error"], code, "{agent}: {}", result(&model));
        planner.node.close().await;
    }
}

#[tokio::test]
async fn a_message_is_sent_without_waiting_for_an_answer() {
    let network = Network::start().await;
    let model = calling("network_send", json!({ "agent": "@helper", "text": "fyi" }));
    let helper = ScriptedModel::saying("never");
    let _planner = network.agent(config("planner"), &model).await;
    let _helper = network.agent(config("helper"), &helper).await;
    let user = network.user("alice").await;
    answer(&user, "@planner", "t1", "tell the helper").await;
    assert_eq!(result(&model)["result"]["to"], "@helper");
    let messages = until_stored(&user, "t1", 3).await;
    assert!(
        messages
            .iter()
            .any(|message| message.kind == "direct" && message.payload.get().contains("fyi"))
    );
    assert!(helper.requests().is_empty());
}

#[tokio::test]
async fn agents_are_found() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let mut capable = config("helper");
    capable.capabilities = vec!["weather".into()];
    let _helper = network.agent(capable, &ScriptedModel::saying("x")).await;
    let model = calling("network_list_online", json!({ "capability": "weather" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "who?").await;
    assert_eq!(
        result(&model)["result"],
        json!({ "agents": [{ "agent": "@helper", "name": "HELPER", "capabilities": ["weather"] }], "more": false })
    );
    planner.node.close().await;
    for (arguments, expected) in [
        (
            json!({ "agent": "@helper" }),
            json!({ "name": "HELPER", "online": true }),
        ),
        (json!({ "agent": "@nobody" }), json!({ "error": "not_found" })),
    ] {
        let model = calling("network_get_profile", arguments);
        let planner = network.agent(config("planner"), &model).await;
        answer(&user, "@planner", "t2", "who?").await;
        let found = result(&model);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(found.get(name).unwrap_or(&found["result"][name]), value, "{found}");
        }
        planner.node.close().await;
    }
}

#[tokio::test]
async fn a_model_reads_the_threads_of_its_agent_alone() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let other = network.user("bob").await;
    user.send_to_username("bob", json!({ "text": "a secret" }))
        .thread("private")
        .without_ack()
        .await
        .unwrap();
    until_stored(&other, "private", 1).await;
    let quiet = ScriptedModel::saying("the earlier answer");
    let planner = network.agent(config("planner"), &quiet).await;
    answer(&user, "@planner", "t1", "earlier").await;
    until_stored(&user, "t1", 2).await;
    planner.node.close().await;

    let model = calling("network_thread", json!({ "thread_id": "private" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t2", "read it").await;
    assert_eq!(result(&model)["error"], "not_allowed");
    planner.node.close().await;

    let model = calling("network_thread", json!({ "thread_id": "t1" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t3", "read it").await;
    let messages = result(&model)["result"]["messages"].clone();
    let texts: Vec<&str> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["the earlier answer", "earlier"]);
    assert_eq!(
        (&messages[0]["from"], &messages[1]["from"]),
        (&json!("you"), &json!("@alice"))
    );
    planner.node.close().await;

    let model = calling("network_search", json!({ "text": "EARLIER", "from": "alice" }));
    let _planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t4", "search").await;
    let found = result(&model)["result"].clone();
    assert_eq!(found["messages"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        (&found["messages"][0]["text"], &found["complete"]),
        (&json!("earlier"), &json!(true))
    );
    assert_eq!(history(&user, "private").await.len(), 1);
}
