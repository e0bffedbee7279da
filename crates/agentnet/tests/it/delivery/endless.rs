//! Lists of a registry that gives cursors for ever.

use agentnet::{AgentSdk, RegistryClient, RegistryError, ResolveError, SdkError, TryStreamExt as _};
use agentnet_testkit::{NatsServer, RawClient};
use futures::StreamExt as _;
use serde_json::json;

use crate::net::{DEADLINE, now, parse, settle};

/// Plays a registry that registers agents, and whose lists do not end: the number of the page behind a page, and how many
/// items each has.
async fn play(url: &str, behind: fn(u64) -> u64, items: usize) {
    let client = RawClient::connect(url).await.unwrap();
    let mut calls = client.subscribe("registry.*").await.unwrap();
    settle(&client).await;
    tokio::spawn(async move {
        while let Some(call) = calls.next().await {
            let Some(reply) = call.reply else { continue };
            let answer = match call.subject.as_str() {
                "registry.register" => {
                    json!({ "account_id": "acct_mine", "username": "mine", "session_tag": "registry_x" })
                }
                "registry.resolve_account" => json!({ "error": "unknown call" }),
                _ => {
                    let cursor = parse(&call.payload)["cursor"].as_str().map(str::to_owned);
                    let page = cursor.map_or(0, |cursor| cursor.parse().unwrap());
                    let item = json!({ "agent_id": "a", "name": "a", "message_id": "m", "thread_id": "t" });
                    let items = vec![item; items];
                    let next_cursor = behind(page).to_string();
                    json!({ "generated_at": now(), "agents": items, "messages": items, "next_cursor": next_cursor })
                }
            };
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    });
}

/// The cursor behind a page.
type NextCursor = fn(u64) -> u64;

#[tokio::test]
async fn a_list_that_does_not_end_is_an_error() {
    let cases: [(NextCursor, usize, &str); 3] = [
        (|_| 7, 1, "a cursor came again"),
        (|page| (page + 1) % 5, 1, "a cursor came again"),
        (|page| page + 1, 0, "100 pages in a row had no items"),
    ];
    for (behind, items, why) in cases {
        let nats = NatsServer::builder().start().await.unwrap();
        play(&nats.url(), behind, items).await;
        let registry = RegistryClient::connect(&nats.url()).await.unwrap();
        let expected = |error: &RegistryError, rpc: &str| {
            assert!(matches!(error, RegistryError::Endless { .. }), "{error}");
            assert_eq!(
                error.to_string(),
                format!("the pages of registry.{rpc} do not end: {why}")
            );
        };
        let listed = tokio::time::timeout(DEADLINE, registry.list_online()).await;
        expected(&listed.expect("it ends").unwrap_err(), "list");

        let node = crate::net::agent(&nats.url(), "mine").start().await.unwrap();
        let resolved = tokio::time::timeout(DEADLINE, node.resolve_username("somebody")).await;
        match resolved.expect("it ends").unwrap_err() {
            ResolveError::Registry(error) => expected(&error, "list"),
            error => panic!("{error}"),
        }

        let sdk = AgentSdk::from(node);
        let found = sdk.search_messages().stream().try_collect::<Vec<_>>();
        match tokio::time::timeout(DEADLINE, found)
            .await
            .expect("it ends")
            .unwrap_err()
        {
            SdkError::Registry(error) => expected(&error, "message_search"),
            error => panic!("{error}"),
        }
    }
}
