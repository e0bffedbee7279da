//! What the tests of tasks do as coordinators and workers.

use std::time::Duration;

use agentnet_registry::{RegistryConfig, RegistryHandle};
use agentnet_testkit::eventually;
use serde_json::{Value, json};

use crate::support::{DEADLINE, Network};

/// A registry that sweeps often.
pub(crate) async fn registry(net: &Network) -> RegistryHandle {
    net.registry_with(config(net)).await
}

pub(crate) fn config(net: &Network) -> RegistryConfig {
    RegistryConfig {
        gc_interval: Duration::from_millis(100),
        ..net.config()
    }
}

/// A registered session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) account_id: String,
    pub(crate) tag: String,
    pub(crate) agent: Value,
}

impl Session {
    /// A session that claims tasks.
    pub(crate) async fn worker(net: &Network, username: &str) -> Self {
        Self::join(net, username, true).await
    }

    /// A session of an agent that knows no tasks.
    pub(crate) async fn plain(net: &Network, username: &str) -> Self {
        Self::join(net, username, false).await
    }

    async fn join(net: &Network, username: &str, claims: bool) -> Self {
        let mut agent = json!({"agent_id": format!("{username}_agent"), "username": username});
        if claims {
            agent["tasks"] = json!("claim");
        }
        let reply = net.ask("register", agent.clone()).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        agent["account_id"] = reply["account_id"].clone();
        agent["session_tag"] = reply["session_tag"].clone();
        Self {
            account_id: reply["account_id"].as_str().unwrap().to_owned(),
            tag: reply["session_tag"].as_str().unwrap().to_owned(),
            agent,
        }
    }

    /// Says goodbye. The registries that are asked afterwards have heard it.
    pub(crate) async fn leave(&self, net: &Network) {
        net.publish("registry.goodbye", json!({"session_tag": self.tag})).await;
        eventually(DEADLINE, async || {
            let reply = net.ask("list", json!({})).await;
            match reply.to_string().contains(&self.tag) {
                true => Err(reply),
                false => Ok(()),
            }
        })
        .await
        .unwrap();
    }

    /// A request of this session.
    pub(crate) fn request(&self, mut members: Value) -> Value {
        members["account_id"] = json!(self.account_id);
        members["session_tag"] = json!(self.tag);
        members
    }

    /// Asks for a task; the reply.
    pub(crate) async fn create(&self, net: &Network, members: Value) -> Value {
        let reply = ask(net, "task_create", self.request(members)).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        reply
    }

    /// Claims tasks; those that it got.
    pub(crate) async fn claim(&self, net: &Network, members: Value) -> Vec<Value> {
        let reply = ask(net, "task_claim", self.request(members)).await;
        let tasks = reply["tasks"].as_array();
        tasks.unwrap_or_else(|| panic!("{reply}")).clone()
    }

    /// Claims one task, for which it waits.
    pub(crate) async fn claim_one(&self, net: &Network, mut members: Value) -> Value {
        members["wait_ms"] = json!(20_000);
        let mut tasks = self.claim(net, members).await;
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0)
    }

    /// Says that it is still at a task; what became of that.
    pub(crate) async fn beat(&self, net: &Network, claimed: &Value, members: Value) -> Value {
        let mut item = held(claimed);
        for (name, value) in members.as_object().unwrap() {
            item[name] = value.clone();
        }
        let reply = ask(net, "task_heartbeat", self.request(json!({"items": [item]}))).await;
        reply["items"].get(0).unwrap_or_else(|| panic!("{reply}")).clone()
    }

    /// Ends the attempt of a task; the reply.
    pub(crate) async fn finish(&self, net: &Network, claimed: &Value, members: Value) -> Value {
        let mut request = held(claimed);
        request["finish_id"] = json!(format!("finish_{}", claimed["lease"].as_str().unwrap()));
        for (name, value) in members.as_object().unwrap() {
            request[name] = value.clone();
        }
        ask(net, "task_finish", self.request(request)).await
    }
}

/// What names a claimed task and its attempt.
fn held(claimed: &Value) -> Value {
    json!({"task_id": claimed["task"]["task_id"], "attempt": claimed["attempt"], "lease": claimed["lease"]})
}

/// A request with a longer deadline than waiting requests need.
pub(crate) async fn ask(net: &Network, rpc: &str, request: Value) -> Value {
    let request = async_nats::Request::new()
        .payload(request.to_string().into())
        .timeout(Some(2 * DEADLINE));
    let reply = net
        .client
        .send_request(format!("registry.{rpc}"), request)
        .await
        .unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

/// A task as it is now.
pub(crate) async fn status(net: &Network, task_id: &str) -> Value {
    let reply = net.ask("task_status", json!({"task_id": task_id})).await;
    assert_eq!(reply.get("error"), None, "{reply}");
    reply["task"].clone()
}

/// A task once it is in this state.
pub(crate) async fn until_state(net: &Network, task_id: &str, state: &str) -> Value {
    eventually(DEADLINE, async || {
        let reply = net.ask("task_status", json!({"task_id": task_id})).await;
        match reply["task"]["state"] == state {
            true => Ok(reply["task"].clone()),
            false => Err(reply),
        }
    })
    .await
    .unwrap()
}

/// The kinds of all events of a task, in order; their numbers have no gaps.
pub(crate) async fn kinds(net: &Network, task_id: &str) -> Vec<String> {
    let reply = net.ask("task_events", json!({"task_id": task_id, "limit": 200})).await;
    let events = reply["events"].as_array().unwrap_or_else(|| panic!("{reply}"));
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], at + 1, "{reply}");
    }
    assert_eq!(reply["last"], events.len(), "{reply}");
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
pub(crate) fn refused(reply: &Value, code: &str) {
    let error = reply["error"].as_str().unwrap_or_else(|| panic!("{code}: {reply}"));
    assert!(error.starts_with(&format!("{code}: ")), "{code}: {error}");
}

/// The id of the task in a reply.
pub(crate) fn id(reply: &Value) -> &str {
    reply["task"]["task_id"].as_str().unwrap_or_else(|| panic!("{reply}"))
}
