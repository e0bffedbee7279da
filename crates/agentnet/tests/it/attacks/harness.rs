//! A signed network, and an agent that speaks raw NATS on it: well-behaved, or not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentnet::protocol::claims::Claims;
use agentnet::protocol::signing_scope::SigningScope;
use agentnet::protocol::{Envelope, message_auth, register_auth};
use agentnet::{AgentBuilder, AgentNode, Message, SigningKey};
use agentnet_registry::{Registry, RegistryConfig, RegistryHandle, health};
use agentnet_store::model::{Account, AccountQuery};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{Capture, NatsServer, RawClient, TestDatabase, eventually};
use async_nats::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::net::{DEADLINE, agent, from_now, generous, now, parse};

/// A server, a registry that checks signatures, and a place for key files.
pub(crate) struct Realm {
    pub(crate) nats: NatsServer,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) raw: Client,
    pub(crate) keys: TempDir,
    pub(crate) registry: Option<RegistryHandle>,
    _database: TestDatabase,
}

impl Realm {
    pub(crate) async fn start() -> Self {
        let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let mut realm = Self {
            raw: RawClient::connect(&nats.url()).await.unwrap(),
            keys: tempfile::tempdir().unwrap(),
            registry: None,
            _database: database,
            nats,
            store,
        };
        realm.registry = Some(realm.another_registry("registry").await);
        realm
    }

    /// One more registry on the same store. It and the first one know each other: until a registry has read the row of
    /// another, what that one announces has to be looked up, and a list may come before that.
    pub(crate) async fn another_registry(&self, server_id: &str) -> RegistryHandle {
        let another = self
            .registry_with_ttl(server_id, RegistryConfig::default().agent_ttl)
            .await;
        if self.registry.is_some() {
            for (asked, other) in [("registry", server_id), (server_id, "registry")] {
                eventually(DEADLINE, async || {
                    let health = health::ask(&self.nats.url(), asked, DEADLINE).await;
                    let health = health.map_err(|error| error.to_string())?;
                    let mut peers = health.registries.iter();
                    match peers.any(|peer| peer.verified && peer.server_id == other) {
                        true => Ok(()),
                        false => Err(format!("{asked} does not know {other} yet")),
                    }
                })
                .await
                .unwrap();
            }
        }
        another
    }

    /// Like `another_registry`, with a TTL: a session silent for so long is offline, and after that time the registry is sure
    /// which agents are absent.
    pub(crate) async fn registry_with_ttl(&self, server_id: &str, agent_ttl: Duration) -> RegistryHandle {
        let config = RegistryConfig {
            nats_url: self.nats.url(),
            server_id: server_id.to_owned(),
            agent_ttl,
            heartbeat_interval: Duration::from_secs(1),
            dev_auth: true,
            ..RegistryConfig::default()
        };
        Registry::start(config, self.store.clone()).await.unwrap()
    }

    pub(crate) async fn stop_registry(&mut self) {
        self.registry.take().unwrap().shutdown().await;
    }

    /// A signing node, not yet started.
    pub(crate) fn agent(&self, id: &str) -> AgentBuilder {
        agent(&self.nats.url(), id)
            .dev_auth(true)
            .key_dir(self.keys.path())
            .limits(generous)
    }

    /// A signing node that notes what it handles, one at a time, and answers with `"answer"`.
    pub(crate) async fn answering(&self, id: &str) -> (AgentNode, Arc<Mutex<Vec<Message>>>) {
        let handled = Arc::new(Mutex::new(Vec::new()));
        let notes = handled.clone();
        let node = self
            .agent(id)
            .limits(|limits| limits.max_concurrency = 1)
            .on_message(move |message, context| {
                let notes = notes.clone();
                async move {
                    notes.lock().unwrap().push(message.clone());
                    if message.wants_reply() {
                        context.reply(json!("answer")).await?;
                    }
                    Ok(())
                }
            })
            .start()
            .await
            .unwrap();
        (node, handled)
    }

    pub(crate) async fn ask(&self, rpc: &str, request: &Value) -> Value {
        let body = request.to_string().into();
        let reply = self.raw.request(format!("registry.{rpc}"), body).await.unwrap();
        parse(&reply.payload)
    }

    pub(crate) async fn publish(&self, subject: &str, body: &Value) {
        self.raw
            .publish(subject.to_owned(), body.to_string().into())
            .await
            .unwrap();
    }

    pub(crate) async fn capture(&self, subject: &str) -> Capture {
        Capture::subscribe(&self.raw, subject).await.unwrap()
    }

    /// All accounts in the store.
    pub(crate) async fn accounts(&self) -> Vec<Account> {
        let all = AccountQuery {
            limit: 1000,
            ..AccountQuery::default()
        };
        self.store.accounts(&all).await.unwrap().items
    }

    /// The sessions that are online, without when they were heard of.
    pub(crate) async fn online(&self) -> Vec<Value> {
        let mut agents = self.ask("list", &json!({})).await["agents"].as_array().unwrap().clone();
        for agent in &mut agents {
            agent.as_object_mut().unwrap().remove("last_seen");
        }
        agents
    }

    /// Registers an agent that speaks raw NATS and keeps its promises of what it signs.
    pub(crate) async fn peer(&self, id: &str, signs: SigningScope) -> Peer {
        let key = SigningKey::from_seed(&seed(id));
        let request = registration(id, &key, signs);
        let reply = self.ask("register", &request).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        Peer {
            id: id.to_owned(),
            account_id: reply["account_id"].as_str().unwrap().to_owned(),
            session_tag: reply["session_tag"].as_str().unwrap().to_owned(),
            key,
        }
    }
}

fn seed(id: &str) -> [u8; 32] {
    let mut seed = [7; 32];
    for (place, byte) in seed.iter_mut().zip(id.bytes()) {
        *place = byte;
    }
    seed
}

/// The `auth` of a registration that claims to be made so many milliseconds from now.
pub(crate) fn register_claims(id: &str, millis: i128) -> Claims {
    let at = agentnet::protocol::Timestamp::parse(&from_now(millis)).unwrap();
    let nonce = agentnet::protocol::ids::uuid4_hex(rand::random());
    register_auth::claims(id, id, Some(id), None, at, &nonce)
}

/// A signed registration.
pub(crate) fn registration(id: &str, key: &SigningKey, signs: SigningScope) -> Value {
    let claims = register_claims(id, 0);
    let claims = match signs.is_none() {
        true => claims,
        false => claims.and(SigningScope::MEMBER, &signs.to_string()),
    };
    json!({ "agent_id": id, "name": id, "username": id, "auth": parse(key.auth(&claims).get().as_bytes()) })
}

/// An agent that speaks raw NATS.
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) session_tag: String,
    pub(crate) key: SigningKey,
}

impl Peer {
    /// An unsigned message to an account.
    pub(crate) fn message(&self, id: &str, to: &str) -> Value {
        json!({
            "message_id": id,
            "from_agent": self.id,
            "to_agent": to,
            "payload": { "n": 1.0, "text": "hé" },
            "sent_at": now(),
            "kind": "direct",
            "schema_version": "1.1",
            "from_session_tag": self.session_tag,
            "from_account_id": self.account_id,
            "to_account_id": to,
            "ttl_ms": 30_000,
            "expires_at": from_now(30_000),
            "trace_id": format!("trace-{id}"),
            "thread_id": "thread_t",
            "parent_message_id": "parent_p",
            "idempotency_key": format!("key-{id}"),
        })
    }

    /// Signs a message with the peer's key, whatever sender it names.
    pub(crate) fn sign(&self, message: &Value) -> Value {
        signed(&self.key, message)
    }

    pub(crate) fn receipt(&self, message: &Value, status: &str) -> Value {
        json!({
            "message_id": message["message_id"], "status": status, "event_at": now(),
            "from_account_id": self.account_id, "from_session_tag": self.session_tag,
            "to_account_id": message["from_account_id"],
        })
    }

    /// Signs a receipt with the peer's key.
    pub(crate) fn sign_receipt(&self, receipt: &Value) -> Value {
        let mut read = agentnet::Receipt::decode(receipt.to_string()).unwrap();
        read.sign(&self.key);
        parse(&read.encode())
    }
}

pub(crate) fn signed(key: &SigningKey, message: &Value) -> Value {
    let envelope = Envelope::decode(message.to_string()).unwrap();
    let mut message = message.clone();
    message["auth"] = parse(message_auth::sign(key, &envelope).get().as_bytes());
    message
}

/// The same with one member changed; `null` removes it.
pub(crate) fn with(mut message: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => message.as_object_mut().unwrap().remove(name),
        value => message.as_object_mut().unwrap().insert(name.to_owned(), value),
    };
    message
}

/// The code with which a message was refused, from the receipts on the wire.
pub(crate) async fn refusal(receipts: &Capture, message_id: &str) -> String {
    let receipt = receipts
        .wait_for(
            |seen| {
                let receipt = parse(&seen.payload);
                receipt["message_id"] == message_id && receipt["status"] == "rejected"
            },
            DEADLINE,
        )
        .await
        .unwrap();
    parse(&receipt.payload)["code"].as_str().unwrap().to_owned()
}

/// Waits until so many messages were handled; gives their ids in order.
pub(crate) async fn handled(notes: &Mutex<Vec<Message>>, count: usize) -> Vec<String> {
    eventually(DEADLINE, async || {
        let notes = notes.lock().unwrap();
        let ids: Vec<String> = notes.iter().map(|message| message.message_id.to_string()).collect();
        if ids.len() >= count {
            Ok(ids)
        } else {
            Err(format!("{ids:?}"))
        }
    })
    .await
    .unwrap()
}
