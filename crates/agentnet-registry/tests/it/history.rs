//! The history: what is captured, from where, and what survives.

use std::time::Duration;

use agentnet_registry::{CaptureMode, RegistryConfig};
use agentnet_testkit::{NatsServer, RawClient, eventually, eventually_true};
use futures::StreamExt as _;
use rstest::rstest;
use serde_json::json;

use crate::support::{Backend, DEADLINE, Network, TOKEN, message};

#[rstest]
#[tokio::test]
async fn messages_of_every_subject_are_recorded_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    for (subject, id) in [
        ("account.acct_b.inbox", "m1"),
        ("agent.capability.sum", "m2"),
        ("agentnet.reply.acct_a.1", "m3"),
        ("_INBOX.abc.1", "m4"),
        ("account.acct_b.inbox", "m1"),
        ("_INBOX.abc.2", "m2"),
    ] {
        net.publish(subject, message(id, "t")).await;
    }
    net.publish("account.acct_b.receipts", message("receipt", "t")).await;
    net.publish("account.acct_b.inbox", message("last", "t")).await;
    let mut ids = net.history("t", 5).await;
    ids.sort_unstable();
    assert_eq!(ids, ["last", "m1", "m2", "m3", "m4"]);
    let status = net.ask("thread_status", json!({"thread_id": "t"})).await;
    assert_eq!((&status["message_count"], &status["status"]), (&json!(5), &json!("ok")));
    assert_eq!(status["participants"], json!(["acct_a", "acct_b"]));
    eventually_true(DEADLINE, "both duplicates are counted and nothing waits", async || {
        let metrics = net.ask("metrics", json!({})).await;
        metrics["capture"]["duplicates"] == 2 && metrics["capture"]["lag"] == 0
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn what_is_sent_while_no_registry_runs_is_recorded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    net.publish("account.acct_b.inbox", message("before", "t")).await;
    net.history("t", 1).await;
    registry.shutdown().await;
    for number in 0..50 {
        net.publish("account.acct_b.inbox", message(&format!("while{number}"), "t"))
            .await;
    }
    let registry = net.registry().await;
    net.history("t", 51).await;
    let first = net.ask("message_search", json!({"limit": 1})).await["messages"][0].clone();
    assert_eq!(first["sent_at"], "2026-02-21T08:00:00Z");

    // Killed instead of stopped; the server has noticed this when there is no answer any more.
    drop(registry);
    eventually_true(DEADLINE, "the registry is gone", async || {
        let asked = net.client.request("registry.metrics", "".into());
        tokio::time::timeout(Duration::from_millis(200), asked)
            .await
            .is_ok_and(|reply| reply.is_err())
    })
    .await
    .unwrap();
    for number in 0..50 {
        net.publish("account.acct_b.inbox", message(&format!("killed{number}"), "t"))
            .await;
    }
    let _registry = net.registry().await;
    net.history("t", 101).await;
}

#[rstest]
#[tokio::test]
async fn a_stop_loses_nothing(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    for number in 0..300 {
        let subject = if number % 2 == 0 {
            "account.acct_b.inbox"
        } else {
            "_INBOX.abc.1"
        };
        net.client
            .publish(subject, message(&format!("m{number}"), "t").to_string().into())
            .await
            .unwrap();
    }
    net.client.flush().await.unwrap();
    // Whatever reached this registry is stored by it; the rest waits in the stream for the next one.
    net.ask("list", json!({})).await;
    registry.shutdown().await;
    let _registry = net.registry().await;
    eventually_true(DEADLINE, "all 300 messages are in the history", async || {
        net.ask("thread_status", json!({"thread_id": "t"})).await["message_count"] == 300
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn the_stream_never_answers_a_request(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    net.ask("register", json!({"agent_id": "b", "account_id": "acct_b"}))
        .await;
    let agent = RawClient::connect(&net.nats.url()).await.unwrap();
    let mut inbox = agent.subscribe("account.acct_b.inbox").await.unwrap();
    // The server has the subscription when it has refused a request without a subscriber.
    agent.request("nobody", "".into()).await.unwrap_err();
    let answering = tokio::spawn(async move {
        let request = inbox.next().await.unwrap();
        agent
            .publish(request.reply.unwrap(), message("reply", "t").to_string().into())
            .await
            .unwrap();
        agent.flush().await.unwrap();
    });
    let reply = net
        .client
        .request("account.acct_b.inbox", message("request", "t").to_string().into())
        .await
        .unwrap();
    answering.await.unwrap();
    let reply: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["message_id"], "reply");
    net.history("t", 2).await;
}

#[rstest]
#[tokio::test]
async fn without_jetstream_everything_is_tapped(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let registry = net.registry().await;
    assert_eq!(registry.capture_mode(), CaptureMode::Core);
    assert!(registry.ready_line().ends_with("capture=core"));
    for (subject, id) in [
        ("account.acct_b.inbox", "m1"),
        ("agent.capability.sum", "m2"),
        ("agentnet.reply.acct_a.1", "m3"),
        ("_INBOX.abc.1", "m4"),
    ] {
        net.publish(subject, message(id, "t")).await;
    }
    net.history("t", 4).await;
    // They are counted when they can be seen already.
    eventually(DEADLINE, async || {
        let capture = net.ask("metrics", json!({})).await["capture"].clone();
        match (&capture["mode"], &capture["stored"]) == (&json!("core"), &json!(4)) {
            true => Ok(()),
            false => Err(capture),
        }
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn capture_goes_on_after_the_server_was_killed(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let mut net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    net.publish("account.acct_b.inbox", message("before", "t")).await;
    net.history("t", 1).await;
    for round in 0..2 {
        net.nats.kill9();
        net.nats.restart().await.unwrap();
        net.client = RawClient::connect(&net.nats.url()).await.unwrap();
        net.publish("account.acct_b.inbox", message(&format!("after{round}"), "t"))
            .await;
        eventually_true(DEADLINE, "the registry answers again", async || {
            net.client.request("registry.list", "".into()).await.is_ok()
        })
        .await
        .unwrap();
        net.history("t", 2 + round).await;
    }
}

#[rstest]
#[tokio::test]
async fn capture_goes_on_after_the_stream_was_deleted(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let jetstream = async_nats::jetstream::new(net.client.clone());
    jetstream.delete_stream("AGENTNET_HISTORY").await.unwrap();
    eventually_true(DEADLINE, "the stream is there again", async || {
        jetstream.get_stream("AGENTNET_HISTORY").await.is_ok()
    })
    .await
    .unwrap();
    net.publish("account.acct_b.inbox", message("m", "t")).await;
    net.history("t", 1).await;
}

#[rstest]
#[tokio::test]
async fn payloads_come_back_as_they_were_sent(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let payload = r#"{"big": 12345678901234567890123, "f":1.0,"e":1e400,"s":"\u0000\ud800 é","z":null,"a":[1,[],{}]}"#;
    let body = format!(r#"{{"message_id":"m","thread_id":"t","payload":{payload},"sent_at":"nonsense"}}"#);
    net.publish("account.acct_b.inbox", body).await;
    // The registry's reply is no JSON for readers that know no infinite numbers, so it is compared as text.
    let expected = payload.replace('é', "\\u00e9");
    eventually_true(DEADLINE, "the payload is in the history", async || {
        net.ask_raw("thread_messages", r#"{"thread_id":"t"}"#)
            .await
            .contains(&expected)
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn a_backlog_is_stored_completely(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let nats = NatsServer::builder()
        .token(TOKEN)
        .jetstream(true)
        .start()
        .await
        .unwrap();
    let net = Network::with(backend, nats).await;
    net.registry().await.shutdown().await;
    for number in 0..5000 {
        let subject = format!("account.acct_{}.inbox", number % 10);
        net.client
            .publish(subject, message(&format!("m{number}"), "t").to_string().into())
            .await
            .unwrap();
    }
    net.client.flush().await.unwrap();
    let config = RegistryConfig {
        db_write_queue_max: 100,
        ..net.config()
    };
    let _registry = net.registry_with(config).await;
    eventually_true(DEADLINE, "all 5000 messages are in the history", async || {
        net.ask("thread_status", json!({"thread_id": "t"})).await["message_count"] == 5000
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn a_stop_without_a_server_still_writes_what_is_here(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut net = Network::on(backend, true).await;
    let registry = net.registry().await;
    net.register("alice").await;
    net.publish("account.acct_b.inbox", message("m", "t")).await;
    net.history("t", 1).await;
    net.nats.kill9();
    tokio::time::timeout(DEADLINE, registry.shutdown()).await.unwrap();
    assert_eq!(net.store().await.online_sessions().await.unwrap().len(), 1);
}
