//! What coordinators may do, and what they are refused.

use agentnet::protocol::rpc::{RequestAuth, TaskCancelRequest, TaskEventsRequest, TaskListRequest};
use agentnet::{AgentSdk, RegistryClient, SigningKey, StreamExt as _, TaskError, TryStreamExt as _};
use serde_json::json;

use crate::tasks::network::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_or_id_is_the_same_task() {
    let network = Network::start().await;
    let lead = network.agent("lead").start().await.unwrap();
    let new = |key: &str, text: &str| lead.task("capability:build").key(key).text(text);
    let first = new("gh-12", "fix it").start().await.unwrap();
    let again = new("gh-12", "fix it").start().await.unwrap();
    assert_eq!((again.id(), again.created()), (first.id(), false));
    assert_eq!(code(new("gh-12", "something else").start().await), "task_conflict");
    let other = new("gh-13", "fix it").start().await.unwrap();
    assert_ne!(other.id(), first.id());
    let named = || lead.task("capability:build").id("task_mine");
    assert!(named().start().await.unwrap().created());
    assert!(!named().start().await.unwrap().created());
    assert_eq!(code(named().text("other").start().await), "task_conflict");
    lead.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_refused_with_its_reason() {
    let network = Network::start().await;
    let lead = network.agent("lead").build().unwrap();
    let not_running = lead.task("capability:build").start().await.unwrap_err();
    assert!(matches!(not_running, TaskError::Send(_)), "{not_running}");
    assert!(lead.task_handle("task_1").events().next().await.unwrap().is_err());
    lead.start().await.unwrap();
    let nobody = lead.task("@nobody").start().await.unwrap_err();
    assert!(matches!(nobody, TaskError::Send(_)), "{nobody}");
    let unknown = lead.task("acct_nobody").start().await;
    assert_eq!(code(unknown), "task_session_unknown");
    let list = lead.task("capability:build").metadata(json!([])).start().await;
    assert!(matches!(list, Err(TaskError::Invalid(_))), "{list:?}");
    let parent = lead.task("capability:build").parent("task_none").start().await;
    assert_eq!(code(parent), "task_parent_unknown");
    let none = lead.task_handle("task_none");
    assert_eq!(code(none.status().await), "not_found");
    assert_eq!(code(none.result().await), "not_found");
    let mut events = none.events();
    assert_eq!(code(events.next().await.unwrap()), "not_found");
    assert!(events.next().await.is_none());
    lead.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_looked_at_without_joining() {
    let network = Network::start().await;
    let sdk = AgentSdk::from(network.agent("lead").start().await.unwrap());
    let mut ids = Vec::new();
    for number in 0..5 {
        let task = sdk
            .task("capability:build")
            .text(number.to_string())
            .start()
            .await
            .unwrap();
        ids.push(task.id().to_owned());
    }
    let own = sdk.node().account_id().unwrap();
    let listed: Vec<_> = sdk
        .list_tasks()
        .coordinator_account(&own)
        .capability("build")
        .limit(2)
        .stream()
        .map_ok(|task| task.task_id)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), 5, "over several pages");
    assert!(ids.iter().all(|id| listed.contains(id)));

    let registry = RegistryClient::connect(&network.nats.url()).await.unwrap();
    assert_eq!(registry.task_status(&ids[0]).await.unwrap().task.assigned_text, "0");
    let page = registry.task_list(TaskListRequest::default()).await.unwrap();
    assert_eq!(page.tasks.len(), 5);
    let events = registry
        .task_events(TaskEventsRequest {
            task_id: ids[0].clone(),
            ..TaskEventsRequest::default()
        })
        .await
        .unwrap();
    assert_eq!((kinds(&events.events), events.terminal), (vec!["created"], false));
    let cancel = |account_id: &str| TaskCancelRequest {
        account_id: account_id.to_owned(),
        task_id: ids[0].clone(),
        ..TaskCancelRequest::default()
    };
    let stranger = network.agent("stranger").start().await.unwrap();
    let refused = registry
        .task_cancel(cancel(&stranger.account_id().unwrap()), None)
        .await;
    assert!(refused.unwrap_err().to_string().starts_with("task_forbidden"));
    assert_eq!(
        code(stranger.task_handle(&*ids[0]).cancel("mine").await),
        "task_forbidden"
    );
    assert_eq!(
        registry.task_cancel(cancel(&own), None).await.unwrap().task.state,
        "canceled"
    );
    let followed: Vec<_> = registry.follow_task(&*ids[0], 1).try_collect().await.unwrap();
    assert_eq!(kinds(&followed), ["finished"]);
    stranger.close().await;
    sdk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_speaks_for_a_signed_account() {
    let network = Network::with(true, true).await;
    let lead = network.agent("lead").start().await.unwrap();
    let task = lead.task("capability:build").start().await.unwrap();
    let request = TaskCancelRequest {
        account_id: lead.account_id().unwrap(),
        session_tag: String::new(),
        task_id: task.id().to_owned(),
        reason: None,
        keep_children: false,
        auth: RequestAuth::default(),
    };
    let registry = lead.registry().unwrap();
    let stranger = SigningKey::from_seed(&[9; 32]);
    for key in [None, Some(&stranger)] {
        let refused = registry.task_cancel(request.clone(), key).await.unwrap_err();
        assert!(refused.to_string().starts_with("auth_"), "{refused}");
    }
    assert_eq!(task.status().await.unwrap().state, "submitted");
    assert_eq!(task.cancel_keeping_parts("mine").await.unwrap().state, "canceled");
    lead.close().await;
}
