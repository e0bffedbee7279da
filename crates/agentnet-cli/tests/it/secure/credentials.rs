//! Which credential a command uses, and a registry for a server of somebody else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use agentnet_testkit::find_nats_server;
use rustix::process::Signal;
use tokio::process::Command;

use super::Network;
use crate::harness::{Service, binary, run};

#[tokio::test]
async fn an_identity_is_named_or_found() {
    let network = Network::start().await;
    let alice = network.add("alice").await;
    network.add("bob").await;
    let file = network.identity_file("alice");
    let mailbox = format!("mailbox list --account-id {alice} --json");
    // Only its owner, or an operator, may look into a mailbox.
    let look = |words: &str, identity: Option<&Path>| {
        let mut command = binary();
        command.args(words.split_whitespace());
        if let Some(identity) = identity {
            command.env("AGENTNET_IDENTITY", identity);
        }
        run(command)
    };
    look(&mailbox, Some(&file)).await.ok();
    let by_flag = format!("--identity {} {mailbox}", file.display());
    look(&by_flag, Some(&network.identity_file("bob"))).await.ok();
    look(&mailbox, Some(&network.identity_file("bob")))
        .await
        .fails(2, &["forbidden"]);
    let both = format!("--identity {} --nats-url nats://127.0.0.1:1 list", file.display());
    look(&both, None).await.fails(2, &["cannot be used with"]);
    look("list", Some(Path::new("/nowhere/a.json")))
        .await
        .fails(2, &["no such identity file", "agentnet join"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    look("list", Some(&file)).await.fails(2, &["chmod 600"]);
}

#[tokio::test]
async fn members_are_listed_by_pages() {
    let network = Network::start().await;
    for name in ["alice", "bob"] {
        network.invite(name).await;
    }
    let first = network.line("members --limit 1 --timeout 9 --json").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = network
        .line(&format!("members --limit 2 --cursor {cursor} --json"))
        .await
        .json();
    assert_eq!(next["members"].as_array().unwrap().len(), 2, "{next}");
    let all = network.line("members --limit 1 --all --output csv").await.ok();
    assert_eq!(all.lines().count(), 4, "{all}");
}

#[tokio::test]
async fn a_registry_serves_a_server_that_runs_already() {
    let mut network = Network::start().await;
    network.add("alice").await;
    let data = network.up.data.clone();
    network.up.stop().await;
    let secure = data.join("secure");
    let mut server = Command::new(find_nats_server().unwrap());
    server.arg("--config").arg(data.join("nats.conf"));
    let mut server = server
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let registry = |options: &str| {
        let mut command = binary();
        command.arg("--identity").arg(secure.join("registry.json"));
        command.args(format!("registry {options}").split_whitespace());
        command
    };
    let settings = format!(
        "--data-dir {} --users-file {} --nats-pid-file {}",
        data.display(),
        secure.join("users.conf").display(),
        secure.join("nats.pid").display()
    );
    let mut command = registry(&settings);
    if let Some(database) = &network.up.database {
        command.args(["--database-url", &database.url()]);
    }
    let mut service = Service::spawn(command);
    assert!(
        service
            .next_line()
            .await
            .starts_with("registry ready: server_id=registry")
    );
    network.add("bob").await;
    network.line("list").await.ok();
    assert!(
        run(registry("--health"))
            .await
            .ok()
            .starts_with("healthy: server_id=registry")
    );
    service.signal(Signal::TERM);
    service.ended().await;
    server.kill().await.unwrap();

    let mut command = binary();
    command.args([
        "--nats-url",
        "nats://127.0.0.1:1",
        "registry",
        "--users-file",
        "u",
        "--data-dir",
    ]);
    command.arg(&data);
    run(command).await.fails(2, &["--identity"]);
}
