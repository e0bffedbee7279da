//! The modes of a data directory, restarts, and what is refused.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::Network;
use crate::harness::process::{gone, send_signal};
use crate::harness::{Service, Up, agentnet, binary, line, run, until};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn commands_find_the_operator_and_the_token_is_off() {
    let network = Network::start().await;
    let data = &network.up.data;
    assert_eq!(network.up.ready["secure"], true);
    assert_eq!(mode(&data.join("secure")), 0o700);
    for file in ["registry.json", "operator.json", "users.conf"] {
        assert_eq!(mode(&data.join("secure").join(file)), 0o600, "{file}");
    }
    assert!(network.line("list").await.ok().contains("No agents currently online"));
    assert_eq!(network.record("operator").await["state"], "active");
    let host = network.up.url.strip_prefix("nats://").unwrap();
    for login in ["", "agentnet_secret_token@", "operator:x@"] {
        let refused = line(&format!("nats://{login}{host}"), "list").await;
        refused.fails(1, &["refused the credentials", "agentnet join"]);
    }
}

#[tokio::test]
async fn a_restart_keeps_members_and_their_agents_come_back() {
    let network = Network::start().await;
    let account = network.add("alice").await;
    let _echo = network.echo("--username alice").await;
    let mut up = network.up;
    up.stop().await;
    gone(up.nats_pid()).await;
    let network = Network {
        up: up.again_with("--secure").await,
    };
    assert_eq!(network.record("alice").await["account_id"], account);
    until(&network.operator(), "list", |online| {
        online["agents"][0]["username"] == "alice"
    })
    .await;
    // A server that was killed has the members again too.
    send_signal(network.up.nats_pid(), Signal::KILL);
    network.up.service.says("nats-server runs again").await;
    until(
        &network.operator(),
        "request --to-username alice --timeout 2 7",
        |reply| reply["payload"] == 7,
    )
    .await;
    network.add("bob").await;
}

#[tokio::test]
async fn a_token_network_becomes_secure_and_goes_back() {
    let mut up = Up::start().await;
    let echo = Service::line(&up.url, "echo --username alice");
    echo.says("is online as").await;
    let request = ["request", "--to-username", "alice", "--thread-id", "kept", "1"];
    agentnet(&up.url, request).await.ok();
    let before = line(&up.url, "profile --username alice --json").await.json();
    drop(echo);
    up.stop().await;

    let network = Network {
        up: up.again_with("--secure").await,
    };
    assert_eq!(
        network.add("alice").await,
        before["profile"]["account_id"].as_str().unwrap()
    );
    let read = |network: &Network, url: &str| {
        let url = url.to_owned();
        let _ = network;
        async move { line(&url, "thread-messages --thread-id kept --json").await }
    };
    // What came before has no proven sender: operators read it, and its receiver.
    let kept = read(&network, &network.operator()).await.json();
    assert_eq!(kept["messages"].as_array().unwrap().len(), 2, "{kept}");

    let mut up = network.up;
    let (data, port) = (up.data.clone(), up.ready["nats_server"]["port"].to_string());
    up.stop().await;
    run(Up::command(&data, &port))
        .await
        .fails(2, &["is in secure mode", "--no-secure"]);
    let mut up = up.again_with("--no-secure").await;
    let after = line(&up.url, "profile --username alice --json").await.json();
    assert_eq!(after["profile"]["account_id"], before["profile"]["account_id"]);
    assert!(!data.join("secure").exists());
    up.stop().await;

    let network = Network {
        up: up.again_with("--secure").await,
    };
    assert_eq!(network.record("alice").await["state"], "active");
    line(&network.member("alice"), "list").await.ok();
}

#[tokio::test]
async fn settings_that_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (words, told) in [
        ("up --secure --host 0.0.0.0", "--insecure-plaintext"),
        ("up --secure --websocket", "web pages"),
        ("--nats-url nats://127.0.0.1:1 up --secure", "a NATS server of its own"),
        ("up --secure --dev-auth", "does not work with --secure yet"),
        ("up --secure --no-secure", "cannot be used with"),
        ("up --secure --server-id a.b", "--server-id"),
        ("up --secure --authority callout", "authorization callouts"),
        ("up --authority jwt", "start it with --secure"),
    ] {
        let mut command = binary();
        command
            .env("AGENTNET_DATA_DIR", folder.path())
            .args(words.split_whitespace());
        run(command).await.fails(2, &[told]);
        // Or the next start without --secure would be refused.
        assert!(!folder.path().join("secure").exists(), "{words}");
    }
}
