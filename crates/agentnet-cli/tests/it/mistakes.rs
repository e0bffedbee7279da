//! Everything that users get wrong: each with a clear message, the right exit code, and no hang.

mod up;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agentnet_testkit::{NatsServer, RawClient, eventually};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    FreePort, Service, Up, WAIT_TIMEOUT, agentnet, binary, command, line, line_with_input, run, until,
};

#[tokio::test]
async fn no_server() {
    let port = FreePort::take().await;
    let url = format!("nats://hidden@127.0.0.1:{}", port.number());
    for words in [
        "list",
        "metrics",
        "watch",
        "send --to-username a 1",
        "request --to-username a 1",
        "echo",
        "registry",
    ] {
        let mut command = crate::harness::binary();
        let folder = TempDir::new().unwrap();
        command
            .args(["--nats-url", &url])
            .args(words.split_whitespace())
            .env("AGENTNET_DATA_DIR", folder.path());
        let ran = run(command).await;
        ran.fails(
            1,
            &[
                "annot connect to NATS at nats://***@127.0.0.1",
                "hint: start",
                "agentnet up",
            ],
        );
        assert!(!ran.stderr.contains("hidden"), "{ran:?}");
    }
}

#[tokio::test]
async fn wrong_token_wrong_scheme_no_registry() {
    let nats = NatsServer::builder().token("secret").start().await.unwrap();
    let wrong = format!("nats://guess@127.0.0.1:{}", nats.port());
    for words in [
        "list",
        "watch",
        "send --to-username a 1",
        "registry --database-url sqlite::memory:",
    ] {
        for url in [&wrong, &nats.url_without_token()] {
            let ran = line(url, words).await;
            ran.fails(1, &["refused", "token", "hint: give the"]);
            assert!(!ran.stderr.contains("guess"), "{ran:?}");
        }
        for url in ["http://guess@127.0.0.1:4222", "nats://guess@", "guess@host:port"] {
            let ran = line(url, words).await;
            ran.fails(2, &["invalid NATS URL", "nats://TOKEN@HOST:PORT"]);
            assert!(!ran.stderr.contains("guess"), "{ran:?}");
        }
    }
    for words in [
        "list",
        "search",
        "metrics",
        "profile --username a",
        "send --to-username a 1",
        "echo",
    ] {
        line(&nats.url(), words).await.fails(
            2,
            &[
                "No registry answers",
                "agentnet registry",
                "agentnet up",
                "\nnetwork: nats://",
            ],
        );
    }
}

#[tokio::test]
async fn the_address_comes_from_flag_then_environment() {
    let nats = NatsServer::builder().token("secret").start().await.unwrap();
    for (first, second) in [("AGENTNET_NATS_URL", "NATS_URL"), ("NATS_URL", "AGENTNET_NATS_URL")] {
        let mut command = crate::harness::binary();
        let lower = if first == "AGENTNET_NATS_URL" {
            "http://wrong"
        } else {
            ""
        };
        command.arg("list").env(first, nats.url()).env(second, lower);
        run(command).await.fails(2, &["No registry answers"]);
    }
    let mut command = crate::harness::binary();
    command
        .args(["list", "--nats-url", &nats.url()])
        .env("AGENTNET_NATS_URL", "http://wrong");
    run(command).await.fails(2, &["No registry answers"]);
}

#[tokio::test]
async fn payloads_that_cannot_be_sent() {
    let nowhere = "nats://127.0.0.1:1";
    for command in ["send", "request"] {
        let ran = agentnet(nowhere, [command, "--to-username", "a", "{text:hi}"]).await;
        ran.fails(
            1,
            &[
                "error: payload is not valid JSON: ",
                "at byte 1",
                r#"quote it for the shell, e.g. '{"text":"hi"}'"#,
            ],
        );
        line_with_input(nowhere, &format!("{command} --to-username a -"), r#"{"a": [1,}"#)
            .await
            .fails(1, &["at byte 9"]);
    }
    agentnet(nowhere, ["send", "--to-username", " @ ", "1"])
        .await
        .fails(2, &["it is empty"]);
}

/// Unknown names and invalid arguments, as text and as JSON.
async fn check_error_codes(url: &str) {
    for words in ["send --to-username nobody 1", "request --to-username nobody 1"] {
        line(url, words)
            .await
            .fails(2, &["error: No account found for username 'nobody'", "hint: "]);
    }
    line(url, "profile --username nobody")
        .await
        .fails(2, &["error: not_found\n", "hint: "]);
    let refused = line(url, "profile --username nobody --json").await.fails_as_json(2);
    assert_eq!(refused["code"], "not_found");
    assert!(refused["hint"].is_string() && refused["network"].as_str().unwrap().starts_with("nats://***@"));
    for (words, failure, code) in [
        ("send --to-username nobody 1", 2, "account_not_found"),
        ("send --to-username nobody {", 1, "payload_invalid"),
        ("send --to-username @ 1", 2, "wrong_usage"),
        ("thread-status --thread-id nothing", 2, "not_found"),
        ("message-search --from-ts yesterday", 2, "from_ts_invalid"),
        ("thread-messages --thread-id t --cursor x", 2, "cursor_invalid"),
        ("list --fly", 2, "wrong_usage"),
        ("list --nats-url nats://127.0.0.1:1", 1, "no_connection"),
        ("list --nats-url http://x", 2, "invalid_url"),
    ] {
        let told = line(url, &format!("{words} --json")).await.fails_as_json(failure);
        assert_eq!(told["code"], code, "{words}: {told}");
    }
}

/// A receiver that is registered, but never answers.
async fn check_silent_receiver(url: &str) {
    let client = RawClient::connect(url).await.unwrap();
    let register = r#"{"agent_id":"deaf","name":"Deaf","username":"deaf"}"#;
    client.request("registry.register", register.into()).await.unwrap();
    line(url, "request --to-username deaf --timeout 0.3 1")
        .await
        .fails(1, &["timed out", "hint: "]);
    line(
        url,
        "send --to-username deaf --retry-attempts 1 --receipt-timeout 0.2 1",
    )
    .await
    .fails(2, &["error: delivery_ack_timeout message_id=", "attempts=2"]);
    for (words, kind) in [
        ("request --timeout 600", "request"),
        ("send --retry-attempts 99", "direct"),
    ] {
        let mut waiting = Service::line(url, &format!("{words} --to-username deaf --thread-id wait 1"));
        let sent = format!("message-search --thread-id wait --kind {kind}");
        until(url, &sent, |found| found["messages"][0].is_object()).await;
        waiting.signal(Signal::INT);
        assert_eq!(waiting.ended().await.code(), Some(130));
    }
}

#[tokio::test]
async fn mistakes_on_a_running_network() {
    // One of the agents sends no hellos, and must stay online.
    let mut up = Up::start_with("--agent-ttl-seconds 3600").await;
    let url = up.url.clone();
    check_error_codes(&url).await;
    line(&url, "thread-status --thread-id nothing").await.fails(
        2,
        &[
            "error: not_found\n",
            "hint: there is no thread \"nothing\"",
            "\nnetwork: nats://***@",
        ],
    );
    line(&url, "thread-messages --thread-id t --cursor garbage")
        .await
        .fails(2, &["error: cursor_invalid\n", "next_cursor"]);
    line(&url, "message-search --cursor garbage")
        .await
        .fails(2, &["error: cursor_invalid\n"]);
    line(&url, "message-search --from-ts yesterday")
        .await
        .fails(2, &["error: from_ts_invalid\n", "2026-"]);
    line(&url, "message-search --to-ts tomorrow")
        .await
        .fails(2, &["error: to_ts_invalid\n"]);
    for words in ["search", "threads", "message-search", "thread-messages --thread-id t"] {
        line(&url, &format!("{words} --limit 0"))
            .await
            .fails(2, &["--limit", "at least 1"]);
    }
    let large = format!("\"{}\"", "x".repeat(300_000));
    for words in ["send --to-username tester -", "request --to-username tester -"] {
        agentnet(
            &url,
            ["send", "--as", "tester", "--no-ack", "--to-account", "acct_x", "1"],
        )
        .await
        .ok();
        line_with_input(&url, words, &large)
            .await
            .fails(1, &["max_payload_bytes=256000"]);
    }

    check_silent_receiver(&url).await;
    // Sessions that were not closed would stay far longer.
    let alone = async || {
        let online = line(&url, "list --json").await.json();
        if online["agents"].as_array().unwrap().len() == 1 {
            Ok(())
        } else {
            Err(format!("not the deaf one alone: {online}"))
        }
    };
    eventually(WAIT_TIMEOUT, alone).await.unwrap();
    up.stop().await;
}

#[tokio::test]
async fn requests_to_the_absent_are_refused() {
    // The registry knows which agents are absent once all agents had the time to say hello.
    let mut up = Up::start_with("--agent-ttl-seconds 2 --heartbeat-interval-seconds 1").await;
    let send = ["send", "--as", "absent", "--no-ack", "--to-account", "acct_x", "1"];
    agentnet(&up.url, send).await.ok();
    for (target, code) in [
        ("--to-username absent", "recipient_offline"),
        ("--to-account acct_x", "account_not_found"),
    ] {
        let look = async || {
            let ran = line(&up.url, &format!("request {target} --timeout 2 1")).await;
            if ran.code == Some(2) {
                Ok(ran)
            } else {
                Err(format!("{ran:?}"))
            }
        };
        let ran = eventually(WAIT_TIMEOUT, look).await.unwrap();
        assert!(
            ran.stdout.contains("\"kind\": \"error\""),
            "the reply is shown: {ran:?}"
        );
        assert!(
            ran.stderr.starts_with(&format!("error: {code}: ")) && ran.stderr.contains("hint: "),
            "{ran:?}"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_on_stderr_is_json_where_that_is_asked_for() {
    let up = Up::start().await;
    let port = up.url.rsplit(':').next().unwrap();
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    for (words, codes) in [
        (vec!["message-search", "--kind", "reqest"], vec!["note"]),
        (vec!["search", "--limit", "5000"], vec!["note"]),
        (vec!["list"], vec![""]),
        (
            vec!["send", "--as", "alice\u{200b}", "--to-username", "nobody", "1"],
            vec!["", "account_not_found"],
        ),
        (vec!["watch", "--kind", "reqest", "--subject", "a b"], vec!["refused"]),
        (
            vec![
                "up",
                "--host",
                "0.0.0.0",
                "--insecure-token",
                "--port",
                port,
                "--data-dir",
                data,
            ],
            vec!["warning", "", "failed"],
        ),
    ] {
        let mut command = binary();
        command.arg("--json").args(&words).env("AGENTNET_NATS_URL", &up.url);
        if words[0] == "list" {
            command.env("RUST_LOG", "warn,x=[");
        }
        let ran = run(command).await;
        let told = ran.stderr.lines().map(|line| {
            let told: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
            assert!(told["message"].is_string(), "{ran:?}");
            // A line of the log has a level instead.
            assert_ne!(told["code"].is_string(), told["level"].is_string(), "{ran:?}");
            told["code"].as_str().unwrap_or_default().to_owned()
        });
        assert_eq!(told.collect::<Vec<_>>(), codes, "{words:?}: {ran:?}");
    }
}
