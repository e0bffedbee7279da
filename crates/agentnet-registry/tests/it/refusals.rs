//! Messages that PostgreSQL refuses, or has no room for, never stop the others; registrations that are too large.

use agentnet_registry::Registry;
use agentnet_store::{OpenOptions, open};
use agentnet_testkit::{NatsServer, Postgres, eventually};
use serde_json::json;

use crate::support::{Backend, DEADLINE, Network, TOKEN, message};

/// A trigger stands for whatever makes PostgreSQL refuse one row: `poison` for good, `large` for want of room.
const TRIGGER: &str = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
     IF NEW.message_id = 'poison' THEN RAISE EXCEPTION 'poisoned' USING ERRCODE = '23514'; END IF; \
     IF NEW.message_id = 'large' THEN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END IF; \
     RETURN NEW; END $$ LANGUAGE plpgsql; \
     CREATE TRIGGER refuse BEFORE INSERT ON agent_messages FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test(flavor = "multi_thread")]
async fn one_message_never_stops_the_others() {
    let database = Postgres::launch().await.unwrap();
    let network = Network::new(true).await;
    let store = open(&database.url(), &OpenOptions::default()).await.unwrap();
    let registry = Registry::start(network.config(), store).await.unwrap();
    database.execute(TRIGGER).await.unwrap();
    for id in ["m1", "poison", "m2", "large", "m3"] {
        network.publish("account.acct_b.inbox", message(id, "t")).await;
    }
    let mut ids = network.history("t", 3).await;
    ids.sort();
    assert_eq!(ids, ["m1", "m2", "m3"]);
    let counted = async || {
        let capture = network.ask("metrics", json!({})).await["capture"].clone();
        match capture["refused"].as_u64() {
            Some(refused) if refused >= 2 => Ok(()),
            _ => Err(capture.to_string()),
        }
    };
    eventually(DEADLINE, counted).await.unwrap();

    // There is room again: the stream still has the message.
    database.execute("DROP TRIGGER refuse ON agent_messages").await.unwrap();
    let mut ids = network.history("t", 4).await;
    ids.sort();
    assert_eq!(ids, ["large", "m1", "m2", "m3"]);
    registry.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_of_metadata_are_refused() {
    // A server that takes such messages at all.
    let nats = NatsServer::builder()
        .token(TOKEN)
        .jetstream(true)
        .max_payload(16 << 20)
        .start();
    let network = Network::with(Backend::Sqlite, nats.await.unwrap()).await;
    let registry = network.registry().await;
    let metadata = json!({"blob": "x".repeat(10_000_000)});
    let reply = network
        .ask(
            "register",
            json!({"agent_id": "a", "username": "a", "metadata": metadata}),
        )
        .await;
    let error = "metadata has 10000011 bytes; at most 65536 are allowed";
    assert_eq!(reply, json!({"error": error}));
    let reply = network.ask("resolve_account", json!({"username": "a"})).await;
    assert_eq!(reply, json!({"error": "not_found"}), "nothing was created");

    // By a hello neither: the session stays what it was.
    let session = network.register("b").await;
    let hello = |metadata| {
        json!({"agent_id": "b_agent", "session_tag": session["session_tag"], "account_id": session["account_id"],
               "username": "b", "metadata": metadata})
    };
    network.publish("registry.hello", hello(metadata)).await;
    network.publish("registry.hello", hello(json!({"later": 1}))).await;
    let changed = async || {
        let agents = network.ask("list", json!({})).await["agents"].clone();
        match &agents[0]["metadata"] {
            seen if *seen == json!({"later": 1}) => Ok(()),
            _ => Err(agents.to_string().chars().take(200).collect::<String>()),
        }
    };
    eventually(DEADLINE, changed).await.unwrap();
    registry.shutdown().await;
}
