//! The guarantees of the cluster handle.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use agentnet_testkit::{NatsCluster, RawClient, eventually};
use async_nats::jetstream::{self, stream};

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_stream_with_three_copies_goes_on_without_its_leader_which_comes_back() {
    let mut cluster = NatsCluster::start().await.unwrap_or_else(|error| panic!("{error}"));
    let urls = cluster.urls();
    assert_eq!(urls.len(), 3);
    assert_eq!(cluster.url(), urls.join(","));
    let refused = RawClient::connect(&cluster.node(1).url_without_token())
        .await
        .unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("auth"), "{refused}");

    // Without a wait: the cluster is ready.
    let context = jetstream::new(RawClient::connect(&urls[0]).await.unwrap());
    let config = stream::Config {
        name: "HISTORY".to_owned(),
        subjects: vec!["history.>".to_owned()],
        num_replicas: 3,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context.publish("history.a", "one".into()).await.unwrap().await.unwrap();

    let leader = cluster.leader_of("HISTORY").await.unwrap().unwrap();
    let port = cluster.node(leader).port();
    cluster.kill9(leader);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    let next = eventually(WAIT_TIMEOUT, async || match cluster.leader_of("HISTORY").await? {
        Some(next) if next != leader => Ok(next),
        other => Err(format!("{other:?} leads")),
    });
    let next = next.await.unwrap();
    let context = jetstream::new(RawClient::connect(&urls[next]).await.unwrap());
    // The new leader needs the other survivor for every message.
    eventually(WAIT_TIMEOUT, async || {
        context.publish("history.a", "two".into()).await.unwrap().await
    })
    .await
    .unwrap();

    cluster.restart(leader).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cluster.urls(), urls);
    let back = jetstream::new(RawClient::connect(&urls[leader]).await.unwrap());
    eventually(WAIT_TIMEOUT, async || {
        let stream = back.get_stream("HISTORY").await.map_err(|error| error.to_string())?;
        let cluster = stream.cached_info().cluster.clone().ok_or("no cluster")?;
        let current = cluster.replicas.iter().filter(|peer| peer.current).count();
        (current == 2).then_some(()).ok_or(format!("{cluster:?}"))
    })
    .await
    .unwrap();
    let stored = back.get_stream("HISTORY").await.unwrap().cached_info().state.messages;
    assert!(stored >= 2, "{stored}");
}
