//! `task cancel`, `task retry` and `task input`, and who may do that.

use agentnet::{AgentNode, ClaimedWork, TaskContext, TaskFailure, json};
use serde_json::Value;
use tempfile::TempDir;

use super::{assign, assigned, end, in_state, worker};
use crate::harness::{Ran, Up, agentnet, line, line_with_input};

#[tokio::test]
async fn waiting_tasks_are_cancelled_with_their_parts() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let options = "--as ada --to-capability build";
    let top = assigned(&url, &format!("{options} --title top"), "a").await;
    let part = assigned(&url, &format!("{options} --parent {top}"), "b").await;
    let deep = assigned(&url, &format!("{options} --parent {part}"), "c").await;
    let other = assigned(&url, options, "d").await;

    // Only the part that is named.
    let told = line(
        &url,
        &format!("task cancel --as ada --keep-children {part} --json --timeout 5"),
    )
    .await
    .json();
    assert_eq!(
        (&told["task"]["state"], &told["task"]["code"]),
        (&"canceled".into(), &"canceled".into())
    );
    in_state(&url, &deep, "submitted").await;
    let told = agentnet(
        &url,
        [
            "task", "cancel", "--as", "ada", "--reason", "no more", &top, &other, &top,
        ],
    )
    .await
    .ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines,
        ["✓ top is canceled".to_owned(), format!("✓ {other} is canceled")]
    );
    let task = in_state(&url, &top, "canceled").await;
    assert_eq!(task["detail"], "no more");
    // What is below a part that has ended is a part of the whole, too.
    in_state(&url, &deep, "canceled").await;
    let parent = assigned(&url, options, "e").await;
    let child = assigned(&url, &format!("{options} --parent {parent}"), "f").await;
    line(&url, &format!("task cancel --as ada {parent}")).await.ok();
    in_state(&url, &child, "canceled").await;

    // Of several, each is tried.
    let open = assigned(&url, options, "g").await;
    let ran = line(&url, &format!("task cancel --as ada {top} {open} task_unknown --json")).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["tasks"][0]["task_id"], open.as_str());
    assert!(
        ran.stderr.contains("task_not_cancelable") && ran.stderr.contains("no task is task_unknown"),
        "{ran:?}"
    );
    up.stop().await;
}

#[tokio::test]
async fn a_failed_task_is_tried_again() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let folder = TempDir::new().unwrap();
    let mark = folder.path().join("mended");
    let script = format!("test -e {} && echo mended", mark.display());
    let builder = worker(&url, "--as builder", &script).await;
    let id = assigned(&url, "--as ada --to-username builder", "x").await;
    in_state(&url, &id, "failed").await;
    std::fs::write(&mark, "").unwrap();
    let told = line(&url, &format!("task retry --as ada {id} --timeout 5")).await.ok();
    assert_eq!(told, format!("✓ {id} waits for attempt 2 of 2\n"));
    let task = in_state(&url, &id, "completed").await;
    assert_eq!((&task["result"], &task["attempt"]), (&"mended".into(), &2.into()));
    line(&url, &format!("task retry --as ada {id}"))
        .await
        .fails(2, &["task_not_retriable", "only a task that has failed"]);
    end(builder).await;
    up.stop().await;
}

/// An agent that asks before it goes on.
async fn asking(url: &str) -> AgentNode {
    AgentNode::builder("asker")
        .username("asker")
        .nats_url(url)
        .on_task(|task: ClaimedWork, _: TaskContext| async move {
            match task.input {
                None => Err(TaskFailure::input_required("which branch?")),
                Some(answer) => Ok(answer),
            }
        })
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_worker_that_asks_gets_its_answer() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let asker = asking(&url).await;
    for (by, answer) in [("argument", r#"{"branch":"main"}"#), ("-", "[1.50]")] {
        let id = assigned(&url, "--as ada --to-username asker", "merge").await;
        let task = in_state(&url, &id, "input_required").await;
        assert_eq!(
            (&task["status"], &task["terminal"], &task["text"]),
            (&"blocked".into(), &true.into(), &"which branch?".into())
        );
        let words = format!("task input --as ada --timeout 5 {id}");
        let told = match by {
            "-" => line_with_input(&url, &format!("{words} -"), answer).await,
            _ => agentnet(&url, words.split_whitespace().chain([answer])).await,
        };
        assert_eq!(told.ok(), format!("✓ {id} goes on\n"));
        let task = in_state(&url, &id, "completed").await;
        assert_eq!(task["result"], serde_json::from_str::<Value>(answer).unwrap());
        line(&url, &format!("task input --as ada {id} 1"))
            .await
            .fails(2, &["task_needs_no_input", "agentnet task status ID"]);
    }
    asker.close().await;
    up.stop().await;
}

/// Commands do not join the network: they say how to tell a worker that works by messages, and the SDK does.
#[tokio::test]
async fn a_worker_that_works_by_messages_is_to_be_told() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut bob = crate::harness::echo(&url, "--username bob --json").await;
    let id = assigned(&url, "--as ada --to-username bob", "it's this").await;
    assert_eq!(bob.next_json().await["payload"]["type"], "task.assign");
    let cancel = agentnet(&url, ["task", "cancel", "--as", "ada", "--reason", "no more", &id]).await;
    let note = cancel.stderr.clone();
    assert_eq!(cancel.ok(), format!("✓ {id} is canceled\n"));
    assert!(note.contains("works by messages and was not notified"), "{note}");
    // What the note shows does it.
    let (_, shown) = note.split_once("notify it: agentnet ").unwrap();
    let (words, payload) = shown.trim().split_once(" '").unwrap();
    let payload = payload.strip_suffix('\'').unwrap();
    agentnet(&url, words.split(' ').chain([payload])).await.ok();
    let told = bob.next_json().await;
    assert_eq!(
        (
            &told["payload"]["type"],
            &told["payload"]["task_id"],
            &told["payload"]["text"]
        ),
        (&"task.cancel".into(), &id.as_str().into(), &"no more".into())
    );
    end(bob).await;

    let waiting = assigned(&url, "--as ada --to-capability build", "for a lease").await;
    let cancel = line(&url, &format!("task cancel --as ada {waiting}")).await;
    assert_eq!(cancel.stderr, "");
    up.stop().await;
}

#[tokio::test]
async fn only_those_whose_task_it_is_change_it() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    assigned(&url, "--as bob --to-capability build", "his").await;
    let top = assigned(&url, "--as ada --to-username bob", "a").await;
    // Who is to do a task divides it.
    let part = assigned(&url, &format!("--as bob --to-capability build --parent {top}"), "b").await;
    assigned(&url, "--as eve --to-capability build", "hers").await;
    line(&url, &format!("task cancel --as eve {part}"))
        .await
        .fails(2, &["task_forbidden", "--as"]);
    line(&url, &format!("task cancel --as nobody {part}"))
        .await
        .fails(2, &["No account found for username 'nobody'", "--as"]);
    // Who asked for the whole may cancel a part of it.
    line(&url, &format!("task cancel --as ada {part}")).await.ok();
    in_state(&url, &part, "canceled").await;
    up.stop().await;
}

#[tokio::test]
async fn on_a_signed_network_the_key_decides() {
    let mut up = Up::start_with("--dev-auth").await;
    let url = up.url.clone();
    let home = TempDir::new().unwrap();
    let (keys, elsewhere) = (home.path().join("keys"), home.path().join("elsewhere"));
    let signed = async |words: &str, keys: &std::path::Path| -> Ran {
        line(&url, &format!("{words} --dev-auth --key-dir {}", keys.display())).await
    };
    // `task work` signs its claims and what it reports.
    let builder = worker(
        &url,
        &format!(
            "--as builder --capability build --dev-auth --key-dir {}",
            keys.display()
        ),
        "exit 1",
    )
    .await;
    let options = format!(
        "--as ada --to-capability build --json --dev-auth --key-dir {}",
        keys.display()
    );
    let told = assign(&url, &options, "a").await.json();
    let id = told["task_id"].as_str().unwrap().to_owned();
    in_state(&url, &id, "failed").await;
    let retry = format!("task retry --as ada {id}");
    line(&url, &retry)
        .await
        .fails(2, &["auth_required", "set DEV_AUTH=true, or give --dev-auth"]);
    signed(&retry, &elsewhere)
        .await
        .fails(2, &["@ada has no key here", "--key-dir"]);
    line(&url, &format!("keys new --as ada --key-dir {}", elsewhere.display()))
        .await
        .ok();
    signed(&retry, &elsewhere).await.fails(2, &["auth_public_key_mismatch"]);
    signed(&retry, &keys).await.ok();
    signed(&format!("task input --as ada {id} 1"), &keys)
        .await
        .fails(2, &["task_needs_no_input"]);
    let other = told_id(&assign(&url, &options.replace("build", "nothing"), "b").await.json());
    signed(&format!("task cancel --as ada {other}"), &keys).await.ok();
    in_state(&url, &other, "canceled").await;
    end(builder).await;
    up.stop().await;
}

fn told_id(document: &Value) -> String {
    assert!(document["task"] != json!(null), "{document}");
    document["task_id"].as_str().unwrap().to_owned()
}
