//! Requests to agents that are not there fail at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use agentnet_registry::RegistryConfig;
use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::{Value, json};
use support::{Backend, DEADLINE, Network, message};

/// The first reply to a request, which is made again and again: a database that is slow for a moment makes a registry say
/// nothing rather than something wrong.
async fn request(net: &Network, account_id: &str, id: &str) -> Option<Value> {
    let body = message(id, "t_bounce").to_string();
    let look = async || {
        let reply = net
            .client
            .request(format!("account.{account_id}.inbox"), body.clone().into());
        match tokio::time::timeout(Duration::from_secs(2), reply).await {
            Ok(Ok(reply)) => Ok(serde_json::from_slice(&reply.payload).unwrap()),
            other => Err(format!("{other:?}")),
        }
    };
    eventually(DEADLINE, look).await.ok()
}

#[rstest]
#[tokio::test]
async fn a_request_to_an_absent_agent_gets_an_error_reply(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    for jetstream in [true, false] {
        let net = Network::on(backend, jetstream).await;
        let _registry = net.registry().await;
        let bob = net.register("bob").await;
        let account_id = bob["account_id"].as_str().unwrap();
        net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
            .await;
        assert_eq!(net.online().await, Vec::<String>::new());

        let reply = request(&net, account_id, "request").await.unwrap();
        assert_eq!(reply["kind"], "error", "{reply}");
        assert_eq!(reply["payload"]["error"], "recipient_offline");
        let detail = reply["payload"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("@bob is offline since 2"), "{detail}");
        assert_eq!(reply["payload"]["request_message_id"], "request");
        assert_eq!(
            (&reply["thread_id"], &reply["parent_message_id"]),
            (&json!("t_bounce"), &json!("request"))
        );
        assert_eq!(reply["to_account_id"], "acct_a");
        assert_eq!(reply["from_account_id"], "acct_registry_registry");
        assert_eq!(reply.get("from_session_tag"), None);
        // Request and error are in the history; a message without a reply subject is nobody's request.
        net.publish(&format!("account.{account_id}.inbox"), message("direct", "t_bounce"))
            .await;
        assert!(
            net.history("t_bounce", 3)
                .await
                .contains(&reply["message_id"].as_str().unwrap().to_owned())
        );
    }
}

#[rstest]
#[tokio::test]
async fn an_unknown_account_is_told_once_everybody_was_heard(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(1),
        ..net.config()
    };
    let _registry = net.registry_with(config).await;
    let reply = eventually(DEADLINE, async || {
        let reply = net
            .client
            .request("account.acct_nobody.inbox", message("r", "t").to_string().into());
        match tokio::time::timeout(Duration::from_millis(300), reply).await {
            Ok(Ok(reply)) => Ok(serde_json::from_slice::<Value>(&reply.payload).unwrap()),
            _ => Err("no reply"),
        }
    })
    .await
    .unwrap();
    assert_eq!(reply["payload"]["error"], "account_not_found");
}

#[rstest]
#[tokio::test]
async fn agents_that_are_there_answer_themselves(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    use futures::StreamExt as _;

    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let bob = net.register("bob").await;
    let account_id = bob["account_id"].as_str().unwrap().to_owned();
    let agent = agentnet_testkit::RawClient::connect(&net.nats.url()).await.unwrap();
    let mut inbox = agent.subscribe(format!("account.{account_id}.inbox")).await.unwrap();
    agent.request("nobody", "".into()).await.unwrap_err();
    tokio::spawn(async move {
        while let Some(request) = inbox.next().await {
            let reply = message("reply", "t").to_string();
            agent.publish(request.reply.unwrap(), reply.into()).await.unwrap();
        }
    });
    for number in 0..20 {
        let reply = request(&net, &account_id, &format!("r{number}")).await.unwrap();
        assert_eq!(reply["message_id"], "reply", "{reply}");
    }
}

/// Goodbye and request come to the registry in this order, but to two of its subscriptions.
#[rstest]
#[tokio::test]
async fn a_request_right_after_a_goodbye_is_refused(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const AGENTS: usize = 200;
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(net.register(&format!("agent_{number}")).await);
    }
    for (number, agent) in agents.iter().enumerate() {
        let goodbye = json!({ "session_tag": agent["session_tag"] }).to_string();
        net.client.publish("registry.goodbye", goodbye.into()).await.unwrap();
        let subject = format!("account.{}.inbox", agent["account_id"].as_str().unwrap());
        let request = net.client.request(subject, message("r", "t").to_string().into());
        let reply = tokio::time::timeout(DEADLINE, request).await;
        let reply = reply
            .unwrap_or_else(|_| panic!("request {number} got no answer"))
            .unwrap();
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(reply["payload"]["error"], "recipient_offline", "{reply}");
    }
}
