//! A newcomer's first hour: start a network, join it, look around, talk, read it back.

use agentnet_protocol::RawJson;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Service, Up, WAIT_TIMEOUT, agentnet, echo, line, line_with_input, until};

const EXACT: &str = r#"{"text":"hi","n":123456789012345678901234567890,"f":1.50,"z":null,"a":[]}"#;

/// The exact text of a payload in a document.
fn payload_of(document: &str, path: &[&str]) -> String {
    let document = RawJson::parse(document.to_owned()).unwrap();
    let mut value = document.view();
    for name in path {
        value = match name.parse::<usize>() {
            Ok(index) => value.as_array().unwrap().nth(index).unwrap(),
            Err(_) => value.as_object().unwrap().get(name),
        };
    }
    value.raw().to_owned()
}

fn usernames(document: &Value, list: &str) -> Vec<String> {
    let items = document[list].as_array().unwrap();
    let mut names: Vec<_> = items
        .iter()
        .map(|item| item["username"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Lists of an empty network, and a thread that does not exist.
async fn check_empty(url: &str) {
    assert_eq!(line(url, "list").await.ok(), "No agents currently online\n");
    assert_eq!(line(url, "search").await.ok(), "No results found.\n");
    assert_eq!(line(url, "threads").await.ok(), "No matching threads found\n");
    // All commands report a missing thread in the same way.
    for words in [
        "thread-messages --thread-id none",
        "thread-status --thread-id none --timeout 30",
        "export thread none",
    ] {
        let parts = ["error: not_found\n", "hint: there is no thread \"none\""];
        line(url, words).await.fails(2, &parts);
        let told = line(url, &format!("{words} --json")).await.fails_as_json(2);
        assert_eq!(told["code"], "not_found", "{words}");
    }
    assert_eq!(line(url, "message-search").await.ok(), "No matching messages found\n");
}

/// An agent joins and is found. Returns it with its account id.
async fn join_and_find(url: &str) -> (Service, String) {
    let agent = echo(
        url,
        "--username echo --name Echo --capability say --max-messages 4 --json",
    )
    .await;
    let online = line(url, "list --json").await.json();
    assert_eq!(usernames(&online, "agents"), ["echo"]);
    let account = online["agents"][0]["account_id"].as_str().unwrap().to_owned();
    let table = line(url, "list").await.ok();
    let mut rows = table.lines();
    let header: Vec<_> = rows
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    assert_eq!(header, ["Name", "Username", "Account ID", "Capabilities", "Last Seen"]);
    let row = rows.next().unwrap();
    assert!(
        row.contains("Echo") && row.contains("@echo") && row.contains(&account) && row.contains("say"),
        "{table}"
    );
    assert!(
        !table.contains('\x1b') && !table.contains('●') && !table.contains(" ago"),
        "{table}"
    );
    let found = line(url, "search --query EC --capability SAY --online-only --json")
        .await
        .json();
    assert_eq!(usernames(&found, "results"), ["echo"]);
    assert!(line(url, "search --query ech").await.ok().contains("online"));
    let profile = line(url, "profile --username @Echo --json").await.json();
    assert_eq!(profile["profile"]["account_id"], account.as_str());
    let told = agentnet(url, ["profile", "--account-id", &account]).await.ok();
    assert!(
        told.starts_with("Echo  @echo\n") && told.contains("Capabilities:  say"),
        "{told}"
    );
    (agent, account)
}

/// Messages and requests reach the agent, by username and by capability.
async fn send_and_request(url: &str, agent: &mut Service) {
    let sent = agentnet(url, ["send", "--to-username", "echo", "--thread-id", "trip", EXACT])
        .await
        .ok();
    assert!(sent.starts_with("✓ Message sent to @echo  msg_id="), "{sent}");
    let heard = agent.next_json().await;
    assert_eq!(heard["kind"], "direct");
    assert!(
        sent.trim_end().ends_with(heard["message_id"].as_str().unwrap()),
        "{sent}"
    );

    let answer = agentnet(
        url,
        [
            "request",
            "--to-username",
            "@echo",
            "--thread-id",
            "trip",
            "--json",
            EXACT,
        ],
    )
    .await
    .ok();
    assert_eq!(payload_of(&answer, &["payload"]), EXACT);
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["kind"], "reply");
    assert_eq!(agent.next_json().await["kind"], "request");

    let told = line_with_input(url, "request --to-capability say -", "[1, 2.50]")
        .await
        .ok();
    assert!(
        told.starts_with("reply from capability:say\n{\n  \"message_id\": "),
        "{told}"
    );
    assert!(told.contains("\n  \"payload\": [\n    1,\n    2.50\n  ],\n"), "{told}");
    agent.next_json().await;
}

/// A watcher sees the last message that the agent handles.
async fn watch_last_message(url: &str, agent: &mut Service, account: &str) {
    let mut watcher = Service::line(url, "watch --json --max-messages 1");
    watcher.says("watching account.*.inbox").await;
    let sent = agentnet(url, ["send", "--to-account", account, "--json", "--no-ack", "5"])
        .await
        .json();
    let seen = watcher.next_json().await;
    assert_eq!(seen["subject"], format!("account.{account}.inbox"));
    assert_eq!(seen["message"]["message_id"], sent["message_id"]);
    assert_eq!(seen["message"]["payload"], 5);
    assert_eq!(sent["thread_id"], seen["message"]["thread_id"]);
    assert_eq!(watcher.ended().await.code(), Some(0));
    assert_eq!(agent.next_json().await["message_id"], sent["message_id"]);
    assert_eq!(agent.ended().await.code(), Some(0), "it stops after its four messages");
    assert_eq!(agent.rest().await, Vec::<String>::new());
}

/// The history has the message, the request and its reply.
async fn read_history(url: &str, account: &str) {
    until(url, "thread-status --thread-id trip", |status| {
        status["message_count"] == 3
    })
    .await;
    let history = line(url, "thread-messages --thread-id trip --json").await.ok();
    assert_eq!(payload_of(&history, &["messages", "2", "payload"]), EXACT);
    let kinds: Vec<_> = serde_json::from_str::<Value>(&history).unwrap()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["reply", "request", "direct"]);
    let page = line(url, "thread-messages --thread-id trip --limit 2").await;
    let cursor = page
        .stderr
        .trim_end()
        .rsplit_once("--cursor ")
        .expect("there is more")
        .1;
    assert!(page.stdout.starts_with("Sent"), "{page:?}");
    let rest = agentnet(
        url,
        ["thread-messages", "--thread-id", "trip", "--cursor", cursor, "--json"],
    )
    .await
    .json();
    assert_eq!(rest["messages"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_cursor"], Value::Null);
    let found = line(url, "message-search --kind request --thread-id trip --json")
        .await
        .json();
    assert_eq!(found["messages"].as_array().unwrap().len(), 1);
    let found = agentnet(url, ["message-search", "--to-account-id", account]).await.ok();
    assert!(
        found.contains("trip") && found.contains("direct") && found.contains("hi"),
        "{found}"
    );
    let threads = line(url, "threads --participant-username echo --query TRI --json")
        .await
        .json();
    assert_eq!(threads["results"][0]["thread_id"], "trip");
    assert!(line(url, "threads").await.ok().contains("trip"));
    let status = line(
        url,
        "thread-status --thread-id trip --soft-limit-tokens 7 --hard-limit-tokens 9",
    )
    .await
    .ok();
    assert!(
        status.contains("Soft/Hard") && status.contains("7/9") && status.contains(account),
        "{status}"
    );
}

/// The registry's metrics.
async fn read_metrics(url: &str) {
    let metrics = line(url, "metrics --json").await.json();
    assert_eq!(metrics["server_id"], "registry");
    assert!(metrics["handlers"]["list"]["calls"].as_i64().unwrap() > 0);
    let told = line(url, "metrics").await.ok();
    for word in ["Server", "Queue Max", "p95", "handler.list", "Calls"] {
        assert!(told.contains(word), "{word} is missing in {told}");
    }
}

#[tokio::test]
async fn a_network_is_started_used_and_read_back() {
    let mut up = Up::start().await;
    let url = up.url.clone();

    check_empty(&url).await;
    let (mut agent, account) = join_and_find(&url).await;
    send_and_request(&url, &mut agent).await;
    watch_last_message(&url, &mut agent, &account).await;
    read_history(&url, &account).await;
    read_metrics(&url).await;
    // At the end there are two accounts, and none is online.
    let accounts = line(&url, "search --json").await.json();
    let names = usernames(&accounts, "results");
    assert!(
        matches!(names.as_slice(), [cli, echo] if cli.starts_with("cli_tester_") && echo == "echo"),
        "{names:?}"
    );
    until(&url, "list", |online| {
        online["agents"].as_array().is_some_and(Vec::is_empty)
    })
    .await;

    up.stop().await;
}

#[tokio::test]
async fn sending_as_an_agent_and_stopping_with_ctrl_c() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut agent = echo(&url, "--username parrot").await;
    agentnet(
        &url,
        [
            "send",
            "--as",
            "Alice",
            "--to-username",
            "parrot",
            r#"{"text":"one\u001b[2J\nline"}"#,
        ],
    )
    .await
    .ok();
    let told = agent.next_line().await;
    assert!(
        told.starts_with("received direct from @alice ") && told.ends_with("one\u{fffd}[2J line"),
        "{told:?}"
    );
    assert_eq!(
        line(&url, "profile --username alice --json").await.json()["profile"]["online"],
        false
    );

    let mut watcher = Service::line(&url, "watch --include-payload");
    watcher.says("watching").await;
    agentnet(
        &url,
        [
            "send",
            "--as",
            "Alice",
            "--to-username",
            "parrot",
            "--thread-id",
            "t",
            r#"{"text":"seen"}"#,
        ],
    )
    .await
    .ok();
    let told = watcher.next_line().await;
    assert!(
        told.contains("  direct   @alice → @parrot  thread=t  ") && told.ends_with(r#"{"text":"seen"}"#),
        "{told}"
    );
    for service in [&mut watcher, &mut agent] {
        service.signal(Signal::INT);
        assert_eq!(service.ended().await.code(), Some(130));
    }
    assert_eq!(
        line(&url, "list").await.ok(),
        "No agents currently online\n",
        "the agent said goodbye"
    );
    up.stop().await;
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let mut up = Up::start().await;
    let _agent = echo(&up.url, "").await;
    let mut command = crate::harness::binary();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command
        .args(["--nats-url", &up.url, "list"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped());
    let output = tokio::time::timeout(WAIT_TIMEOUT, command.spawn().unwrap().wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap()),
        (Some(0), String::new())
    );
    up.stop().await;
}

#[tokio::test]
async fn without_arguments_there_is_a_banner_and_help() {
    let ran = crate::harness::run(crate::harness::binary()).await;
    let text = ran.ok();
    assert!(
        text.starts_with("agentnet ") && text.contains("Usage: agentnet") && text.contains("thread-messages"),
        "{text}"
    );
}
