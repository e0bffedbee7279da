//! `orchestrate`: peers answer in rounds, see one another's answers, and the agent draws the conclusion.

use agentnet::json;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::Service;
use crate::mesh::scripted::{Mesh, Setup, agent, head, mesh_command, online, says, spawn_host};

const DEBATE: &str = "    orchestrate: { peers: [left, right], rounds: 2, peer_timeout_seconds: 5, peer_retries: 0 }\n";

/// Left and right in a file of their own, so that their host can be killed.
async fn peers(mesh: &Mesh, key: &str) -> Service {
    let file = mesh.folder.path().join(format!("{key}.yaml"));
    let yaml = head("openai-chat") + "agents:\n" + &agent(key, &format!("You are {key}."), "");
    std::fs::write(&file, yaml).unwrap();
    let mut command = mesh_command(&mesh.up.url, "run", &file, &mesh.folder.path().join(key));
    command.env("MODEL_URL", mesh.provider.url());
    let host = spawn_host(command, mesh.folder.path());
    online(&host, &mesh.up.url, &[key]).await;
    host
}

fn kinds(messages: &[Value], kind: &str) -> usize {
    messages.iter().filter(|message| message["kind"] == kind).count()
}

/// Two peers, two rounds: four questions in one thread, and each peer sees the other's view in the second round.
#[tokio::test(flavor = "multi_thread")]
async fn two_peers_debate_for_two_rounds() {
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("chair", "You are the chair.", DEBATE),
        online: &["chair"],
        fixtures: json!([
            says(json!({ "systemMessage": "You are left." }), "Left wants tea."),
            says(json!({ "systemMessage": "You are right." }), "Right wants coffee."),
            says(json!({}), "Both, then."),
        ]),
        ..Setup::default()
    })
    .await;
    let mut left = peers(&mesh, "left").await;
    let mut right = peers(&mesh, "right").await;
    mesh.ready(3).await;
    assert_eq!(mesh.answer("@chair", "debate_1", "tea or coffee?").await, "Both, then.");
    // The question and four questions to peers, with their answers.
    let messages = mesh.thread("debate_1", 10).await;
    assert_eq!(
        (kinds(&messages, "request"), kinds(&messages, "reply")),
        (5, 5),
        "{messages:?}"
    );
    let requests = mesh.asked(5).await;
    let second_of_left = requests
        .iter()
        .filter(|request| request["messages"][0].to_string().contains("You are left."))
        .nth(1)
        .unwrap();
    assert!(
        second_of_left.to_string().contains("Right wants coffee."),
        "{second_of_left}"
    );
    let conclusion = requests.last().unwrap().to_string();
    assert!(
        conclusion.contains("Left wants tea.") && conclusion.contains("Right wants coffee."),
        "{conclusion}"
    );
    for host in [&mut left, &mut right] {
        host.signal(Signal::TERM);
        assert_eq!(host.ended().await.code(), Some(0), "{}", host.stderr());
    }
    mesh.stop().await;
}

/// One peer is killed while it answers in the second round: the answer comes all the same, and names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_dies_in_a_debate_is_named() {
    let mut slow = says(
        json!({ "systemMessage": "You are right.", "sequenceIndex": 1 }),
        "Right again, slowly.",
    );
    slow["latency"] = json!(20_000);
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("chair", "You are the chair.", DEBATE),
        online: &["chair"],
        fixtures: json!([
            says(json!({ "systemMessage": "You are left." }), "Left wants tea."),
            says(
                json!({ "systemMessage": "You are right.", "sequenceIndex": 0 }),
                "Right wants coffee."
            ),
            slow,
            says(json!({}), "Tea."),
        ]),
        ..Setup::default()
    })
    .await;
    let left = peers(&mesh, "left").await;
    let mut right = peers(&mesh, "right").await;
    mesh.ready(3).await;
    let asking = mesh.answer("@chair", "debate_2", "tea or coffee?");
    let killing = async {
        // Two answers of the first round, two questions of the second.
        mesh.asked(4).await;
        right.signal(Signal::KILL);
        right.ended().await;
    };
    let (answer, ()) = tokio::join!(asking, killing);
    assert!(answer.starts_with("Tea.") && answer.contains("@right"), "{answer}");
    let requests = mesh.asked(5).await;
    let conclusion = requests.last().unwrap().to_string();
    assert!(conclusion.contains("Left wants tea."), "{conclusion}");
    assert!(conclusion.contains("right"), "{conclusion}");
    drop(left);
    mesh.stop().await;
}
