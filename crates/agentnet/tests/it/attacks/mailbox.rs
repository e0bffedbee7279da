//! Mailboxes of other accounts: taking, ending and deleting their messages, and leaving messages in another name (PROTOCOL.md
//! sections 13.8 and 21.3).

use agentnet::SigningKey;
use agentnet::protocol::mailbox::{MailboxAction, MailboxOutcome, code_of};
use agentnet::protocol::rpc::{
    MailboxAckItem, MailboxAckRequest, MailboxActionRequest, MailboxExtendRequest, MailboxLeaseRequest, Request as _,
    RequestAuth, SignedRequest,
};
use agentnet::protocol::signing_scope::SigningScope;
use serde_json::{Value, json};

use crate::attacks::harness::*;
use crate::net::{from_now, parse};

/// A request signed with a key, made so many milliseconds from now.
pub(crate) fn signed_request<R: SignedRequest>(mut request: R, key: &SigningKey, millis: i128) -> Value {
    let at = agentnet::protocol::Timestamp::parse(&from_now(millis)).unwrap();
    request.sign(key, at, &agentnet::protocol::ids::uuid4_hex(rand::random()));
    parse(request.encode().as_bytes())
}

fn lease(owner: &Peer) -> MailboxLeaseRequest {
    MailboxLeaseRequest {
        account_id: owner.account_id.clone(),
        session_tag: owner.session_tag.clone(),
        ..MailboxLeaseRequest::default()
    }
}

fn extend(owner: &Peer, lease: &str) -> MailboxExtendRequest {
    MailboxExtendRequest {
        account_id: owner.account_id.clone(),
        session_tag: owner.session_tag.clone(),
        leases: vec![lease.to_owned()],
        lease_ms: 600_000,
        auth: RequestAuth::default(),
    }
}

fn ack(owner: &Peer, lease: &str, outcome: MailboxOutcome) -> MailboxAckRequest {
    MailboxAckRequest {
        account_id: owner.account_id.clone(),
        session_tag: owner.session_tag.clone(),
        acks: vec![MailboxAckItem {
            lease: lease.to_owned(),
            outcome,
            delay_ms: None,
            code: None,
            detail: None,
        }],
        auth: RequestAuth::default(),
    }
}

fn drop_message(owner: &Peer, message_id: &str) -> MailboxActionRequest {
    MailboxActionRequest {
        account_id: owner.account_id.clone(),
        session_tag: String::new(),
        action: MailboxAction::Drop,
        message_ids: vec![message_id.to_owned()],
        state: None,
        auth: RequestAuth::default(),
    }
}

/// Registers an agent that takes its mailbox itself.
async fn pulling_peer(realm: &Realm, id: &str) -> Peer {
    let mut peer = realm.peer(id, SigningScope::ALL).await;
    let request = with(registration(id, &peer.key, SigningScope::ALL), "mailbox", json!("pull"));
    let reply = realm.ask("register", &request).await;
    peer.session_tag = reply["session_tag"].as_str().unwrap().to_owned();
    peer
}

/// Leaves a message; gives the state in the reply.
async fn put(realm: &Realm, message: &Value) -> Value {
    let reply = realm.ask("mailbox_put", &json!({ "envelope": message })).await;
    assert_eq!(reply.get("error"), None, "{reply}");
    reply["state"].clone()
}

/// What everybody sees of a mailbox.
async fn listed(realm: &Realm, owner: &Peer) -> Value {
    let list = realm
        .ask("mailbox_list", &json!({ "account_id": owner.account_id }))
        .await;
    list["messages"].clone()
}

#[track_caller]
pub(crate) fn assert_code(reply: &Value, code: &str, what: &str) {
    let error = reply["error"].as_str().unwrap_or_else(|| panic!("{what}: {reply}"));
    assert_eq!(code_of(error), code, "{what}: {error}");
}

/// Requests on the owner's mailbox that are not the owner's, with the codes of their refusals.
fn forged_requests(
    owner: &Peer,
    mallory: &Peer,
    lease_id: &str,
) -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let unsigned = |request: &str| parse(request.as_bytes());
    let good = || signed_request(lease(owner), &owner.key, 0);
    let mut other_session = lease(owner);
    other_session.session_tag.clone_from(&mallory.session_tag);
    let other_session = signed_request(other_session, &owner.key, 0);
    vec![
        (
            "an unsigned lease",
            "mailbox_lease",
            unsigned(&lease(owner).encode()),
            "auth_required",
        ),
        (
            "another's lease",
            "mailbox_lease",
            signed_request(lease(owner), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "an old lease",
            "mailbox_lease",
            signed_request(lease(owner), &owner.key, -121_000),
            "auth_claims_timestamp_skew",
        ),
        (
            "a lease from the future",
            "mailbox_lease",
            signed_request(lease(owner), &owner.key, 122_000),
            "auth_claims_timestamp_skew",
        ),
        (
            "a changed lease",
            "mailbox_lease",
            with(good(), "max", json!(100)),
            "auth_claims_invalid",
        ),
        (
            "a number of another type",
            "mailbox_lease",
            with(good(), "max", json!(10.0)),
            "auth_claims_invalid",
        ),
        (
            "a further member",
            "mailbox_lease",
            with(good(), "more", json!(1)),
            "auth_claims_invalid",
        ),
        (
            "a lease moved to another session",
            "mailbox_lease",
            with(good(), "session_tag", json!(mallory.session_tag)),
            "auth_claims_invalid",
        ),
        (
            "a lease moved to another account",
            "mailbox_lease",
            with(good(), "account_id", json!(mallory.account_id)),
            "auth_claims_account_mismatch",
        ),
        (
            "a lease for a session of another account",
            "mailbox_lease",
            other_session,
            "mailbox_session_unknown",
        ),
        (
            "a registration's signature",
            "mailbox_lease",
            with(
                good(),
                "auth",
                registration(&owner.id, &owner.key, SigningScope::ALL)["auth"].clone(),
            ),
            "auth_claims_invalid",
        ),
        (
            "an unsigned extension",
            "mailbox_extend",
            unsigned(&extend(owner, lease_id).encode()),
            "auth_required",
        ),
        (
            "an extension with a lease's signature",
            "mailbox_extend",
            with(
                parse(extend(owner, lease_id).encode().as_bytes()),
                "auth",
                good()["auth"].clone(),
            ),
            "auth_claims_invalid",
        ),
        (
            "an unsigned acknowledgement",
            "mailbox_ack",
            unsigned(&ack(owner, lease_id, MailboxOutcome::Done).encode()),
            "auth_required",
        ),
        (
            "another's acknowledgement",
            "mailbox_ack",
            signed_request(ack(owner, lease_id, MailboxOutcome::Dead), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
        (
            "an unsigned action",
            "mailbox_action",
            unsigned(&drop_message(owner, "m2").encode()),
            "auth_required",
        ),
        (
            "another's action",
            "mailbox_action",
            signed_request(drop_message(owner, "m2"), &mallory.key, 0),
            "auth_public_key_mismatch",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_takes_and_changes_the_messages_of_a_mailbox() {
    let realm = Realm::start().await;
    let second = realm.another_registry("second").await;
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let owner = pulling_peer(&realm, "owner").await;
    let mallory = pulling_peer(&realm, "mallory").await;
    for id in ["m1", "m2"] {
        let message = with(alice.message(id, &owner.account_id), "mailbox", json!(true));
        assert_eq!(put(&realm, &alice.sign(&message)).await, "queued");
    }
    let mut first = lease(&owner);
    (first.max, first.lease_ms) = (1, 600_000);
    let taken = signed_request(first, &owner.key, 0);
    let reply = realm.ask("mailbox_lease", &taken).await;
    let lease_id = reply["messages"][0]["lease"]
        .as_str()
        .unwrap_or_else(|| panic!("{reply}"));
    let before = listed(&realm, &owner).await;
    assert_eq!(
        (&before[0]["state"], &before[1]["state"]),
        (&json!("leased"), &json!("queued"))
    );
    for (what, rpc, request, code) in forged_requests(&owner, &mallory, lease_id) {
        assert_code(&realm.ask(rpc, &request).await, code, what);
        assert_eq!(listed(&realm, &owner).await, before, "{what}");
    }
    // Recorded, at any of the registries.
    for _ in 0..10 {
        assert_code(
            &realm.ask("mailbox_lease", &taken).await,
            "auth_nonce_replayed",
            "a recorded lease",
        );
    }
    // A lease of another account's session is unknown in one's own mailbox.
    let own = signed_request(ack(&mallory, lease_id, MailboxOutcome::Done), &mallory.key, 0);
    assert_eq!(realm.ask("mailbox_ack", &own).await["lost"], json!([lease_id]));
    assert_eq!(listed(&realm, &owner).await, before);
    // The owner goes on.
    let done = signed_request(ack(&owner, lease_id, MailboxOutcome::Done), &owner.key, 0);
    assert_eq!(realm.ask("mailbox_ack", &done).await["acked"], 1);
    let dropped = signed_request(drop_message(&owner, "m2"), &owner.key, 0);
    assert_eq!(realm.ask("mailbox_action", &dropped).await["changed"], 1);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_sender_leaves_messages_in_its_name() {
    let realm = Realm::start().await;
    let alice = realm.peer("alice", SigningScope::ALL).await;
    let owner = pulling_peer(&realm, "owner").await;
    let mallory = realm.peer("mallory", SigningScope::ALL).await;
    let message = with(alice.message("m1", &owner.account_id), "mailbox", json!(true));
    let good = alice.sign(&message);
    for (what, forged, code) in [
        ("unsigned", message.clone(), "auth_missing"),
        ("by another key", mallory.sign(&message), "auth_public_key_mismatch"),
        (
            "changed",
            with(good.clone(), "payload", json!({ "n": 1, "text": "hé" })),
            "auth_claims_mismatch",
        ),
        (
            "to another account",
            with(good.clone(), "to_account_id", json!(mallory.account_id)),
            "auth_claims_mismatch",
        ),
        (
            "for longer",
            with(good.clone(), "ttl_ms", json!(60_000)),
            "auth_claims_mismatch",
        ),
        (
            "by nobody's account",
            with(good.clone(), "from_account_id", json!("acct_nobody")),
            "auth_key_not_found",
        ),
    ] {
        assert_code(
            &realm.ask("mailbox_put", &json!({ "envelope": forged })).await,
            code,
            what,
        );
        assert_eq!(listed(&realm, &owner).await, json!([]), "{what}");
    }
    assert_eq!(put(&realm, &good).await, "queued");
    // A second text under the same id changes nothing.
    let other = alice.sign(&with(message, "payload", json!("other")));
    assert_eq!(put(&realm, &other).await, "queued");
    let kept = listed(&realm, &owner).await;
    assert_eq!((kept.as_array().unwrap().len(), &kept[0]["preview"]), (1, &json!("hé")));
}
