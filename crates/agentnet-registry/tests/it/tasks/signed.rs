//! Tasks under signed identity: every change is signed by the account that makes it, and messages by their senders.

use std::time::SystemTime;

use agentnet_protocol::rpc::{
    Request, RequestAuth, SignedRequest, TaskCancelRequest, TaskClaimRequest, TaskCreateRequest, TaskFinishRequest,
    TaskHeartbeat, TaskHeartbeatRequest,
};
use agentnet_protocol::signature::SigningKey;
use agentnet_protocol::task::TaskState;
use agentnet_protocol::{Envelope, message_auth, register_auth};
use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, Network};
use crate::tasks::client::{config, kinds, refused, status, until_state};

/// An account with its key and its session.
struct Owner {
    key: SigningKey,
    account_id: String,
    session_tag: String,
}

impl Owner {
    async fn join(net: &Network, name: &str, seed: u8) -> Self {
        let key = SigningKey::from_seed(&[seed; 32]);
        let now = SystemTime::now().into();
        let claims = register_auth::claims(name, "N", Some(name), None, now, &format!("join_{name}"));
        let auth: Value = serde_json::from_str(key.auth(&claims).get()).unwrap();
        let request = json!({"agent_id": name, "name": "N", "username": name, "auth": auth, "tasks": "claim"});
        let reply = net.ask("register", request).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        Self {
            key,
            account_id: reply["account_id"].as_str().unwrap().to_owned(),
            session_tag: reply["session_tag"].as_str().unwrap().to_owned(),
        }
    }

    fn claim(&self) -> TaskClaimRequest {
        TaskClaimRequest {
            account_id: self.account_id.clone(),
            session_tag: self.session_tag.clone(),
            max: 1,
            ..TaskClaimRequest::default()
        }
    }

    /// Sends a message, signed by this key, in the name of an account.
    async fn tell(&self, net: &Network, id: &str, from: &str, to: &str, payload: Value) {
        let message = json!({"message_id": id, "from_agent": "a", "from_account_id": from, "to_agent": to, "to_account_id": to,
                             "kind": "direct", "thread_id": "talk", "payload": payload, "sent_at": agentnet_protocol::Timestamp::from(std::time::SystemTime::now()).to_string()});
        let mut envelope = Envelope::decode(message.to_string()).unwrap();
        envelope.auth = Some(message_auth::sign(&self.key, &envelope));
        let body = String::from_utf8(envelope.encode().to_vec()).unwrap();
        net.publish(&format!("account.{to}.inbox"), body).await;
    }
}

/// The reply to a request that is signed with this key.
async fn ask<R: SignedRequest>(net: &Network, mut request: R, key: &SigningKey, nonce: &str) -> Value {
    request.sign(key, SystemTime::now().into(), nonce);
    serde_json::from_str(&net.ask_raw(R::NAME, request.encode()).await).unwrap()
}

#[rstest]
#[tokio::test]
async fn every_change_is_signed_by_its_account(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Owner::join(&net, "alice", 1).await;
    let bob = Owner::join(&net, "bob", 2).await;
    let create = || TaskCreateRequest {
        task_id: Some("t".into()),
        ..TaskCreateRequest::new(alice.account_id.clone(), bob.account_id.clone(), "do it")
    };
    let unsigned = net.ask_raw("task_create", create().encode()).await;
    refused(&serde_json::from_str(&unsigned).unwrap(), "auth_required");
    refused(&ask(&net, create(), &bob.key, "c1").await, "auth_public_key_mismatch");
    let created = ask(&net, create(), &alice.key, "c2").await;
    assert_eq!(created["created"], true, "{created}");
    refused(&ask(&net, create(), &alice.key, "c2").await, "auth_nonce_replayed");
    refused(
        &ask(&net, bob.claim(), &alice.key, "l1").await,
        "auth_public_key_mismatch",
    );
    let claimed = ask(&net, bob.claim(), &bob.key, "l2").await;
    let claimed = &claimed["tasks"][0];
    let lease = claimed["lease"]
        .as_str()
        .unwrap_or_else(|| panic!("{claimed}"))
        .to_owned();
    let beat = TaskHeartbeatRequest {
        account_id: bob.account_id.clone(),
        session_tag: bob.session_tag.clone(),
        items: vec![TaskHeartbeat {
            task_id: "t".into(),
            attempt: 1,
            lease: lease.clone(),
            progress: None,
            checkpoint: None,
        }],
        auth: RequestAuth::default(),
    };
    refused(
        &ask(&net, beat.clone(), &alice.key, "h1").await,
        "auth_public_key_mismatch",
    );
    assert_eq!(ask(&net, beat, &bob.key, "h2").await["items"][0]["ok"], true);
    let cancel = TaskCancelRequest {
        account_id: alice.account_id.clone(),
        task_id: "t".into(),
        ..TaskCancelRequest::default()
    };
    refused(&ask(&net, cancel, &bob.key, "x1").await, "auth_public_key_mismatch");
    let finish = TaskFinishRequest {
        account_id: bob.account_id.clone(),
        session_tag: bob.session_tag.clone(),
        task_id: "t".into(),
        attempt: 1,
        lease,
        finish_id: "f".into(),
        state: TaskState::Completed,
        result: None,
        text: None,
        code: None,
        detail: None,
        retryable: false,
        auth: RequestAuth::default(),
    };
    refused(
        &ask(&net, finish.clone(), &alice.key, "f1").await,
        "auth_public_key_mismatch",
    );
    assert_eq!(ask(&net, finish, &bob.key, "f2").await["state"], "completed");
    // Everybody may look.
    assert_eq!(status(&net, "t").await["state"], "completed");
}

/// Only a message that is signed by the account that it names says something about a task.
#[rstest]
#[tokio::test]
async fn messages_count_with_the_signature_of_their_sender(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..config(&net)
    };
    let _registry = net.registry_with(config).await;
    let alice = Owner::join(&net, "alice", 1).await;
    let bob = Owner::join(&net, "bob", 2).await;
    let (a, b) = (alice.account_id.as_str(), bob.account_id.as_str());
    let assign = |task_id: &str| json!({"type": "task.assign", "task_id": task_id, "text": "x"});
    bob.tell(&net, "m1", a, b, assign("forged")).await;
    alice.tell(&net, "m2", a, b, assign("t")).await;
    until_state(&net, "t", "submitted").await;
    alice
        .tell(
            &net,
            "m3",
            b,
            a,
            json!({"type": "task.result", "task_id": "t", "text": "forged"}),
        )
        .await;
    bob.tell(
        &net,
        "m4",
        b,
        a,
        json!({"type": "task.progress", "task_id": "t", "text": "going"}),
    )
    .await;
    until_state(&net, "t", "working").await;
    net.history("talk", 4).await;
    assert_eq!(kinds(&net, "t").await, ["created", "progress"]);
    let forged = net.ask("task_status", json!({"task_id": "forged"})).await;
    assert_eq!(forged, json!({"error": "not_found"}));
}
