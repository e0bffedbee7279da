//! The end of a host: messages at hand are finished or refused.

use std::time::Duration;

use agentnet::{ReplyStream, StreamError};
use agentnet_mesh::host::{Host, HostOptions};
use tokio::time::timeout;

use crate::host::world::{DEADLINE, World, agent};

/// The code that a stream fails with.
async fn failure(stream: ReplyStream) -> String {
    match timeout(DEADLINE, stream.finish()).await.unwrap() {
        Err(StreamError::Failed { code, .. }) => code,
        other => panic!("no failure: {other:?}"),
    }
}

async fn host(world: &World, drain_timeout: Duration) -> Host {
    let options = HostOptions {
        drain_timeout,
        ..world.options()
    };
    Host::start(world.mesh(&agent("turn", "PROMPT_OLD", "")), options)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_finished_is_refused() {
    let world = World::start().await;
    let host = host(&world, Duration::from_millis(50)).await;
    let held = world.held("@turn").await;
    let stream = world.held_stream("@turn").await;
    timeout(DEADLINE, host.close()).await.unwrap();
    let reply = held.await.unwrap();
    assert_eq!(
        reply.error_code().as_deref(),
        Some("shutting_down"),
        "{}",
        reply.payload()
    );
    assert_eq!(failure(stream).await, "shutting_down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_must_end_at_once_refuses_what_is_at_hand() {
    let world = World::start().await;
    let host = host(&world, Duration::from_secs(3600)).await;
    let held = world.held("@turn").await;
    let stream = world.held_stream("@turn").await;
    timeout(DEADLINE, host.close_until(std::future::ready(())))
        .await
        .unwrap();
    let reply = held.await.unwrap();
    assert_eq!(
        reply.error_code().as_deref(),
        Some("shutting_down"),
        "{}",
        reply.payload()
    );
    assert_eq!(failure(stream).await, "shutting_down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_finishes_what_is_at_hand() {
    let world = World::start().await;
    let host = host(&world, Duration::from_secs(3600)).await;
    let held = world.held("@turn").await;
    let stream = world.held_stream("@turn").await;
    let closing = tokio::spawn(host.close());
    world.release();
    assert_eq!(held.await.unwrap().text().as_deref(), Some("PROMPT_OLD"));
    assert_eq!(stream.text().await.unwrap(), "PROMPT_OLD");
    timeout(DEADLINE, closing).await.unwrap().unwrap();
}
