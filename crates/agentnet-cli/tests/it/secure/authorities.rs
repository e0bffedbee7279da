//! `up --secure --authority jwt`, and `secure export` for servers of one's own.

use std::path::Path;

use agentnet_testkit::NatsServer;

use super::Network;
use crate::harness::{Service, Up, agentnet, binary, line, run, until};

#[tokio::test]
async fn a_network_runs_by_jwts() {
    let network = Network {
        up: Up::start_with("--secure --authority jwt").await,
    };
    network.add("alice").await;
    network.add("bob").await;
    let identity = std::fs::read_to_string(network.identity_file("bob")).unwrap();
    assert!(
        identity.contains("\"jwt\"") && identity.contains("\"renewal_jwt\""),
        "{identity}"
    );
    let _echo = network.echo("--username alice").await;
    let reply = agentnet(
        &network.member("bob"),
        ["--json", "request", "--to-username", "alice", "7"],
    )
    .await;
    assert_eq!(reply.json()["payload"], 7);
    // What is granted counts for the next command.
    network.line("grant bob --may-send-to operator").await.ok();
    agentnet(&network.member("bob"), ["send", "--to-username", "alice", "1"])
        .await
        .fails(1, &["permissions violation"]);
    network.line("revoke bob").await.ok();
    line(&network.member("bob"), "list")
        .await
        .fails(1, &["refused the credentials"]);
    // The data directory knows its authority.
    let mut up = network.up;
    up.stop().await;
    let network = Network {
        up: up.again_with("--secure").await,
    };
    until(&network.operator(), "list", |online| {
        online["agents"][0]["username"] == "alice"
    })
    .await;
    line(&network.member("bob"), "list")
        .await
        .fails(1, &["refused the credentials"]);
}

/// The block of `secure export` is the configuration of a server, and its command runs the registry.
#[tokio::test]
async fn an_exported_callout_runs_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let export = |url: &str| {
        let mut command = binary();
        command
            .args([
                "--json",
                "secure",
                "export",
                "--authority",
                "callout",
                "--server-id",
                "one",
                "--url",
                url,
                "--dir",
            ])
            .arg(&keys);
        command
    };
    let first = run(export("nats://127.0.0.1:1")).await.json();
    let config = first["configuration"].as_str().unwrap();
    assert!(seeds(&keys).iter().all(|seed| !config.contains(seed)), "{config}");
    let nats = NatsServer::builder()
        .jetstream(true)
        .extra_config(config)
        .start()
        .await
        .unwrap();
    // Its keys stay; the address is that of the server now.
    let again = run(export(&nats.url())).await.json();
    assert_eq!(again["configuration"], config);
    let mut words = again["registry_command"].as_str().unwrap().replace('\'', "");
    assert!(words.starts_with("agentnet registry --server-id one "), "{words}");
    words += &format!(" --data-dir {} --credential-seconds 60", folder.path().display());
    let mut command = binary();
    command.args(words.split_whitespace().skip(1));
    let mut registry = Service::spawn(command);
    assert!(registry.next_line().await.starts_with("registry ready"));
    let operator = format!("identity:{}", again["operator_file"].as_str().unwrap());
    let code = line(&operator, &format!("invite alice --url {}", nats.url()))
        .await
        .ok();
    let file = folder.path().join("alice.json");
    line(
        &operator,
        &format!("join {} --identity-file {}", code.trim(), file.display()),
    )
    .await
    .ok();
    let alice = format!("identity:{}", file.display());
    line(&alice, "list").await.ok();
    line(&operator, "revoke alice").await.ok();
    line(&alice, "list").await.fails(1, &["refused the credentials"]);
}

#[tokio::test]
async fn exports_name_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, expected) in [
        ("file", ["include \"users.conf\"", "--users-file"]),
        ("jwt", ["nsc edit account AGENTNET --sk A", "--authority-account"]),
        ("callout", ["auth_callout", "--sys-creds"]),
    ] {
        let dir = folder.path().join(kind);
        let mut command = binary();
        command
            .args(["secure", "export", "--authority", kind, "--dir"])
            .arg(&dir);
        let text = run(command).await.ok();
        assert!(expected.iter().all(|part| text.contains(part)), "{kind}: {text}");
        assert!(seeds(&dir).iter().all(|seed| !text.contains(seed)), "{kind}: {text}");
    }
}

/// The seeds in the files of a directory.
fn seeds(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let keys = files.filter(|path| path.extension().is_some_and(|extension| extension == "nk"));
    keys.map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
        .collect()
}
