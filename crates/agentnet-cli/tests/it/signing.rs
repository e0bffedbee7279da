//! Signed identity from the command line: a network that asks for it, agents that sign, keys that are rotated.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Service, Up, binary, line, run, until};

/// `agentnet … --key-dir DIR`.
async fn keyed(url: &str, words: &str, keys: &Path) -> crate::harness::Ran {
    line(url, &format!("{words} --key-dir {}", keys.display())).await
}

async fn signing_echo(url: &str, keys: &Path) -> Service {
    let service = Service::line(url, &format!("echo --dev-auth --key-dir {}", keys.display()));
    service.says("is online as").await;
    service
}

const ASK: &str = r#"request {"text":"hi"} --to-username echo --as asker --dev-auth --json"#;

/// Keys of another directory are those of another agent.
async fn check_other_directory(url: &str, keys: &Path, elsewhere: &Path) {
    keyed(url, ASK, elsewhere)
        .await
        .fails(2, &["auth_public_key_mismatch", "the account belongs to another key"]);
    keyed(url, "keys rotate --as asker", elsewhere)
        .await
        .fails(2, &["auth_public_key_mismatch", "--key-dir names another place"]);
    assert!(!elsewhere.join("asker.json.next").exists());
    keyed(url, "keys rotate --as nobody", keys)
        .await
        .fails(2, &["not_found"]);
}

/// Key files with wrong permissions or content.
async fn check_unusable_files(url: &str, keys: &Path) {
    let file = keys.join("asker.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    for words in [ASK, "keys show --as asker", "keys rotate --as asker"] {
        keyed(url, words, keys).await.fails(2, &["mode 0644", "chmod 600"]);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "{").unwrap();
    for words in [ASK, "keys show --as asker"] {
        keyed(url, words, keys)
            .await
            .fails(2, &["is damaged", "restore it from a backup"]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "{");
}

#[tokio::test]
async fn a_signed_network_is_used_and_its_keys_rotated() {
    let mut up = Up::start_with("--dev-auth").await;
    let url = up.url.clone();
    let home = TempDir::new().unwrap();
    let keys = home.path().join("keys");

    let registry_key = up.data.join("registry-keys/acct_registry_registry.json");
    let mode = fs::metadata(&registry_key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    for words in ["echo", "request {} --to-username echo", "send {} --to-username echo"] {
        line(&url, words)
            .await
            .fails(2, &["auth_required", "set DEV_AUTH=true, or give --dev-auth"]);
    }
    keyed(&url, "keys show --as asker", &keys)
        .await
        .fails(2, &["@asker has no key here", "agentnet keys new"]);
    let made = keyed(&url, "keys new --as asker --json", &keys).await.json();
    let shown = keyed(&url, "keys show --as @asker --json", &keys).await.json();
    assert_eq!(made, shown);
    keyed(&url, "keys new --as asker", &keys)
        .await
        .fails(2, &["exists already"]);

    let mut echo = signing_echo(&url, &keys).await;
    let reply = keyed(&url, ASK, &keys).await.json();
    assert_eq!(
        (&reply["payload"]["text"], &reply["auth"]["scheme"]),
        (&"hi".into(), &"dev-ed25519-v1".into())
    );
    keyed(&url, "send {} --to-username echo --as asker --dev-auth", &keys)
        .await
        .ok();

    // The requester's key is rotated; the running echo finds out.
    let rotated = keyed(&url, "keys rotate --as asker --json", &keys).await.json();
    assert_ne!(rotated["public_key"], made["public_key"]);
    assert_eq!(keyed(&url, "keys show --as asker --json", &keys).await.json(), rotated);
    keyed(&url, ASK, &keys).await.ok();

    keyed(&url, "keys new --as nobody", &keys).await.ok();
    keyed(&url, "keys rotate --as nobody", &keys)
        .await
        .fails(2, &["error: not_found", "hint: @nobody has no account"]);
    // The echo's key is rotated; started again, it answers.
    let text = keyed(&url, "keys rotate --as echo", &keys).await.ok();
    assert!(text.contains("key rotated") && text.contains("@echo"), "{text}");
    echo.signal(Signal::TERM);
    echo.ended().await;
    let mut echo = signing_echo(&url, &keys).await;
    let right = |reply: &Value| reply["payload"]["text"] == "hi";
    until(
        &url,
        &format!("{} --key-dir {}", ASK.trim_end_matches(" --json"), keys.display()),
        right,
    )
    .await;

    check_other_directory(&url, &keys, &home.path().join("elsewhere")).await;
    check_unusable_files(&url, &keys).await;
    echo.signal(Signal::TERM);
    echo.ended().await;
    up.stop().await;
}

/// Configured by the environment alone, and with the keys in the user's data directory.
#[tokio::test]
async fn the_environment_asks_for_signatures_too() {
    let mut up = Up::start_with("--dev-auth true").await;
    let home = TempDir::new().unwrap();
    for (directory, file) in [
        (Some(home.path().join("named")), home.path().join("named/asker.json")),
        (None, home.path().join("data/keys/asker2.json")),
    ] {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let mut command = binary();
        command.args([
            "--nats-url",
            &up.url,
            "send",
            "{}",
            "--to-account",
            "acct_x",
            "--no-ack",
            "--as",
            name,
        ]);
        command
            .env("DEV_AUTH", "yes")
            .env("AGENTNET_DATA_DIR", home.path().join("data"));
        if let Some(directory) = directory {
            command.env("DEV_AUTH_KEY_DIR", directory);
        }
        run(command).await.ok();
        assert!(file.exists(), "{}", file.display());
    }
    up.stop().await;
}
