//! `task status`, `list`, `tree`, `events`, and the commands `tasks`, `task-status` and `agent-status`.

use serde_json::Value;

use super::{assign, assigned, end, in_state, worker};
use crate::harness::{Service, Up, binary, line, run, until};

fn ids(page: &Value) -> Vec<&str> {
    let tasks = page["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["task_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn tasks_are_listed_page_by_page_and_in_every_format() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder --capability build", "echo done").await;
    let first = assigned(&url, "--as bob --to-username builder --title first", "one").await;
    in_state(&url, &first, "completed").await;
    let second = assigned(&url, "--as ada --to-capability nothing --title second", "two").await;
    let third = assigned(
        &url,
        &format!("--as ada --to-capability nothing --parent {second}"),
        "three",
    )
    .await;

    let all = line(&url, "task list --json").await.json();
    assert_eq!(ids(&all).len(), 3, "{all}");
    for (options, found) in [
        ("--assignee builder".to_owned(), vec![&first]),
        ("--coordinator @bob".to_owned(), vec![&first]),
        ("--state completed".to_owned(), vec![&first]),
        ("--status assigned --coordinator ada".to_owned(), vec![&third, &second]),
        ("--status failed".to_owned(), vec![]),
        (format!("--parent {second}"), vec![&third]),
        (
            "--capability nothing --coordinator ada".to_owned(),
            vec![&third, &second],
        ),
        ("--since 2999-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        for command in ["task list", "tasks"] {
            let page = line(&url, &format!("{command} {options} --json --timeout 5"))
                .await
                .json();
            assert_eq!(ids(&page), found, "{command} {options}");
        }
    }
    for command in ["task list", "tasks"] {
        let page = line(&url, &format!("{command} --limit 2 --json")).await.json();
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = line(&url, &format!("{command} --limit 2 --cursor {cursor} --json"))
            .await
            .json();
        assert_eq!((ids(&page).len(), ids(&rest).len()), (2, 1));
        let text = line(&url, &format!("{command} --limit 1 --all")).await.ok();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("Changed") && lines.len() == 4, "{text}");
        assert!(
            text.contains("capability:nothing") && text.contains("completed"),
            "{text}"
        );
        let csv = line(&url, &format!("{command} --output csv")).await.ok();
        let header = "Changed,State,Task ID,Title,Coordinator,Assignee,Attempt,Parts,Last\n";
        assert!(csv.starts_with(header) && csv.lines().count() == 4, "{csv}");
    }
    let none = line(&url, "task list --state rejected").await.ok();
    assert_eq!(none, "No tasks\n");
    line(&url, &format!("task status {first} --output csv"))
        .await
        .fails(2, &["lists no rows", "task list"]);
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn one_task_is_shown_with_what_came_of_it() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(
        &url,
        "--as builder",
        "echo '::progress 90 almost' >&2; echo '{\"n\":1}'",
    )
    .await;
    let id = assigned(
        &url,
        "--as ada --to-username builder --title main --priority 5",
        "build it",
    )
    .await;
    in_state(&url, &id, "completed").await;
    for command in ["task status", "task-status"] {
        let text = line(&url, &format!("{command} {id} --timeout 5")).await.ok();
        for part in [
            id.as_str(),
            "completed",
            "main",
            "1 of 1",
            "90 % almost",
            "build it",
            "{\n  \"n\": 1\n}",
        ] {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
        let reply = line(&url, &format!("{command} {id} --json")).await.json();
        assert_eq!(
            (
                &reply["task"]["status"],
                &reply["task"]["terminal"],
                &reply["task"]["type"]
            ),
            (&"completed".into(), &true.into(), &"task.result".into())
        );
    }
    let events = line(&url, &format!("task events {id} --after 1 --timeout 5"))
        .await
        .ok();
    let lines: Vec<&str> = events.lines().collect();
    assert!(lines[0].contains("claimed  "), "{events}");
    assert!(lines.last().unwrap().contains("finished   completed"), "{events}");
    let tree = line(&url, &format!("task tree {id}")).await.ok();
    assert!(
        tree.starts_with("completed  main  ") && tree.lines().count() == 1,
        "{tree}"
    );
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn a_tree_has_its_branches() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let options = "--as ada --to-capability build";
    let top = assigned(&url, &format!("{options} --title top"), "x").await;
    let left = assigned(&url, &format!("{options} --title left --parent {top}"), "x").await;
    assigned(&url, &format!("{options} --title right --parent {top}"), "x").await;
    assigned(&url, &format!("{options} --title below --parent {left}"), "x").await;
    let text = line(&url, &format!("task tree {top} --timeout 5")).await.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("submitted  top  capability:build"), "{text}");
    assert!(lines[1].starts_with("├─ submitted  left"), "{text}");
    assert!(lines[2].starts_with("│  └─ submitted  below"), "{text}");
    assert!(lines[3].starts_with("└─ submitted  right"), "{text}");
    let document = line(&url, &format!("task tree {top} --json")).await.json();
    assert_eq!(document["task"]["children"]["open"], 2, "{document}");
    assert_eq!(document["children"][0]["children"][0]["task"]["title"], "below");
    up.stop().await;
}

#[tokio::test]
async fn events_are_followed_to_the_end() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let id = assigned(&url, "--as ada --to-capability build", "x").await;
    let mut people = Service::line(&url, &format!("task events --follow {id}"));
    let mut program = Service::line(&url, &format!("task events --follow {id} --json --after 1"));
    assert!(people.next_line().await.contains("created"));
    let builder = worker(
        &url,
        "--as builder --capability build",
        "echo '::progress half' >&2; echo done",
    )
    .await;
    let mut seen = Vec::new();
    loop {
        let event = program.next_json().await;
        seen.push(event["seq"].as_i64().unwrap());
        if event["type"] == "finished" {
            assert_eq!(event["state"], "completed");
            break;
        }
    }
    assert_eq!(seen, (2..2 + seen.len() as i64).collect::<Vec<_>>());
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    let rest = people.rest().await;
    assert!(
        rest[0].contains("claimed") && rest.last().unwrap().contains("finished"),
        "{rest:?}"
    );
    assert_eq!(people.ended().await.code(), Some(0), "{}", people.stderr());
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn an_agent_is_asked_what_it_works_on() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(
        &url,
        "--as builder",
        "echo '::progress 40 tests run' >&2; exec sleep 1000",
    )
    .await;
    let idle = line(&url, "agent-status @builder").await.ok();
    assert_eq!(idle, "@builder is online and idle\n");
    let id = assigned(&url, "--as ada --to-username builder --title main", "x").await;
    let status = until(&url, "agent-status builder --limit 5 --timeout 5", |status| {
        status["summary"] == "@builder is working on main: 40 % tests run"
    })
    .await;
    assert_eq!(
        (&status["ok"], &status["session_count"]),
        (&true.into(), &1.into()),
        "{status}"
    );
    assert_eq!(status["active_tasks"][0]["task_id"], id.as_str());
    assert_eq!(status["recent_tasks"][0]["task_id"], id.as_str());
    line(&url, "agent-status buildxr")
        .await
        .fails(2, &["No account found", "did you mean @builder?"]);
    end(builder).await;
    until(&url, "agent-status builder", |status| {
        status["summary"] == "@builder is offline" && status["online"] == false
    })
    .await;
    up.stop().await;
}

/// What is offered for the last word of a line, as fish asks.
async fn offered(url: &str, words: &str) -> Vec<String> {
    let mut command = binary();
    command.env("AGENTNET_COMPLETE", "fish").env("AGENTNET_NATS_URL", url);
    command.args(["--", "agentnet"]).args(words.split(' '));
    let ran = run(command).await.ok();
    let values = ran.lines().filter_map(|line| line.split('\t').next());
    values.map(str::to_owned).collect()
}

#[tokio::test]
async fn shells_complete_tasks_that_a_command_can_use() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let builder = worker(&url, "--as builder", "exit 1").await;
    let failed = assigned(&url, "--as ada --to-username builder", "x").await;
    in_state(&url, &failed, "failed").await;
    let waiting = assigned(&url, "--as ada --to-capability nothing", "x").await;
    assert_eq!(offered(&url, "task retry task_").await, [failed.as_str()]);
    assert_eq!(offered(&url, "task cancel task_").await, [waiting.as_str()]);
    assert_eq!(offered(&url, "task input task_").await, Vec::<String>::new());
    let mut all = offered(&url, "task-status task_").await;
    all.sort_unstable();
    let mut expected = vec![failed, waiting];
    expected.sort_unstable();
    assert_eq!(all, expected);
    end(builder).await;
    up.stop().await;
}

#[tokio::test]
async fn the_same_key_makes_one_task() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let options = "--as ada --to-capability build --key gh-12";
    let id = assigned(&url, options, "fix it").await;
    let again = assign(&url, &format!("{options} --json"), "fix it").await.json();
    assert_eq!(
        (&again["created"], &again["task_id"]),
        (&false.into(), &id.as_str().into())
    );
    let text = assign(&url, options, "fix it").await.ok();
    assert_eq!(text, format!("✓ Task assigned before, now submitted  task_id={id}\n"));
    assign(&url, options, "fix something else")
        .await
        .fails(2, &["task_conflict", "give new work a new --key"]);
    up.stop().await;
}
