//! Tasks that agents work at.

use std::time::Duration;

use agentnet::{AgentNode, TaskEvent, TaskHandle, TaskState, TryStreamExt as _};
use agentnet_mesh::config::{AgentConfig, TasksConfig};
use agentnet_mesh::model::ModelErrorKind;
use agentnet_testkit::eventually;
use serde_json::{Value, json};

use crate::agent::harness::{DEADLINE, Network, answer, config, until_stored};
use crate::agent::scripted_model::{Say, ScriptedModel, last_user, transcript};

/// An agent that takes tasks.
pub(crate) fn worker(key: &str) -> AgentConfig {
    let mut config = config(key);
    config.tasks = Some(TasksConfig {
        concurrency: 1,
        max_steps: 8,
        max_tool_calls: 24,
        max_time: Duration::from_secs(60),
    });
    config
}

/// A task of the user for an agent.
async fn assign(user: &AgentNode, agent: &str) -> TaskHandle {
    user.task(agent)
        .title("count")
        .text("Count the files.")
        .thread("t1")
        .start()
        .await
        .unwrap()
}

/// The end of a task.
pub(crate) async fn end(task: &TaskHandle) -> agentnet::TaskOutcome {
    tokio::time::timeout(DEADLINE, task.result()).await.unwrap().unwrap()
}

async fn events(task: &TaskHandle) -> Vec<TaskEvent> {
    tokio::time::timeout(DEADLINE, task.events().try_collect())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn an_agent_works_at_a_task_as_it_answers_a_message() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let model = ScriptedModel::playing(vec![
        Say::Text(vec!["Earlier answer."]),
        Say::Call(vec![
            ("network_list_online", "{}".into()),
            ("network_nothing", "{}".into()),
        ]),
        Say::Text(vec!["Three files."]),
    ]);
    let agent = network.agent(worker("helper"), &model).await;
    answer(&user, "@helper", "t1", "earlier question").await;
    until_stored(&user, "t1", 2).await;
    let task = user
        .task("@helper")
        .title("count")
        .text("Count the files.")
        .thread("t1");
    let task = task.payload(json!({ "path": "/" })).start().await.unwrap();
    let outcome = end(&task).await;
    assert_eq!(
        (outcome.state, outcome.text.as_deref()),
        (TaskState::Completed, Some("Three files."))
    );
    let result: Value = outcome.result.unwrap().deserialize().unwrap();
    assert_eq!(
        (&result["text"], &result["model"]),
        (&json!("Three files."), &json!("scripted-1"))
    );
    assert_eq!(result["usage"]["input"], 20);
    let asked = &model.requests()[1];
    assert!(asked.system.contains("The last message is a task."), "{}", asked.system);
    assert!(transcript(asked).contains("earlier question"), "{}", transcript(asked));
    assert_eq!(
        last_user(asked),
        "<message from=\"@alice\">Task: count\n\nCount the files.\n\nData:\n{\"path\":\"/\"}</message>"
    );
    let progress: Vec<String> = events(&task)
        .await
        .into_iter()
        .filter(|event| event.r#type == "progress")
        .filter_map(|event| event.text)
        .collect();
    let mut ends = progress[2..].to_vec();
    ends.sort();
    assert_eq!(
        progress[..2],
        ["network_list_online: started", "network_nothing: started"]
    );
    assert_eq!(ends, ["network_list_online: done", "network_nothing: failed"]);
    assert!(
        agent
            .metrics
            .encode()
            .contains(r#"agentnet_mesh_tasks_total{agent="helper",outcome="ok"} 1"#)
    );
    // The result is a message of the thread, and says what it answers.
    until_stored(&user, "t1", 3).await;
    answer(&user, "@helper", "t1", "and now?").await;
    let said = transcript(model.requests().last().unwrap());
    let exchange = "<message from=\"@alice\">Task: count\n\nCount the files.\n\nData:\n{\"path\":\"/\"}</message>\nassistant: Three files.";
    assert!(said.contains(exchange), "{said}");
}

#[tokio::test]
async fn a_cancellation_stops_the_model() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let model = ScriptedModel::playing(vec![Say::Hang("thinking")]);
    let _agent = network.agent(worker("helper"), &model).await;
    let task = assign(&user, "@helper").await;
    until_open(&model, 1).await;
    task.cancel("not wanted").await.unwrap();
    until_open(&model, 0).await;
    let outcome = end(&task).await;
    assert_eq!(
        (outcome.state, outcome.code.as_deref()),
        (TaskState::Canceled, Some("canceled"))
    );
}

#[tokio::test]
async fn a_lost_lease_stops_the_model() {
    let mut network = Network::start().await;
    let user = network.user("alice").await;
    let model = ScriptedModel::playing(vec![Say::Hang("thinking")]);
    let _agent = network.agent(worker("helper"), &model).await;
    let task = user.task("@helper").text("Go.").heartbeat(Duration::from_secs(1));
    task.start().await.unwrap();
    until_open(&model, 1).await;
    // Without an answer to its heartbeats, the worker knows that its lease is over.
    network.stop_registry().await;
    until_open(&model, 0).await;
}

async fn until_open(model: &ScriptedModel, count: usize) {
    let look = async || match model.open_streams() {
        open if open == count => Ok(()),
        open => Err(format!("{open} answers are open, not {count}")),
    };
    eventually(DEADLINE, look).await.unwrap();
}

#[tokio::test]
async fn a_failure_that_may_pass_is_tried_again_and_another_one_is_not() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let flaky = ScriptedModel::playing(vec![
        Say::Fail(ModelErrorKind::Server, Some(503)),
        Say::Text(vec!["At last."]),
    ]);
    let _flaky = network.agent(worker("flaky"), &flaky).await;
    let refused = ScriptedModel::playing(vec![Say::Fail(ModelErrorKind::Auth, Some(401))]);
    let _refused = network.agent(worker("refused"), &refused).await;
    let retried = |agent: &str| {
        user.task(agent)
            .text("Go.")
            .retries(3)
            .backoff(Duration::from_millis(10))
            .start()
    };
    let outcome = end(&retried("@flaky").await.unwrap()).await;
    assert_eq!(
        (outcome.state, outcome.text.as_deref()),
        (TaskState::Completed, Some("At last."))
    );
    let outcome = end(&retried("@refused").await.unwrap()).await;
    assert_eq!(
        (outcome.state, outcome.code.as_deref()),
        (TaskState::Failed, Some("model_unavailable"))
    );
    assert_eq!(refused.requests().len(), 1);
}

#[tokio::test]
async fn limits_of_tasks_are_kept() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let mut limited = worker("limited");
    limited.tasks.as_mut().unwrap().max_steps = 2;
    let busy = ScriptedModel::playing(vec![Say::Call(vec![("network_list_online", "{}".into())])]);
    let _limited = network.agent(limited, &busy).await;
    let mut slow = worker("slow");
    slow.tasks.as_mut().unwrap().max_time = Duration::from_secs(1);
    let hanging = ScriptedModel::playing(vec![Say::Hang("")]);
    let _slow = network.agent(slow, &hanging).await;
    for (agent, part) in [("@limited", "max_steps"), ("@slow", "max_seconds")] {
        let outcome = end(&assign(&user, agent).await).await;
        assert_eq!(
            (outcome.state, outcome.code.as_deref()),
            (TaskState::Failed, Some("limit_reached")),
            "{agent}"
        );
        assert!(
            outcome.detail.as_deref().is_some_and(|detail| detail.contains(part)),
            "{outcome:?}"
        );
    }
    assert_eq!(busy.requests().len(), 3);
}

#[tokio::test]
async fn a_task_that_was_passed_on_too_often_is_not_worked_at() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let model = ScriptedModel::saying("never");
    let agent = network.agent(worker("helper"), &model).await;
    for (mesh, code) in [
        (json!({ "hops": 7 }), "hop_limit"),
        (
            json!({ "hops": 1, "chain": [agent.node.account_id().unwrap()] }),
            "wait_cycle",
        ),
    ] {
        let task = user.task("@helper").text("Go.").metadata(json!({ "mesh": mesh }));
        let outcome = end(&task.start().await.unwrap()).await;
        assert_eq!(
            (outcome.state, outcome.code.as_deref()),
            (TaskState::Failed, Some(code))
        );
    }
    assert!(model.requests().is_empty());
}

#[tokio::test]
async fn an_agent_without_tasks_leaves_them() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let mut chatty = config("helper");
    chatty.answer_direct = true;
    let model = ScriptedModel::saying("Hello.");
    let helper = network.agent(chatty, &model).await;
    let task = assign(&user, "@helper").await;
    assert_eq!(task.status().await.unwrap().state, "submitted");
    // The task is told to it by a message before, which is in the thread.
    until_stored(&user, "t1", 1).await;
    assert_eq!(answer(&user, "@helper", "t1", "hi").await["text"], "Hello.");
    assert_eq!(model.requests().len(), 1);
    helper.node.close().await;
    // Once it takes tasks, it does this one.
    let _worker = network.agent(worker("helper"), &model).await;
    assert_eq!(end(&task).await.text.as_deref(), Some("Hello."));
    let said = transcript(&model.requests()[1]);
    assert_eq!(said.matches("Count the files.").count(), 1, "{said}");
}

#[tokio::test]
async fn a_task_that_was_told_by_a_message_is_shown_once() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let model = ScriptedModel::saying("Three files.");
    network.agent(worker("helper"), &model).await.node.close().await;
    let task = assign(&user, "@helper").await;
    let _agent = network.agent(worker("helper"), &model).await;
    assert!(end(&task).await.is_completed());
    until_stored(&user, "t1", 2).await;
    answer(&user, "@helper", "t1", "and now?").await;
    let said = transcript(model.requests().last().unwrap());
    assert_eq!(said.matches("Count the files.").count(), 1, "{said}");
    assert!(said.contains("assistant: Three files."), "{said}");
}
