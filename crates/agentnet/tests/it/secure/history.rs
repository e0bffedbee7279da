//! History by right (PROTOCOL.md section 23.7): an agent reads what it has sent or received, observers read everything.

use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{MessageSearchRequest, ThreadListRequest, ThreadMessagesRequest, ThreadStatusRequest};
use agentnet::{RegistryClient, Until, json};
use agentnet_testkit::eventually;

use crate::secure::network::{DEADLINE, SecureNetwork};

fn thread(id: &str) -> ThreadMessagesRequest {
    ThreadMessagesRequest {
        thread_id: id.into(),
        ..ThreadMessagesRequest::default()
    }
}

/// The texts of a thread as somebody sees it, newest first, once there are so many.
async fn texts(registry: &RegistryClient, id: &str, count: usize) -> Vec<String> {
    let look = async || {
        let page = registry.call(&thread(id)).await.map_err(|error| error.to_string())?;
        let texts: Vec<String> = page
            .messages
            .iter()
            .map(|message| message.payload.get().to_owned())
            .collect();
        match texts.len() == count {
            true => Ok(texts),
            false => Err(format!("{texts:?}")),
        }
    };
    eventually(DEADLINE, look).await.unwrap()
}

#[tokio::test]
async fn members_read_their_own_messages_and_observers_all() {
    let network = SecureNetwork::start().await;
    let (alice, bob, mallory) = (
        network.agent("alice").await,
        network.agent("bob").await,
        network.agent("mallory").await,
    );
    let take = |node: agentnet::AgentBuilder| node.on_message(|_, _| async { Ok(()) });
    let (nodes, eye) = (
        (
            alice.start(take).await,
            bob.start(take).await,
            mallory.start(take).await,
        ),
        network.member("eye", Role::Observer).await.registry().await,
    );
    for (text, from, to) in [
        ("secret", &nodes.0, "bob"),
        // Anybody may write into a thread whose id it knows: that shows it nothing of the thread.
        ("nosy", &nodes.2, "bob"),
    ] {
        from.send_to_username(to, json!(text))
            .thread("t1")
            .until(Until::Processed)
            .receipt_timeout(DEADLINE)
            .await
            .unwrap();
    }
    assert_eq!(texts(&eye, "t1", 2).await, [r#""nosy""#, r#""secret""#]);
    let (of_alice, of_bob, of_mallory) = (alice.registry().await, bob.registry().await, mallory.registry().await);
    assert_eq!(texts(&of_bob, "t1", 2).await.len(), 2);
    assert_eq!(texts(&of_alice, "t1", 1).await, [r#""secret""#]);
    assert_eq!(texts(&of_mallory, "t1", 1).await, [r#""nosy""#]);
    let counted = of_mallory
        .call(&ThreadStatusRequest {
            thread_id: "t1".into(),
            ..ThreadStatusRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(counted.thread.message_count, 1);
    let found = of_mallory.call(&MessageSearchRequest::default()).await.unwrap();
    assert!(
        found
            .messages
            .iter()
            .all(|message| message.payload.get() != r#""secret""#)
    );
    // A thread without a message of one's own is like one that is not there.
    nodes
        .0
        .send_to_username("bob", json!("more"))
        .thread("t2")
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
    texts(&eye, "t2", 1).await;
    let status = |id: &str| ThreadStatusRequest {
        thread_id: id.into(),
        ..ThreadStatusRequest::default()
    };
    let hidden = of_mallory.call(&status("t2")).await.unwrap_err().to_string();
    let missing = of_mallory.call(&status("t3")).await.unwrap_err().to_string();
    assert_eq!(hidden, missing);
    let threads = of_mallory.call(&ThreadListRequest::default()).await.unwrap().results;
    assert!(threads.iter().all(|thread| thread.thread_id != "t2"), "{threads:?}");
    network.registry.shutdown().await;
}
