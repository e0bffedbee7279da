//! A registry whose requests about tasks are answered by a script: what it does when it fails.

use std::time::Duration;

use agentnet_testkit::RawClient;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::net::{Net, from_now, now, parse, settle};

const RPCS: [&str; 5] = [
    "task_claim",
    "task_heartbeat",
    "task_finish",
    "task_status",
    "task_events",
];

/// Answers the requests about tasks of workers.
pub(crate) struct TaskRegistry(JoinHandle<()>);

impl Drop for TaskRegistry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl TaskRegistry {
    /// The script gets the name of a request, the request, and the subject of its reply, which is another one for each call.
    pub(crate) async fn start(
        net: &Net,
        mut script: impl FnMut(&str, &Value, &str) -> Option<Value> + Send + 'static,
    ) -> Self {
        for rpc in RPCS {
            net.registry.silence(rpc);
        }
        let client = RawClient::connect(&net.nats.url()).await.unwrap();
        let mut requests = client.subscribe("registry.*").await.unwrap();
        settle(&client).await;
        Self(tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                let rpc = message.subject.strip_prefix("registry.").unwrap_or_default();
                let Some(reply) = message.reply.filter(|_| RPCS.contains(&rpc)) else {
                    continue;
                };
                if let Some(answer) = script(rpc, &parse(&message.payload), &reply) {
                    client.publish(reply, answer.to_string().into()).await.unwrap();
                }
            }
        }))
    }
}

/// A task of `acct_lead` for `acct_worker`.
pub(crate) fn task(id: &str, state: &str) -> Value {
    json!({
        "task_id": id, "status": "working", "type": "task.assign", "title": null, "text": id, "assigned_text": id,
        "thread_id": format!("thread_{id}"), "assignee_account_id": "acct_worker", "coordinator_account_id": "acct_lead",
        "coordinator": null, "parent_task_id": null, "latest_progress_text": null, "progress_event_count": 0,
        "created_at": now(), "updated_at": now(), "message_id": null, "terminal": false, "event_count": 2,
        "latest_event": { "seq": 2, "at": now(), "type": "finished", "attempt": 1, "state": state },
        "state": state, "attempt": 1, "max_attempts": 1, "priority": 0, "revision": 2, "metadata": {},
    })
}

/// The answer to a claim that gets these tasks.
pub(crate) fn claimed(ids: &[&str], heartbeat: Duration) -> Value {
    let millis = i128::try_from(heartbeat.as_millis()).unwrap();
    let tasks: Vec<Value> = ids
        .iter()
        .map(|id| {
            json!({
                "task": task(id, "working"), "attempt": 1, "lease": format!("lease-{id}"), "lease_until": from_now(millis),
                "heartbeat_ms": millis,
            })
        })
        .collect();
    json!({ "tasks": tasks, "generated_at": now() })
}

/// An answer to each item of a heartbeat.
pub(crate) fn heartbeat_answer(request: &Value, answer: impl Fn(&Value) -> Value) -> Value {
    let items: Vec<Value> = request["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let mut result = answer(item);
            result["task_id"] = item["task_id"].clone();
            result
        })
        .collect();
    json!({ "items": items, "generated_at": now() })
}
