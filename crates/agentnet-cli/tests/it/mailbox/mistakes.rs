//! Messages that cannot be kept, and what is said of them.

use agentnet::AgentNode;
use agentnet_testkit::NatsServer;
use rustix::process::Signal;
use serde_json::json;

use super::{leave, offline};
use crate::harness::{Up, echo, line, line_with_input, old_registry};

#[tokio::test]
async fn full_mailboxes_refuse_messages_and_say_so() {
    for (options, code, advice) in [
        ("--mailbox-max-messages 1", "mailbox_full", "start the receiver"),
        (
            "--mailbox-sender-max-messages 1",
            "mailbox_sender_full",
            "wait until the receiver",
        ),
    ] {
        let mut up = Up::start_with(options).await;
        let url = up.url.clone();
        offline(&url, "bob").await;
        leave(&url, "ada", "bob", "one", "--mailbox").await.ok();
        let second = leave(&url, "ada", "bob", "two", "--mailbox").await;
        second.fails(2, &[code, advice, "network: "]);
        let told = leave(&url, "ada", "bob", "three", "--mailbox --json")
            .await
            .fails_as_json(2);
        assert_eq!(told["code"], code);
        let status = line(&url, "mailbox status --username bob --json").await.json();
        assert_eq!(status["queued"], 1);
        up.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_the_reason() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    offline(&url, "robert").await;
    leave(&url, "ada", "robret", "hi", "--mailbox")
        .await
        .fails(2, &["No account found for username 'robret'", "did you mean @robert?"]);
    line(&url, "send 1 --to-account acct_nobody --mailbox")
        .await
        .fails(2, &["account", "`agentnet search` shows every account"]);
    line(&url, "send 1 --to-capability weather --mailbox")
        .await
        .fails(2, &["a capability has no mailbox", "--to-username"]);
    for words in [
        "request 1 --to-username robert --mailbox",
        "request 1 --to-username robert --mailbox=2h",
    ] {
        line(&url, words)
            .await
            .fails(2, &["a request is not kept", "agentnet send --mailbox"]);
    }
    // Without the flag nothing changes, but for the advice.
    let asked = line(&url, "request 1 --to-username robert").await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
    for part in ["error: recipient_offline", "agentnet send --mailbox"] {
        assert!(asked.stderr.contains(part), "{asked:?}");
    }
    leave(&url, "ada", "robert", "hi", "")
        .await
        .fails(2, &["recipient_offline", "agentnet send --mailbox"]);
    let large = format!(r#""{}""#, "x".repeat(300_000));
    line_with_input(&url, "send - --to-username robert --mailbox", large)
        .await
        .fails(1, &["exceeds max_payload_bytes", "send less"]);
    let told = line(&url, "send 1 --to-username robert --mailbox=soon --json")
        .await
        .fails_as_json(2);
    assert_eq!(told["code"], "wrong_usage");
    for words in ["mailbox list", "mailbox requeue --all", "mailbox drop m1"] {
        line(&url, words).await.fails(2, &["is not named", "--username"]);
    }
    for command in ["list", "status", "requeue --all", "drop --state dead"] {
        line(&url, &format!("mailbox {command} --username robret"))
            .await
            .fails(2, &["No account found for username 'robret'", "did you mean @robert?"]);
    }
    line(&url, "mailbox list --account-id acct_nobody")
        .await
        .fails(2, &["account"]);
    let status = line(&url, "mailbox status --json").await.json();
    assert_eq!(status["queued"], 0, "nothing of this was kept");
    up.stop().await;
}

#[tokio::test]
async fn a_message_that_expires_before_it_is_kept_is_refused() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut bob = echo(&url, "--username bob").await;
    // Without a goodbye the registry takes it for online, so that the message is kept only when no receipt comes.
    bob.signal(Signal::KILL);
    bob.ended().await;
    leave(&url, "ada", "bob", "hurry", "--mailbox=1s --receipt-timeout 1.5")
        .await
        .fails(2, &["mailbox_expired", "--mailbox=7d"]);
    let told = leave(&url, "ada", "bob", "no hurry", "--mailbox --json").await.json();
    assert_eq!(told["delivery"], "queued");
    let mut bob = echo(&url, "--username bob").await;
    let line = bob.next_line().await;
    assert!(line.ends_with("no hurry"), "{line}");
    up.stop().await;
}

#[tokio::test]
async fn an_agent_may_refuse_its_mailbox() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let node = AgentNode::builder("carol")
        .username("carol")
        .metadata(json!({ "mailbox": false }))
        .nats_url(&url)
        .start()
        .await
        .unwrap();
    node.close().await;
    leave(&url, "ada", "carol", "hi", "--mailbox")
        .await
        .fails(2, &["mailbox_refused", "agentnet list"]);
    up.stop().await;
}

#[tokio::test]
async fn a_registry_that_keeps_nothing_says_so() {
    let mut up = Up::start_with("--mailbox false").await;
    let url = up.url.clone();
    offline(&url, "bob").await;
    leave(&url, "ada", "bob", "hi", "--mailbox")
        .await
        .fails(2, &["mailbox_disabled", "AGENTNET_MAILBOX=false"]);
    // What was kept before can still be looked at and delivered.
    let status = line(&url, "mailbox status --json").await.json();
    assert_eq!(status["queued"], 0);
    up.stop().await;
}

#[tokio::test]
async fn a_registry_of_an_older_version_is_named_as_the_reason() {
    let nats = NatsServer::builder().start().await.unwrap();
    let registry = old_registry::start(&nats).await;
    let url = nats.url();
    for words in [
        "mailbox status",
        "mailbox list --username bob",
        "mailbox requeue --username bob --all",
        "mailbox drop --username bob m1",
    ] {
        let told = line(&url, &format!("{words} --json")).await.fails_as_json(2);
        assert_eq!(told["code"], "mailbox_unsupported", "{words}: {told}");
        assert!(
            told["hint"].as_str().unwrap().contains("upgrade the registry"),
            "{told}"
        );
    }
    line(&url, "send 1 --to-username bob --mailbox")
        .await
        .fails(2, &["mailbox_unsupported", "upgrade the registry"]);
    let report = line(&url, "doctor --json").await.json();
    let checks = report["checks"].as_array().unwrap();
    let mailbox = checks.iter().find(|check| check["check"] == "mailbox").unwrap();
    assert_eq!(mailbox["verdict"], "skip", "{report}");
    registry.abort();
    // Without any registry this is what is said.
    let told = line(&url, "mailbox status --json").await.fails_as_json(2);
    assert_eq!(told["code"], "no_registry");
}
