//! Members talk: messages, receipts, requests, streams, capabilities; operators look on.

use serde_json::Value;

use super::{Network, request};
use crate::harness::{Service, agentnet, line, until};

#[tokio::test]
async fn members_send_ask_and_get_receipts() {
    let network = Network::start().await;
    let alice = network.add("alice").await;
    network.add("bob --capability upper").await;
    let mut watch = Service::spawn(network.command("watch --json --receipts"));
    watch.says("watching").await;
    let mut echo = network.echo("--username bob --capability upper --json").await;

    let words = "send --as alice --to-username bob --thread-id t --processed hello";
    network.line(words).await.ok();
    let got = echo.next_json().await;
    assert_eq!(
        (&got["payload"], &got["from_account_id"]),
        (&"hello".into(), &Value::from(alice))
    );
    assert_eq!(request(&network.member("alice"), "bob").await.ok().trim(), "1");
    let by_capability = ["request", "--to-capability", "upper", "--thread-id", "t", "2"];
    assert_eq!(agentnet(&network.member("alice"), by_capability).await.ok().trim(), "2");

    let seen = watch.next_json().await;
    assert_eq!(seen["message"]["payload"], "hello", "{seen}");
    until(&network.operator(), "thread-messages --thread-id t", |page| {
        page["messages"].as_array().is_some_and(|messages| messages.len() == 3)
    })
    .await;
    let listed = line(&network.member("alice"), "list --json").await.json();
    assert_eq!(listed["agents"][0]["username"], "bob", "{listed}");
}
