//! How a host starts, and what it tells.

use agentnet_mesh::host::{Host, HostError, HostEvent, HostOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::host::world::{DEADLINE, World, agent};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_selected_agents_run() {
    let world = World::start().await;
    let both = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    let select = |keys: &[&str]| HostOptions {
        only: keys.iter().map(ToString::to_string).collect(),
        ..world.options()
    };
    let refused = Host::start(world.mesh(&both), select(&["second", "third"]))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, HostError::UnknownAgents { unknown, .. } if unknown == &["third"]),
        "{refused}"
    );
    let host = Host::start(world.mesh(&both), select(&["second"])).await.unwrap();
    assert_eq!(host.agents().await.len(), 1);
    let refused = host
        .reload(world.mesh(&agent("first", "PROMPT_FIRST", "")))
        .await
        .unwrap_err();
    assert!(matches!(refused, HostError::NoAgents), "{refused}");
    assert_eq!(world.answer("@second").await, "PROMPT_SECOND");
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_join_ends_the_start() {
    let world = World::start().await;
    let file = agent("first", "PROMPT_FIRST", "") + &agent("second", "PROMPT_SECOND", "");
    // A key that cannot be a file stands for whatever an agent may lack.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("second.json")).unwrap();
    let key_dir = Some(folder.path().to_owned());
    let options = HostOptions {
        dev_auth: Some(true),
        key_dir,
        ..world.options()
    };
    let refused = Host::start(world.mesh(&file), options).await.unwrap_err();
    assert!(
        matches!(&refused, HostError::Start { agent, .. } if agent == "second"),
        "{refused}"
    );
    let online = world.user.list_online().await.unwrap();
    assert_eq!(online.len(), 1, "none is left: {online:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_messages_and_the_ledger_keeps_tokens() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (events, mut happened) = mpsc::channel(8);
    let options = HostOptions {
        events: Some(events),
        data_dir: Some(folder.path().to_owned()),
        ..world.options()
    };
    let host = Host::start(world.mesh(&agent("turn", "PROMPT_OLD", "")), options)
        .await
        .unwrap();
    world.answer("@turn").await;
    let first = timeout(DEADLINE, happened.recv()).await.unwrap().unwrap();
    assert!(
        matches!(&first, HostEvent::Received { agent, .. } if &**agent == "turn"),
        "{first:?}"
    );
    let second = timeout(DEADLINE, happened.recv()).await.unwrap().unwrap();
    assert!(
        matches!(&second, HostEvent::Answered { text, .. } if text == "PROMPT_OLD"),
        "{second:?}"
    );
    assert_eq!(host.ledger().used_today("turn").tokens, 10);
    host.close().await;
    let kept = std::fs::read_to_string(folder.path().join("mesh/usage.jsonl")).unwrap();
    assert!(kept.contains(r#""agent":"turn""#) && kept.ends_with('\n'), "{kept}");
}
