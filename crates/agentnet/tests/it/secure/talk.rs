//! Members talk: what agents do without the secure mode, they do in it.

use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::MemberGrantRequest;
use agentnet::{Context, HandlerResult, Message, RequestError, SendError, Until, json};
use agentnet_testkit::eventually;
use futures::StreamExt as _;
use rstest::rstest;
use tokio::sync::mpsc;

use crate::secure::network::{DEADLINE, Kind, SecureNetwork};

async fn echo(message: Message, context: Context) -> HandlerResult {
    if message.wants_reply() {
        context.reply(json!({ "echo": message.payload() })).await?;
    }
    Ok(())
}

#[rstest]
#[tokio::test]
async fn messages_and_requests_arrive_with_their_receipts(#[values(Kind::File, Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let bob = network.agent("bob").await.start(|node| node.on_message(echo)).await;
    let alice = network.agent("alice").await.start(|node| node).await;
    alice
        .send_to_username("bob", json!({ "text": "hello" }))
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
    let reply = alice
        .request_username("bob", json!({ "n": 1 }))
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(reply.payload().get(), r#"{"echo":{"n":1}}"#);
    bob.close().await;
    // Nobody is there, and nobody ever was.
    let offline = alice.request_username("bob", json!(1)).timeout(DEADLINE).await.unwrap();
    assert_eq!(offline.error_code().as_deref(), Some("recipient_offline"));
    let unknown = alice
        .request_username("nobody", json!(1))
        .timeout(DEADLINE)
        .await
        .unwrap_err();
    assert!(
        matches!(unknown, RequestError::Send(SendError::Resolve(_))),
        "{unknown:?}"
    );
    alice.close().await;
    network.registry.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_read_and_its_cancellation_arrives() {
    let network = SecureNetwork::start().await;
    let (told, mut cancelled) = mpsc::channel(1);
    let endless = move |message: Message, context: Context| {
        let told = told.clone();
        async move {
            let stream = context.reply_stream().await?;
            for word in ["a", "b", "c"] {
                stream.delta(word).await?;
            }
            if message.text().as_deref() == Some("end") {
                stream.end().await?;
            } else {
                stream.cancelled().await;
                told.send(()).await?;
            }
            Ok(())
        }
    };
    let bob = network.agent("bob").await.start(|node| node.on_message(endless)).await;
    let alice = network.agent("alice").await.start(|node| node).await;
    let stream = alice
        .request_stream("@bob", json!({ "text": "end" }))
        .timeout(DEADLINE)
        .await
        .unwrap();
    let pieces: Vec<_> = stream
        .map(|delta| delta.unwrap().value.get().to_owned())
        .collect()
        .await;
    assert_eq!(pieces, [r#""a""#, r#""b""#, r#""c""#]);
    let mut stream = alice
        .request_stream("@bob", json!({ "text": "on" }))
        .timeout(DEADLINE)
        .await
        .unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    tokio::time::timeout(DEADLINE, cancelled.recv()).await.unwrap().unwrap();
    bob.close().await;
    alice.close().await;
    network.registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn a_capability_is_served_once_it_is_granted(#[values(Kind::File, Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let member = network.agent("bob").await;
    drop(member.registry().await);
    let refused = member
        .node()
        .capabilities(["weather"])
        .on_message(echo)
        .start()
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("agent.capability.weather"), "{refused}");
    let grant = MemberGrantRequest {
        username: Some("bob".into()),
        capabilities_add: vec!["weather".into()],
        ..MemberGrantRequest::default()
    };
    assert_eq!(operator.call(&grant).await.unwrap().member.capabilities, ["weather"]);
    let bob = eventually(DEADLINE, async || {
        member.node().capabilities(["weather"]).on_message(echo).start().await
    });
    let bob = bob.await.unwrap();
    let alice = network.agent("alice").await.start(|node| node).await;
    let reply = alice
        .request_capability("weather", json!("?"))
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(reply.payload().get(), r#"{"echo":"?"}"#);
    bob.close().await;
    alice.close().await;
    network.registry.shutdown().await;
}
