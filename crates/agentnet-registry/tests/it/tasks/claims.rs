//! Tasks are created, claimed, and finished once.

use std::collections::HashSet;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::heard::Heard;
use crate::support::{Backend, Network};
use crate::tasks::client::{Session, ask, id, kinds, registry, status};

#[rstest]
#[tokio::test]
async fn a_task_is_claimed_reported_on_and_finished(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    let (heard_by_alice, heard_by_bob) = (
        Heard::events(&net, &alice.account_id, "task").await,
        Heard::events(&net, &bob.account_id, "task").await,
    );
    let members = json!({"to": bob.account_id, "title": "T", "text": "do it", "payload": {"n": 1.0}, "heartbeat_ms": 60_000,
                         "coordinator": "alice", "metadata": {"a": [1]}, "priority": 3, "max_attempts": 2});
    let created = alice.create(&net, members).await;
    assert_eq!(
        (&created["created"], &created["delivery"]),
        (&json!(true), &json!("lease")),
        "{created}"
    );
    let task = &created["task"];
    for (member, value) in [
        ("status", json!("assigned")),
        ("state", json!("submitted")),
        ("type", json!("task.assign")),
        ("title", json!("T")),
        ("text", json!("do it")),
        ("assigned_text", json!("do it")),
        ("thread_id", json!(format!("thread_{}", id(&created)))),
        ("assignee_account_id", json!(bob.account_id)),
        ("coordinator_account_id", json!(alice.account_id)),
        ("coordinator", json!("alice")),
        ("terminal", json!(false)),
        ("event_count", json!(1)),
        ("attempt", json!(0)),
        ("priority", json!(3)),
        ("metadata", json!({"a": [1]})),
    ] {
        assert_eq!(task[member], value, "{member}: {task}");
    }
    let claimed = bob.claim_one(&net, json!({"claim_id": "c1"})).await;
    let again = bob.claim_one(&net, json!({"claim_id": "c1"})).await;
    assert_eq!(again, claimed, "the reply was lost: the same claim gets the same task");
    assert_eq!(
        (id(&claimed), &claimed["attempt"], &claimed["payload"]),
        (id(&created), &json!(1), &json!({"n": 1.0}))
    );
    assert_eq!(
        (&claimed["task"]["state"], &claimed["heartbeat_ms"]),
        (&json!("working"), &json!(60_000))
    );
    let beat = json!({"progress": {"text": "half", "percent": 50, "phase": "working"}, "checkpoint": {"step": 2}});
    let beat = bob.beat(&net, &claimed, beat).await;
    assert_eq!(beat["ok"], true, "{beat}");
    assert!(beat["lease_until"].as_str() >= claimed["lease_until"].as_str());
    let shown = status(&net, id(&created)).await;
    assert_eq!(
        (&shown["latest_progress_text"], &shown["percent"], &shown["type"]),
        (&json!("half"), &json!(50), &json!("task.progress"))
    );
    assert_eq!(shown["latest_event"]["type"], "progress");
    let finish = json!({"state": "completed", "result": {"ok": [1.50]}, "text": "done"});
    let finished = bob.finish(&net, &claimed, finish.clone()).await;
    assert_eq!(
        (&finished["finished"], &finished["duplicate"], &finished["state"]),
        (&json!(true), &json!(false), &json!("completed"))
    );
    let again = bob.finish(&net, &claimed, finish).await;
    assert_eq!(
        (&again["duplicate"], &again["state"]),
        (&json!(true), &json!("completed"))
    );
    let shown = status(&net, id(&created)).await;
    assert_eq!(
        (&shown["status"], &shown["type"], &shown["terminal"], &shown["text"]),
        (&json!("completed"), &json!("task.result"), &json!(true), &json!("done"))
    );
    assert_eq!(shown["result"], json!({"ok": [1.50]}));
    assert_eq!(
        kinds(&net, id(&created)).await,
        ["created", "claimed", "progress", "finished"]
    );
    for heard in [heard_by_alice, heard_by_bob] {
        let last = heard.with(&[("type", "finished"), ("task_id", id(&created))]).await;
        assert_eq!(
            (&last["seq"], &last["state"]),
            (&json!(4), &json!("completed")),
            "{last}"
        );
        let numbers: Vec<Value> = heard.all().iter().map(|event| event["seq"].clone()).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "each once, in order");
    }
}

#[rstest]
#[tokio::test]
async fn one_request_makes_one_task(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let members = || json!({"to": "capability:build", "text": "x", "idempotency_key": "gh-12"});
    let first = alice.create(&net, members()).await;
    let second = alice.create(&net, members()).await;
    assert_eq!((&second["created"], id(&second)), (&json!(false), id(&first)));
    let mut with_id = members();
    with_id["task_id"] = json!(id(&first));
    with_id["deadline_at"] = json!("2100-01-01T00:00:00Z");
    assert_eq!(
        alice.create(&net, with_id).await["created"],
        false,
        "times are counted anew"
    );
    let mut other = members();
    other["text"] = json!("y");
    let reply = ask(&net, "task_create", alice.request(other)).await;
    crate::tasks::client::refused(&reply, "task_conflict");
    let carol = Session::plain(&net, "carol").await;
    assert_eq!(
        carol.create(&net, members()).await["created"],
        true,
        "a key is its coordinator's own"
    );
    let mut stolen = members();
    stolen["task_id"] = json!(id(&first));
    stolen["idempotency_key"] = Value::Null;
    let reply = ask(&net, "task_create", carol.request(stolen)).await;
    crate::tasks::client::refused(&reply, "task_conflict");
    let concurrent = (0..20).map(|_| alice.create(&net, json!({"to": "capability:x", "idempotency_key": "once"})));
    let replies = futures::future::join_all(concurrent).await;
    assert_eq!(replies.iter().filter(|reply| reply["created"] == true).count(), 1);
    let ids: HashSet<&str> = replies.iter().map(id).collect();
    assert_eq!(ids.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_workers_share_the_tasks_of_a_capability(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const TASKS: usize = 60;
    const WORKERS: usize = 6;
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(Session::worker(&net, &format!("w{number}")).await);
    }
    let create = async {
        for number in 0..TASKS {
            let members = json!({"to": "capability:build", "text": number.to_string()});
            alice.create(&net, members).await;
        }
    };
    let work = futures::future::join_all(workers.iter().map(|worker| async {
        let mut done = Vec::new();
        loop {
            let claimed = worker
                .claim(
                    &net,
                    json!({"capabilities": ["other", "build"], "max": 2, "wait_ms": 3_000}),
                )
                .await;
            if claimed.is_empty() {
                return done;
            }
            for task in claimed {
                let reply = worker.finish(&net, &task, json!({"state": "completed"})).await;
                assert_eq!(reply["state"], "completed", "{reply}");
                done.push(id(&task).to_owned());
            }
        }
    }));
    let ((), done) = futures::join!(create, work);
    let all: Vec<String> = done.into_iter().flatten().collect();
    let distinct: HashSet<&String> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (TASKS, TASKS), "each task once");
    let list = net
        .ask(
            "task_list",
            json!({"capability": "build", "status": "completed", "limit": 100}),
        )
        .await;
    assert_eq!(list["tasks"].as_array().unwrap().len(), TASKS);
}

#[rstest]
#[tokio::test]
async fn the_highest_priority_comes_first_and_nothing_before_its_time(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for (task_id, priority) in [("low", -5), ("high", 9), ("middle", 0)] {
        let members = json!({"task_id": task_id, "to": bob.account_id, "priority": priority});
        alice.create(&net, members).await;
    }
    let late = json!({"task_id": "late", "to": bob.account_id, "priority": 100, "not_before": "2100-01-01T00:00:00Z"});
    alice.create(&net, late).await;
    let named = bob.claim(&net, json!({"task_id": "low"})).await;
    assert_eq!(named.iter().map(id).collect::<Vec<_>>(), ["low"]);
    let claimed = bob.claim(&net, json!({"max": 10})).await;
    assert_eq!(claimed.iter().map(id).collect::<Vec<_>>(), ["high", "middle"]);
    assert!(bob.claim(&net, json!({"task_id": "late"})).await.is_empty());
    assert_eq!(status(&net, "late").await["not_before"], "2100-01-01T00:00:00Z");
}

/// Requests that wait take no place from others: more of them than requests are answered at the same time.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_hold_nothing_up(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const WORKERS: usize = 10;
    const WAITING: usize = 40;
    let net = Network::on(backend, true).await;
    let running = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(Session::worker(&net, &format!("w{number}")).await);
    }
    let waiting = futures::future::join_all(workers.iter().flat_map(|worker| {
        (0..WAITING).map(|_| worker.claim(&net, json!({"capabilities": ["build"], "wait_ms": 25_000})))
    }));
    let stop = async {
        alice
            .create(&net, json!({"task_id": "one", "to": "capability:build"}))
            .await;
        crate::tasks::client::until_state(&net, "one", "working").await;
        // A registry that stops answers what waits.
        running.shutdown().await;
    };
    let (claims, ()) = futures::join!(waiting, stop);
    let claimed: Vec<&str> = claims.iter().flatten().map(id).collect();
    assert_eq!((claims.len(), claimed), (WORKERS * WAITING, vec!["one"]));
}

/// Who waits for events gets them when they come, and all of them in order.
#[rstest]
#[tokio::test]
async fn events_are_waited_for(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    alice.create(&net, json!({"task_id": "t", "to": bob.account_id})).await;
    let watch = async {
        let (mut after, mut kinds) = (json!(0), Vec::new());
        loop {
            let request = json!({"task_id": "t", "after": after, "wait_ms": 20_000, "limit": 2});
            let reply = ask(&net, "task_events", request).await;
            let events = reply["events"].as_array().unwrap_or_else(|| panic!("{reply}"));
            if events.is_empty() {
                assert_eq!(reply["terminal"], true, "{reply}");
                return kinds;
            }
            after = events.last().unwrap()["seq"].clone();
            kinds.extend(events.iter().map(|event| event["type"].as_str().unwrap().to_owned()));
        }
    };
    let work = async {
        let claimed = bob.claim_one(&net, json!({})).await;
        for percent in [10, 20, 30] {
            bob.beat(&net, &claimed, json!({"progress": {"percent": percent}}))
                .await;
        }
        bob.finish(&net, &claimed, json!({"state": "completed"})).await
    };
    let (kinds, _) = futures::join!(watch, work);
    assert_eq!(
        kinds,
        ["created", "claimed", "progress", "progress", "progress", "finished"]
    );
}

#[rstest]
#[tokio::test]
async fn tasks_are_listed_by_what_is_asked_for(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let bob = Session::worker(&net, "bob").await;
    for number in 0..5 {
        let members = json!({"task_id": format!("t{number}"), "to": bob.account_id});
        alice.create(&net, members).await;
    }
    alice
        .create(
            &net,
            json!({"task_id": "p", "to": "capability:build", "parent_task_id": "t0"}),
        )
        .await;
    let claimed = bob.claim(&net, json!({"task_id": "t3"})).await;
    bob.finish(&net, &claimed[0], json!({"state": "rejected"})).await;
    let list = async |filter: Value| {
        let reply = net.ask("task_list", filter).await;
        let tasks = reply["tasks"].as_array().unwrap_or_else(|| panic!("{reply}")).clone();
        let ids: Vec<String> = tasks
            .iter()
            .map(|task| task["task_id"].as_str().unwrap().to_owned())
            .collect();
        (ids, reply["next_cursor"].clone())
    };
    let all = ["t3", "p", "t4", "t2", "t1", "t0"];
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let (ids, next) = list(json!({"limit": 4, "cursor": cursor})).await;
        seen.extend(ids);
        if next.is_null() {
            break;
        }
        cursor = next;
    }
    assert_eq!(seen, all, "the last changed first");
    for (filter, expected) in [
        (json!({"status": "failed"}), &["t3"][..]),
        (json!({"state": "rejected"}), &["t3"]),
        (json!({"state": "canceled"}), &[]),
        (json!({"capability": "build"}), &["p"]),
        (json!({"parent_task_id": "t0"}), &["p"]),
        (
            json!({"assignee_account_id": bob.account_id, "status": "assigned"}),
            &["t4", "t2", "t1", "t0"],
        ),
        (json!({"coordinator_account_id": bob.account_id}), &[]),
        (json!({"since": "2100-01-01T00:00:00Z"}), &[]),
    ] {
        assert_eq!(list(filter.clone()).await.0, expected, "{filter}");
    }
    let parent = status(&net, "t0").await;
    assert_eq!(parent["children"], json!({"open": 1, "done": 0}), "{parent}");
}

/// A claim of one task is not held where that task cannot come.
#[rstest]
#[tokio::test]
async fn a_task_that_cannot_come_is_not_waited_for(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::plain(&net, "alice").await;
    let (bob, carol) = (Session::worker(&net, "bob").await, Session::worker(&net, "carol").await);
    for task_id in ["done", "theirs", "mine"] {
        let to = if task_id == "theirs" { &carol } else { &bob };
        alice
            .create(&net, json!({"task_id": task_id, "to": to.account_id}))
            .await;
    }
    let claimed = bob.claim(&net, json!({"task_id": "done"})).await;
    bob.finish(&net, &claimed[0], json!({"state": "completed"})).await;
    bob.claim(&net, json!({"task_id": "mine"})).await;
    let wait = async |task_id: &str| bob.claim(&net, json!({"task_id": task_id, "wait_ms": 20_000})).await;
    for task_id in ["done", "theirs", "unknown"] {
        tokio::select! {
            biased;
            // It may be given back.
            tasks = wait("mine") => panic!("{tasks:?} came before the claim of {task_id} was answered"),
            tasks = wait(task_id) => assert_eq!(tasks, Vec::<Value>::new(), "{task_id}"),
        }
    }
}
