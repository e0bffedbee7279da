//! Messages of clients that are neither registries nor honest agents: bounds, forged announcements, reply subjects.

mod announcements;
mod bounds;

use std::time::Duration;

use agentnet_protocol::limits::REQUEST_TEXTS;
use agentnet_protocol::signature::SigningKey;
use agentnet_registry::health::{self, Health};
use agentnet_registry::{Failed, Registry, RegistryConfig, RegistryHandle};
use agentnet_store::model::MessageQuery;
use agentnet_testkit::{Capture, UNREADABLE_HEADER_BLOCKS, eventually, eventually_true};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, DEADLINE, Network, RPCS, message, metrics_page};

async fn health_of(net: &Network, server_id: &str) -> Health {
    health::ask(&net.nats.url(), server_id, DEADLINE).await.unwrap()
}

fn named(net: &Network, server_id: &str) -> RegistryConfig {
    RegistryConfig {
        server_id: server_id.to_owned(),
        ..net.config()
    }
}

#[rstest]
#[tokio::test]
async fn the_room_on_the_disk_is_told_where_the_database_is_a_file(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let space = health_of(&net, "registry").await.disk_space;
    match backend {
        Backend::Sqlite => assert!(
            space.is_some_and(|space| 0 < space.free && space.free <= space.total),
            "{space:?}"
        ),
        Backend::Postgres => assert_eq!(space, None),
    }
    registry.shutdown().await;
}

/// As `nats sub '>'` does.
#[tokio::test]
async fn a_client_that_reads_everything_holds_nobody_up() {
    let net = Network::new(true).await;
    let _all = Capture::subscribe(&net.client, ">").await.unwrap();
    let registry = net.registry().await;
    net.register("alice").await;
    registry.shutdown().await;
}

#[tokio::test]
async fn no_answer_goes_where_agents_and_registries_take_messages() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let all = Capture::subscribe(&net.client, ">").await.unwrap();
    for subject in [
        "$JS.API.STREAM.INFO.AGENTNET_HISTORY",
        "account.acct_x.inbox",
        "account.acct_x.receipts",
        "agent.capability.x",
        "registry.hello",
        "agentnet.registry.announce.x",
    ] {
        for asked in ["registry.list", "registry.metrics", "agentnet.registry.health.registry"] {
            net.client
                .publish_with_reply(asked, subject, "{}".into())
                .await
                .unwrap();
        }
    }
    // Answers come in the order of the questions here: those before this one have been dealt with.
    for asked in ["registry.list", "agentnet.registry.health.registry"] {
        net.client
            .publish_with_reply(asked, "my.own.inbox", "{}".into())
            .await
            .unwrap();
    }
    all.wait_until(
        |seen| seen.iter().filter(|one| one.subject == "my.own.inbox").count() == 2,
        DEADLINE,
    )
    .await
    .unwrap();
    let answers = all.messages().into_iter().filter(|seen| {
        let body: Value = serde_json::from_slice(&seen.payload).unwrap_or_default();
        body.get("generated_at").is_some() || body.get("healthy").is_some()
    });
    let subjects: Vec<_> = answers.map(|answer| answer.subject.to_string()).collect();
    assert_eq!(subjects, ["my.own.inbox", "my.own.inbox"]);
    registry.shutdown().await;
}

/// Neither a header block that ends the client's connection, nor one that ends the client, nor a status keep a message, or
/// what comes behind it, out of the history.
#[tokio::test]
async fn no_header_block_stops_the_history() {
    // The registry does not answer for this subject: only the stream delivers it.
    const SUBJECT: &str = "agentnet.reply.nobody";
    // The stream redelivers an unacknowledged message after ten seconds.
    const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
    let net = Network::new(true).await;
    let mut registry = net.registry().await;
    let blocks = UNREADABLE_HEADER_BLOCKS
        .into_iter()
        .chain([&b"NATS/1.0 409 Consumer Deleted\r\n\r\n"[..]]);
    let mut expected = Vec::new();
    for (number, block) in blocks.enumerate() {
        for (id, block) in [
            (format!("bad{number}"), block),
            (format!("good{number}"), b"NATS/1.0\r\n\r\n"),
        ] {
            let body = message(&id, "t_blocks").to_string();
            let published = net.nats.publish_with_header_block(SUBJECT, "", block, body.as_bytes());
            published.await.unwrap();
            expected.push(id);
        }
    }
    expected.sort();
    let store = net.store().await;
    let stored = eventually(WAIT_TIMEOUT, async || {
        let query = MessageQuery {
            thread_id: Some("t_blocks".to_owned()),
            limit: 100,
            ..MessageQuery::default()
        };
        let page = store.messages(&query).await.map_err(|error| error.to_string())?;
        let mut ids: Vec<String> = page.items.into_iter().map(|stored| stored.message_id).collect();
        ids.sort();
        if ids == expected {
            Ok(())
        } else {
            Err(format!("{ids:?}"))
        }
    });
    let mut stored = std::pin::pin!(stored);
    loop {
        tokio::select! {
            outcome = &mut stored => break outcome.unwrap(),
            failed = registry.failed() => {
                assert_eq!(failed, Failed::Connection);
                registry.shutdown().await;
                // The same message may end the client of one that is still starting.
                registry = loop {
                    if let Ok(registry) = Registry::start(net.config(), net.store().await).await {
                        break registry;
                    }
                };
            }
        }
    }
    store.close().await;
    eventually_true(DEADLINE, "the stream is empty", async || {
        let jetstream = async_nats::jetstream::new(net.client.clone());
        let stream = jetstream.get_stream("AGENTNET_HISTORY").await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages == 0)
    })
    .await
    .unwrap();
    registry.shutdown().await;
}
