//! What an agent may not do.

use super::{Network, request};
use crate::harness::{agentnet, line, until};

#[tokio::test]
async fn an_agent_decides_about_nobody() {
    let network = Network::start().await;
    network.add("alice").await;
    let alice = network.member("alice");
    for words in [
        "members",
        "invite eve",
        "revoke operator",
        "grant alice --capability root",
    ] {
        line(&alice, words).await.fails(2, &["forbidden"]);
    }
    network.add("olga --role observer").await;
    line(&network.member("olga"), "members").await.ok();
    line(&network.member("olga"), "invite eve")
        .await
        .fails(2, &["forbidden"]);
}

#[tokio::test]
async fn an_agent_reads_its_own_messages_only() {
    let network = Network::start().await;
    for name in ["alice", "bob", "eve"] {
        network.add(name).await;
    }
    let _bob = network.echo("--username bob").await;
    let said = ["request", "--to-username", "bob", "--thread-id", "private", "1"];
    agentnet(&network.member("alice"), said).await.ok();
    let both = |page: &serde_json::Value| page["messages"].as_array().is_some_and(|messages| messages.len() == 2);
    for url in [network.member("alice"), network.member("bob"), network.operator()] {
        until(&url, "thread-messages --thread-id private", both).await;
    }
    let eve = network.member("eve");
    let unseen = line(&eve, "thread-status --thread-id private").await;
    let absent = line(&eve, "thread-status --thread-id absent").await;
    assert_eq!(unseen.code, absent.code);
    assert_eq!(unseen.stderr.replace("private", "absent"), absent.stderr);
    // Taking part does not open what was said before.
    network
        .line("send --as eve --to-username bob --thread-id private --no-ack 2")
        .await
        .ok();
    until(&eve, "thread-messages --thread-id private", |page| {
        page["messages"].as_array().is_some_and(|messages| !messages.is_empty())
    })
    .await;
    let page = line(&eve, "message-search --thread-id private --json").await.json();
    for message in page["messages"].as_array().unwrap() {
        assert_ne!(message["payload"], 1, "{page}");
    }
}

#[tokio::test]
async fn an_agent_speaks_as_itself_only() {
    let network = Network::start().await;
    network.add("alice").await;
    network.add("bob").await;
    let as_bob = ["send", "--as", "bob", "--to-username", "alice", "hi"];
    agentnet(&network.member("alice"), as_bob)
        .await
        .fails(2, &["forbidden", "@alice"]);
    // Without a name, the command speaks as its credential.
    let _bob = network.echo("--username bob").await;
    request(&network.operator(), "bob").await.ok();
}
