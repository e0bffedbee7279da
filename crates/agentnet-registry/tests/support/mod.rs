//! A registry on a real nats-server with a database of the kind that the test run asks for.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod observed;

use std::sync::Arc;
use std::time::Duration;

use agentnet_registry::{Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store, open};
use agentnet_testkit::{NatsServer, RawClient, TestDatabase, eventually};
use async_nats::Client;
use serde_json::{Value, json};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "s3cret";

/// The names of all RPCs.
pub(crate) const RPCS: [&str; 11] = [
    "register",
    "list",
    "resolve_account",
    "resolve_key",
    "search",
    "profile",
    "thread_status",
    "thread_list",
    "thread_messages",
    "message_search",
    "metrics",
];

/// A network: a server, a database, and a client that speaks the wire.
pub(crate) struct Network {
    pub(crate) nats: NatsServer,
    pub(crate) database: TestDatabase,
    pub(crate) client: Client,
}

impl Network {
    pub(crate) async fn new(jetstream: bool) -> Self {
        Self::with(
            NatsServer::builder()
                .token(TOKEN)
                .jetstream(jetstream)
                .start()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn with(nats: NatsServer) -> Self {
        let client = RawClient::connect(&nats.url()).await.unwrap();
        Self {
            nats,
            database: TestDatabase::start().await.unwrap(),
            client,
        }
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        RegistryConfig {
            nats_url: self.nats.url(),
            ..RegistryConfig::default()
        }
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        open(&self.database.url(), &OpenOptions::default()).await.unwrap()
    }

    pub(crate) async fn registry(&self) -> RegistryHandle {
        self.registry_with(self.config()).await
    }

    pub(crate) async fn registry_with(&self, config: RegistryConfig) -> RegistryHandle {
        Registry::start(config, self.store().await).await.unwrap()
    }

    /// The reply's text.
    pub(crate) async fn ask_raw(&self, rpc: &str, body: impl Into<Vec<u8>>) -> String {
        let body: Vec<u8> = body.into();
        let reply = self
            .client
            .request(format!("registry.{rpc}"), body.into())
            .await
            .unwrap();
        String::from_utf8(reply.payload.to_vec()).unwrap()
    }

    pub(crate) async fn ask(&self, rpc: &str, request: Value) -> Value {
        serde_json::from_str(&self.ask_raw(rpc, request.to_string()).await).unwrap()
    }

    pub(crate) async fn register(&self, username: &str) -> Value {
        let reply = self
            .ask(
                "register",
                json!({"agent_id": format!("{username}_agent"), "username": username}),
            )
            .await;
        assert_eq!(reply.get("error"), None, "{reply}");
        reply
    }

    pub(crate) async fn publish(&self, subject: &str, body: impl ToString) {
        self.client
            .publish(subject.to_owned(), body.to_string().into())
            .await
            .unwrap();
        self.client.flush().await.unwrap();
    }

    /// The agent ids that are online.
    pub(crate) async fn online(&self) -> Vec<String> {
        let reply = self.ask("list", json!({})).await;
        let agents = reply["agents"].as_array().unwrap();
        agents
            .iter()
            .map(|agent| agent["agent_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The ids of a thread's messages, once there are so many.
    pub(crate) async fn history(&self, thread_id: &str, count: usize) -> Vec<String> {
        eventually(DEADLINE, async || {
            let reply = self
                .ask("thread_messages", json!({"thread_id": thread_id, "limit": 200}))
                .await;
            let Some(messages) = reply["messages"].as_array() else {
                return Err(reply.to_string());
            };
            let ids: Vec<String> = messages
                .iter()
                .map(|m| m["message_id"].as_str().unwrap().to_owned())
                .collect();
            if ids.len() == count {
                Ok(ids)
            } else {
                Err(format!("{} messages: {ids:?}", ids.len()))
            }
        })
        .await
        .unwrap()
    }
}

/// A message on a thread.
pub(crate) fn message(id: &str, thread_id: &str) -> Value {
    json!({"message_id": id, "thread_id": thread_id, "from_agent": "a", "from_account_id": "acct_a", "to_agent": "acct_b",
           "to_account_id": "acct_b", "payload": {"text": id}, "sent_at": "2026-02-21T08:00:00Z"})
}
