//! What a member with raw clients tries, and what refuses it (PROTOCOL.md section 23.6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentnet::protocol::rpc::{MailboxListRequest, MemberListRequest, MessageSearchRequest, RotateKeyRequest};
use agentnet::{RegistryError, Until, json};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::secure::network::{DEADLINE, SecureNetwork, refusal};

/// A message as a member would write it.
fn message(id: &str, from: &str, to: &str) -> Bytes {
    json!({
        "message_id": id, "from_account_id": from, "to_account_id": to, "to_agent": to, "kind": "direct",
        "schema_version": "1.1", "ttl_ms": 60_000, "sent_at": agentnet::protocol::Timestamp::from_micros(0).to_string(),
        "expires_at": "2099-01-01T00:00:00Z", "payload": { "text": "hello" },
    })
    .to_string()
    .into()
}

#[tokio::test]
async fn the_broker_refuses_what_is_not_ones_own() {
    let network = SecureNetwork::start().await;
    let (alice, mallory) = (network.agent("alice").await, network.agent("mallory").await);
    let (client, mut refusals) = mallory.raw().await;
    let (own, other) = (&mallory.account_id, &alice.account_id);
    for subject in [
        format!("account.{other}.inbox"),
        format!("account.{other}.inbox.{other}"),
        format!("account.{own}.receipts.{other}"),
        format!("registry.hello.{other}"),
        "registry.hello".to_owned(),
        format!("agentnet.reply.{other}.t.1"),
        format!("agentnet.reply.{other}.t.1.{other}"),
        format!("_AGENTNET.{other}.x"),
        "agentnet.registry.announce".to_owned(),
        format!("agentnet.events.{own}.mailbox"),
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY".to_owned(),
        "$JS.API.STREAM.MSG.GET.AGENTNET_HISTORY".to_owned(),
        "$JS.API.INFO".to_owned(),
        "$JS.ACK.AGENTNET_HISTORY.agentnet-registry.1.1.1.1.1".to_owned(),
        "$SYS.REQ.USER.AUTH".to_owned(),
    ] {
        client.publish(subject.clone(), "x".into()).await.unwrap();
        let refused = refusal(&mut refusals).await;
        assert!(
            refused.to_lowercase().contains("publish") && refused.contains(&subject),
            "{subject}: {refused}"
        );
    }
    for subject in [
        ">".to_owned(),
        "account.>".to_owned(),
        format!("account.{other}.inbox.*"),
        format!("account.{own}.inbox.*"),
        format!("account.{other}.receipts.*"),
        "agent.capability.chat.*".to_owned(),
        "agentnet.reply.>".to_owned(),
        format!("_AGENTNET.{other}.>"),
        "_AGENTNET.>".to_owned(),
        "registry.>".to_owned(),
        "$JS.API.>".to_owned(),
    ] {
        let mut taken = client.subscribe(subject.clone()).await.unwrap();
        let refused = refusal(&mut refusals).await;
        assert!(
            refused.to_lowercase().contains("subscription") && refused.contains(&subject),
            "{subject}: {refused}"
        );
        taken.unsubscribe().await.unwrap();
    }
    network.registry.shutdown().await;
}

#[tokio::test]
async fn a_message_in_the_name_of_another_is_neither_handled_nor_stored() {
    let network = SecureNetwork::start().await;
    let (alice, mallory) = (network.agent("alice").await, network.agent("mallory").await);
    let member = network.agent("bob").await;
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let bob = member
        .start(|node| {
            node.on_message(move |_, _| {
                counted.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(()))
            })
        })
        .await;
    let (client, _refusals) = mallory.raw().await;
    let own_receipts = format!("account.{}.receipts.*", mallory.account_id);
    let mut receipts = client.subscribe(own_receipts).await.unwrap();
    let subject = format!("account.{}.inbox.{}", member.account_id, mallory.account_id);
    let forged = message("forged-1", &alice.account_id, &member.account_id);
    client.publish(subject.clone(), forged).await.unwrap();
    let receipt = tokio::time::timeout(DEADLINE, receipts.next()).await.unwrap().unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt.payload).unwrap();
    assert_eq!(
        (&receipt["status"], &receipt["code"], &receipt["message_id"]),
        (&json!("rejected"), &json!("auth_issuer_mismatch"), &json!("forged-1"))
    );
    // The next one is its own: it is handled, and stored behind the forged one.
    let honest = mallory.start(|node| node).await;
    honest
        .send_to_account(member.account_id.clone(), json!(1))
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(handled.load(Ordering::Relaxed), 1);
    let observer = network
        .member("eye", agentnet::protocol::permissions::Role::Observer)
        .await;
    let observer = observer.registry().await;
    let stored = agentnet_testkit::eventually(DEADLINE, async || {
        let found = observer
            .call(&MessageSearchRequest::default())
            .await
            .map_err(|error| error.to_string())?;
        match found.messages.is_empty() {
            true => Err("nothing is stored yet".to_owned()),
            false => Ok(found.messages),
        }
    });
    let stored = stored.await.unwrap();
    assert!(
        stored.iter().all(|message| message.message_id != "forged-1"),
        "{stored:?}"
    );
    honest.close().await;
    bob.close().await;
    network.registry.shutdown().await;
}

#[tokio::test]
async fn requests_for_others_are_forbidden() {
    let network = SecureNetwork::start().await;
    let (alice, mallory) = (network.agent("alice").await, network.agent("mallory").await);
    let registry = mallory.registry().await;
    let forbidden = |error: RegistryError| {
        let told = error.to_string();
        assert!(told.contains("forbidden: "), "{told}");
    };
    forbidden(registry.call(&MemberListRequest::default()).await.unwrap_err());
    let mailbox = MailboxListRequest {
        account_id: Some(alice.account_id.clone()),
        ..MailboxListRequest::default()
    };
    forbidden(registry.call(&mailbox).await.unwrap_err());
    let rotation = RotateKeyRequest {
        account_id: alice.account_id.clone(),
        new_public_key: "A".repeat(43),
        ..RotateKeyRequest::default()
    };
    forbidden(registry.call(&rotation).await.unwrap_err());
    let other_name = mallory.node().username("alice").start().await.unwrap_err();
    assert!(
        other_name.to_string().contains("the credential is of @mallory"),
        "{other_name}"
    );
    network.registry.shutdown().await;
}

/// The broker does not check reply subjects: who answers is a deputy of who asks.
#[tokio::test]
async fn the_registry_answers_only_below_the_prefix_of_the_caller() {
    let network = SecureNetwork::start_with("").await;
    let (alice, mallory) = (network.agent("alice").await, network.agent("mallory").await);
    let victim = alice.registry().await;
    let mut inbox = victim
        .nats()
        .subscribe(format!("_AGENTNET.{}.>", alice.account_id))
        .await
        .unwrap();
    let (client, _refusals) = mallory.raw().await;
    let subject = format!("registry.list.{}", mallory.account_id);
    for reply in [
        format!("_AGENTNET.{}.x.1", alice.account_id),
        format!("account.{}.receipts", alice.account_id),
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY".to_owned(),
        "registry.hello".to_owned(),
    ] {
        client
            .publish_with_reply(subject.clone(), reply, "{}".into())
            .await
            .unwrap();
    }
    // Behind them, a request that is answered.
    let own = format!("_AGENTNET.{}.x.1", mallory.account_id);
    let mut answers = client.subscribe(own.clone()).await.unwrap();
    client.publish_with_reply(subject, own, "{}".into()).await.unwrap();
    tokio::time::timeout(DEADLINE, answers.next()).await.unwrap().unwrap();
    // Whatever was for her would have come before the answer to a request of her own.
    victim.list_online().await.unwrap();
    let for_her = async {
        while let Some(message) = inbox.next().await {
            assert!(!message.subject.ends_with(".x.1"), "{}", message.subject);
        }
    };
    assert!(futures::FutureExt::now_or_never(for_her).is_none());
    network.registry.shutdown().await;
}
