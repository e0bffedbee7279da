//! Questions without an answer: each gets an error reply with its code.

use std::time::{Duration, Instant};

use agentnet_mesh::model::{ModelErrorKind, StopReason};
use agentnet_testkit::eventually_true;
use rstest::rstest;
use serde_json::{Value, json};

use crate::agent::harness::{DEADLINE, MAX_CONCURRENCY, Network, answer, ask, config};
use crate::agent::scripted_model::{Say, ScriptedModel};

#[rstest]
#[case::down(Say::Fail(ModelErrorKind::Connect, None), "model_unavailable")]
#[case::invalid(Say::Fail(ModelErrorKind::InvalidRequest, Some(400)), "model_unavailable")]
#[case::no_key(Say::Fail(ModelErrorKind::Auth, None), "config_error")]
#[case::refused(Say::Fail(ModelErrorKind::Refused, Some(400)), "model_refused")]
#[case::refused_in_the_answer(Say::Nothing(StopReason::Refused), "model_refused")]
#[case::too_long(Say::Fail(ModelErrorKind::ContextOverflow, Some(400)), "limit_reached")]
#[case::nothing(Say::Nothing(StopReason::End), "limit_reached")]
#[case::broken(Say::Break("half of"), "model_unavailable")]
#[tokio::test]
async fn a_failure_of_the_model_is_told(#[case] say: Say, #[case] code: &str) {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![say]);
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let reply = ask(&user, "@planner", "t1", json!({ "text": "hi" })).await;
    let payload: Value = reply.json().unwrap();
    assert_eq!(
        (&*reply.kind, reply.error_code().as_deref()),
        ("error", Some(code)),
        "{payload}"
    );
    assert!(
        payload["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
        "{payload}"
    );
    assert_eq!(
        payload["request_message_id"],
        *reply.parent_message_id.as_deref().unwrap()
    );
    // The message counts as handled: the circuit breaker stays closed, and the reply is the only one.
    assert_eq!(agent.node.metrics_snapshot().error_count, 0);
    let counters = agent.metrics.encode();
    assert!(
        counters.contains(&format!(
            "agentnet_mesh_requests_total{{agent=\"planner\",outcome=\"{code}\"}} 1"
        )),
        "{counters}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Break("half of"), Say::Text(vec!["the whole"])]);
    let _agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@planner", "t1", "hi").await;
    assert_eq!(payload["text"], "the whole");
    // The provider charges for both: the first is estimated.
    assert!(payload["usage"]["input"].as_u64().unwrap() > 10, "{payload}");
}

#[tokio::test]
async fn a_model_that_hangs_ends_with_the_time_of_the_message() {
    let network = Network::start().await;
    let model = ScriptedModel::playing(vec![Say::Hang("wait")]);
    let mut limited = config("planner");
    limited.limits.max_time = Duration::from_secs(1);
    let _agent = network.agent(limited, &model).await;
    let user = network.user("alice").await;
    let reply = ask(&user, "@planner", "t1", json!({ "text": "hi" })).await;
    assert_eq!(reply.error_code().as_deref(), Some("limit_reached"));
    assert_eq!(model.open_streams(), 0);
}

#[tokio::test]
async fn a_question_that_has_waited_too_long_is_not_answered() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|_, _| Say::Hang("wait "));
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let mut streams = Vec::new();
    for _ in 0..MAX_CONCURRENCY {
        let question = json!({ "text": "hi", "stream": true });
        let stream = user.request_stream("@planner", question).timeout(DEADLINE);
        streams.push(stream.await.unwrap());
    }
    eventually_true(DEADLINE, "the agent is busy", async || {
        model.requests().len() == MAX_CONCURRENCY
    })
    .await
    .unwrap();
    let asked = Instant::now();
    let waiting = user.request("@planner", json!({ "text": "me too" })).ttl_ms(1_000);
    let waiting = tokio::spawn(waiting.timeout(DEADLINE).into_future());
    // Its lifetime, and the clock skew that is allowed for.
    let lifetime = Duration::from_millis(3_100);
    eventually_true(DEADLINE, "the question is too old", async || {
        agent.node.metrics_snapshot().pending_count == 1 && asked.elapsed() > lifetime
    })
    .await
    .unwrap();
    drop(streams);
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply.error_code().as_deref(), Some("expired"), "{}", reply.payload());
    assert_eq!(model.requests().len(), MAX_CONCURRENCY);
    let counted = "agentnet_mesh_requests_total{agent=\"planner\",outcome=\"expired\"} 1";
    assert!(agent.metrics.encode().contains(counted), "{}", agent.metrics.encode());
}

#[tokio::test]
async fn tokens_of_one_message_are_limited() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("never");
    let mut limited = config("planner");
    limited.limits.tokens_per_request = Some(50);
    let _agent = network.agent(limited, &model).await;
    let user = network.user("alice").await;
    let reply = ask(&user, "@planner", "t1", json!({ "text": "hi" })).await;
    let payload: Value = reply.json().unwrap();
    assert_eq!(reply.error_code().as_deref(), Some("budget_exceeded"));
    assert!(
        payload["detail"].as_str().unwrap().contains("tokens_per_request"),
        "{payload}"
    );
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn tokens_of_one_day_are_limited() {
    let network = Network::start().await;
    let model = ScriptedModel::saying("Yes.");
    let mut limited = config("planner");
    limited.limits.tokens_per_day = Some(20);
    let _agent = network.agent(limited, &model).await;
    let user = network.user("alice").await;
    for thread in ["t1", "t2"] {
        answer(&user, "@planner", thread, "hi").await;
    }
    let reply = ask(&user, "@planner", "t3", json!({ "text": "hi" })).await;
    assert_eq!(reply.error_code().as_deref(), Some("budget_exceeded"));
    assert!(reply.payload().get().contains("tokens_per_day"), "{}", reply.payload());
    assert_eq!(model.requests().len(), 2);
}

#[rstest]
#[case::hops(json!({ "hops": 7 }), "hop_limit")]
#[case::circle(Value::Null, "wait_cycle")]
#[tokio::test]
async fn chains_of_agents_end(#[case] mesh: Value, #[case] code: &str) {
    let network = Network::start().await;
    let model = ScriptedModel::saying("never");
    let agent = network.agent(config("planner"), &model).await;
    let user = network.user("alice").await;
    let mesh = match mesh {
        Value::Null => json!({ "hops": 2, "chain": [agent.node.account_id(), "acct_other"] }),
        mesh => mesh,
    };
    let reply = ask(&user, "@planner", "t1", json!({ "text": "hi", "mesh": mesh })).await;
    assert_eq!(reply.error_code().as_deref(), Some(code));
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn an_overflow_is_tried_once_more_with_less() {
    let network = Network::start().await;
    let model = ScriptedModel::new(|request, _| {
        if request.messages.len() > 3 {
            Say::Fail(ModelErrorKind::ContextOverflow, Some(400))
        } else {
            Say::Text(vec!["Fits."])
        }
    });
    let mut long = config("planner");
    long.memory.max_tokens = 400;
    long.memory.compaction = None;
    let _agent = network.agent(long, &model).await;
    let user = network.user("alice").await;
    let words = "word ".repeat(100);
    answer(&user, "@planner", "t1", &words).await;
    answer(&user, "@planner", "t1", &words).await;
    // The whole thread has five turns now; half of the tokens leave three.
    let payload = answer(&user, "@planner", "t1", "and?").await;
    assert_eq!(payload["text"], "Fits.");
    let lengths: Vec<usize> = model.requests().iter().map(|request| request.messages.len()).collect();
    assert_eq!(lengths, [1, 3, 5, 3]);
}
