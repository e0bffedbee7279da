//! A policy also holds where the registry delivers for a sender (PROTOCOL.md section 23.2).

use std::time::{SystemTime, UNIX_EPOCH};

use agentnet::protocol::Timestamp;
use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{MailboxPutRequest, MemberGrantRequest, SendPolicy, TaskCreateRequest};
use agentnet::{RawJson, RegistryClient, json};

use crate::secure::network::{Member, SecureNetwork};

/// What a member left in a mailbox, or its refusal.
async fn left(registry: &RegistryClient, from: &Member, to: &Member, id: &str) -> Result<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let sent_at = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap());
    let envelope = json!({
        "message_id": id, "from_account_id": from.account_id, "to_account_id": to.account_id, "to_agent": to.name,
        "kind": "direct", "schema_version": "1.1", "ttl_ms": 600_000, "sent_at": sent_at.to_string(),
        "expires_at": "2099-01-01T00:00:00Z", "mailbox": true, "payload": { "text": "hello" },
    });
    let put = MailboxPutRequest {
        envelope: RawJson::parse(envelope.to_string()).unwrap(),
        direct: false,
    };
    registry
        .call(&put)
        .await
        .map(|put| put.state)
        .map_err(|error| error.to_string())
}

async fn asked(registry: &RegistryClient, from: &Member, to: &str) -> Result<(), String> {
    let task = TaskCreateRequest::new(&from.account_id, to, "do it");
    registry.call(&task).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn mailboxes_and_tasks_obey_it_at_once() {
    let network = SecureNetwork::start().await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let (alice, bob, carol) = (
        network.agent("alice").await,
        network.agent("bob").await,
        network.agent("carol").await,
    );
    let registry = alice.registry().await;
    let policy = |may_send_to: SendPolicy| MemberGrantRequest {
        username: Some("alice".into()),
        may_send_to,
        ..MemberGrantRequest::default()
    };
    let only = SendPolicy::Only(vec![bob.account_id.clone(), "capability:sum".into()]);
    operator.call(&policy(only)).await.unwrap();
    let refused = left(&registry, &alice, &carol, "m1").await.unwrap_err();
    assert!(refused.starts_with("forbidden: "), "{refused}");
    assert_eq!(left(&registry, &alice, &bob, "m2").await.unwrap(), "queued");
    for to in [carol.account_id.as_str(), "capability:paint"] {
        let refused = asked(&registry, &alice, to).await.unwrap_err();
        assert!(refused.starts_with("forbidden: "), "{to}: {refused}");
    }
    for to in [bob.account_id.as_str(), "capability:sum"] {
        asked(&registry, &alice, to).await.unwrap();
    }
    operator.call(&policy(SendPolicy::Everybody)).await.unwrap();
    assert_eq!(left(&registry, &alice, &carol, "m3").await.unwrap(), "queued");
    asked(&registry, &alice, &carol.account_id).await.unwrap();

    // Observers send nothing.
    let eye = network.member("eye", Role::Observer).await;
    let registry = eye.registry().await;
    for refused in [
        left(&registry, &eye, &bob, "m4").await.unwrap_err(),
        asked(&registry, &eye, &bob.account_id).await.unwrap_err(),
    ] {
        assert!(refused.starts_with("forbidden: "), "{refused}");
    }
    network.registry.shutdown().await;
}
