//! Another configuration while the host runs.

use agentnet::TaskState;
use agentnet_mesh::host::Host;
use agentnet_testkit::eventually;
use serde_json::Value;
use tokio::time::timeout;

use crate::host::world::{DEADLINE, HOLD, World, agent};

async fn session(host: &Host, key: &str) -> Option<String> {
    host.node(key).await?.session_tag()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_differs_and_nothing_else() {
    let world = World::start().await;
    let file = |prompt: &str| agent("turn", prompt, "") + &agent("stay", "PROMPT_STAY", "");
    let host = world.host(&file("PROMPT_OLD")).await;
    let sessions = (session(&host, "turn").await, session(&host, "stay").await);
    let held = world.held("@turn").await;
    let report = host.reload(world.mesh(&file("PROMPT_NEW"))).await.unwrap();
    assert_eq!(
        (report.changed, report.kept),
        (vec!["turn".to_owned()], vec!["stay".to_owned()])
    );
    assert_eq!(world.answer("@turn").await, "PROMPT_NEW");
    assert_eq!(world.answer("@stay").await, "PROMPT_STAY");
    assert_eq!(
        (session(&host, "turn").await, session(&host, "stay").await),
        sessions,
        "no agent has joined anew"
    );
    world.release();
    assert_eq!(held.await.unwrap().text().as_deref(), Some("PROMPT_OLD"));
    let report = host.reload(world.mesh(&file("PROMPT_NEW"))).await.unwrap();
    assert!(report.is_unchanged(), "{report}");
    assert!(
        host.metrics()
            .encode()
            .contains("agentnet_mesh_reloads_total{ok=\"true\"} 2")
    );
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_another_identity_joins_anew_and_drops_no_request() {
    let world = World::start().await;
    let host = world.host(&agent("turn", "PROMPT_OLD", "")).await;
    let before = session(&host, "turn").await;
    let held = world.held("@turn").await;
    let file = agent("turn", "PROMPT_NEW", ", name: Turned, capabilities: [turning]");
    let report = host.reload(world.mesh(&file)).await.unwrap();
    assert_eq!(report.rejoined, ["turn"]);
    assert_ne!(session(&host, "turn").await, before);
    // Also where the session before takes the message: the server may not have ended its subscriptions yet.
    for _ in 0..20 {
        assert_eq!(world.answer("@turn").await, "PROMPT_NEW");
    }
    world.release();
    assert_eq!(held.await.unwrap().text().as_deref(), Some("PROMPT_OLD"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_come_and_go() {
    let world = World::start().await;
    let both = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    let host = world.host(&both).await;
    let held = world.held("@first").await;
    let other = agent("third", "PROMPT_THIRD", "") + &agent("second", "PROMPT_SECOND", "");
    let report = host.reload(world.mesh(&other)).await.unwrap();
    assert_eq!(
        (report.added, report.removed),
        (vec!["third".to_owned()], vec!["first".to_owned()])
    );
    let keys: Vec<String> = host.agents().await.into_iter().map(|agent| agent.key).collect();
    assert_eq!(keys, ["third", "second"], "in the order of the file");
    assert_eq!(world.answer("@third").await, "PROMPT_THIRD");
    world.release();
    assert_eq!(
        held.await.unwrap().text().as_deref(),
        Some("PROMPT_FIRST"),
        "what it had accepted is answered"
    );
    host.close().await;
    let online = world.user.list_online().await.unwrap();
    assert_eq!(
        online.iter().filter(|agent| agent.agent_id != "user").count(),
        0,
        "{online:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_its_key_says_so() {
    let world = World::start().await;
    let file = "  - { key: turn, prompt: { text: PROMPT_OLD }, model: { provider: keyed, name: m } }\n";
    let host = world.host(file).await;
    assert_eq!(host.agents().await[0].missing, ["NO_SUCH_KEY"]);
    let online = world.user.list_online().await.unwrap();
    let turn = online.iter().find(|agent| agent.agent_id == "turn").unwrap();
    let metadata: Value = turn.metadata.deserialize().unwrap();
    assert_eq!(metadata["mesh"]["state"], "degraded");
    let reply = world.ask("@turn", "well?").await;
    assert_eq!(
        reply.error_code().as_deref(),
        Some("config_error"),
        "{}",
        reply.payload()
    );
    assert!(reply.payload().get().contains("NO_SUCH_KEY"), "{}", reply.payload());
    // With a key it joins anew, as ready.
    let report = host.reload(world.mesh(&agent("turn", "PROMPT_OLD", ""))).await.unwrap();
    assert_eq!(report.rejoined, ["turn"]);
    assert_eq!(world.answer("@turn").await, "PROMPT_OLD");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_tool_restarts_no_mcp_server() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/mcp/tests/server.py");
    let file = agent("turn", "PROMPT_OLD", ", tools: [mcp.files.*, disk]");
    let mesh = |description: &str| {
        let servers = format!(
            "mcp_servers:\n  files: {{ command: [python3, -u, \"{script}\", --log, \"{}\"] }}\n",
            log.display()
        );
        let tools = format!("tools:\n  disk: {{ description: {description}, shell: {{ argv: [df] }} }}\n");
        world.mesh_with(&file, &(servers + &tools))
    };
    let host = Host::start(mesh("Old."), world.options()).await.unwrap();
    let report = host.reload(mesh("New.")).await.unwrap();
    assert_eq!(report.changed, ["turn"]);
    assert_eq!(world.answer("@turn").await, "PROMPT_OLD");
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("started").count(), 1, "{log}");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_finished_by_the_session_that_began_it() {
    let world = World::start().await;
    let host = world.host(&agent("turn", "PROMPT_OLD", ", tasks: true")).await;
    let mut asked = world.provider.asked.subscribe();
    let task = world.user.task("@turn").text(HOLD).start().await.unwrap();
    timeout(DEADLINE, asked.wait_for(|count| *count == 1))
        .await
        .unwrap()
        .unwrap();
    let file = agent("turn", "PROMPT_NEW", ", tasks: { concurrency: 2 }");
    let report = host.reload(world.mesh(&file)).await.unwrap();
    assert_eq!(report.rejoined, ["turn"]);
    let next = world.user.task("@turn").text("well?").start().await.unwrap();
    let done = timeout(DEADLINE, next.result()).await.unwrap().unwrap();
    assert_eq!(done.text.as_deref(), Some("PROMPT_NEW"));
    world.release();
    let done = timeout(DEADLINE, task.result()).await.unwrap().unwrap();
    assert_eq!(
        (done.state, done.text.as_deref()),
        (TaskState::Completed, Some("PROMPT_OLD"))
    );
    assert_eq!(task.status().await.unwrap().attempt, 1);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_its_key_takes_no_tasks() {
    let world = World::start().await;
    let keyed = "  - { key: turn, prompt: { text: PROMPT_OLD }, model: { provider: keyed, name: m }, tasks: true }\n";
    let host = world.host(keyed).await;
    let task = world
        .user
        .task("@turn")
        .text("well?")
        .thread("t1")
        .start()
        .await
        .unwrap();
    // It is told by a message, because no session claims it.
    let told = async || match world.user.thread_status("t1").await {
        Ok(status) if status.thread.message_count > 0 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(DEADLINE, told).await.unwrap();
    assert_eq!(task.status().await.unwrap().state, "submitted");
    let file = agent("turn", "PROMPT_NEW", ", tasks: true");
    assert_eq!(host.reload(world.mesh(&file)).await.unwrap().rejoined, ["turn"]);
    let done = timeout(DEADLINE, task.result()).await.unwrap().unwrap();
    assert_eq!(done.text.as_deref(), Some("PROMPT_NEW"));
    host.close().await;
}
