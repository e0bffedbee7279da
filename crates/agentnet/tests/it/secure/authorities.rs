//! What differs between the authorities: when a credential ends, and what happens while no registry runs.

use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{MemberGrantRequest, MemberRevokeRequest, SendPolicy};
use agentnet::{Connection, RegistryClient, Until, json};
use agentnet_registry::{Authority, Registry, RegistryConfig};
use agentnet_testkit::eventually_true;
use async_nats::connection::State;
use futures::StreamExt as _;
use rstest::rstest;

use crate::secure::network::{DEADLINE, Kind, Member, SecureNetwork};

/// Credentials that end after a few seconds.
fn short(config: &mut RegistryConfig) {
    if let Some(Authority::Jwt(signing) | Authority::Callout(signing)) = &mut config.authority {
        signing.lifetime = Some(Duration::from_secs(3));
    }
}

async fn revoke(operator: &RegistryClient, name: &str) {
    let revoke = MemberRevokeRequest {
        account_id: None,
        username: Some(name.to_owned()),
    };
    assert_eq!(operator.call(&revoke).await.unwrap().member.state, "revoked");
}

async fn open(member: &Member) -> Connection {
    Connection::open(&member.url, "test").await.unwrap()
}

async fn is_cut_off(connection: &Connection) {
    eventually_true(DEADLINE, "the connection is cut off", async || {
        connection.nats().connection_state() != State::Connected
    })
    .await
    .unwrap();
}

/// The server ends the connection with the credential; the member comes back by itself.
#[rstest]
#[tokio::test]
async fn a_credential_that_ends_is_renewed(#[values(Kind::JwtAlone, Kind::CalloutAlone)] kind: Kind) {
    let network = SecureNetwork::with(kind, "", short).await;
    let member = network.agent("alice").await;
    let connection = open(&member).await;
    let registry = RegistryClient::on(&connection).with_timeout(DEADLINE);
    registry.list_online().await.unwrap();
    eventually_true(DEADLINE, "another connection", async || {
        connection
            .nats()
            .statistics()
            .connects
            .load(std::sync::atomic::Ordering::Relaxed)
            >= 3
            && connection.nats().connection_state() == State::Connected
    })
    .await
    .unwrap();
    registry.list_online().await.unwrap();
    network.registry.shutdown().await;
}

/// Without the system account nobody can cut a member off; its credential ends soon.
#[rstest]
#[tokio::test]
async fn without_the_system_account_a_revoked_member_goes_until_its_credential_ends(
    #[values(Kind::JwtAlone, Kind::CalloutAlone)] kind: Kind,
) {
    let network = SecureNetwork::with(kind, "", short).await;
    let operator = network.member("root", Role::Operator).await;
    let member = network.agent("mallory").await;
    let connection = open(&member).await;
    revoke(&operator.registry().await, "mallory").await;
    is_cut_off(&connection).await;
    // In the second in which it ends, a credential still counts.
    let is_refused = async || Connection::open(&member.url, "again").await.is_err();
    eventually_true(DEADLINE, "the member is refused", is_refused)
        .await
        .unwrap();
    network.registry.shutdown().await;
}

/// What was taken counts at once: the member is cut off, and comes back with less.
#[rstest]
#[tokio::test]
async fn rights_that_are_taken_count_at_once(#[values(Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let bob = network.agent("bob").await;
    let (client, mut refusals) = network.agent("alice").await.raw().await;
    let grant = MemberGrantRequest {
        username: Some("alice".into()),
        may_send_to: SendPolicy::Only(vec!["acct_other".into()]),
        ..MemberGrantRequest::default()
    };
    let alice = operator.call(&grant).await.unwrap().member.account_id;
    let subject = format!("account.{}.inbox.{alice}", bob.account_id);
    // Until it is back: the server takes nothing meanwhile.
    let refused = async || {
        client.publish(subject.clone(), "{}".into()).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(2), client.flush()).await;
        refusals
            .try_recv()
            .is_ok_and(|refusal| refusal.to_lowercase().contains("permissions violation"))
    };
    eventually_true(DEADLINE, "the server refuses the subject", refused)
        .await
        .unwrap();
    network.registry.shutdown().await;
}

/// What is granted to a running agent counts soon: it connects again by itself.
#[rstest]
#[tokio::test]
async fn a_running_agent_gets_what_is_granted(#[values(Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let policy = async |may_send_to: SendPolicy| {
        let grant = MemberGrantRequest {
            username: Some("alice".into()),
            may_send_to,
            ..MemberGrantRequest::default()
        };
        operator.call(&grant).await.unwrap();
    };
    let bob = network.agent("bob").await;
    let bob = bob.start(|node| node.on_message(|_, _| async { Ok(()) })).await;
    let alice = network.agent("alice").await;
    policy(SendPolicy::Only(Vec::new())).await;
    let alice = alice.start(|node| node).await;
    let send = async || {
        let sent = alice.send_to_username("bob", json!(1)).until(Until::Processed);
        sent.receipt_timeout(Duration::from_secs(2)).await
    };
    let denied = send().await.unwrap_err().to_string();
    assert!(denied.contains("permissions violation"), "{denied}");
    policy(SendPolicy::Everybody).await;
    eventually_true(DEADLINE, "a message is handled", async || send().await.is_ok())
        .await
        .unwrap();
    alice.close().await;
    bob.close().await;
    network.registry.shutdown().await;
}

/// JWTs: members go on and others come back. Callouts: members go on, and nobody comes in.
#[rstest]
#[tokio::test]
async fn while_no_registry_runs(#[values(Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let alice = network.agent("alice").await;
    let connection = open(&alice).await;
    let SecureNetwork {
        registry,
        second,
        store,
        nats: _nats,
        folder: _folder,
        ..
    } = network;
    registry.shutdown().await;
    let inbox = connection.nats().new_inbox();
    let mut messages = connection.nats().subscribe(inbox.clone()).await.unwrap();
    connection.nats().publish(inbox, "x".into()).await.unwrap();
    assert!(tokio::time::timeout(DEADLINE, messages.next()).await.unwrap().is_some());
    let new = Connection::open(&alice.url, "new").await;
    match kind {
        Kind::Jwt => assert!(new.is_ok(), "{:?}", new.err()),
        _ => assert!(new.is_err(), "nobody answers the server"),
    }
    // Another one takes over.
    let registry = Registry::start(second, Arc::clone(&store)).await.unwrap();
    RegistryClient::on(&open(&alice).await)
        .with_timeout(DEADLINE)
        .list_online()
        .await
        .unwrap();
    registry.shutdown().await;
}

/// The server asks again about everybody when its configuration is read again.
#[tokio::test]
async fn agents_come_back_when_a_server_with_a_callout_is_reloaded() {
    let network = SecureNetwork::of(Kind::Callout).await;
    let bob = network
        .agent("bob")
        .await
        .start(|node| node.on_message(|_, _| async { Ok(()) }))
        .await;
    let alice = network.agent("alice").await.start(|node| node).await;
    network.nats.reload();
    eventually_true(DEADLINE, "a message is handled", async || {
        let sent = alice.send_to_username("bob", json!(1)).until(Until::Processed);
        sent.receipt_timeout(Duration::from_secs(3)).await.is_ok()
    })
    .await
    .unwrap();
    alice.close().await;
    bob.close().await;
    network.registry.shutdown().await;
}

/// Members join and are revoked at any of two registries, and when one of them has stopped.
#[rstest]
#[tokio::test]
async fn two_registries_share_the_members(#[values(Kind::File, Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let second = Registry::start(network.second.clone(), Arc::clone(&network.store))
        .await
        .unwrap();
    let operator = network.member("root", Role::Operator).await.registry().await;
    // Which of the two answers is chance; both have their turn.
    let mut members = Vec::new();
    for number in 0..6 {
        let member = network.join(&operator, &format!("agent{number}")).await;
        let registry = member.registry().await;
        members.push((member, registry));
    }
    let [first, other] = [&members[0], &members[1]].map(|(member, _)| member);
    let connection = open(first).await;
    revoke(&operator, "agent0").await;
    is_cut_off(&connection).await;
    let again = Connection::open(&first.url, "again").await.unwrap_err();
    assert!(again.to_string().contains("refused"), "{again}");
    let connection = open(other).await;
    second.shutdown().await;
    revoke(&operator, "agent1").await;
    is_cut_off(&connection).await;
    network
        .join(&operator, "late")
        .await
        .registry()
        .await
        .list_online()
        .await
        .unwrap();
    network.registry.shutdown().await;
}
