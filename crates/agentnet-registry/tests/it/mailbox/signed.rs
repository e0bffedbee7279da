//! Mailboxes under signed identity: the sender has signed what is kept, and only the account's owner takes it.

use std::time::SystemTime;

use agentnet_protocol::mailbox::{MailboxAction, MailboxOutcome};
use agentnet_protocol::rpc::{
    MailboxAckItem, MailboxAckRequest, MailboxActionRequest, MailboxExtendRequest, MailboxLeaseRequest, SignedRequest,
};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::{Envelope, Receipt, message_auth, register_auth};
use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::{Value, json};

use crate::mailbox::client::{config, letter, put, send, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, Network};

/// An account with its key and its session.
struct Owner {
    key: SigningKey,
    account_id: String,
    session_tag: String,
}

impl Owner {
    async fn join(net: &Network, name: &str, seed: u8, nonce: &str) -> Self {
        let key = SigningKey::from_seed(&[seed; 32]);
        let now = SystemTime::now().into();
        let claims = register_auth::claims(name, "N", Some(name), None, now, nonce);
        let auth: Value = serde_json::from_str(key.auth(&claims).get()).unwrap();
        let request = json!({"agent_id": name, "name": "N", "username": name, "auth": auth, "mailbox": "pull"});
        let reply = net.ask("register", request).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        Self {
            key,
            account_id: reply["account_id"].as_str().unwrap().to_owned(),
            session_tag: reply["session_tag"].as_str().unwrap().to_owned(),
        }
    }

    /// A message, signed by this account.
    fn letter(&self, id: &str, to: &str) -> Value {
        let envelope = Envelope::decode(letter(id, &self.account_id, to).to_string()).unwrap();
        let mut signed: Value = serde_json::from_slice(&envelope.encode()).unwrap();
        let auth = message_auth::sign(&self.key, &envelope);
        signed["auth"] = serde_json::from_str(auth.get()).unwrap();
        signed
    }

    fn lease(&self) -> MailboxLeaseRequest {
        MailboxLeaseRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            ..MailboxLeaseRequest::default()
        }
    }
}

/// The reply to a request that is signed with this key.
async fn ask<R: SignedRequest>(net: &Network, mut request: R, key: &SigningKey, nonce: &str) -> Value {
    request.sign(key, SystemTime::now().into(), nonce);
    serde_json::from_str(&net.ask_raw(R::NAME, request.encode()).await).unwrap()
}

#[track_caller]
fn refused(reply: &Value, code: &str) {
    let error = reply["error"].as_str().unwrap_or_else(|| panic!("{code}: {reply}"));
    assert!(error.starts_with(&format!("{code}: ")), "{code}: {error}");
}

#[rstest]
#[tokio::test]
async fn only_the_owner_of_a_mailbox_takes_its_messages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Owner::join(&net, "alice", 1, "n1").await;
    let bob = Owner::join(&net, "bob", 2, "n2").await;
    let message = alice.letter("m1", &bob.account_id);
    let mut unsigned = message.clone();
    unsigned["auth"] = json!(null);
    refused(&put(&net, &unsigned).await, "auth_missing");
    let mut changed = message.clone();
    changed["payload"] = json!("changed");
    refused(&put(&net, &changed).await, "auth_claims_mismatch");
    let forged = Owner {
        key: SigningKey::from_seed(&[9; 32]),
        ..Owner::join(&net, "alice", 1, "n3").await
    };
    refused(
        &put(&net, &forged.letter("m2", &bob.account_id)).await,
        "auth_public_key_mismatch",
    );
    assert_eq!(put(&net, &message).await["state"], "queued");

    let unsigned = net
        .ask_raw("mailbox_lease", agentnet_protocol::rpc::Request::encode(&bob.lease()))
        .await;
    refused(&serde_json::from_str(&unsigned).unwrap(), "auth_required");
    refused(
        &ask(&net, bob.lease(), &alice.key, "l1").await,
        "auth_public_key_mismatch",
    );
    let leased = ask(&net, bob.lease(), &bob.key, "l2").await;
    assert_eq!(leased["messages"][0]["envelope"]["message_id"], "m1", "{leased}");
    refused(&ask(&net, bob.lease(), &bob.key, "l2").await, "auth_nonce_replayed");
    let lease = leased["messages"][0]["lease"].as_str().unwrap().to_owned();
    let extend = MailboxExtendRequest {
        account_id: bob.account_id.clone(),
        session_tag: bob.session_tag.clone(),
        leases: vec![lease.clone()],
        lease_ms: 60_000,
        ..MailboxExtendRequest::default()
    };
    refused(
        &ask(&net, extend.clone(), &alice.key, "e1").await,
        "auth_public_key_mismatch",
    );
    assert_eq!(ask(&net, extend, &bob.key, "e2").await["acked"], 1);
    let ack = MailboxAckRequest {
        account_id: bob.account_id.clone(),
        session_tag: bob.session_tag.clone(),
        acks: vec![MailboxAckItem {
            lease,
            outcome: MailboxOutcome::Dead,
            delay_ms: None,
            code: Some("expired".to_owned()),
            detail: None,
        }],
        ..MailboxAckRequest::default()
    };
    refused(
        &ask(&net, ack.clone(), &alice.key, "a1").await,
        "auth_public_key_mismatch",
    );
    assert_eq!(ask(&net, ack, &bob.key, "a2").await["acked"], 1);
    let action = MailboxActionRequest {
        account_id: bob.account_id.clone(),
        session_tag: String::new(),
        action: MailboxAction::Drop,
        message_ids: vec!["m1".to_owned()],
        state: None,
        auth: agentnet_protocol::rpc::RequestAuth::default(),
    };
    refused(
        &ask(&net, action.clone(), &alice.key, "d1").await,
        "auth_public_key_mismatch",
    );
    assert_eq!(ask(&net, action, &bob.key, "d2").await["changed"], 1);
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}

/// What is published to the inbox of an account that is offline is kept only with its sender's signature, and the receipt is
/// signed by the registry.
#[rstest]
#[tokio::test]
async fn receipts_of_mailboxes_are_signed(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Owner::join(&net, "alice", 1, "n1").await;
    let bob = Owner::join(&net, "bob", 2, "n2").await;
    net.publish("registry.goodbye", json!({"session_tag": bob.session_tag}))
        .await;
    assert_eq!(net.online().await, ["alice"]);
    let receipts = Heard::receipts(&net, &alice.account_id).await;
    let mut unsigned = alice.letter("m1", &bob.account_id);
    unsigned["auth"] = json!(null);
    send(&net, &unsigned).await;
    send(&net, &alice.letter("m2", &bob.account_id)).await;
    let receipt = receipts.with(&[("message_id", "m2")]).await;
    assert_eq!(receipt["status"], "queued", "{receipt}");
    let key = net
        .ask("resolve_key", json!({"account_id": "acct_registry_registry"}))
        .await;
    let receipt = Receipt::decode(receipt.to_string()).unwrap();
    assert_eq!(receipt.signed_by().as_deref(), key["public_key"].as_str());
    assert_eq!(receipts.texts("message_id"), ["m2"]);
    until_counts(&net, &bob.account_id, [1, 0, 0]).await;
}
