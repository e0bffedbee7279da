//! Debates: peers answer in rounds, then the agent draws the conclusion.

use std::time::Duration;

use agentnet_mesh::config::{AgentConfig, OrchestrateConfig};
use agentnet_mesh::model::ModelErrorKind;
use agentnet_testkit::eventually_true;
use serde_json::{Value, json};

use crate::agent::harness::{DEADLINE, Network, answer, ask, config, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel, last_user};

fn leader() -> AgentConfig {
    AgentConfig {
        orchestrate: Some(OrchestrateConfig {
            peers: vec!["@left".into(), "right".into(), "leader".into()],
            rounds: 2,
            peer_timeout: Duration::from_secs(10),
            peer_retries: 1,
            synthesis_prompt: Some("You are the judge.".into()),
            kickoff_tools: vec![("network.list_online".into(), json!({}))],
        }),
        ..config("leader")
    }
}

#[tokio::test]
async fn two_peers_answer_in_two_rounds() {
    let network = Network::start().await;
    let left = ScriptedModel::new(|_, number| Say::Owned(format!("left says {number}")));
    let right = ScriptedModel::new(|_, number| Say::Owned(format!("right says {number}")));
    let judge = ScriptedModel::saying("Both are right.");
    let _left = network.agent(config("left"), &left).await;
    let _right = network.agent(config("right"), &right).await;
    let _leader = network.agent(leader(), &judge).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@leader", "t1", "who is right?").await;
    assert_eq!(payload["text"], "Both are right.");
    assert_eq!(
        payload["debate"],
        json!({ "rounds": 2, "peers": ["@left", "@right"], "missing": [] })
    );

    let rounds = left.requests();
    assert_eq!((rounds.len(), right.requests().len()), (2, 2));
    assert!(last_user(&rounds[0]).contains("who is right?") && last_user(&rounds[0]).contains("list_online"));
    assert!(last_user(&rounds[1]).contains("right says 0") && last_user(&rounds[1]).contains("left says 0"));
    let conclusion = judge.requests();
    assert_eq!(conclusion.len(), 1);
    assert!(conclusion[0].system.starts_with("You are the judge."));
    assert!(last_user(&conclusion[0]).contains("left says 1") && last_user(&conclusion[0]).contains("right says 1"));

    // Question, four requests with their replies, and the conclusion.
    let messages = until_stored(&user, "t1", 10).await;
    let stages = messages.iter().filter(|message| {
        let payload: Value = message.payload.deserialize().unwrap();
        payload["mesh_stage"] == "agent1_debate_round" && message.kind == "request"
    });
    assert_eq!(stages.count(), 4);
}

#[tokio::test]
async fn a_peer_that_dies_in_the_second_round_is_named() {
    let network = Network::start().await;
    let left = ScriptedModel::new(|_, number| Say::Owned(format!("left says {number}")));
    let right = ScriptedModel::playing(vec![Say::Text(vec!["right says it"]), Say::Hang("")]);
    let judge = ScriptedModel::saying("The left one is right.");
    let _left = network.agent(config("left"), &left).await;
    let dying = network.agent(config("right"), &right).await;
    let mut impatient = leader();
    if let Some(orchestrate) = &mut impatient.orchestrate {
        orchestrate.peer_timeout = Duration::from_secs(2);
        orchestrate.peer_retries = 0;
    }
    let _leader = network.agent(impatient, &judge).await;
    let user = network.user("alice").await;
    let killing = async {
        eventually_true(DEADLINE, "the second round", async || right.requests().len() == 2)
            .await
            .unwrap();
        drop(dying);
    };
    let (payload, ()) = tokio::join!(answer(&user, "@leader", "t1", "who is right?"), killing);
    assert_eq!(
        payload["text"],
        "The left one is right.\n\n(No answer came from @right.)"
    );
    assert_eq!(payload["debate"]["missing"], json!(["@right"]));
    let conclusion = judge.requests().pop().unwrap();
    assert!(last_user(&conclusion).contains("left says 1") && last_user(&conclusion).contains("right says it"));
}

#[tokio::test]
async fn without_a_conclusion_the_first_answer_counts() {
    let network = Network::start().await;
    let _left = network
        .agent(config("left"), &ScriptedModel::saying("left says yes"))
        .await;
    let _right = network
        .agent(config("right"), &ScriptedModel::saying("right says no"))
        .await;
    let judge = ScriptedModel::playing(vec![Say::Fail(ModelErrorKind::Server, Some(500))]);
    let _leader = network.agent(leader(), &judge).await;
    let user = network.user("alice").await;
    assert_eq!(
        answer(&user, "@leader", "t1", "who?").await["text"],
        "@left answered: left says yes"
    );
}

#[tokio::test]
async fn without_peers_the_agent_answers_itself() {
    let network = Network::start().await;
    let judge = ScriptedModel::saying("Nobody else is here.");
    let mut alone = leader();
    if let Some(orchestrate) = &mut alone.orchestrate {
        orchestrate.peer_retries = 0;
    }
    let _leader = network.agent(alone, &judge).await;
    let user = network.user("alice").await;
    let payload = answer(&user, "@leader", "t1", "who?").await;
    assert_eq!(
        payload["text"],
        "Nobody else is here.\n\n(No answer came from @left, @right.)"
    );
    assert!(judge.requests()[0].system.starts_with("You are the leader."));
}

#[tokio::test]
async fn a_round_of_another_debate_begins_none() {
    let network = Network::start().await;
    let _left = network.agent(config("left"), &ScriptedModel::saying("never")).await;
    let _right = network.agent(config("right"), &ScriptedModel::saying("never")).await;
    let judge = ScriptedModel::saying("My view.");
    let _leader = network.agent(leader(), &judge).await;
    let user = network.user("alice").await;
    let round = json!({ "text": "your view?", "mesh_stage": "agent1_debate_round", "round": 1 });
    let reply = ask(&user, "@leader", "t1", round).await;
    let payload: Value = reply.json().unwrap();
    assert_eq!(
        (&payload["text"], &payload["debate"]),
        (&json!("My view."), &Value::Null)
    );
}
