//! What the NATS server does not permit is told as that, and at once.

use std::time::Duration;

use agentnet::{AgentNode, RegistryClient, RegistryError, RequestError, SendError, StartError};
use agentnet_testkit::{NatsServer, RawClient};

use crate::net::{Net, ScriptedRegistry, agent};

const USERS: &str = r#"
authorization { users: [
  {user: all, password: p},
  {user: nosub, password: p, permissions: {publish: [">"], subscribe: {deny: ["_AGENTNET.>", "_INBOX.>"]}}},
  {user: nopub, password: p, permissions: {publish: {deny: ["registry.list", "account.acct_b.inbox"]}}},
  {user: noinbox, password: p, permissions: {subscribe: {deny: ["account.*.inbox"]}}},
  {user: nocapability, password: p, permissions: {subscribe: {deny: ["agent.capability.>"]}}},
  {user: noreceipts, password: p, permissions: {subscribe: {deny: ["account.*.receipts"]}}},
  {user: noreplies, password: p, permissions: {subscribe: {deny: ["_INBOX.>"]}}},
  {user: alice, password: p, permissions: {publish: ["registry.*", "account.>", "_AGENTNET.alice.>"],
    subscribe: ["account.*.*", "_INBOX.>", "_AGENTNET.alice.>"]}},
] }
no_auth_user: all
"#;

/// Longer than the test runs: an error that comes at once cannot be a timeout.
const UNREACHED_TIMEOUT: Duration = Duration::from_secs(3600);
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

async fn net() -> Net {
    let nats = NatsServer::builder().extra_config(USERS).start().await.unwrap();
    let raw = RawClient::connect(&nats.url()).await.unwrap();
    let registry = ScriptedRegistry::start(&nats.url()).await;
    Net { nats, raw, registry }
}

fn user(net: &Net, name: &str) -> String {
    net.nats.url().replace("nats://", &format!("nats://{name}:p@"))
}

async fn soon<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(WAIT_TIMEOUT, work.into_future())
        .await
        .expect("at once")
}

#[tokio::test]
async fn a_call_of_the_registry_names_the_permission() {
    let net = net().await;
    for (name, expected) in [
        ("nosub", "does not permit this user to subscribe to \"_AGENTNET."),
        ("nopub", "does not permit this user to publish to \"registry.list\""),
    ] {
        let registry = RegistryClient::connect(&user(&net, name)).await.unwrap();
        let registry = registry.with_timeout(UNREACHED_TIMEOUT);
        // The second call is refused as the first: what was refused before does not count for it, nor is it needed.
        for _ in 0..2 {
            let error = soon(registry.list_online()).await.unwrap_err();
            assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[tokio::test]
async fn a_node_that_may_not_hear_its_subjects_does_not_start() {
    let net = net().await;
    for (name, subject) in [
        ("noinbox", "account.acct_a.inbox"),
        ("noreceipts", "account.acct_a.receipts"),
        ("nocapability", "agent.capability.sum"),
    ] {
        let node = agent(&user(&net, name), "a").account_id("acct_a").capabilities(["sum"]);
        let error = soon(node.on_message(async |_, _| Ok(())).start()).await.unwrap_err();
        assert!(
            matches!(&error, StartError::Subscribe { subject: refused, .. } if refused == subject),
            "{error}"
        );
        assert!(error.to_string().contains("permissions violation"), "{error}");
    }
}

#[tokio::test]
async fn a_message_that_may_not_be_sent_fails_at_once() {
    let net = net().await;
    let start = async |name: &str| -> AgentNode { agent(&user(&net, name), name).start().await.unwrap() };
    let denied = |error: &SendError| assert!(matches!(error, SendError::Denied(_)), "{error}");
    let mute = start("nopub").await;
    denied(
        &soon(mute.send("acct_b", "hi").receipt_timeout(UNREACHED_TIMEOUT))
            .await
            .unwrap_err(),
    );
    for (node, to) in [(mute, "acct_b"), (start("noreplies").await, "acct_c")] {
        // The subject has a subscriber that does not answer.
        let _listening = net.capture(&format!("account.{to}.inbox")).await;
        match soon(node.request(to, "hi").timeout(UNREACHED_TIMEOUT))
            .await
            .unwrap_err()
        {
            RequestError::Send(error) => denied(&error),
            error => panic!("{error}"),
        }
    }
}

/// What is answered to one user, another cannot forge, where permissions are made so.
#[tokio::test]
async fn users_may_be_held_to_inboxes_of_their_own() {
    let net = net().await;
    let url = user(&net, "alice");
    let node = soon(agent(&url, "alice").start()).await.unwrap();
    let registry = soon(RegistryClient::connect(&url)).await.unwrap();
    soon(registry.list_online()).await.unwrap();
    node.close().await;
}
