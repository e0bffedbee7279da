//! Several nodes of one account, and several agents on one connection.

use agentnet::Connection;
use agentnet_testkit::eventually_true;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};

use crate::net::DEADLINE;
use crate::realm::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_account_share_the_inbox_and_see_their_own_receipts() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let first = echo(realm.agent("duo"), "first", &handled).start().await.unwrap();
    let second = echo(realm.agent("duo"), "second", &handled).start().await.unwrap();
    assert_eq!(first.account_id(), second.account_id());
    assert_ne!(first.session_tag(), second.session_tag());
    realm.until_sessions("duo", 2).await;

    let other = echo(realm.agent("other"), "other", &Handled::default())
        .start()
        .await
        .unwrap();
    for number in 0..200 {
        other.send("@duo", json!(number)).await.unwrap();
    }
    eventually_true(DEADLINE, "all are handled", async || handled.count() == 200)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new());
    assert!(
        handled.by("first") > 0 && handled.by("second") > 0,
        "both get their share"
    );

    // Each gets the receipts and replies of its own messages, though both use one receipts subject.
    for number in 0..50 {
        let (a, b) = tokio::join!(
            first.send("@other", json!(number)).into_future(),
            second.send("@other", json!(number)).into_future()
        );
        a.unwrap();
        b.unwrap();
        let (a, b) = tokio::join!(
            first.request("@other", json!({ "first": number })).into_future(),
            second.request("@other", json!({ "second": number })).into_future()
        );
        assert_eq!(a.unwrap().json::<Value>().unwrap(), json!({ "first": number }));
        assert_eq!(b.unwrap().json::<Value>().unwrap(), json!({ "second": number }));
    }
    for node in [&first, &second] {
        let metrics = node.metrics_snapshot();
        assert_eq!((metrics.retry_count, metrics.receipt_timeout_count), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_while_messages_flow_loses_nothing() {
    close_one_of_two(100, 500, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_with_a_long_queue_loses_nothing() {
    close_one_of_two(2_000, 200, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_one_of_two_after_a_reconnection_loses_nothing() {
    close_one_of_two(100, 500, true).await;
}

/// Sends and requests, so many at a time, and closes one of two receivers when so many are done.
async fn close_one_of_two(at_a_time: usize, close_at: usize, reconnected: bool) {
    const COUNT: usize = 2_000;
    let mut realm = Realm::start().await;
    let handled = Handled::default();
    let leaving = echo(realm.agent("duo"), "leaving", &handled).start().await.unwrap();
    let staying = echo(realm.agent("duo"), "staying", &handled).start().await.unwrap();
    let sender = realm.agent("sender").start().await.unwrap();
    sender.resolve_username("duo").await.unwrap();

    if reconnected {
        realm.crash_server().await;
        realm.until_hello(&[&leaving, &staying, &sender]).await;
    }
    let exchange = |number: usize| {
        let node = sender.clone();
        async move {
            if number.is_multiple_of(2) {
                node.send("@duo", json!(number)).await.unwrap();
            } else {
                let reply = node.request("@duo", json!(number)).timeout(DEADLINE).await.unwrap();
                assert_eq!(reply.json::<usize>().unwrap(), number);
            }
        }
    };
    let mut numbers = 0..COUNT;
    let mut flowing: FuturesUnordered<_> = numbers.by_ref().take(at_a_time).map(exchange).collect();
    let mut close = None;
    let mut done = 0;
    while flowing.next().await.is_some() {
        flowing.extend(numbers.next().map(exchange));
        done += 1;
        if done == close_at {
            let leaving = leaving.clone();
            close = Some(tokio::spawn(async move { leaving.close().await }));
        }
    }
    assert_eq!(done, COUNT);
    tokio::time::timeout(DEADLINE, close.unwrap()).await.unwrap().unwrap();
    eventually_true(DEADLINE, "all are handled", async || handled.count() == COUNT)
        .await
        .unwrap();
    assert_eq!(handled.twice(), Vec::<String>::new(), "each once");
    let shares = (handled.by("leaving"), handled.by("staying"));
    assert!(shares.0 > 0 && shares.1 > 0, "{shares:?}");
    assert_eq!(sender.metrics_snapshot().retry_count, 0, "and none had to be repeated");
    realm.until_sessions("duo", 1).await;
    assert_eq!(realm.sessions("duo").await, [staying.session_tag().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_on_one_connection_are_agents_of_their_own() {
    let mut realm = Realm::start().await;
    let connection = Connection::open(&realm.nats.url(), "shared").await.unwrap();
    let handled = Handled::default();
    // The address is never used: it has no listener.
    let on_it = |realm: &Realm, name: &'static str| {
        let agent = realm.agent(name).nats_url("nats://127.0.0.1:1").connection(&connection);
        echo(agent, name, &handled).start()
    };
    let first = on_it(&realm, "first").await.unwrap();
    let second = on_it(&realm, "second").await.unwrap();
    let third = on_it(&realm, "third").await.unwrap();
    assert_ne!(first.account_id(), second.account_id());

    first.send("@second", json!(1)).await.unwrap();
    let reply = second.request("@third", json!(2)).await.unwrap();
    assert_eq!(reply.json::<Value>().unwrap(), json!(2));
    eventually_true(DEADLINE, "both are handled", async || handled.count() == 2)
        .await
        .unwrap();
    assert_eq!((handled.by("second"), handled.by("third")), (1, 1), "each gets its own");

    // One that leaves takes nothing from the others.
    third.close().await;
    realm.until_sessions("third", 0).await;
    let reply = first.request("@second", json!(3)).await.unwrap();
    assert_eq!(reply.json::<Value>().unwrap(), json!(3));

    // When the connection comes back, so do all.
    realm.crash_server().await;
    realm.until_hello(&[&first, &second]).await;
    // The registry may come back later than they do; a node that starts without one fails at once.
    realm.until_sessions("first", 1).await;
    let late = on_it(&realm, "late").await.unwrap();
    for (from, to) in [(&first, "@second"), (&second, "@late"), (&late, "@first")] {
        let reply = from.request(to, json!(to)).timeout(DEADLINE).await.unwrap();
        assert_eq!(reply.json::<Value>().unwrap(), json!(to));
    }
}
