//! What `task work` does with its command.

use agentnet_testkit::eventually;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{assign, assigned, end, event_types, in_state, worker};
use crate::harness::process::gone;
use crate::harness::{Service, Up, WAIT_TIMEOUT, agentnet, echo, line, until};

#[tokio::test]
async fn a_command_does_a_task_and_its_result_comes_back() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let script = r#"echo '::progress 40 tests run' >&2; echo a line >&2; printf '{"ok": true, "n": 1.50}'"#;
    let mut builder = worker(&url, "--as builder --capability build", script).await;
    let waited = assign(&url, "--as ada --to-capability build --title main --wait", "build main").await;
    let told = waited.stderr.clone();
    assert_eq!(waited.ok(), "{\n  \"ok\": true,\n  \"n\": 1.50\n}\n");
    for part in [
        "✓ Task assigned to capability:build  task_id=task_",
        "claimed",
        "40 %",
        "tests run",
        "finished",
    ] {
        assert!(told.contains(part), "`{part}` is missing in {told}");
    }
    let done = builder.next_line().await;
    assert!(
        done.starts_with("completed task_") && done.contains("  main  in "),
        "{done}"
    );
    builder.says("a line").await;

    // For programs: one document, with the whole task.
    let waited = assign(&url, "--as ada --to-username builder --wait --json", "again").await;
    let document = waited.json();
    assert_eq!(
        (&document["created"], &document["task"]["state"]),
        (&true.into(), &"completed".into())
    );
    assert_eq!(document["task"]["result"], json!({ "ok": true, "n": 1.5 }));
    assert_eq!(document["task"]["status"], "completed");
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn a_command_gets_the_whole_task() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder --concurrency 2", "cat").await;
    let parent = assigned(&url, "--as ada --to-capability nobody", "the whole").await;
    let words = format!(
        "task assign --as ada --to-username builder --title part --payload {{\"pr\":12}} --parent {parent} --priority -5 \
         --deadline 2h --thread-id ops_1 --metadata {{\"a\":1}} --heartbeat 5 --wait"
    );
    let waited = agentnet(&url, words.split_whitespace().chain(["fix it"])).await.ok();
    let task: Value = serde_json::from_str(&waited).unwrap();
    for (member, value) in [
        ("title", json!("part")),
        ("text", json!("fix it")),
        ("payload", json!({ "pr": 12 })),
        ("metadata", json!({ "a": 1 })),
        ("attempt", json!(1)),
        ("max_attempts", json!(1)),
        ("priority", json!(-5)),
        ("parent_task_id", json!(parent)),
        ("thread_id", json!("ops_1")),
        ("checkpoint", Value::Null),
        ("input", Value::Null),
    ] {
        assert_eq!(task[member], value, "{member} in {task}");
    }
    assert!(task["deadline_at"].is_string() && task["lease"].is_null(), "{task}");
    // A task that is only a payload, and one that is read from standard input.
    let waited = assign(&url, "--as ada --to-username builder --wait --payload", "[1]")
        .await
        .ok();
    let task: Value = serde_json::from_str(&waited).unwrap();
    assert_eq!((&task["payload"], &task["text"]), (&json!([1]), &json!("")));
    let words = "task assign --as ada --to-username builder --wait -";
    let waited = crate::harness::line_with_input(&url, words, "from a file\n").await.ok();
    let task: Value = serde_json::from_str(&waited).unwrap();
    assert_eq!(task["text"], "from a file");
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn exit_code_75_asks_for_another_attempt_which_gets_the_checkpoint() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let script = r#"if [ "$AGENTNET_TASK_ATTEMPT" = 2 ]; then cat; exit; fi
        echo '::checkpoint {"step":1}' >&2; echo not yet >&2; exit 75"#;
    let mut builder = Service::spawn({
        let mut command = crate::harness::binary();
        command
            .args([
                "--nats-url",
                &url,
                "--json",
                "task",
                "work",
                "--as",
                "builder",
                "--max-tasks",
                "2",
                "--",
            ])
            .args(["sh", "-c", script]);
        command
    });
    builder.says("does tasks as").await;
    let options = "--as ada --to-username builder --retries 1 --backoff 0.1 --wait";
    let waited = assign(&url, options, "try").await.ok();
    let task: Value = serde_json::from_str(&waited).unwrap();
    assert_eq!(
        (&task["attempt"], &task["max_attempts"], &task["checkpoint"]),
        (&json!(2), &json!(2), &json!({ "step": 1 }))
    );
    let first = builder.next_json().await;
    assert_eq!(
        (&first["outcome"], &first["code"]),
        (&json!("retryable"), &json!("exit_75"))
    );
    assert_eq!(first["detail"], "exit code 75: not yet");
    assert_eq!(builder.next_json().await["outcome"], "completed");
    // It was to do so many.
    assert_eq!(builder.ended().await.code(), Some(0), "{}", builder.stderr());
    let id = task["task_id"].as_str().unwrap();
    let types = event_types(&url, id).await;
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    assert_eq!(types, ["created", "claimed", "retried", "claimed", "finished"]);
    up.stop().await;
}

#[tokio::test]
async fn a_command_that_fails_is_the_reason_of_the_failure() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let script = r#"case $(cat) in
        *large*) head -c 300000 /dev/zero | tr '\0' x ;;
        *killed*) kill -9 $$ ;;
        *) echo boom >&2; exit 3 ;;
        esac"#;
    let builder = worker(&url, "--as builder", script).await;
    for (text, code, detail) in [
        ("plain", "command_failed", "exit code 3: boom"),
        ("killed", "command_killed", "ended by signal 9"),
        ("large", "result_too_large", "more than 262144 bytes"),
    ] {
        let waited = assign(&url, "--as ada --to-username builder --retries 3 --wait", text).await;
        waited.fails(2, &["task_not_completed", code, detail, "task retry"]);
        let told = assign(&url, "--as ada --to-username builder --wait --json", text).await;
        assert_eq!(told.code, Some(2), "{told:?}");
        let document: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(
            (&document["task"]["state"], &document["task"]["code"]),
            (&json!("failed"), &json!(code))
        );
        assert_eq!(document["task"]["attempt"], 1, "no other attempt helps");
    }
    end(builder).await;
    up.stop().await;
}

/// The process that a command of a worker has named: `task_…  PID`.
async fn named_process(worker: &Service) -> i32 {
    let look = async || {
        let said = worker.stderr();
        let pid = said
            .lines()
            .filter(|line| line.starts_with("task_"))
            .find_map(|line| line.split_whitespace().nth(1)?.parse().ok());
        pid.ok_or(said)
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap()
}

#[tokio::test]
async fn a_cancelled_task_stops_its_command_and_what_that_has_started() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let script = "sleep 1000 & echo $! >&2; wait";
    let mut builder = worker(&url, "--as builder --grace 5", script).await;
    let id = assigned(&url, "--as ada --to-username builder", "long").await;
    let pid = named_process(&builder).await;
    in_state(&url, &id, "working").await;
    let told = agentnet(&url, ["task", "cancel", "--as", "ada", "--reason", "not needed", &id])
        .await
        .ok();
    assert!(told.contains("its worker was asked to stop"), "{told}");
    gone(pid).await;
    let done = builder.next_line().await;
    assert!(done.starts_with(&format!("canceled {id}")), "{done}");
    let task = in_state(&url, &id, "canceled").await;
    assert_eq!(task["code"], "canceled");
    let types = event_types(&url, &id).await;
    assert!(types.contains(&"cancel_requested".to_owned()), "{types:?}");
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn a_command_that_does_not_listen_is_killed_after_the_grace() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let script = "trap '' TERM; echo $$ >&2; while :; do sleep 1; done";
    let builder = worker(&url, "--as builder --grace 0.2", script).await;
    let id = assigned(&url, "--as ada --to-username builder", "stubborn").await;
    let pid = named_process(&builder).await;
    line(&url, &format!("task cancel --as ada {id}")).await.ok();
    gone(pid).await;
    in_state(&url, &id, "canceled").await;
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn a_worker_that_ends_gives_its_task_back() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let slow = "echo $$ >&2; exec sleep 1000";
    for signal in [Signal::TERM, Signal::INT] {
        let mut first = worker(&url, "--as builder", slow).await;
        let id = assigned(&url, "--as ada --to-username builder", "take over").await;
        let pid = named_process(&first).await;
        in_state(&url, &id, "working").await;
        first.signal(signal);
        let code = if signal == Signal::TERM { 0 } else { 130 };
        assert_eq!(first.ended().await.code(), Some(code), "{}", first.stderr());
        gone(pid).await;
        let task = in_state(&url, &id, "submitted").await;
        assert_eq!(task["attempt"], 0, "the attempt does not count: {task}");
        let second = worker(&url, "--as builder --max-tasks 1", "echo done").await;
        let task = in_state(&url, &id, "completed").await;
        assert_eq!(task["result"], "done");
        drop(second);
    }
    up.stop().await;
}

#[tokio::test]
async fn a_lost_worker_is_noticed_and_the_task_goes_on() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut first = worker(
        &url,
        "--as builder",
        "echo '::progress 1 begun' >&2; echo $$ >&2; exec sleep 1000",
    )
    .await;
    let options = "--as ada --to-username builder --retries 1 --backoff 0.1 --heartbeat 1";
    let id = assigned(&url, options, "survive").await;
    let pid = named_process(&first).await;
    // The registry has heard of the worker: the attempt counts.
    until(&url, &format!("task status {id}"), |shown| {
        shown["task"]["percent"] == 1
    })
    .await;
    first.signal(Signal::KILL);
    first.ended().await;
    // Its command is an orphan now, and ends all the same.
    gone(pid).await;
    let second = worker(&url, "--as builder", "echo done").await;
    in_state(&url, &id, "completed").await;
    let types = event_types(&url, &id).await;
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    assert_eq!(
        types,
        [
            "created", "claimed", "progress", "lost", "retried", "claimed", "finished"
        ]
    );
    end(second).await;
    up.stop().await;
}

#[tokio::test]
async fn what_a_killed_worker_has_started_ends() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    // A command that listens to SIGTERM, and one that does not; each with a process of its own.
    for (script, grace) in [
        ("sleep 1000 & echo $! >&2; wait", "60"),
        (
            "trap '' TERM; sh -c 'echo $$ >&2; while :; do sleep 1; done' & wait; wait",
            "1",
        ),
    ] {
        let mut first = worker(&url, &format!("--as builder --grace {grace}"), script).await;
        assigned(&url, "--as ada --to-username builder", "long").await;
        let pid = named_process(&first).await;
        first.signal(Signal::KILL);
        first.ended().await;
        gone(pid).await;
    }
    up.stop().await;
}

#[tokio::test]
async fn a_worker_takes_no_more_tasks_than_it_does() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut ids = Vec::new();
    for text in ["a", "b", "c"] {
        ids.push(assigned(&url, "--as ada --to-capability build", text).await);
    }
    let options = "--as builder --capability build --max-tasks 1 --concurrency 3";
    let mut builder = worker(&url, options, "echo done").await;
    assert_eq!(builder.ended().await.code(), Some(0), "{}", builder.stderr());
    in_state(&url, &ids[0], "completed").await;
    for id in &ids[1..] {
        assert_eq!(event_types(&url, id).await, ["created"]);
    }
    up.stop().await;
}

#[tokio::test]
async fn an_agent_that_claims_nothing_is_told_by_message() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut bob = echo(&url, "--username bob --json").await;
    let id = assigned(&url, "--as ada --to-username bob --title review", "look at it").await;
    let message = bob.next_json().await;
    assert_eq!(message["payload"]["type"], "task.assign", "{message}");
    assert_eq!(message["payload"]["task_id"], id.as_str());
    assert_eq!(
        (&message["payload"]["title"], &message["payload"]["text"]),
        (&json!("review"), &json!("look at it"))
    );
    // It answers as an agent of the Python implementation does.
    let account = line(&url, "profile --username ada --json").await.json()["profile"]["account_id"].clone();
    let account = account.as_str().unwrap();
    for (kind, text) in [("task.progress", "half"), ("task.result", "fine")] {
        let payload = json!({ "type": kind, "task_id": id, "text": text, "metadata": { "percent": 50 } }).to_string();
        let words = format!("send --as bob --to-account {account} --mailbox");
        agentnet(&url, words.split_whitespace().chain([payload.as_str()]))
            .await
            .ok();
    }
    let task = in_state(&url, &id, "completed").await;
    assert_eq!(
        (&task["text"], &task["latest_progress_text"]),
        (&json!("fine"), &json!("half"))
    );
    end(bob).await;
    up.stop().await;
}

#[tokio::test]
async fn a_worker_confirms_assignments_by_message_and_refuses_other_messages() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder", "echo 1").await;
    let assignment = r#"{"type":"task.assign","task_id":"t1","text":"do it"}"#;
    let words = "send --as ada --processed --to-username builder";
    agentnet(&url, words.split(' ').chain([assignment])).await.ok();
    in_state(&url, "t1", "completed").await;
    let refused = agentnet(&url, words.split(' ').chain([r#"{"text":"hello"}"#])).await;
    refused.fails(2, &["handler_error"]);
    end(builder).await;
    up.stop().await;
}
