//! From target to subject: what cannot be sent, usernames, and the cache.

use std::time::Duration;

use agentnet::{AgentNode, RequestError, ResolveError, SendError};
use serde_json::json;

use crate::delivery::harness::*;
use crate::net::{DEADLINE, Net, has_subscriber, parse};

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_anything_is_published() {
    let net = Net::start().await;
    let node = net
        .agent("alice")
        .limits(|limits| limits.max_payload_bytes = 1_000)
        .build()
        .unwrap();
    let text = |result: Result<agentnet::Sent, SendError>| result.unwrap_err().to_string();
    let not_running = "the node is not running: start it first";
    assert_eq!(text(node.send("acct_peer", "hi").await), not_running);
    assert_eq!(
        node.request("acct_peer", "hi").await.unwrap_err().to_string(),
        not_running
    );
    node.start().await.unwrap();
    let wire = net.capture(">").await;

    let error = node.send("acct_peer", "x".repeat(1_000)).await.unwrap_err();
    assert!(
        matches!(
            error,
            SendError::TooLarge {
                size: 1_001..,
                limit: 1_000
            }
        ),
        "{error}"
    );
    // The size is that of the wire: a character outside ASCII counts six or twelve bytes.
    let error = node.request("acct_peer", "é".repeat(120)).await.unwrap_err();
    assert!(
        matches!(error, RequestError::Send(SendError::TooLarge { size: 1_001.., .. })),
        "{error}"
    );
    for target in ["a b", "a.b", "a*", ">", ""] {
        for result in [
            node.send_to_account(target, "hi").await,
            node.send_to_capability(target, "hi").await,
        ] {
            assert!(matches!(result, Err(SendError::Unroutable(_))), "{target}: {result:?}");
        }
    }
    let routing = "Routing target must be account:<account_id>, acct_..., username:<name>, or @name.";
    let error = text(node.send("capability:chat", "hi").await);
    assert_eq!(
        error,
        format!("{routing} Use send_to_capability() for capability routing.")
    );
    let error = node.request("capability:chat", "hi").await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{routing} Use request_capability() for capability routing.")
    );
    net.settle().await;
    assert!(
        !wire
            .messages()
            .iter()
            .any(|seen| seen.subject.contains("inbox") || seen.subject.starts_with("agent."))
    );
    node.close().await;
    assert_eq!(text(node.send("acct_peer", "hi").await), not_running);
}

/// Others find an agent by what it advertises; messages reach it by its capabilities alone.
#[tokio::test]
async fn advertised_capabilities_are_registered_and_not_subscribed_to() {
    let net = Net::start().await;
    let wire = net.capture("registry.register").await;
    let painter = net
        .agent("painter")
        .capabilities(["paint"])
        .advertise(["paint.oil", "draw"]);
    let painter = painter.on_message(|_, _| async { Ok(()) }).start().await.unwrap();
    let registration = wire.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(
        parse(&registration.payload)["capabilities"],
        json!(["paint", "paint.oil", "draw"])
    );
    for (capability, is_subscribed) in [("paint", true), ("draw", false)] {
        let subject = format!("agent.capability.{capability}");
        assert_eq!(has_subscriber(&net.raw, &subject).await, is_subscribed, "{capability}");
    }
    painter.close().await;
}

#[tokio::test]
async fn an_unknown_username_fails_at_once_and_the_list_is_not_asked() {
    let harness = Harness::start(|_, message| vec![receipt(message, "accepted")]).await;
    harness.net.registry.list("ghost", "acct_ghost");
    let error = harness.node.send(" @Ghost ", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'ghost'");
    assert!(matches!(error, SendError::Resolve(ResolveError::NotFound(_))));
    let error = harness.node.request_username("ghost", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'ghost'");
    assert_eq!(harness.node.metrics_snapshot().username_cache.misses, 2, "both asked");
    assert_eq!(harness.net.registry.calls("list"), 0);
}

#[tokio::test]
async fn a_registry_that_does_not_resolve_is_asked_for_its_list() {
    let harness = Harness::start(|_, message| vec![receipt(message, "accepted")]).await;
    harness.net.registry.silence("resolve_account");
    harness.net.registry.list("Peer", "acct_peer");
    harness.node.send("@peer", "hi").await.unwrap();
    harness.published(1).await;
    assert!(harness.net.registry.calls("list") > 0);
    let error = harness.node.send("@nobody", "hi").await.unwrap_err();
    assert_eq!(error.to_string(), "No account found for username 'nobody'");
    harness.net.registry.silence("list");
    let error = harness.node.send("@nobody", "hi").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Registry did not respond to registry.list within 2 s"
    );
}

/// How often the registry was asked for an account, repeats included: all that the node has asked for is counted when it gets
/// the list.
async fn resolved(net: &Net, node: &AgentNode) -> usize {
    node.list_online().await.unwrap();
    net.registry.calls("resolve_account")
}

#[tokio::test]
async fn resolved_usernames_are_remembered_until_a_delivery_fails() {
    let harness = Harness::start(|number, message| match number {
        4 => vec![rejected(message, "busy", "agent backlog is full")],
        _ => vec![receipt(message, "accepted")],
    })
    .await;
    let registry = &harness.net.registry;
    registry.know("peer", "acct_peer");
    let cache = || harness.node.metrics_snapshot().username_cache;
    harness.node.send("@peer", "hi").await.unwrap();
    let asked = resolved(&harness.net, &harness.node).await;
    assert!(asked > 0);
    for target in ["peer", "username:@PEER"] {
        harness.node.send(target, "hi").await.unwrap();
    }
    assert_eq!((cache().size, cache().hits, cache().misses), (1, 2, 1));
    assert_eq!(cache().ttl_seconds, 60.0);
    assert_eq!(resolved(&harness.net, &harness.node).await, asked);

    harness.node.send("@peer", "hi").await.unwrap_err();
    assert_eq!((cache().size, cache().hits, cache().misses), (0, 3, 1));
    // Meanwhile the name has gone to another account.
    registry.know("peer", "acct_moved");
    assert_eq!(harness.node.resolve_username("@peer").await.unwrap(), "acct_moved");
    assert_eq!((cache().size, cache().hits, cache().misses), (1, 3, 2));
    // A request without a subscriber is a delivery failure too. (Without the passive subscriber, which would count as one.)
    let url = harness.net.nats.url();
    let node = crate::net::agent(&url, "carol").start().await.unwrap();
    registry.know("gone", "acct_gone");
    node.resolve_username("gone").await.unwrap();
    assert_eq!(node.metrics_snapshot().username_cache.size, 1);
    node.request("gone", "hi").timeout(SHORT_TIMEOUT).await.unwrap_err();
    assert_eq!(node.metrics_snapshot().username_cache.size, 0);
}

#[tokio::test]
async fn an_account_that_nothing_can_be_sent_to_is_not_remembered() {
    let harness = Harness::start(|_, message| vec![receipt(message, "accepted")]).await;
    let registry = &harness.net.registry;
    registry.know("peer", "acct.peer");
    let error = harness.node.send("@peer", "hi").await.unwrap_err();
    assert!(matches!(error, SendError::Unroutable(_)), "{error}");
    let cache = || harness.node.metrics_snapshot().username_cache;
    assert_eq!((cache().size, cache().hits, cache().misses), (0, 0, 1));
    registry.know("peer", "acct_peer");
    harness.node.send("@peer", "hi").await.unwrap();
    assert_eq!((cache().size, cache().hits, cache().misses), (1, 0, 2));
}

#[tokio::test]
async fn a_name_that_becomes_another_is_not_the_other() {
    let harness = Harness::start(|_, message| vec![receipt(message, "accepted")]).await;
    harness.net.registry.know("kelvin", "acct_peer");
    harness.node.send("@kelvin", "hi").await.unwrap();
    // The Kelvin sign is a `k` in lower case, and the name is remembered by then.
    let error = harness.node.send("@\u{212a}elvin", "hi").await.unwrap_err();
    assert!(error.to_string().contains("would become \"kelvin\""), "{error}");
    assert!(harness.node.resolve_username("\u{212a}elvin").await.is_err());
    harness.node.send("@KELVIN", "hi").await.unwrap();
}

#[tokio::test]
async fn without_a_cache_every_send_resolves() {
    let net = Net::start().await;
    net.registry.know("peer", "acct_peer");
    let node = net
        .agent("alice")
        .limits(|limits| limits.resolve_cache_ttl = Duration::ZERO)
        .start()
        .await
        .unwrap();
    for _ in 0..3 {
        let before = resolved(&net, &node).await;
        node.resolve_username("peer").await.unwrap();
        assert!(resolved(&net, &node).await > before);
    }
    let metrics = node.metrics_snapshot();
    assert_eq!((metrics.username_cache.size, metrics.username_cache.misses), (0, 3));
    assert_eq!(metrics.resolve_username.count, 3);
    // A time that no clock can express is for ever.
    let node = net
        .agent("bob")
        .limits(|limits| limits.resolve_cache_ttl = Duration::MAX)
        .start()
        .await
        .unwrap();
    node.resolve_username("peer").await.unwrap();
    let asked = resolved(&net, &node).await;
    for _ in 0..2 {
        node.resolve_username("peer").await.unwrap();
    }
    assert_eq!(resolved(&net, &node).await, asked);
}
