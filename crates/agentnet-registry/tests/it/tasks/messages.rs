//! Tasks by messages, as agents of the later Python implementation send them.

use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::heard::Heard;
use crate::support::{Backend, DEADLINE, Network};
use crate::tasks::client::{Session, ask, config, kinds, registry, status, until_state};

/// The present time.
fn now() -> String {
    agentnet_protocol::Timestamp::from(std::time::SystemTime::now()).to_string()
}

/// Sends a message about a task.
pub(crate) async fn tell(net: &Network, id: &str, from: &str, to: &str, payload: Value) {
    let message = json!({"message_id": id, "from_agent": "a", "from_account_id": from, "to_agent": to, "to_account_id": to,
                         "kind": "direct", "thread_id": "talk", "payload": payload, "sent_at": now()});
    net.publish(&format!("account.{to}.inbox"), message).await;
}

/// Waits until the task has so many events.
async fn until_events(net: &Network, task_id: &str, count: usize) {
    eventually(DEADLINE, async || {
        let reply = net.ask("task_status", json!({"task_id": task_id})).await;
        match reply["task"]["event_count"] == count {
            true => Ok(()),
            false => Err(reply),
        }
    })
    .await
    .unwrap();
}

/// Both write only messages: the task is listed as that implementation lists it. With JetStream and without.
#[rstest]
#[tokio::test]
async fn agents_that_only_send_messages_have_tasks_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(true, false)] jetstream: bool,
) {
    let net = Network::on(backend, jetstream).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::plain(&net, "bob").await;
    let heard = Heard::events(&net, &alice.account_id, "task").await;
    let (a, b) = (alice.account_id.as_str(), bob.account_id.as_str());
    let assign = json!({"type": "task.assign", "task_id": "task_1", "text": "do it", "created_at": "2026-02-21T08:00:00Z",
                        "metadata": {"n": 1}, "coordinator": "alice", "title": "T"});
    tell(&net, "m1", a, b, assign.clone()).await;
    let task = until_state(&net, "task_1", "submitted").await;
    for (member, value) in [
        ("status", json!("assigned")),
        ("type", json!("task.assign")),
        ("title", json!("T")),
        ("coordinator", json!("alice")),
        ("coordinator_account_id", json!(a)),
        ("assignee_account_id", json!(b)),
        ("thread_id", json!("talk")),
        ("assigned_text", json!("do it")),
        ("message_id", json!("m1")),
        ("metadata", json!({"n": 1})),
    ] {
        assert_eq!(task[member], value, "{member}: {task}");
    }
    // As text, and twice: a message is applied once.
    let progress = json!({"type": "task.progress", "task_id": "task_1", "text": "half", "event_at": "x",
                          "metadata": {"percent": 50, "phase": "working"}});
    for _ in 0..2 {
        tell(&net, "m2", b, a, json!({"text": progress.to_string()})).await;
    }
    tell(
        &net,
        "m3",
        "acct_stranger",
        a,
        json!({"type": "task.result", "task_id": "task_1", "text": "forged"}),
    )
    .await;
    tell(
        &net,
        "m4",
        b,
        a,
        json!({"type": "task.blocked", "task_id": "task_1", "status": "blocked", "text": "?"}),
    )
    .await;
    let blocked = until_state(&net, "task_1", "input_required").await;
    assert_eq!(
        (
            &blocked["latest_progress_text"],
            &blocked["percent"],
            &blocked["progress_event_count"]
        ),
        (&json!("half"), &json!(50), &json!(1)),
        "{blocked}"
    );
    let result =
        json!({"type": "task.result", "task_id": "task_1", "status": "completed", "text": "done", "result": [1]});
    tell(&net, "m5", b, a, result).await;
    tell(
        &net,
        "m6",
        b,
        a,
        json!({"type": "task.failed", "task_id": "task_1", "text": "late"}),
    )
    .await;
    until_events(&net, "task_1", 5).await;
    let task = status(&net, "task_1").await;
    assert_eq!(
        (&task["state"], &task["text"], &task["result"], &task["type"]),
        (&json!("completed"), &json!("done"), &json!([1]), &json!("task.result")),
        "the first end holds: {task}"
    );
    assert_eq!(
        kinds(&net, "task_1").await,
        ["created", "progress", "blocked", "finished", "ignored"]
    );
    heard.with(&[("type", "finished"), ("message_id", "m5")]).await;
    // A repeated assignment changes nothing.
    tell(&net, "m7", a, b, assign).await;
    net.history("talk", 7).await;
    assert_eq!(status(&net, "task_1").await["state"], "completed");
}

#[rstest]
#[tokio::test]
async fn a_task_by_message_is_cancelled_by_its_coordinator(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let assign = json!({"type": "task.assign", "task_id": "t", "text": "x", "parent_task_id": "unknown"});
    tell(&net, "m1", "acct_a", "acct_b", assign).await;
    let task = until_state(&net, "t", "submitted").await;
    assert_eq!(
        task["parent_task_id"],
        Value::Null,
        "a parent that is unknown is left out"
    );
    tell(
        &net,
        "m2",
        "acct_b",
        "acct_a",
        json!({"type": "task.progress", "task_id": "t", "text": "going"}),
    )
    .await;
    until_state(&net, "t", "working").await;
    tell(
        &net,
        "m3",
        "acct_b",
        "acct_a",
        json!({"type": "task.cancel", "task_id": "t", "text": "not me"}),
    )
    .await;
    tell(
        &net,
        "m4",
        "acct_a",
        "acct_b",
        json!({"type": "task.cancel", "task_id": "t", "text": "enough"}),
    )
    .await;
    let task = until_state(&net, "t", "canceled").await;
    assert_eq!(
        (&task["code"], &task["status"]),
        (&json!("canceled"), &json!("failed")),
        "{task}"
    );
    assert_eq!(kinds(&net, "t").await, ["created", "progress", "finished"]);
}

/// A session that claims tasks takes one that came as a message, and then its lease decides.
#[rstest]
#[tokio::test]
async fn a_task_by_message_is_claimed_too(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let claim = bob.claim_one(&net, json!({"task_id": "t"}));
    let assign = json!({"type": "task.assign", "task_id": "t", "text": "do it"});
    let send = tell(&net, "m1", &alice.account_id, &bob.account_id, assign);
    let (claimed, ()) = futures::join!(claim, send);
    assert_eq!(claimed["task"]["assigned_text"], "do it");
    let finish = json!({"state": "completed", "finish_id": "m2", "text": "done"});
    assert_eq!(bob.finish(&net, &claimed, finish).await["state"], "completed");
    // What the worker sends to its coordinator says the same once more.
    let result = json!({"type": "task.result", "task_id": "t", "text": "done"});
    tell(&net, "m2", &bob.account_id, &alice.account_id, result).await;
    net.history("talk", 2).await;
    assert_eq!(kinds(&net, "t").await, ["created", "claimed", "finished"]);
}

/// A task for an account whose sessions do not claim is told by a message, which its coordinator sends.
#[rstest]
#[tokio::test]
async fn a_task_for_an_agent_that_claims_nothing_goes_by_message(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::plain(&net, "bob").await;
    let created = alice
        .create(&net, json!({"task_id": "t", "to": bob.account_id, "text": "x"}))
        .await;
    assert_eq!(created["delivery"], "message", "{created}");
    let assign = json!({"type": "task.assign", "task_id": "t", "text": "x", "attempt": 1});
    tell(&net, "task_assign_t", &alice.account_id, &bob.account_id, assign).await;
    let failed = json!({"type": "task.failed", "task_id": "t", "text": "cannot"});
    tell(&net, "m2", &bob.account_id, &alice.account_id, failed).await;
    until_state(&net, "t", "failed").await;
    assert_eq!(kinds(&net, "t").await, ["created", "finished"]);
    // A session that claims changes that, also one that says so later.
    let mut hello = bob.agent.clone();
    hello["tasks"] = json!("claim");
    net.publish("registry.hello", hello).await;
    net.until_online(&["alice_agent", "bob_agent"]).await;
    let created = alice.create(&net, json!({"to": bob.account_id})).await;
    assert_eq!(created["delivery"], "lease", "{created}");
    let created = ask(&net, "task_create", alice.request(json!({"to": "acct_nobody"}))).await;
    crate::tasks::client::refused(&created, "task_session_unknown");
}

/// A message that a registry keeps in a mailbox never comes through the stream; it counts all the same.
#[rstest]
#[tokio::test]
async fn a_message_in_a_mailbox_counts(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry_with(config(&net)).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::plain(&net, "bob").await;
    bob.leave(&net).await;
    let envelope = json!({"message_id": "m1", "from_agent": "a", "from_account_id": alice.account_id, "to_agent": "b",
                          "to_account_id": bob.account_id, "kind": "direct", "ttl_ms": 60_000, "mailbox": true,
                          "payload": {"type": "task.assign", "task_id": "t", "text": "x"},
                          "sent_at": now()});
    let kept = ask(&net, "mailbox_put", json!({"envelope": envelope})).await;
    assert_eq!(kept["state"], "queued", "{kept}");
    assert_eq!(status(&net, "t").await["assignee_account_id"], json!(bob.account_id));
}

/// Whoever has a message can publish it again: one that had expired, or is older than tasks are kept, makes no task.
#[rstest]
#[tokio::test]
async fn a_message_of_long_ago_makes_no_task(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(true, false)] jetstream: bool,
) {
    let net = Network::on(backend, jetstream).await;
    let _registry = registry(&net).await;
    let long_ago = "2020-02-21T08:00:00Z";
    for (task_id, members) in [
        ("expired", json!({"sent_at": now(), "expires_at": long_ago})),
        ("short", json!({"sent_at": long_ago, "ttl_ms": 1_000})),
        ("old", json!({"sent_at": long_ago})),
        ("new", json!({"sent_at": now(), "ttl_ms": 60_000})),
    ] {
        let mut message = json!({"message_id": task_id, "from_agent": "a", "from_account_id": "acct_a", "to_agent": "b",
                                 "to_account_id": "acct_b", "kind": "direct", "thread_id": "talk",
                                 "payload": {"type": "task.assign", "task_id": task_id, "text": "x"}});
        for (name, value) in members.as_object().unwrap() {
            message[name] = value.clone();
        }
        net.publish("account.acct_b.inbox", message).await;
    }
    until_state(&net, "new", "submitted").await;
    net.history("talk", 4).await;
    let list = net.ask("task_list", json!({"coordinator_account_id": "acct_a"})).await;
    assert_eq!(list["tasks"].as_array().unwrap().len(), 1, "{list}");
}

/// Nobody does what is not wanted any more: its message goes from the mailbox.
#[rstest]
#[tokio::test]
async fn the_message_of_a_cancelled_task_leaves_the_mailbox(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::plain(&net, "bob").await;
    bob.leave(&net).await;
    let keep = async |id: &str| {
        let envelope = json!({"message_id": id, "from_agent": "a", "from_account_id": alice.account_id, "to_agent": "b",
                              "to_account_id": bob.account_id, "kind": "direct", "ttl_ms": 60_000, "mailbox": true,
                              "payload": {"text": "x"}, "sent_at": now()});
        let kept = ask(&net, "mailbox_put", json!({"envelope": envelope})).await;
        assert_eq!(kept["state"], "queued", "{kept}");
    };
    let created = alice.create(&net, json!({"task_id": "t", "to": bob.account_id})).await;
    assert_eq!(created["delivery"], "message", "{created}");
    for id in ["task_assign_t", "task_assign_u", "hello"] {
        keep(id).await;
    }
    let canceled = ask(&net, "task_cancel", alice.request(json!({"task_id": "t"}))).await;
    assert_eq!(canceled["task"]["state"], "canceled", "{canceled}");
    eventually(DEADLINE, async || {
        let reply = ask(&net, "mailbox_list", bob.request(json!({}))).await;
        let ids: Vec<&str> = reply["messages"]
            .as_array()
            .unwrap_or_else(|| panic!("{reply}"))
            .iter()
            .map(|item| item["message_id"].as_str().unwrap())
            .collect();
        match ids == ["task_assign_u", "hello"] {
            true => Ok(()),
            false => Err(reply.clone()),
        }
    })
    .await
    .unwrap();
}
