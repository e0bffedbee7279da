//! Members talk: messages, receipts, requests, streams, capabilities; operators look on.

use agentnet::{AgentNode, Context, Message, StreamExt as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Network, request};
use crate::harness::{Service, WAIT_TIMEOUT, agentnet, line, until};

#[tokio::test]
async fn members_send_ask_and_get_receipts() {
    let network = Network::start().await;
    let alice = network.add("alice").await;
    network.add("bob --capability upper").await;
    let mut watch = Service::spawn(network.command("watch --json --receipts"));
    watch.says("watching").await;
    let mut echo = network.echo("--username bob --capability upper --json").await;

    let words = "send --as alice --to-username bob --thread-id t --processed \"hello\"";
    network.line(words).await.ok();
    let got = echo.next_json().await;
    assert_eq!(
        (&got["payload"], &got["from_account_id"]),
        (&"hello".into(), &Value::from(alice))
    );
    assert_eq!(request(&network.member("alice"), "bob").await.json()["payload"], 1);
    let by_capability = ["--json", "request", "--to-capability", "upper", "--thread-id", "t", "2"];
    let answer = agentnet(&network.member("alice"), by_capability).await.json();
    assert_eq!(answer["payload"], 2);

    let seen = watch.next_json().await;
    assert_eq!(seen["message"]["payload"], "hello", "{seen}");
    until(&network.operator(), "thread-messages --thread-id t", |page| {
        page["messages"].as_array().is_some_and(|messages| messages.len() == 3)
    })
    .await;
    let listed = line(&network.member("alice"), "list --json").await.json();
    assert_eq!(listed["agents"][0]["username"], "bob", "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_streams_and_its_reader_cancels_it() {
    let network = Network::start().await;
    for name in ["alice", "bob"] {
        network.add(name).await;
    }
    let (cancelled, mut watch) = mpsc::channel(1);
    let handler = move |message: Message, context: Context| {
        let cancelled = cancelled.clone();
        async move {
            let stream = context.reply_stream().await?;
            stream.delta("one ").await?;
            stream.delta("two").await?;
            if message.text().as_deref() == Some("all") {
                stream.end().await?;
                return Ok(());
            }
            stream.cancelled().await;
            cancelled.send(()).await?;
            Ok(())
        }
    };
    // A member needs no name: its credential has one.
    let bob = AgentNode::builder("streamer")
        .nats_url(network.member("bob"))
        .on_message(handler);
    let bob = bob.start().await.unwrap();
    assert_eq!(bob.username().as_deref(), Some("bob"));
    let alice = AgentNode::builder("reader").nats_url(network.member("alice"));
    let alice = alice.start().await.unwrap();
    let stream = alice.request_stream("@bob", "all").timeout(WAIT_TIMEOUT).await.unwrap();
    assert_eq!(stream.text().await.unwrap(), "one two");
    let mut stream = alice.request_stream("@bob", "go").timeout(WAIT_TIMEOUT).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    timeout(WAIT_TIMEOUT, watch.recv()).await.unwrap().unwrap();
    alice.close().await;
    bob.close().await;
}
