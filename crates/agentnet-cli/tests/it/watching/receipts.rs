//! Receipts, and the time that they took.

use std::time::Duration;

use agentnet_protocol::Timestamp;
use agentnet_testkit::{NatsServer, RawClient};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Service, Up, echo};
use crate::watching::send;

#[tokio::test]
async fn receipts_stand_below_their_message() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot").await;
    let mut people = Service::line(&up.url, "watch --inbox --receipts");
    let mut program = Service::line(&up.url, "watch --inbox --receipts --json --thread t1");
    // The receipts of the given subject are not shown once more.
    let mut both = Service::line(&up.url, "watch --receipts --subject account.> --json");
    for watcher in [&people, &program, &both] {
        watcher.says("watching").await;
    }
    let id = send(&up, "alice", "parrot", "t1", "1").await;
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for _ in 0..3 {
        lines.push(people.next_line().await);
        documents.push(program.next_json().await);
    }
    assert!(lines[0].contains("@alice → @parrot"), "{lines:?}");
    assert_eq!(documents[0]["message"]["message_id"], id.as_str());
    for (place, status) in [(1, "accepted"), (2, "processed")] {
        let receipt = &documents[place]["message"];
        assert_eq!(receipt["status"], status);
        // The latency is by the clocks of the two agents.
        let took = between(&documents[0]["message"]["sent_at"], &receipt["event_at"]);
        let part = format!("receipt  {status} in {} by @parrot  msg_id={id}", told(took));
        assert!(lines[place].contains(&part), "`{part}` is missing in {lines:?}");
    }
    for document in &documents {
        assert_eq!(both.next_json().await["message"], document["message"]);
    }
    up.stop().await;
}

/// The time between two timestamps of the network.
fn between(from: &Value, to: &Value) -> Duration {
    let [from, to] = [from, to].map(|time| Timestamp::parse(time.as_str().unwrap()).unwrap());
    Duration::from_micros(u64::try_from(to.micros_since(from)).unwrap())
}

/// A duration as `watch` tells it.
fn told(duration: Duration) -> String {
    match duration.as_secs_f64() * 1000.0 {
        millis @ ..10.0 => format!("{millis:.1} ms"),
        millis @ ..1000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1000.0),
    }
}

#[tokio::test]
async fn the_time_of_a_receipt_is_what_the_agents_say_however_late_it_is_shown() {
    let nats = NatsServer::builder().start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let mut watcher = Service::line(&nats.url(), "watch --inbox --receipts");
    watcher.says("watching").await;
    let message = |id: &str, sent_at: &str| {
        format!(r#"{{"message_id":"{id}","from_agent":"a","to_agent":"b","sent_at":"{sent_at}","payload":1}}"#)
    };
    let receipt =
        |id: &str, event_at: &str| format!(r#"{{"message_id":"{id}","status":"accepted","event_at":"{event_at}"}}"#);
    // All of it comes while the watcher stands still.
    watcher.signal(Signal::STOP);
    let sent_at = "2026-02-21T08:00:00Z";
    let cases = [
        ("m1", "2026-02-21T08:00:00.003Z", "accepted in 3.0 ms by"),
        ("m2", "2026-02-21T08:00:00.2504Z", "accepted in 250 ms by"),
        ("m3", "2026-02-21T08:00:01.5Z", "accepted in 1.5 s by"),
        // Clocks that cannot both be right, and none.
        ("m4", "2026-02-21T07:59:59Z", "accepted in ~"),
        ("m5", "soon", "accepted in ~"),
    ];
    for (id, event_at, _) in cases {
        for (subject, body) in [
            ("account.acct_b.inbox", message(id, sent_at)),
            ("account.acct_a.receipts", receipt(id, event_at)),
        ] {
            client.publish(subject, body.into()).await.unwrap();
            client.flush().await.unwrap();
        }
    }
    watcher.signal(Signal::CONT);
    let mut shown = Vec::new();
    for _ in 0..2 * cases.len() {
        shown.push(watcher.next_line().await);
    }
    for (id, _, told) in cases {
        let line = shown
            .iter()
            .find(|line| line.contains(&format!("msg_id={id}")))
            .unwrap();
        assert!(line.contains(told), "{line}");
    }
}
