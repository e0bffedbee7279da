//! A changed file: what changes, what stays, and what happens when it is wrong.

use agentnet::json;
use agentnet_testkit::eventually;
use rustix::process::Signal;

use crate::harness::{WAIT_TIMEOUT, line};
use crate::mesh::scripted::{Mesh, Setup, agent, head, says};

fn file(agents: &[String]) -> String {
    head("openai-chat") + "agents:\n" + &agents.concat()
}

/// A prompt is changed while a request runs: that request ends as it began, the next one has the new prompt.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_prompt_is_for_the_next_message() {
    let mut slow = says(
        json!({ "systemMessage": "OLD" }),
        "an answer of the old prompt in many pieces",
    );
    slow["latency"] = json!(150);
    slow["chunkSize"] = json!(2);
    let mesh = Mesh::start(Setup {
        yaml: file(&[agent("turn", "OLD", "")]),
        online: &["turn"],
        fixtures: json!([slow, says(json!({ "systemMessage": "NEW" }), "new")]),
        ..Setup::default()
    })
    .await;
    let running = mesh.answer("@turn", "reload_1", "now");
    let changing = async {
        mesh.asked(1).await;
        // As an editor does: a new file in the place of the old one.
        let other = mesh.folder.path().join("mesh.yaml.new");
        std::fs::write(&other, file(&[agent("turn", "NEW", "")])).unwrap();
        std::fs::rename(&other, &mesh.file).unwrap();
        let look = async || match mesh.answer("@turn", "reload_2", "and now").await.as_str() {
            "new" => Ok(()),
            other => Err(other.to_owned()),
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    };
    let (answer, ()) = tokio::join!(running, changing);
    assert_eq!(answer, "an answer of the old prompt in many pieces");
    mesh.stop().await;
}

/// The prompt's own file is watched too.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_in_a_file_is_watched() {
    let yaml = head("openai-chat")
        + "agents:\n  - { key: turn, prompt: { file: prompts/turn.txt }, model: { provider: mock, name: m } }\n";
    let mesh = Mesh::start(Setup {
        yaml: file(&[agent("other", "OTHER", "")]),
        online: &["other"],
        fixtures: json!([
            says(json!({ "systemMessage": "OLD" }), "old"),
            says(json!({ "systemMessage": "NEW" }), "new")
        ]),
        ..Setup::default()
    })
    .await;
    let prompts = mesh.folder.path().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    std::fs::write(prompts.join("turn.txt"), "OLD").unwrap();
    std::fs::write(&mesh.file, yaml).unwrap();
    mesh.online(&["turn"]).await;
    assert_eq!(mesh.answer("@turn", "file_1", "now").await, "old");
    std::fs::write(prompts.join("turn.txt"), "NEW").unwrap();
    let look = async || match mesh.answer("@turn", "file_2", "now").await.as_str() {
        "new" => Ok(()),
        other => Err(other.to_owned()),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    mesh.host.signal(Signal::HUP);
    assert_eq!(mesh.answer("@turn", "file_3", "now").await, "new");
    mesh.stop().await;
}

/// A file that is wrong changes nothing, and the log says where it is wrong; the next good one counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_file_changes_nothing() {
    let mesh = Mesh::start(Setup {
        yaml: file(&[agent("stays", "OLD", ""), agent("leaves", "OLD", "")]),
        online: &["stays", "leaves"],
        fixtures: json!([says(json!({}), "here")]),
        ..Setup::default()
    })
    .await;
    let wrong = file(&[agent("stays", "NEW", "    limit: { max_steps: 3 }\n")]);
    std::fs::write(&mesh.file, wrong).unwrap();
    mesh.host.says("limit").await;
    mesh.host.says("mesh.yaml:8").await;
    assert_eq!(mesh.answer("@leaves", "invalid_1", "still there?").await, "here");
    std::fs::write(
        &mesh.file,
        file(&[agent("stays", "NEW", ""), agent("comes", "NEW", "")]),
    )
    .unwrap();
    mesh.online(&["comes"]).await;
    let look = async || {
        let listed = line(&mesh.up.url, "list --json").await.ok();
        if listed.contains(r#""leaves""#) {
            Err(listed)
        } else {
            Ok(())
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    assert_eq!(mesh.answer("@stays", "invalid_2", "and you?").await, "here");
    mesh.stop().await;
}
