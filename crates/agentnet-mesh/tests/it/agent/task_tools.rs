//! The tools for tasks, and what is done where a peer is offline.

use agentnet::TaskState;
use agentnet::protocol::rpc::TaskListRequest;
use agentnet_mesh::model::{ChatMessage, ChatRequest};
use serde_json::{Value, json};

use crate::agent::harness::{Network, answer, config};
use crate::agent::network_tools::{calling, result};
use crate::agent::scripted_model::{Say, ScriptedModel};
use crate::agent::tasks::{end, worker};

/// The results of the last tool calls of a request.
fn results(request: &ChatRequest) -> Vec<Value> {
    match request.messages.last() {
        Some(ChatMessage::ToolResults(results)) => {
            let contents = results
                .iter()
                .map(|result| serde_json::from_str(&result.content).unwrap());
            contents.collect()
        }
        other => panic!("no results: {other:?}"),
    }
}

#[tokio::test]
async fn a_model_waits_for_the_result_of_a_task() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let helper = network.agent(worker("helper"), &ScriptedModel::saying("42.")).await;
    for to in [json!({ "agent": "@helper" }), json!({ "capability": "count" })] {
        let mut arguments = json!({ "title": "count", "text": "Count.", "wait": true });
        arguments
            .as_object_mut()
            .unwrap()
            .extend(to.as_object().unwrap().clone());
        let mut counting = worker("counter");
        counting.capabilities = vec!["count".into()];
        let counter = network.agent(counting, &ScriptedModel::saying("42.")).await;
        let model = calling("network_task_assign", arguments);
        let planner = network.agent(config("planner"), &model).await;
        answer(&user, "@planner", "t1", "count").await;
        let told = result(&model)["result"].clone();
        assert_eq!(
            (&told["state"], &told["text"]),
            (&json!("completed"), &json!("42.")),
            "{told}"
        );
        assert!(told.get("result").is_none(), "{told}");
        let task = user.task_status(told["task_id"].as_str().unwrap()).await.unwrap();
        assert_eq!((task.thread_id.as_deref(), task.parent_task_id), (Some("t1"), None));
        assert_eq!(task.coordinator_account_id, planner.node.account_id());
        let metadata: Value = task.metadata.deserialize().unwrap();
        assert_eq!(
            (&metadata["mesh"]["hops"], &metadata["mesh"]["tasks"]),
            (&json!(1), &json!(15))
        );
        assert_eq!(metadata["mesh"]["chain"].as_array().unwrap().len(), 2);
        planner.node.close().await;
        counter.node.close().await;
    }
    helper.node.close().await;
}

#[tokio::test]
async fn a_task_that_is_assigned_at_work_is_a_part() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let boss = ScriptedModel::new(|request, _| match request.messages.last() {
        Some(ChatMessage::ToolResults(_)) => Say::Text(vec!["All done."]),
        _ => Say::Call(vec![
            (
                "network_task_assign",
                json!({ "agent": "@helper", "text": "Part.", "wait": true }).to_string(),
            ),
            (
                "network_task_assign",
                json!({ "agent": "@boss", "text": "Again." }).to_string(),
            ),
        ]),
    });
    let helper = calling(
        "network_task_assign",
        json!({ "agent": "@boss", "text": "You do it.", "wait": true }),
    );
    let _boss = network.agent(worker("boss"), &boss).await;
    let _helper = network.agent(worker("helper"), &helper).await;
    let task = user.task("@boss").text("Whole.").start().await.unwrap();
    assert_eq!(end(&task).await.text.as_deref(), Some("All done."));
    let told = results(&boss.requests()[1]);
    assert_eq!(told[0]["result"]["text"], "done", "{told:?}");
    assert_eq!(told[1]["error"], "wait_cycle", "{told:?}");
    assert_eq!(result(&helper)["error"], "wait_cycle");
    let parts = TaskListRequest {
        parent_task_id: Some(task.id().to_owned()),
        ..TaskListRequest::default()
    };
    let parts = user.task_list(parts).await.unwrap().tasks;
    assert_eq!(parts.len(), 1, "{parts:?}");
    assert_eq!((&*parts[0].assigned_text, &*parts[0].state), ("Part.", "completed"));
    assert_eq!(parts[0].thread_id, task.status().await.unwrap().thread_id);
}

#[tokio::test]
async fn a_task_for_an_agent_that_is_offline_waits_and_can_be_looked_up() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    let away = network.agent(worker("away"), &ScriptedModel::saying("x")).await;
    away.node.close().await;
    let model = calling(
        "network_task_assign",
        json!({ "agent": "@away", "text": "Count.", "title": "count" }),
    );
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "count").await;
    let told = result(&model)["result"].clone();
    assert_eq!(told["state"], "submitted", "{told}");
    let id = told["task_id"].as_str().unwrap().to_owned();
    planner.node.close().await;

    let model = calling(
        "network_task_list",
        json!({ "role": "coordinator", "state": "submitted" }),
    );
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "what is open?").await;
    let listed = result(&model)["result"].clone();
    let open = &listed["tasks"][0];
    assert_eq!(
        (&open["task_id"], &open["title"], &open["from"], &open["to"]),
        (&json!(id), &json!("count"), &json!("you"), &json!("@away")),
        "{listed}"
    );
    planner.node.close().await;

    let _away = network.agent(worker("away"), &ScriptedModel::saying("Seven.")).await;
    let task = user.task_handle(&*id);
    assert_eq!(end(&task).await.state, TaskState::Completed);
    let model = calling("network_task_status", json!({ "task_id": id }));
    let _planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t2", "and now?").await;
    let status = result(&model)["result"].clone();
    assert_eq!(
        (&status["state"], &status["text"]),
        (&json!("completed"), &json!("Seven.")),
        "{status}"
    );
}

#[tokio::test]
async fn a_model_cancels_the_tasks_of_its_agent_alone() {
    let network = Network::start().await;
    let (user, other) = (network.user("alice").await, network.user("bob").await);
    let foreign = other.task("@alice").text("Secret.").start().await.unwrap();
    let cases = [
        ("network_task_status", "not_allowed"),
        ("network_task_cancel", "not_allowed"),
    ];
    for (tool, code) in cases {
        let model = calling(tool, json!({ "task_id": foreign.id() }));
        let planner = network.agent(config("planner"), &model).await;
        answer(&user, "@planner", "t1", "look").await;
        assert_eq!(result(&model)["error"], code, "{tool}: {}", result(&model));
        planner.node.close().await;
    }
    let model = calling("network_task_status", json!({ "task_id": "task_none" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "look").await;
    assert_eq!(result(&model)["error"], "not_found");
    let own = planner.node.task("@bob").text("Mine.").start().await.unwrap();
    planner.node.close().await;
    let model = calling(
        "network_task_cancel",
        json!({ "task_id": own.id(), "reason": "enough" }),
    );
    let _planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "cancel it").await;
    assert_eq!(result(&model)["result"]["state"], "canceled", "{}", result(&model));
    let task = user.task_status(own.id()).await.unwrap();
    assert_eq!((&*task.state, task.detail.as_deref()), ("canceled", Some("enough")));
    assert_eq!(foreign.status().await.unwrap().state, "submitted");
}

#[tokio::test]
async fn a_message_to_an_agent_that_is_offline_is_kept_and_a_question_is_not() {
    let network = Network::start().await;
    let user = network.user("alice").await;
    network.user("gone").await.close().await;
    let model = calling("network_send", json!({ "agent": "@gone", "text": "fyi" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t1", "tell it").await;
    let told = result(&model)["result"].clone();
    assert_eq!(told["delivery"], "queued", "{told}");
    let note = told["note"].as_str().unwrap();
    assert!(
        note.starts_with("not delivered yet, and kept for it: ") && note.contains("offline"),
        "{note}"
    );
    planner.node.close().await;

    let model = calling("network_ask", json!({ "agent": "@gone", "text": "?" }));
    let planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t2", "ask it").await;
    let told = result(&model);
    assert_eq!(told["error"], "recipient_offline", "{told}");
    let detail = told["detail"].as_str().unwrap();
    assert!(
        detail.contains("network_task_assign") && detail.contains("network_send"),
        "{detail}"
    );
    planner.node.close().await;

    let gone = network.agent(config("gone"), &ScriptedModel::saying("x")).await;
    let model = calling("network_send", json!({ "agent": "@gone", "text": "again" }));
    let _planner = network.agent(config("planner"), &model).await;
    answer(&user, "@planner", "t3", "tell it").await;
    assert_eq!(result(&model)["result"]["delivery"], "delivered", "{}", result(&model));
    gone.node.close().await;
}
