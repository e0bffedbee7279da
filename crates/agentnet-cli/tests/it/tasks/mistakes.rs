//! Mistakes that people make with tasks, and what is said of them.

use agentnet_testkit::NatsServer;
use serde_json::json;

use super::{assign, assigned, end, in_state, worker};
use crate::harness::{Up, agentnet, echo, line, old_registry};

#[tokio::test]
async fn a_task_that_cannot_be_assigned_is_refused_with_the_reason() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _robert = echo(&url, "--username robert").await;
    assign(&url, "--as ada --to-username robret", "x")
        .await
        .fails(2, &["robret", "did you mean @robert?"]);
    assign(&url, "--as ada --to-account acct_nobody", "x")
        .await
        .fails(2, &["acct_nobody", "agentnet search"]);
    for (words, code, parts) in [
        ("--to-username robert", 2, ["required", "TEXT"]),
        ("x", 2, ["required", "--to-username"]),
        ("--to-username robert --payload {a}", 1, ["not valid JSON", "byte 1"]),
        (
            "--to-username robert x --metadata [1]",
            1,
            ["--metadata", "must be an object"],
        ),
        (
            "--to-username robert x --metadata {",
            1,
            ["--metadata", "not valid JSON"],
        ),
        ("--to-username robert x --retries 20", 2, ["--retries", "20"]),
        ("--to-username robert x --priority 101", 2, ["--priority", "101"]),
        (
            "--to-username robert x --heartbeat 0.5",
            2,
            ["--heartbeat", "at least 1"],
        ),
        (
            "--to-username robert x --backoff 3601",
            2,
            ["--backoff", "at most 3600"],
        ),
        ("--to-username robert x --deadline soon", 2, ["--deadline", "as in 12h"]),
        (
            "--to-username robert x --parent task_unknown",
            2,
            ["task_parent_unknown", "task list"],
        ),
    ] {
        let ran = line(&url, &format!("task assign --as ada {words}")).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{words}: {ran:?}");
        for part in parts {
            assert!(ran.stderr.contains(part), "`{part}` is missing for {words}: {ran:?}");
        }
    }
    agentnet(&url, ["task", "assign", "--to-username", "robert", "  "])
        .await
        .fails(2, &["the task is empty", "say what is to be done"]);
    let large = "x".repeat(70_000);
    agentnet(&url, ["task", "assign", "--to-username", "robert", &large])
        .await
        .fails(2, &["65536"]);
    let all = line(&url, "task list --json").await.json();
    assert_eq!(all["tasks"], json!([]), "nothing of this was kept");
    up.stop().await;
}

#[tokio::test]
async fn a_task_that_does_not_exist_is_named() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    assigned(&url, "--as ada --to-capability build", "x").await;
    for words in [
        "task status",
        "task-status",
        "task tree",
        "task events",
        "task events --follow",
        "task cancel --as ada",
        "task retry --as ada",
        "task input --as ada",
    ] {
        let payload = if words.starts_with("task input") { "1" } else { "" };
        let ran = line(&url, &format!("{words} task_unknown {payload}")).await;
        ran.fails(2, &["not_found: no task is task_unknown", "agentnet task list"]);
        let told = line(&url, &format!("{words} task_unknown {payload} --json"))
            .await
            .fails_as_json(2);
        assert_eq!(told["code"], "not_found", "{words}");
    }
    line(&url, "task list --assignee nobody")
        .await
        .fails(2, &["No account found for username 'nobody'"]);
    for words in [
        "task",
        "task list --state lost",
        "task list --state failed --status failed",
        "task list --since yesterday",
        "task list --limit 0",
        "task cancel",
        "task input task_1",
        "task events --after -1 task_1",
        "tasks --status queued",
        "agent-status",
        "watch --tasks --kind reply",
    ] {
        let ran = line(&url, words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words}: {ran:?}");
    }
    up.stop().await;
}

#[tokio::test]
async fn a_capability_that_no_agent_online_has_is_noted() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder --capability build", "echo done").await;
    let ran = assign(&url, "--as ada --to-capability buildx", "x").await;
    let note = "no agent online has the capability buildx (did you mean capability:build?); the task waits for one";
    assert!(ran.code == Some(0) && ran.stderr.contains(note), "{ran:?}");
    let ran = assign(&url, "--as ada --to-capability build --wait", "x").await;
    assert!(
        ran.code == Some(0) && !ran.stderr.contains("no agent online"),
        "{ran:?}"
    );
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn a_worker_without_a_program_does_not_begin() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    for (words, part) in [
        ("task work --as builder", "required"),
        ("task work --as builder sh", "unexpected argument 'sh'"),
        (
            "task work --as builder -- no-such-program-anywhere",
            "there is no program no-such-program-anywhere in PATH",
        ),
        (
            "task work --as builder -- /etc/passwd",
            "no program that may be executed",
        ),
        (
            "task work --capability a.b -- sh",
            "no client can ask for a capability `a.b`",
        ),
        ("task work --concurrency 0 -- sh", "--concurrency"),
        ("task work --grace never -- sh", "--grace"),
    ] {
        let ran = line(&url, words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{words}: {ran:?}");
        assert!(ran.stderr.contains(part), "`{part}` is missing for {words}: {ran:?}");
    }
    let online = line(&url, "list --json").await.json();
    assert_eq!(online["agents"], json!([]), "none of them joined");
    up.stop().await;
}

#[tokio::test]
async fn what_has_ended_stays_as_it_is() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder", "echo done").await;
    let id = assigned(&url, "--as ada --to-username builder", "x").await;
    in_state(&url, &id, "completed").await;
    for (words, code) in [
        ("task cancel", "task_not_cancelable"),
        ("task retry", "task_not_retriable"),
        ("task input", "task_needs_no_input"),
    ] {
        let payload = if words == "task input" { "1" } else { "" };
        let told = line(&url, &format!("{words} --as ada {id} {payload} --json"))
            .await
            .fails_as_json(2);
        assert_eq!(told["code"], code, "{told}");
        assert!(told["hint"].as_str().unwrap().contains("task status ID"), "{told}");
    }
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn limits_and_deadlines_are_told() {
    let mut up = Up::start_with("--task-max-open 1").await;
    let url = up.url.clone();
    let id = assigned(&url, "--as ada --to-capability build", "x").await;
    assign(&url, "--as ada --to-capability build", "y")
        .await
        .fails(2, &["task_limit_reached", "AGENTNET_TASK_MAX_OPEN"]);
    line(&url, &format!("task cancel --as ada {id}")).await.ok();
    let waited = assign(&url, "--as ada --to-capability build --deadline 1s --wait", "z").await;
    waited.fails(2, &["task_not_completed", "deadline_exceeded"]);
    up.stop().await;
}

#[tokio::test]
async fn a_registry_that_keeps_no_tasks_says_so() {
    let mut up = Up::start_with("--tasks false").await;
    let url = up.url.clone();
    let ran = assign(&url, "--as ada --to-capability build", "x").await;
    ran.fails(2, &["AGENTNET_TASKS=false"]);
    let report = line(&url, "doctor --json").await.json();
    let checks = report["checks"].as_array().unwrap();
    let tasks = checks.iter().find(|check| check["check"] == "tasks").unwrap();
    assert_eq!(tasks["verdict"], "skip", "{report}");
    up.stop().await;
}

#[tokio::test]
async fn a_registry_of_an_older_version_is_named_as_the_reason() {
    let nats = NatsServer::builder().start().await.unwrap();
    let registry = old_registry::start(&nats).await;
    let url = nats.url();
    for words in [
        "task list",
        "tasks",
        "task status task_1",
        "task-status task_1",
        "task tree task_1",
        "task events task_1",
        "task events --follow task_1",
        "task cancel --as bob task_1",
        "task retry --as bob task_1",
        "task input --as bob task_1 1",
    ] {
        let told = line(&url, &format!("{words} --json")).await.fails_as_json(2);
        assert_eq!(told["code"], "task_unsupported", "{words}: {told}");
        assert!(
            told["hint"].as_str().unwrap().contains("upgrade the registry"),
            "{told}"
        );
    }
    line(&url, "task assign --to-username bob x")
        .await
        .fails(2, &["task_unsupported", "upgrade the registry"]);
    let report = line(&url, "doctor --json").await.json();
    let checks = report["checks"].as_array().unwrap();
    let tasks = checks.iter().find(|check| check["check"] == "tasks").unwrap();
    assert_eq!(tasks["verdict"], "skip", "{report}");
    registry.abort();
    // Without any registry this is what is said.
    let told = line(&url, "task list --json").await.fails_as_json(2);
    assert_eq!(told["code"], "no_registry");
}
