//! Members come and go.

use std::time::Instant;

use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{MemberGrantRequest, MemberListRequest, MemberRevokeRequest};
use agentnet::{Connection, Until, json};
use agentnet_keys::MemberIdentity;
use agentnet_testkit::eventually_true;
use rstest::rstest;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

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

#[tokio::test]
async fn capabilities_are_taken_from_a_member_that_has_the_most() {
    let network = SecureNetwork::start().await;
    let operator = network.member("root", Role::Operator).await.registry().await;
    network.agent("alice").await;
    let names = |from: usize, to: usize| -> Vec<String> { (from..to).map(|number| format!("c{number}")).collect() };
    let grant = async |add: Vec<String>, remove: Vec<String>| {
        let grant = MemberGrantRequest {
            username: Some("alice".into()),
            capabilities_add: add,
            capabilities_remove: remove,
            ..MemberGrantRequest::default()
        };
        operator.call(&grant).await.map(|reply| reply.member.capabilities.len())
    };
    assert_eq!(grant(names(0, 64), Vec::new()).await.unwrap(), 64);
    assert!(grant(names(64, 65), Vec::new()).await.is_err());
    // What is taken makes room for what comes.
    assert_eq!(grant(names(64, 66), names(0, 4)).await.unwrap(), 62);
    network.registry.shutdown().await;
}

/// A server that reads its users again refuses the clients that have not sent their credentials yet.
#[tokio::test]
async fn a_member_that_is_refused_once_tries_again() {
    let network = SecureNetwork::start().await;
    let member = network.agent("alice").await;
    drop(member.registry().await);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let behind = network.nats.port();
    tokio::spawn(async move {
        for is_first in [true, false] {
            let (mut client, _) = server.accept().await.unwrap();
            if is_first {
                let refusal = "INFO {\"server_id\":\"x\",\"version\":\"2.15.0\",\"max_payload\":1048576,\"headers\":true}\r\n\
                               -ERR 'Authorization Violation'\r\n";
                client.write_all(refusal.as_bytes()).await.unwrap();
                // Until the client has gone.
                let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
            } else {
                let mut server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
    });
    let file = network.folder.path().join("alice.json");
    let mut identity = MemberIdentity::load(&file).unwrap().unwrap();
    identity.urls = vec![format!("nats://127.0.0.1:{port}")];
    identity.replace(&file).unwrap();
    let connection = Connection::open(&member.url, "test").await.unwrap();
    connection.nats().flush().await.unwrap();
    network.registry.shutdown().await;
}
