//! Tasks that agents of a file take, and give to one another; messages to agents that are offline.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, TaskEvent, TaskHandle, TaskOutcome, TaskState, TryStreamExt as _, json};
use agentnet_testkit::eventually;
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{WAIT_TIMEOUT, line, run, until};
use crate::mesh::limits::Silent;
use crate::mesh::scripted::{Mesh, Setup, agent, calls, head, says, tool_results};

const TAKES_TASKS: &str = "    tasks: true\n";

/// The end of a task.
async fn end(task: &TaskHandle) -> TaskOutcome {
    timeout(WAIT_TIMEOUT, task.result()).await.unwrap().unwrap()
}

async fn events(task: &TaskHandle) -> Vec<TaskEvent> {
    timeout(WAIT_TIMEOUT, task.events().try_collect())
        .await
        .unwrap()
        .unwrap()
}

/// A task in a state, read by the command line.
async fn in_state(mesh: &Mesh, id: &str, state: &str) -> Value {
    let right = |reply: &Value| reply["task"]["state"] == state;
    until(&mesh.up.url, &format!("task status {id}"), right).await["task"].clone()
}

/// A provider that never answers, and agents that ask it.
fn silent_file(more: &str) -> String {
    let provider = "  silent: { api: openai-chat, base_url: \"${SILENT_URL}/v1\", api_key: x, timeout_seconds: 600 }\n";
    let patient = "  - { key: patient, prompt: { text: A. }, model: { provider: silent, name: m }";
    head("openai-chat") + provider + "agents:\n" + patient + more + " }\n"
}

/// A task is claimed, its tools are its progress, the answer is its result; it is counted and printed as a message is.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_worked_at_and_finished() {
    let echo = "tools:\n  echo_text:\n    description: Repeats a text.\n    parameters: { type: object, properties: { text: \
                { type: string } } }\n    shell: { argv: [echo, \"{text}\"] }\nagents:\n";
    let more = "    tools: [echo_text]\n    capabilities: [count]\n    tasks: { concurrency: 2, max_steps: 5 }\n";
    let mut answer = says(json!({ "hasToolResult": true }), "Three files.");
    answer["response"]["usage"] = json!({ "prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120 });
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + echo + &agent("clerk", "You count.", more),
        online: &["clerk"],
        fixtures: json!([
            calls(
                json!({ "hasToolResult": false }),
                &[("echo_text", json!({ "text": "a b c" }))]
            ),
            answer,
        ]),
        ..Setup::default()
    })
    .await;
    let task = mesh
        .asker
        .task("capability:count")
        .title("count")
        .text("Count the files.")
        .thread("task_thread");
    let task = task.payload(json!({ "path": "/srv" })).start().await.unwrap();
    let outcome = end(&task).await;
    assert_eq!(
        (outcome.state, outcome.text.as_deref()),
        (TaskState::Completed, Some("Three files."))
    );
    let result: Value = outcome.result.unwrap().deserialize().unwrap();
    assert_eq!(
        (&result["text"], &result["model"]),
        (&json!("Three files."), &json!("scripted"))
    );
    let happened: Vec<(String, Option<String>)> = events(&task)
        .await
        .into_iter()
        .map(|event| (event.r#type, event.text))
        .collect();
    let happened: Vec<(&str, Option<&str>)> = happened.iter().map(|(name, text)| (&**name, text.as_deref())).collect();
    assert_eq!(
        happened,
        [
            ("created", Some("Count the files.")),
            ("claimed", None),
            ("progress", Some("echo_text: started")),
            ("progress", Some("echo_text: done")),
            ("finished", Some("Three files.")),
        ]
    );
    let requests = mesh.asked(2).await;
    let asked = requests[0]["messages"].to_string();
    for part in [
        "Task: count",
        "Count the files.",
        "/srv",
        "@tester",
        "The last message is a task.",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    // The result is in the thread.
    let messages = mesh.thread("task_thread", 1).await;
    assert_eq!(messages[0]["payload"]["type"], "task.result", "{messages:?}");
    let printed = mesh.printed();
    let of_task = |line: &&str| line.contains(r#""kind":"task""#);
    assert_eq!(printed.lines().filter(of_task).count(), 2, "{printed}");
    let mut usage = crate::mesh::scripted::without_keys(crate::harness::binary());
    usage
        .args(["mesh", "usage", "--by", "thread", "--json", "--data-dir"])
        .arg(mesh.folder.path().join("data"));
    let usage = run(usage).await.ok();
    assert!(usage.contains("task_thread"), "{usage}");
    let checked = run(mesh.command("check")).await;
    assert!(checked.stdout.contains("Tasks"), "{checked:?}");
    mesh.stop().await;
}

/// A cancellation ends the request to the provider; a task of a model that never answers ends when its time is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_stops_the_request_to_the_model() {
    let silent = Silent::start().await;
    let brief =
        "  - { key: brief, prompt: { text: A. }, model: { provider: silent, name: m }, tasks: { max_seconds: 1 } }\n";
    let mesh = Mesh::start(Setup {
        yaml: silent_file(", tasks: true") + brief,
        online: &["patient", "brief"],
        fixtures: json!([]),
        environment: vec![("SILENT_URL", silent.url.clone())],
    })
    .await;
    let task = mesh.asker.task("@patient").text("Wait.").start().await.unwrap();
    silent.has_waiting(1).await;
    let ran = line(&mesh.up.url, &format!("task cancel --as tester {}", task.id())).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    silent.has_waiting(0).await;
    let outcome = end(&task).await;
    assert_eq!(
        (outcome.state, outcome.code.as_deref()),
        (TaskState::Canceled, Some("canceled"))
    );
    let task = mesh
        .asker
        .task("@brief")
        .text("Quick.")
        .retries(3)
        .start()
        .await
        .unwrap();
    let outcome = end(&task).await;
    assert_eq!(
        (outcome.state, outcome.code.as_deref()),
        (TaskState::Failed, Some("limit_reached"))
    );
    silent.has_waiting(0).await;
    mesh.stop().await;
}

/// A provider that is down is a reason for another attempt; a refusal is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_fails_as_its_model_does() {
    let down = "  gone: { api: openai-chat, base_url: \"http://127.0.0.1:9/v1\", api_key: x, max_retries: 0 }\n";
    let lost = "  - { key: lost, prompt: { text: A. }, model: { provider: gone, name: far }, tasks: true }\n";
    let unauthorized = json!({ "message": "bad key", "type": "authentication_error" });
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + down + "agents:\n" + lost + &agent("locked", "You help.", TAKES_TASKS),
        online: &["lost", "locked"],
        fixtures: json!([{ "match": {}, "response": { "error": unauthorized, "status": 401 } }]),
        ..Setup::default()
    })
    .await;
    for (to, attempts) in [("@lost", 3), ("@locked", 1)] {
        let task = mesh
            .asker
            .task(to)
            .text("Go.")
            .retries(2)
            .backoff(Duration::from_millis(10));
        let task = task.start().await.unwrap();
        let outcome = end(&task).await;
        assert_eq!(
            (outcome.state, outcome.code.as_deref()),
            (TaskState::Failed, Some("model_unavailable")),
            "{to}"
        );
        assert_eq!(task.status().await.unwrap().attempt, attempts, "{to}");
    }
    assert_eq!(mesh.asked(1).await.len(), 1);
    mesh.stop().await;
}

/// A model that works at a task gives a part of it to another one, and waits for it; cancelling the whole reaches its part.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_gives_a_part_to_another_one() {
    let silent = Silent::start().await;
    let boss = "    tools: [network.task_assign]\n    tasks: true\n";
    let hands_on = |agent: &str| {
        (
            "network_task_assign",
            json!({ "agent": agent, "title": "part", "text": "A part.", "wait": true }),
        )
    };
    let mesh = Mesh::start(Setup {
        yaml: silent_file(", tasks: true")
            + &agent("boss", "You lead.", boss)
            + &agent("helper", "You help.", TAKES_TASKS),
        online: &["patient", "boss", "helper"],
        fixtures: json!([
            says(json!({ "systemMessage": "You help." }), "Part done."),
            says(
                json!({ "systemMessage": "You lead.", "hasToolResult": true }),
                "Whole done."
            ),
            calls(
                json!({ "systemMessage": "You lead.", "userMessage": "endless" }),
                &[hands_on("@patient")]
            ),
            calls(
                json!({ "systemMessage": "You lead." }),
                &[hands_on("@helper"), hands_on("@boss")]
            ),
        ]),
        environment: vec![("SILENT_URL", silent.url.clone())],
    })
    .await;
    let task = mesh.asker.task("@boss").text("The whole.").start().await.unwrap();
    assert_eq!(end(&task).await.text.as_deref(), Some("Whole done."));
    let requests = mesh.asked(3).await;
    let told = tool_results(requests.last().unwrap());
    assert_eq!(
        (&told[0].1["result"]["state"], &told[0].1["result"]["text"]),
        (&json!("completed"), &json!("Part done."))
    );
    assert_eq!(told[1].1["error"], "wait_cycle", "{told:?}");
    let tree = line(&mesh.up.url, &format!("task tree {} --json", task.id()))
        .await
        .ok();
    assert!(
        tree.contains(told[0].1["result"]["task_id"].as_str().unwrap()),
        "{tree}"
    );

    let task = mesh.asker.task("@boss").text("endless").start().await.unwrap();
    silent.has_waiting(1).await;
    task.cancel("enough").await.unwrap();
    silent.has_waiting(0).await;
    assert_eq!(end(&task).await.state, TaskState::Canceled);
    let parts = line(&mesh.up.url, "task list --assignee patient --json").await.json();
    let id = parts["tasks"][0]["task_id"].as_str().unwrap();
    assert_eq!(in_state(&mesh, id, "canceled").await["parent_task_id"], task.id());
    mesh.stop().await;
}

/// A host that ends gives its task back, and another one takes it; so does an agent that takes tasks from now on.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_to_the_next_host() {
    let silent = Silent::start().await;
    let mut mesh = Mesh::start(Setup {
        yaml: silent_file(""),
        online: &["patient"],
        fixtures: json!([]),
        environment: vec![("SILENT_URL", silent.url.clone())],
    })
    .await;
    let task = mesh.asker.task("@patient").text("Wait.").start().await.unwrap();
    std::fs::write(&mesh.file, silent_file(", tasks: true")).unwrap();
    silent.has_waiting(1).await;
    assert_eq!(in_state(&mesh, task.id(), "working").await["attempt"], 1);
    mesh.host.signal(Signal::TERM);
    mesh.host.says("stopping").await;
    mesh.host.signal(Signal::TERM);
    assert_eq!(mesh.host.ended().await.code(), Some(0), "{}", mesh.host.stderr());
    let released = in_state(&mesh, task.id(), "submitted").await;
    assert!(released.get("code").is_none(), "{released}");
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    silent.has_waiting(1).await;
    assert_eq!(in_state(&mesh, task.id(), "working").await["attempt"], 1);
    task.cancel("enough").await.unwrap();
    assert_eq!(end(&task).await.state, TaskState::Canceled);
    mesh.stop().await;
}

/// A message to an agent that is offline is kept, a question is not; the model is told so, and the message arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_an_agent_that_is_offline_is_queued() {
    let tools = [
        ("network_send", json!({ "agent": "@sleeper", "text": "read the logs" })),
        ("network_ask", json!({ "agent": "@sleeper", "text": "are you there?" })),
    ];
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat")
            + "agents:\n"
            + &agent("scout", "You look.", "    tools: [network.ask, network.send]\n"),
        online: &["scout"],
        fixtures: json!([
            calls(json!({ "hasToolResult": false }), &tools),
            says(json!({ "hasToolResult": true }), "It sleeps."),
        ]),
        ..Setup::default()
    })
    .await;
    let heard = Arc::new(Notify::new());
    let sleeper = || {
        let heard = heard.clone();
        let node = AgentNode::builder("sleeper").username("sleeper").nats_url(&mesh.up.url);
        node.on_message(move |message, _| {
            assert_eq!(message.text().as_deref(), Some("read the logs"));
            heard.notify_one();
            async { Ok(()) }
        })
    };
    sleeper().start().await.unwrap().close().await;
    assert_eq!(mesh.answer("@scout", "queue_1", "wake it").await, "It sleeps.");
    let requests = mesh.asked(2).await;
    let told = tool_results(&requests[1]);
    assert_eq!(told[0].1["result"]["delivery"], "queued", "{told:?}");
    let note = told[0].1["result"]["note"].as_str().unwrap();
    assert!(
        note.contains("kept for it") && note.contains("@sleeper is offline"),
        "{note}"
    );
    assert_eq!(told[1].1["error"], "recipient_offline", "{told:?}");
    let detail = told[1].1["detail"].as_str().unwrap();
    assert!(
        detail.contains("network_send") && !detail.contains("network_task_assign"),
        "{detail}"
    );
    let awake = sleeper().start().await.unwrap();
    timeout(WAIT_TIMEOUT, heard.notified()).await.unwrap();
    let look = async || {
        let waiting = line(&mesh.up.url, "mailbox --username sleeper --json").await.json();
        match waiting["messages"][0]["state"] == "done" {
            true => Ok(()),
            false => Err(waiting.to_string()),
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    awake.close().await;
    mesh.stop().await;
}

/// What is wrong with `tasks` is told with its place.
#[tokio::test]
async fn mistakes_in_tasks_are_told() {
    let folder = tempfile::TempDir::new().unwrap();
    for (tasks, message) in [
        (
            "maybe",
            "agents[0].tasks: expected true, false or a mapping, found text",
        ),
        (
            "{ concurrency: 0 }",
            "agents[0].tasks.concurrency: must be from 1 to 1000",
        ),
        ("{ max_second: 3 }", "did you mean \"max_seconds\"?"),
    ] {
        let yaml = head("openai-chat").replace("${MODEL_URL}", "http://127.0.0.1:9") + "agents:\n";
        let yaml = yaml + &agent("a", "A.", &format!("    tasks: {tasks}\n"));
        std::fs::write(folder.path().join("mesh.yaml"), yaml).unwrap();
        let ran = crate::mesh::commands::mesh(&["check", "mesh.yaml"], &folder).await;
        ran.fails(2, &[message]);
    }
}
