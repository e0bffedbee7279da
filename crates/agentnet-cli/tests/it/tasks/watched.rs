//! What `watch`, `top` and `doctor` show of tasks.

use rustix::process::Signal;

use super::{assigned, end, in_state, worker};
use crate::harness::pty::Terminal;
use crate::harness::{Service, Up, binary, line, until};

#[tokio::test]
async fn what_happens_to_tasks_is_watched() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder --capability build", "echo done").await;
    let mut people = Service::line(&url, "watch --tasks");
    let mut program = Service::line(&url, "watch --tasks --json --from @builder --max-messages 2");
    let mut both = Service::line(&url, "watch --tasks --mailbox --inbox");
    for watcher in [&people, &program, &both] {
        watcher.says("watching").await;
    }
    let id = assigned(&url, "--as ada --to-capability build", "x").await;
    in_state(&url, &id, "completed").await;
    // Each event is shown once, although it is published for the coordinator and for the worker.
    for kind in ["created", "claimed", "finished"] {
        let shown = people.next_line().await;
        assert!(
            shown.contains(&format!("task     {kind}")) && shown.ends_with(&format!("task_id={id}")),
            "{shown}"
        );
    }
    for kind in ["claimed", "finished"] {
        let document = program.next_json().await;
        assert_eq!(
            (&document["message"]["type"], &document["message"]["task_id"]),
            (&kind.into(), &id.as_str().into())
        );
    }
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    assert!(both.next_line().await.contains("task     created"));
    people.signal(Signal::INT);
    assert_eq!(people.ended().await.code(), Some(130));
    end(both).await;
    end(builder).await;
    up.stop().await;
}

/// The cell TASKS of an agent in 80 columns: four cells follow it, and none of these is empty.
fn open_tasks(top: &Terminal, agent: &str) -> String {
    let row = top.line_with(agent).unwrap_or_default();
    row.split_whitespace().rev().nth(4).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn top_counts_the_tasks_that_are_open() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder", "exec sleep 1000").await;
    let mut command = binary();
    command.args(["--nats-url", &url, "top"]).env_remove("NO_COLOR");
    let mut top = Terminal::spawn(command, 80, 24);
    top.shows("TASKS").await;
    top.until("the worker is idle", |top| open_tasks(top, "● @builder") == "0")
        .await;
    let first = assigned(&url, "--as ada --to-username builder", "one").await;
    assigned(&url, "--as ada --to-username builder", "two").await;
    top.until("both tasks are its own", |top| open_tasks(top, "● @builder") == "2")
        .await;
    top.shows("2 open tasks").await;
    line(&url, &format!("task cancel --as ada {first}")).await.ok();
    top.until("one is left", |top| open_tasks(top, "● @builder") == "1")
        .await;
    top.type_until("/builder\r", "filter: builder").await;
    top.type_until("\r", "1 open  0 stalled").await;
    top.type_text("q").await;
    assert_eq!(top.ended().await.code(), Some(0), "{}", top.text());
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn doctor_tells_of_failed_tasks() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let tasks = |report: &serde_json::Value| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == "tasks").unwrap().clone()
    };
    let report = line(&url, "doctor --json").await.json();
    assert_eq!(tasks(&report)["verdict"], "pass", "{report}");
    let builder = worker(&url, "--as builder", "exit 1").await;
    let id = assigned(&url, "--as ada --to-username builder", "x").await;
    in_state(&url, &id, "failed").await;
    let report = until(&url, "doctor", |report| tasks(report)["verdict"] == "warn").await;
    let check = tasks(&report);
    assert!(
        check["seen"].as_str().unwrap().contains("1 failed in the last hour"),
        "{check}"
    );
    assert!(check["advice"].as_str().unwrap().contains("task retry"), "{check}");
    end(builder).await;
    up.stop().await;
}
