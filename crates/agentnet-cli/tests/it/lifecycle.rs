//! `agentnet up` and `agentnet registry` as services: nothing leaks, nothing is lost, everything comes back.

use std::os::unix::fs::PermissionsExt;

use agentnet_testkit::NatsServer;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::process::{gone, is_running, send_signal};
use crate::harness::{FreePort, Service, Up, agentnet, binary, echo, line, run, until};

#[tokio::test]
async fn killing_up_leaves_no_server_behind() {
    let mut up = Up::start().await;
    let server = up.nats_pid();
    assert!(is_running(server));
    up.service.signal(Signal::KILL);
    assert_eq!(up.service.ended().await.code(), None);
    gone(server).await;
    // And nothing stands in the way of the next start.
    up.again().await.stop().await;
}

#[tokio::test]
async fn a_server_that_dies_is_started_again_and_agents_come_back() {
    let mut up = Up::start().await;
    let _agent = echo(&up.url, "--username phoenix").await;
    agentnet(&up.url, ["send", "--to-username", "phoenix", "--thread-id", "t", "1"])
        .await
        .ok();
    send_signal(up.nats_pid(), Signal::KILL);
    up.service.says("nats-server runs again").await;
    until(&up.url, "list", |online| online["agents"][0]["username"] == "phoenix").await;
    until(
        &up.url,
        "request --to-username phoenix --timeout 2 --thread-id t 2",
        |reply| reply["payload"] == 2,
    )
    .await;
    until(&up.url, "message-search --thread-id t --kind direct", |found| {
        found["messages"][0]["payload"] == 1
    })
    .await;
    up.stop().await;
}

#[tokio::test]
async fn state_survives_a_restart() {
    let mut up = Up::start().await;
    let agent = echo(&up.url, "--username keeper --capability keep").await;
    agentnet(
        &up.url,
        [
            "request",
            "--to-username",
            "keeper",
            "--thread-id",
            "kept",
            r#"{"text":"remember"}"#,
        ],
    )
    .await
    .ok();
    let before = line(&up.url, "profile --username keeper --json").await.json();
    drop(agent);
    up.stop().await;
    gone(up.nats_pid()).await;

    let mut up = up.again().await;
    let after = line(&up.url, "profile --username keeper --json").await.json();
    assert_eq!(after["profile"]["account_id"], before["profile"]["account_id"]);
    assert_eq!(after["profile"]["capabilities"], before["profile"]["capabilities"]);
    let kept = until(&up.url, "thread-messages --thread-id kept", |kept| {
        kept["messages"].as_array().is_some_and(|messages| messages.len() == 2)
    });
    assert_eq!(kept.await["messages"][0]["payload"]["text"], "remember");
    up.service.signal(Signal::INT);
    assert_eq!(
        up.service.ended().await.code(),
        Some(0),
        "Ctrl-C ends a service cleanly"
    );
    gone(up.nats_pid()).await;
}

#[tokio::test]
async fn the_token_is_in_no_process_list_and_in_no_readable_file() {
    let folder = TempDir::new().unwrap();
    let port = FreePort::take().await;
    let data = folder.path().join("data");
    let mut command = Up::command(&data, &port.number().to_string());
    command.env("AGENTNET_TOKEN", "a-token-of-my-own");
    let mut up = Service::spawn(command);
    let ready = up.next_json().await;
    assert!(!ready.to_string().contains("a-token-of-my-own"), "{ready}");
    for pid in [
        up.pid(),
        i32::try_from(ready["nats_server"]["pid"].as_i64().unwrap()).unwrap(),
    ] {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&words).contains("a-token-of-my-own"));
    }
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("nats.conf")), (0o700, 0o600));
    assert!(data.join("nats-server.log").is_file() && data.join("agentnet.db").is_file());
    let url = format!("nats://a-token-of-my-own@127.0.0.1:{}", port.number());
    assert_eq!(line(&url, "list").await.ok(), "No agents currently online\n");
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
    assert!(!up.stderr().contains("a-token-of-my-own"), "{}", up.stderr());
}

#[tokio::test]
async fn the_known_token_is_refused_beyond_this_machine() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let known = ["development token", "AGENTNET_TOKEN", "--insecure-token"].as_slice();
    // nats-server listens everywhere where the host is empty.
    for (host, parts) in [("0.0.0.0", known), ("::", known), ("", &["it is empty"])] {
        let mut command = binary();
        command
            .args(["up", "--port", "0", "--host", host, "--data-dir"])
            .arg(&data);
        run(command).await.fails(2, parts);
        assert!(!data.exists(), "nothing is made for {host:?}");
    }
}

#[tokio::test]
async fn what_runs_where_is_told_with_one_ready_line() {
    let folder = TempDir::new().unwrap();
    let port = FreePort::take().await;
    let data = folder.path().join("data");
    let mut command = binary();
    command
        .args([
            "up",
            "--host",
            "0.0.0.0",
            "--insecure-token",
            "--port",
            &port.number().to_string(),
            "--data-dir",
        ])
        .arg(&data);
    command
        .arg("--nats-server")
        .arg(agentnet_testkit::find_nats_server().unwrap());
    let mut up = Service::spawn(command);
    let mut told = Vec::new();
    while !told.last().is_some_and(|line: &String| line.starts_with("Ctrl-C")) {
        told.push(up.next_line().await);
    }
    assert_eq!(
        told.iter().filter(|line| line.starts_with("registry ready:")).count(),
        1,
        "{told:#?}"
    );
    let text = told.join("\n");
    let url = format!("nats://agentnet_secret_token@127.0.0.1:{}", port.number());
    for part in [
        &url,
        "nats-server.log",
        "agentnet.db",
        "agentnet echo",
        &format!("export AGENTNET_NATS_URL='{url}'"),
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(
        up.stderr().contains("warning: 0.0.0.0 can be reached"),
        "{}",
        up.stderr()
    );
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
    assert_eq!(up.rest().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_registry_alone_prints_one_line_and_stops_cleanly() {
    let nats = NatsServer::builder()
        .token("secret")
        .jetstream(true)
        .start()
        .await
        .unwrap();
    let folder = TempDir::new().unwrap();
    for stop in [Signal::TERM, Signal::INT] {
        let mut command = binary();
        command
            .args(["registry", "--server-id", "solo", "--data-dir"])
            .arg(folder.path());
        command.env("NATS_URL", nats.url());
        let mut registry = Service::spawn(command);
        let ready = registry.next_line().await;
        assert!(
            ready.starts_with("registry ready:") && ready.contains("solo") && !ready.contains("secret"),
            "{ready}"
        );
        assert!(
            registry.stderr().contains("agentnet.db"),
            "it says where the history is: {}",
            registry.stderr()
        );
        assert_eq!(line(&nats.url(), "metrics --json").await.json()["server_id"], "solo");
        registry.signal(stop);
        assert_eq!(registry.ended().await.code(), Some(0));
        assert_eq!(registry.rest().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn up_uses_a_server_and_a_database_that_are_there() {
    let nats = NatsServer::builder()
        .token("secret")
        .jetstream(true)
        .start()
        .await
        .unwrap();
    let folder = TempDir::new().unwrap();
    let mut command = binary();
    command.args([
        "up",
        "--json",
        "--nats-url",
        &nats.url(),
        "--database-url",
        "sqlite::memory:",
        "--data-dir",
    ]);
    command.arg(folder.path().join("data"));
    let mut up = Service::spawn(command);
    let ready = up.next_json().await;
    assert_eq!(
        (ready["nats_server"].is_null(), ready["database"].as_str()),
        (true, Some("sqlite::memory:"))
    );
    let agent = echo(&nats.url(), "--username guest").await;
    assert!(line(&nats.url(), "list").await.ok().contains("@guest"));
    drop(agent);
    up.signal(Signal::TERM);
    assert_eq!(up.ended().await.code(), Some(0));
    assert!(
        nats.pid().is_some_and(|pid| is_running(i32::try_from(pid).unwrap())),
        "the server is not ours to stop"
    );
}
