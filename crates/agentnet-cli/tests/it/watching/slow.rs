//! A reader that does not read.

use std::time::{Duration, Instant};

use agentnet_testkit::{Capture, NatsServer, RawClient};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::harness::{Service, WAIT_TIMEOUT};

/// The number of dropped messages in the last note.
fn dropped(watcher: &Service) -> usize {
    let said = watcher.stderr();
    let last = said.rsplit_once("note: shown too slowly: ");
    last.map_or(0, |(_, note)| note.split(' ').next().unwrap().parse().unwrap())
}

/// The most memory of its own that a process has had, in MB: without the pages of the program's file, of which a larger program has
/// more.
fn most_memory(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| -> usize {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (kib("VmHWM:") - kib("RssFile:")) / 1024
}

#[tokio::test]
async fn unread_output_is_dropped_and_counted() {
    const MESSAGES: usize = 20_000;
    let nats = NatsServer::builder().start().await.unwrap();
    let mut watcher = Service::line(&nats.url(), "watch --inbox");
    let mut other = Service::line(&nats.url(), "watch --inbox");
    for watcher in [&watcher, &other] {
        watcher.says("watching").await;
    }
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let last = Capture::subscribe(&client, "account.acct_2.inbox").await.unwrap();
    // The output is not read, and the pipe is soon full. All of it would be 120 MB.
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
    last.wait_for(|_| true, WAIT_TIMEOUT).await.unwrap();
    // It still hears who wants it to stop.
    other.signal(Signal::TERM);
    assert_eq!(other.ended().await.code(), Some(0));

    // What was not dropped is shown once the output is read.
    let mut shown = 0;
    let began = Instant::now();
    while shown + dropped(&watcher) < MESSAGES + 1 {
        assert!(began.elapsed() < WAIT_TIMEOUT, "{shown} shown; {}", watcher.stderr());
        // The last note comes after the last line.
        let line = timeout(Duration::from_millis(50), watcher.next_line());
        shown += usize::from(line.await.is_ok());
    }
    assert!(dropped(&watcher) > MESSAGES / 10, "{}", watcher.stderr());
    assert_eq!(shown + dropped(&watcher), MESSAGES + 1, "{}", watcher.stderr());
    let most = most_memory(watcher.pid());
    assert!(most < 80, "{most} MB");
    // From there on none is dropped, and there are no notes.
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
