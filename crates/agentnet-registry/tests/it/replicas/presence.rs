//! Presence that several registries share.

use super::*;

#[rstest]
#[tokio::test]
async fn signs_of_life_are_written_once_and_taken_over_when_a_registry_dies(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let ttl = Duration::from_secs(8);
    let mut all = replicas(&net, ttl).await;
    let agents = Agents::join(&net, 60).await;
    let tags = agents.tags();
    each_by_one(&all, &tags).await;
    let shares: Vec<usize> = all.iter().map(|one| one.store.take_writes().len()).collect();
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");

    // Killed: nothing is written or said any more.
    drop(all.remove(1).registry);
    for one in &all {
        one.store.take_writes();
    }
    each_by_one(&all, &tags).await;
    // Stopped: the last one owns all of them.
    all.remove(0).registry.shutdown().await;
    all[0].store.take_writes();
    each_by_one(&all, &tags).await;
    assert_eq!(online_in_store(&net).await, tags);
    assert_eq!(net.online().await.len(), tags.len());
    let ends: usize = all[0].store.take_writes().values().map(|writes| writes[2]).sum();
    assert_eq!(ends, 0, "no live session was ended");

    drop(agents);
    eventually_true(DEADLINE, "those who died are no ghosts", async || {
        online_in_store(&net).await.is_empty() && net.online().await.is_empty()
    })
    .await
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn every_registry_knows_all_sessions(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _all = replicas(&net, Duration::from_secs(40)).await;
    let sessions = futures::future::join_all((0..100).map(|number| {
        let net = &net;
        async move { net.register(&format!("agent{number:03}")).await }
    }))
    .await;
    let every = async |what: &str, count: usize, look: &dyn AsyncLook| {
        eventually(DEADLINE, async || {
            let mut seen = BTreeSet::new();
            for _ in 0..30 {
                seen.insert(look.look(&net).await);
            }
            if seen == BTreeSet::from([count]) {
                Ok(())
            } else {
                Err(format!("{what}: {seen:?}"))
            }
        })
        .await
        .unwrap();
    };
    every("list", 100, &"list").await;
    every("search", 100, &"search").await;
    every("profile", 1, &"profile").await;
    // A goodbye is heard by all, once it is there.
    net.publish("registry.goodbye", json!({"session_tag": sessions[7]["session_tag"]}))
        .await;
    every("list", 99, &"list").await;
    every("search", 99, &"search").await;
    every("profile", 0, &"profile").await;
    eventually_true(DEADLINE, "the store knows", async || {
        online_in_store(&net).await.len() == 99
    })
    .await
    .unwrap();
}

/// One request to the network, answered by any registry.
trait AsyncLook {
    fn look<'a>(&'a self, net: &'a Network) -> futures::future::BoxFuture<'a, usize>;
}

impl AsyncLook for &str {
    fn look<'a>(&'a self, net: &'a Network) -> futures::future::BoxFuture<'a, usize> {
        Box::pin(async move {
            let count = |value: &Value| value.as_array().unwrap().len();
            match *self {
                "list" => count(&net.ask("list", json!({})).await["agents"]),
                "search" => count(&net.ask("search", json!({"online_only": true, "limit": 100})).await["results"]),
                _ => {
                    let profile = net.ask("profile", json!({"username": "agent007"})).await;
                    count(&profile["profile"]["online_sessions"])
                }
            }
        })
    }
}
