//! The commands that users were promised, word for word, with the address of the test's network.

use std::process::Stdio;

use rustix::process::Signal;
use tokio::process::Command;

use crate::harness::{Ran, Service, Up, WAIT_TIMEOUT, binary, echo, line, run, until};

/// Runs a line as a shell does, with the `agentnet` of this build.
async fn shell(line: &str) -> Ran {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_agentnet"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", line])
        .env("PATH", path)
        .env("USER", "tester")
        .stdin(Stdio::null());
    for name in ["AGENTNET_NATS_URL", "NATS_URL"] {
        bash.env_remove(name);
    }
    run(bash).await
}

#[tokio::test]
async fn they_run_unchanged() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    assert!(url.starts_with("nats://agentnet_secret_token@"), "{url}");
    let generous = "--rate-limit 1000 --rate-burst 1000";
    let _weather = echo(&url, &format!("--username weather_bot {generous}")).await;
    let _mesh = echo(&url, &format!("--username mesh_agent_1 {generous}")).await;
    let profile = line(&url, "profile --username weather_bot --json").await.json();
    let account = profile["profile"]["account_id"].as_str().unwrap().to_owned();
    // A conversation to look at.
    let asked = format!("agentnet request --nats-url {url} --to-username mesh_agent_1 --thread-id ops_thread_1 '{{}}'");
    shell(&asked).await.ok();
    until(&url, "thread-status --thread-id ops_thread_1", |status| {
        status["message_count"] == 2
    })
    .await;

    for (command, part) in [
        (format!("agentnet list --nats-url {url}"), "@weather_bot"),
        (
            format!(r#"agentnet send --nats-url {url} --to-username weather_bot '{{"text":"yo"}}'"#),
            "✓ Message sent to @weather_bot  msg_id=",
        ),
        (
            format!(r#"agentnet request --nats-url {url} --to-account {account} '{{"text":"ping"}}'"#),
            "\"text\": \"ping\"",
        ),
        (
            format!("agentnet search --nats-url {url} --query weather --online-only"),
            "@weather_bot",
        ),
        (
            format!("agentnet profile --nats-url {url} --username weather_bot"),
            "@weather_bot",
        ),
        (
            format!("echo hello | agentnet chat --nats-url {url} --to-username mesh_agent_1 --thread-id ops_thread_1"),
            "hello",
        ),
        (
            format!("agentnet thread-status --nats-url {url} --thread-id ops_thread_1"),
            "ops_thread_1",
        ),
        (
            format!("agentnet threads --nats-url {url} --participant-username mesh_agent_1 --limit 20"),
            "ops_thread_1",
        ),
        (
            format!("agentnet thread-messages --nats-url {url} --thread-id ops_thread_1 --limit 50"),
            "request",
        ),
        (
            format!("agentnet message-search --nats-url {url} --thread-id ops_thread_1 --kind request --limit 50"),
            "ops_thread_1",
        ),
    ] {
        let ran = shell(&command).await;
        assert!(ran.code == Some(0) && ran.stdout.contains(part), "{command}: {ran:?}");
    }

    for (subject, part) in [("account.*.inbox", "yo"), ("account.*.receipts", "accepted")] {
        let mut command = binary();
        command.args(["watch", "--nats-url", &url, "--subject", subject]);
        let mut watcher = Service::spawn(command);
        watcher.says("watching").await;
        let sent = format!(r#"agentnet send --nats-url {url} --to-username weather_bot '{{"text":"yo"}}'"#);
        shell(&sent).await.ok();
        let seen = tokio::time::timeout(WAIT_TIMEOUT, watcher.next_line()).await.unwrap();
        assert!(seen.contains(part), "{subject}: {seen}");
        watcher.signal(Signal::INT);
        assert_eq!(watcher.ended().await.code(), Some(130));
    }
    up.stop().await;
}
