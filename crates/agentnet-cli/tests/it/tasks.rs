//! Tasks through the real binary: assigned, looked at, changed, done by `task work`.

mod changes;
mod looked_at;
mod mistakes;
mod watched;
mod working;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Ran, Service, agentnet, binary, until};

/// Starts a worker that runs a shell script for each task, and waits until it is online.
async fn worker(url: &str, options: &str, script: &str) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", url])
        .args(format!("task work {options}").split_whitespace())
        .args(["--", "sh", "-c", script]);
    let service = Service::spawn(command);
    service.says("does tasks as").await;
    service
}

/// `task assign OPTIONS TEXT`.
async fn assign(url: &str, options: &str, text: &str) -> Ran {
    let words = format!("task assign {options}");
    agentnet(url, words.split_whitespace().chain([text])).await
}

/// The id of a new task.
async fn assigned(url: &str, options: &str, text: &str) -> String {
    let told = assign(url, &format!("{options} --json"), text).await.json();
    assert_eq!(told["created"], true, "{told}");
    told["task_id"].as_str().unwrap().to_owned()
}

/// Waits until a task is in this state.
async fn in_state(url: &str, id: &str, state: &str) -> Value {
    let right = |reply: &Value| reply["task"]["state"] == state;
    until(url, &format!("task status {id}"), right).await["task"].clone()
}

/// The types of the events of a task, in order.
async fn event_types(url: &str, id: &str) -> Vec<String> {
    let page = crate::harness::line(url, &format!("task events {id} --json"))
        .await
        .json();
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect()
}

/// Ends a service with SIGTERM.
async fn end(mut service: Service) {
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0), "{}", service.stderr());
}
