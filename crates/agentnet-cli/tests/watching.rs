//! `agentnet watch`: names, filters, previews, receipts; a reader that does not read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::time::{Duration, Instant};

use agentnet_testkit::{Capture, NatsServer, RawClient};
use harness::{PATIENCE, Service, Up, agentnet, echo};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

async fn send(up: &Up, from: &str, to: &str, thread: &str, payload: &str) -> String {
    let words = [
        "send",
        "--as",
        from,
        "--to-username",
        to,
        "--thread-id",
        thread,
        "--json",
        payload,
    ];
    let sent = agentnet(&up.url, words).await.json();
    sent["message_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_what_is_wanted_is_shown_by_name() {
    let mut up = Up::start().await;
    let _parrot = echo(
        &up.url,
        "--username parrot --capability say --rate-limit 1000 --rate-burst 1000",
    )
    .await;
    let _other = echo(&up.url, "--username other").await;
    let mut watchers = Vec::new();
    // Each with the one message that it shows.
    for (filter, shown) in [
        ("--from @alice", "@alice → @parrot"),
        ("--from bob --to other", "@bob → @other"),
        ("--to @parrot --grep NEEDLE", "needle in a stack"),
        ("--thread t2", "thread=t2"),
        ("--kind request", "request  @bob → @parrot"),
    ] {
        let watcher = Service::line(&up.url, &format!("watch --max-messages 1 {filter}"));
        watcher.says("watching account.*.inbox").await;
        watchers.push((filter, shown, watcher));
    }
    send(&up, "bob", "other", "t1", r#"{"text":"hay"}"#).await;
    send(&up, "alice", "parrot", "t1", r#"{"text":"hay"}"#).await;
    send(&up, "bob", "parrot", "t1", r#"{"text":"a needle in a stack"}"#).await;
    send(&up, "bob", "parrot", "t2", r#"{"n":1}"#).await;
    agentnet(&up.url, ["request", "--as", "bob", "--to-username", "parrot", "1"])
        .await
        .ok();
    for (filter, shown, mut watcher) in watchers {
        let told = watcher.next_line().await;
        assert!(told.contains(shown), "{filter}: {told}");
        assert_eq!(watcher.ended().await.code(), Some(0), "{filter}");
    }

    let mut watcher = Service::line(&up.url, "watch --subject agent.capability.* --max-messages 1");
    watcher.says("watching").await;
    agentnet(&up.url, ["send", "--as", "bob", "--to-capability", "say", "1"])
        .await
        .ok();
    let told = watcher.next_line().await;
    assert!(told.contains("@bob → capability:say"), "{told}");
    up.stop().await;
}

#[tokio::test]
async fn receipts_stand_below_their_message() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot").await;
    let mut people = Service::line(&up.url, "watch --receipts");
    let mut program = Service::line(&up.url, "watch --receipts --json --thread t1");
    for watcher in [&people, &program] {
        watcher.says("watching").await;
    }
    let id = send(&up, "alice", "parrot", "t1", "1").await;
    let lines = [
        people.next_line().await,
        people.next_line().await,
        people.next_line().await,
    ];
    assert!(lines[0].contains("@alice → @parrot"), "{lines:?}");
    for (line, status) in [(&lines[1], "accepted"), (&lines[2], "processed")] {
        let parts = [
            &format!("receipt  {status} in "),
            " by @parrot",
            &format!("msg_id={id}"),
        ]
        .map(ToString::to_string);
        assert!(parts.iter().all(|part| line.contains(part.as_str())), "{line}");
        assert!(line.contains(" ms "), "the time that it took: {line}");
    }
    let documents: [Value; 3] = [
        program.next_json().await,
        program.next_json().await,
        program.next_json().await,
    ];
    assert_eq!(documents[0]["message"]["message_id"], id.as_str());
    let statuses = [&documents[1], &documents[2]].map(|seen| seen["message"]["status"].as_str().unwrap().to_owned());
    assert_eq!(statuses, ["accepted", "processed"]);
    up.stop().await;
}

/// How many messages the last note says were dropped.
fn dropped(watcher: &Service) -> usize {
    let said = watcher.stderr();
    let last = said.rsplit_once("note: shown too slowly: ");
    last.map_or(0, |(_, note)| note.split(' ').next().unwrap().parse().unwrap())
}

/// The most memory that a process has had, in MB.
fn most_memory(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test]
async fn what_nobody_reads_is_dropped_and_counted() {
    const MESSAGES: usize = 20_000;
    let nats = NatsServer::builder().start().await.unwrap();
    let mut watcher = Service::line(&nats.url(), "watch");
    let mut other = Service::line(&nats.url(), "watch");
    for watcher in [&watcher, &other] {
        watcher.says("watching").await;
    }
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let last = Capture::subscribe(&client, "account.acct_2.inbox").await.unwrap();
    // Nobody reads, and the pipe soon holds no more. All of it would be 120 MB.
    let body = format!(r#"{{"message_id":"m","payload":"{}"}}"#, "x".repeat(6_000));
    for _ in 0..MESSAGES {
        client
            .publish("account.acct_1.inbox", body.clone().into())
            .await
            .unwrap();
    }
    client
        .publish("account.acct_2.inbox", body.clone().into())
        .await
        .unwrap();
    last.wait_for(|_| true, PATIENCE).await.unwrap();
    // It still hears who wants it to stop.
    other.signal(Signal::TERM);
    assert_eq!(other.ended().await.code(), Some(143));

    // Whatever was not dropped is shown once somebody reads.
    let mut shown = 0;
    let began = Instant::now();
    while shown + dropped(&watcher) < MESSAGES + 1 {
        assert!(began.elapsed() < PATIENCE, "{shown} shown; {}", watcher.stderr());
        // The last note comes after the last line.
        let line = timeout(Duration::from_millis(50), watcher.next_line());
        shown += usize::from(line.await.is_ok());
    }
    assert!(dropped(&watcher) > MESSAGES / 10, "{}", watcher.stderr());
    assert_eq!(shown + dropped(&watcher), MESSAGES + 1, "{}", watcher.stderr());
    let most = most_memory(watcher.pid());
    assert!(most < 100, "{most} MB");
    // From there on nothing is, and nothing is told.
    let told = watcher.stderr();
    for _ in 0..3 {
        client
            .publish("account.acct_3.inbox", body.clone().into())
            .await
            .unwrap();
        watcher.next_line().await;
    }
    assert_eq!(watcher.stderr(), told);
}
