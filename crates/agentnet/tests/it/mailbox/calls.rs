//! The calls about mailboxes, and the high-level SDK.

use agentnet::protocol::mailbox::{MailboxAction, MailboxState};
use agentnet::protocol::rpc::{MailboxActionRequest, MailboxListRequest, RequestAuth};
use agentnet::protocol::target::Target;
use agentnet::{AgentSdk, RegistryClient, RegistryError, SigningKey};
use serde_json::json;

use crate::mailbox::network::*;
use crate::mailbox::scripted::DAY;

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_looked_at_and_cleared() {
    let network = Network::start().await;
    network.offline("bob").await;
    let sdk = AgentSdk::from(network.agent("alice").start().await.unwrap());
    let kept = sdk.send_text("@bob", "first").thread("t").mailbox(DAY).await.unwrap();
    assert!(kept.queued, "{kept:?}");
    assert!(kept.detail.is_some(), "{kept:?}");
    assert_eq!(kept.thread_id, "t");
    sdk.send_text("@bob", "second").mailbox(DAY).await.unwrap();

    let registry = RegistryClient::connect(&network.nats.url()).await.unwrap();
    let bob = Target::Username("bob".to_owned());
    let status = registry.mailbox_status(Some(&bob)).await.unwrap();
    assert_eq!((status.queued, status.leased, status.dead), (2, 0, 0));
    let account_id = status.account_id.unwrap();
    let same = registry
        .mailbox_status(Some(&Target::Account(account_id.clone())))
        .await;
    assert_eq!(same.unwrap().queued, 2);
    assert_eq!(registry.mailbox_status(None).await.unwrap().queued, 2);
    let capability = registry
        .mailbox_status(Some(&Target::Capability("build".to_owned())))
        .await;
    assert!(
        capability
            .unwrap_err()
            .to_string()
            .starts_with("a capability has no mailbox")
    );
    let unknown = registry
        .mailbox_status(Some(&Target::Username("nobody".to_owned())))
        .await;
    assert!(matches!(unknown, Err(RegistryError::Refused(text)) if text.starts_with("mailbox_unknown_account")));

    let of_bob = MailboxListRequest {
        username: Some("bob".to_owned()),
        limit: 1,
        ..MailboxListRequest::default()
    };
    let page = registry.mailbox_list(of_bob.clone()).await.unwrap();
    assert_eq!(page.messages[0].message_id, kept.message_id);
    assert_eq!(page.messages[0].preview, "first");
    let rest = registry
        .mailbox_list(MailboxListRequest {
            cursor: page.next_cursor,
            ..of_bob
        })
        .await
        .unwrap();
    assert_eq!(rest.messages[0].preview, "second");

    // Without signed identity everybody may clear it.
    let drop_first = MailboxActionRequest {
        account_id,
        session_tag: String::new(),
        action: MailboxAction::Drop,
        message_ids: vec![kept.message_id],
        state: None,
        auth: RequestAuth::default(),
    };
    assert_eq!(registry.mailbox_action(drop_first, None).await.unwrap().changed, 1);
    let bob = network.agent("bob").start().await.unwrap();
    assert_eq!(bob.mailbox_status().await.unwrap().queued, 1);
    assert_eq!(
        bob.mailbox_list(MailboxListRequest::default())
            .await
            .unwrap()
            .messages
            .len(),
        1
    );
    let dropped = bob
        .mailbox_action(MailboxAction::Drop, Vec::new(), Some(MailboxState::Queued))
        .await
        .unwrap();
    assert_eq!(dropped.changed, 1);
    until_empty(&bob).await;
    bob.close().await;
    sdk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_clears_a_signed_mailbox() {
    let network = Network::with_dev_auth(true).await;
    network.offline("bob").await;
    let alice = network.agent("alice").start().await.unwrap();
    let sent = alice
        .send("@bob", json!({ "text": "kept" }))
        .mailbox(DAY)
        .await
        .unwrap();
    assert!(sent.is_queued(), "{sent:?}");
    // Its session has no handler: the message waits on.
    let bob = network.agent("bob").start().await.unwrap();
    let request = MailboxActionRequest {
        account_id: bob.account_id().unwrap(),
        session_tag: String::new(),
        action: MailboxAction::Drop,
        message_ids: vec![sent.sent.message_id.clone()],
        state: None,
        auth: RequestAuth::default(),
    };
    let registry = alice.registry().unwrap();
    let stranger = SigningKey::from_seed(&[9; 32]);
    for key in [None, Some(&stranger)] {
        let refused = registry.mailbox_action(request.clone(), key).await.unwrap_err();
        assert!(refused.to_string().starts_with("auth_"), "{refused}");
    }
    assert_eq!(bob.mailbox_status().await.unwrap().queued, 1);
    let ids = request.message_ids;
    let dropped = bob.mailbox_action(MailboxAction::Drop, ids, None).await.unwrap();
    assert_eq!(dropped.changed, 1);
    for node in [alice, bob] {
        node.close().await;
    }
}
