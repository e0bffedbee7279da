//! `agentnet registry --health`, as a container's health check calls it.

use agentnet_registry::{Registry, RegistryConfig};
use agentnet_testkit::{NatsServer, Postgres, eventually};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{FreePort, Ran, Service, WAIT_TIMEOUT, binary, line, run};

async fn health(url: &str, server_id: &str) -> Ran {
    line(url, &format!("registry --health --server-id {server_id}")).await
}

/// Exit code 1 and one line that holds these parts.
#[track_caller]
fn ill(ran: &Ran, parts: &[&str]) {
    ran.fails(1, parts);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

async fn replica(nats: &NatsServer, folder: &TempDir, server_id: &str) -> Service {
    let mut command = binary();
    command
        .args([
            "--nats-url",
            &nats.url(),
            "registry",
            "--server-id",
            server_id,
            "--database-url",
        ])
        .arg(format!("sqlite://{}", folder.path().join("agentnet.db").display()));
    let mut service = Service::spawn(command);
    assert!(service.next_line().await.starts_with("registry ready:"));
    service
}

#[tokio::test]
async fn without_a_network_or_a_registry_it_says_what_is_missing() {
    let port = FreePort::take().await;
    ill(
        &health(&format!("nats://127.0.0.1:{}", port.number()), "a").await,
        &["cannot connect to NATS", &port.number().to_string()],
    );
    let nats = NatsServer::builder().token("right").start().await.unwrap();
    ill(
        &health(&nats.url(), "a").await,
        &["no registry with server id a", &nats.port().to_string()],
    );
    let wrong = nats.url().replace("right", "wrong");
    let refused = health(&wrong, "a").await;
    ill(&refused, &["refused the connection"]);
    assert!(!refused.stderr.contains("wrong@"), "{refused:?}");
    ill(&health("http://127.0.0.1", "a").await, &["invalid NATS URL"]);
    ill(
        &line(&nats.url(), "registry --health --agent-ttl-seconds soon").await,
        &["AGENT_TTL_SECONDS"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_replicas_the_one_that_is_asked_for_answers() {
    let folder = TempDir::new().unwrap();
    let nats = NatsServer::builder().token("t").jetstream(true).start().await.unwrap();
    let (mut first, _second, _third) = (
        replica(&nats, &folder, "a").await,
        replica(&nats, &folder, "b").await,
        // A name that is no subject as it stands.
        replica(&nats, &folder, "c.{hostname}").await,
    );
    for server_id in ["a", "b"] {
        let told = health(&nats.url(), server_id).await.ok();
        assert_eq!(
            told,
            format!("healthy: server_id={server_id} store=sqlite capture=jetstream waiting=0\n")
        );
    }
    let told = line(&nats.url(), "--json registry --health --server-id c.{hostname}")
        .await
        .json();
    let name = told["server_id"].as_str().unwrap();
    assert!(
        name.starts_with("c.") && name.len() > 2 && !name.contains('{'),
        "{told}"
    );
    assert_eq!(
        (&told["healthy"], &told["store"]["backend"]),
        (&true.into(), &"sqlite".into()),
        "{told}"
    );

    // As in a container: everything from the environment, and nothing of the default data directory is touched.
    let mut command = binary();
    command.args(["registry", "--health"]).envs([
        ("NATS_URL", nats.url().as_str()),
        ("REGISTRY_SERVER_ID", "b"),
        ("AGENTNET_DATA_DIR", "/dev/null"),
        ("LOG_LEVEL", "DEBUG"),
    ]);
    let ran = run(command).await;
    assert_eq!(ran.stderr, "", "the log of the service is none of the check's");
    assert!(ran.ok().contains("server_id=b"));

    first.signal(Signal::STOP);
    ill(&health(&nats.url(), "a").await, &["a did not answer"]);
    health(&nats.url(), "b").await.ok();
    first.signal(Signal::CONT);
    health(&nats.url(), "a").await.ok();

    first.signal(Signal::KILL);
    first.ended().await;
    let look = async || {
        let ran = health(&nats.url(), "a").await;
        if ran.code == Some(1) {
            Ok(ran)
        } else {
            Err(format!("{ran:?}"))
        }
    };
    ill(&eventually(WAIT_TIMEOUT, look).await.unwrap(), &["a"]);
    health(&nats.url(), "b").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_work_is_told() {
    let folder = TempDir::new().unwrap();
    let nats = NatsServer::builder().start().await.unwrap();
    let url = format!("sqlite://{}", folder.path().join("agentnet.db").display());
    let store = agentnet_store::open(&url, &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let config = RegistryConfig {
        nats_url: nats.url(),
        ..RegistryConfig::default()
    };
    let _registry = Registry::start(config, std::sync::Arc::clone(&store)).await.unwrap();
    assert!(health(&nats.url(), "registry").await.ok().contains("capture=core"));
    store.close().await;
    ill(
        &health(&nats.url(), "registry").await,
        &["the sqlite store of registry does not work", "unavailable"],
    );
}

/// A container's health check: the registry runs on without its database, and is unhealthy meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_down_is_told_until_it_is_back() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut postgres = Postgres::launch().await.unwrap_or_else(|error| panic!("{error}"));
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry"])
        .env("DATABASE_URL", postgres.url());
    let mut registry = Service::spawn(command);
    assert!(registry.next_line().await.contains("store=postgres"));
    assert!(health(&nats.url(), "registry").await.ok().contains("store=postgres"));

    postgres.stop().await;
    let down = health(&nats.url(), "registry").await;
    ill(&down, &["the postgres store of registry does not work"]);
    // postgres://user:password@…
    let url = postgres.url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(!password.is_empty() && !down.stderr.contains(password), "{down:?}");

    postgres.start().await.unwrap_or_else(|error| panic!("{error}"));
    let look = async || {
        let ran = health(&nats.url(), "registry").await;
        if ran.code == Some(0) {
            Ok(())
        } else {
            Err(format!("{ran:?}"))
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
}
