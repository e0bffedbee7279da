//! Streamed answers: pieces, tools on the way, failures, and a reader that cancels.

use std::time::Duration;

use agentnet::{StreamError, StreamExt as _};
use agentnet_mesh::model::ModelErrorKind;
use agentnet_testkit::eventually_true;
use rstest::rstest;
use serde_json::{Value, json};

use crate::agent::harness::{DEADLINE, Network, answer, config, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel, transcript};

fn question() -> Value {
    json!({ "text": "hi", "stream": true })
}

#[tokio::test]
async fn an_answer_is_streamed_when_the_requester_wants_it() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Text(vec!["one ", "two ", "three"])]);
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let mut deltas = user
        .request_stream("@planner", question())
        .thread("t1")
        .timeout(DEADLINE)
        .await
        .unwrap();
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        text.push_str(&delta.unwrap().text().unwrap_or_default());
    }
    let whole = deltas.finish().await.unwrap();
    assert_eq!((&*text, &*whole.text), ("one two three", "one two three"));
    let result: Value = whole.result.unwrap().deserialize().unwrap();
    assert_eq!(
        (&result["text"], &result["model"]),
        (&json!("one two three"), &json!("scripted-1"))
    );
    assert_eq!(result["usage"], json!({ "input": 10, "output": 2, "cached": 4 }));
    // The question, and a start, some pieces and an end.
    let stored = until_stored(&user, "t1", 4).await;
    assert!(stored.len() <= 6, "pieces are put together: {}", stored.len());
}

#[rstest]
#[case::shown(true, 2)]
#[case::hidden(false, 0)]
#[tokio::test]
async fn a_reader_is_told_of_tools_if_the_configuration_says_so(#[case] events: bool, #[case] expected: usize) {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![
        Say::Call(vec![("network_list_online", "{}".into())]),
        Say::Text(vec!["Here."]),
    ]);
    let mut talkative = config("planner");
    talkative.reply.events = events;
    let _agent = network.agent(talkative, &model).await;
    let user = network.user("alice").await;
    let mut deltas = user
        .request_stream("@planner", question())
        .timeout(DEADLINE)
        .await
        .unwrap();
    let mut states = Vec::new();
    while let Some(delta) = deltas.next().await {
        let value: Value = delta.unwrap().value.deserialize().unwrap();
        if value["type"] == "tool" {
            assert_eq!(value["name"], "network_list_online");
            states.push(value["state"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(deltas.finish().await.unwrap().text, "Here.");
    assert_eq!(states.len(), expected);
    if events {
        assert_eq!(states, ["started", "ok"]);
    }
}

#[rstest]
#[case::before(Say::Fail(ModelErrorKind::Server, Some(500)), "model_unavailable", 1)]
#[case::in_the_middle(Say::Break("half of "), "model_unavailable", 1)]
#[case::no_key(Say::Fail(ModelErrorKind::Auth, None), "config_error", 1)]
#[tokio::test]
async fn a_failure_ends_the_stream_with_its_code(#[case] say: Say, #[case] code: &str, #[case] calls: usize) {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![say]);
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let deltas = user
        .request_stream("@planner", question())
        .timeout(DEADLINE)
        .await
        .unwrap();
    let failed = deltas.finish().await.unwrap_err();
    assert!(
        matches!(&failed, StreamError::Failed { code: failed, .. } if failed == code),
        "{failed:?}"
    );
    // Nothing is asked for again once a piece of it was passed on.
    assert_eq!(model.requests().len(), calls);
}

#[tokio::test]
async fn a_reader_that_cancels_ends_the_call_of_the_model() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Hang("wait ")]);
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let mut deltas = user
        .request_stream("@planner", question())
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(deltas.next().await.unwrap().unwrap().text().as_deref(), Some("wait "));
    assert_eq!(model.open_streams(), 1);
    drop(deltas);
    eventually_true(DEADLINE, "the call of the model ends", async || {
        model.open_streams() == 0
    })
    .await
    .unwrap();
    let cancelled = "agentnet_mesh_requests_total{agent=\"planner\",outcome=\"cancelled\"} 1";
    eventually_true(DEADLINE, "the message is counted", async || {
        agent.metrics.encode().contains(cancelled)
    })
    .await
    .unwrap();
    // What the provider wrote until then is paid for.
    assert!(
        agent
            .metrics
            .encode()
            .contains("agentnet_mesh_tokens_total{agent=\"planner\",model=\"scripted-1\",kind=\"output\"} 2")
    );
    assert_eq!(agent.node.metrics_snapshot().error_count, 0);
}

#[tokio::test]
async fn the_texts_of_several_turns_are_one_answer() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| match number {
        0 => Say::Call(vec![("network_list_online", "{}".into())]),
        _ => Say::Text(vec!["Two agents ", "are online."]),
    });
    let mut quick = config("planner");
    quick.limits.max_time = Duration::from_secs(30);
    let _agent = network.agent(quick, &model).await;
    let user = network.user("alice").await;
    let deltas = user
        .request_stream("@planner", question())
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(deltas.finish().await.unwrap().text, "Two agents are online.");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_a_message_is_streamed_whole() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, number| match number {
        0 => Say::Owned("é".repeat(200_000)),
        _ => Say::Text(vec!["yes"]),
    });
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let request = user
        .request_stream("@planner", question())
        .thread("t1")
        .timeout(DEADLINE);
    let whole = request.await.unwrap().finish().await.unwrap();
    assert_eq!(whole.text.chars().count(), 200_000);
    let result: Value = whole.result.unwrap().deserialize().unwrap();
    assert_eq!(result["truncated"], true);
    assert_eq!(result["text"].as_str().unwrap().chars().count(), 20_000);
    // It was sent, so the agent remembers it.
    answer(&user, "@planner", "t1", "are you sure?").await;
    assert!(transcript(&model.requests()[1]).contains("assistant: ééé"));
}
