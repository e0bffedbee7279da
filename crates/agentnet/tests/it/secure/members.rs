//! Members come and go.

use std::time::Instant;

use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{MemberListRequest, MemberRevokeRequest};
use agentnet::{Connection, Until, json};
use agentnet_testkit::eventually_true;
use rstest::rstest;

use crate::secure::network::{DEADLINE, Kind, SecureNetwork};

#[rstest]
#[tokio::test]
async fn a_revoked_member_is_cut_off(#[values(Kind::File, Kind::Jwt, Kind::Callout)] kind: Kind) {
    let network = SecureNetwork::of(kind).await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    let member = network.agent("mallory").await;
    let bob = network.agent("bob").await;
    let bob = bob.start(|node| node.on_message(|_, _| async { Ok(()) })).await;
    let mallory = member.start(|node| node).await;
    let connection = member.registry().await;
    mallory
        .send_to_username("bob", json!(1))
        .until(Until::Processed)
        .receipt_timeout(DEADLINE)
        .await
        .unwrap();
    let revoke = MemberRevokeRequest {
        account_id: None,
        username: Some("mallory".into()),
    };
    let asked = Instant::now();
    assert_eq!(operator.call(&revoke).await.unwrap().member.state, "revoked");
    let is_cut_off = async || connection.nats().connection_state() != async_nats::connection::State::Connected;
    eventually_true(DEADLINE, "the connection is cut off", is_cut_off)
        .await
        .unwrap();
    println!("cut off after {:?}", asked.elapsed());
    let again = Connection::open(&member.url, "again").await.unwrap_err();
    assert!(again.to_string().contains("refused"), "{again}");
    let online = operator.list_online().await.unwrap();
    assert!(online.iter().all(|agent| agent.username.as_deref() != Some("mallory")));
    let members = operator.call(&MemberListRequest::default()).await.unwrap().members;
    let states: Vec<(&str, &str)> = members
        .iter()
        .map(|member| (member.username.as_str(), member.state.as_str()))
        .collect();
    assert!(
        states.contains(&("mallory", "revoked")) && states.contains(&("bob", "active")),
        "{states:?}"
    );
    bob.close().await;
    network.registry.shutdown().await;
}
