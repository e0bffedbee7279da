//! The demos of the Python implementation: the duo, and a trio in the earlier format with its variables.

use std::path::Path;

use agentnet::json;
use agentnet_testkit::Aimock;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Service, Up, binary, line, run, until};
use crate::mesh::scripted::{online, says, without_keys};

const QUESTION: &str = "Which measurements should a weather assistant collect first, and from which stations?";

fn duo(up: &Up, provider: &Aimock) -> Command {
    let mut command = without_keys(binary());
    command.args(["--nats-url", &up.url, "demo", "duo", "--log", "pretty"]);
    command
        .env("NOVITA_API_KEY", "sk-secret-duo")
        .env("NOVITA_BASE_URL", format!("{}/v1/", provider.url()))
        .env("NOVITA_MODEL", "scripted")
        .env("DEMO_TURNS", "2")
        .env("DEMO_GOAL", "Plan a weather assistant.");
    command
}

async fn provider() -> Aimock {
    Aimock::start(&json!([says(json!({}), QUESTION)])).await.unwrap()
}

/// The rule, the head of a block, and the wrapped text, of each of two turns.
fn check_log(log: &str) {
    assert!(
        log.contains(&"-".repeat(96)) || log.contains(&"=".repeat(96)) || log.contains(&"─".repeat(96)),
        "{log}"
    );
    for part in ["SEND", "RECV", "turn=1", "turn=2", "agent_novita_b"] {
        assert!(log.contains(part), "`{part}` is missing in {log}");
    }
    // The texts are indented.
    let mut texts = log.lines().filter(|line| line.starts_with("  "));
    assert!(texts.all(|line| line.chars().count() <= 96), "{log}");
    assert!(!log.contains("sk-secret-duo"));
}

/// Both agents in one process: two turns, four calls of the model, and the threads can be read back.
#[tokio::test(flavor = "multi_thread")]
async fn the_duo_talks_in_one_process() {
    let mut up = Up::start().await;
    let provider = provider().await;
    let ran = run(duo(&up, &provider)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr, "", "a newcomer's first lines are the conversation");
    check_log(&format!("{}{}", ran.stdout, ran.stderr));
    let requests = provider.requests().await.unwrap();
    // The first question, two answers, one question that follows.
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert_eq!(requests[0]["model"], "scripted");
    assert_eq!(requests[0]["temperature"], json!(0.7));
    assert!(requests[0].to_string().contains("Plan a weather assistant."));
    let threads = until(&up.url, "threads", |reply| {
        reply["results"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    for thread in threads["results"].as_array().unwrap() {
        let words = format!("thread-messages --thread-id {}", thread["thread_id"].as_str().unwrap());
        let page = until(&up.url, &words, |reply| {
            reply["messages"].as_array().is_some_and(|all| all.len() == 2)
        })
        .await;
        let reply = &page["messages"][0]["payload"];
        assert_eq!(reply["text"], QUESTION);
        assert_eq!(
            (&reply["model"], &reply["answered_by"]),
            (&json!("scripted"), &json!("agent_novita_b"))
        );
        let asked = &page["messages"][1]["payload"];
        assert_eq!(asked["goal"], "Plan a weather assistant.");
        assert!(asked["turn"].is_number(), "{asked}");
    }
    up.stop().await;
}

/// The two-terminal form, with other names, and texts that are cut.
#[tokio::test(flavor = "multi_thread")]
async fn the_duo_talks_from_two_terminals() {
    let mut up = Up::start().await;
    let provider = provider().await;
    let named = |role: &str| {
        let mut command = duo(&up, &provider);
        command.args(["--role", role]);
        command
            .env("AGENT_B_USERNAME", "oracle")
            .env("TARGET_USERNAME", "@oracle")
            .env("LOG_TEXT_MAX_CHARS", "20");
        command
    };
    let mut b = Service::spawn(named("b"));
    online(&b, &up.url, &["oracle"]).await;
    // The name that programs of the Python implementation find it by. No log line says what is odd about it.
    let found = line(&up.url, "search --capability novita.chat --json").await.json();
    assert_eq!(found["results"][0]["username"], "oracle", "{found}");
    let ran = run(named("a")).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let log = format!("{}{}", ran.stdout, ran.stderr);
    assert!(log.contains("oracle") && log.contains("..."), "{log}");
    assert!(!log.contains("and from which stations?"), "{log}");
    b.signal(rustix::process::Signal::TERM);
    assert_eq!(b.ended().await.code(), Some(0), "{}", b.stderr());
    assert!(!b.stderr().contains("WARN"), "{}", b.stderr());
    up.stop().await;
}

/// Without a key the duo says which one it needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_duo_names_the_missing_key() {
    let mut up = Up::start().await;
    let provider = provider().await;
    let mut command = duo(&up, &provider);
    command.env_remove("NOVITA_API_KEY");
    let ran = run(command).await;
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let log = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        log.contains("NOVITA_API_KEY") && log.contains("OPENAI_API_KEY"),
        "{log}"
    );
    assert!(provider.requests().await.unwrap().is_empty());
    up.stop().await;
}

/// A file in the format of the Python implementation: prompts are found from the parent of its folder.
fn write_legacy(folder: &Path) -> std::path::PathBuf {
    let agent = |number: u8, provider: &str, variables: &str| {
        format!(
            "  - key: agent_{number}\n    agent_id: mesh_agent_{number}\n    username: mesh_agent_{number}\n    \
             name: Agent {number}\n    system_prompt_path: prompts/agent_{number}.txt\n    allowed_tools: []\n    \
             model_config:\n      provider: {provider}\n      model: model-{number}\n      api_key_env: {variables}_API_KEY\n      \
             base_url_env: {variables}_BASE_URL\n      temperature: 0.3\n      max_tokens: 200\n"
        )
    };
    let yaml = format!(
        "defaults:\n  nats_url_env: NATS_URL\n  max_history_messages: 40\n  request_timeout_seconds: 60\n  \
         context_timezone: America/Chicago\nagents:\n{}{}{}",
        agent(1, "openai", "OPENAI"),
        agent(2, "claude", "ANTHROPIC"),
        agent(3, "openai", "NOVITA"),
    );
    for path in ["config", "prompts"] {
        std::fs::create_dir(folder.join(path)).unwrap();
    }
    for number in 1..4 {
        let prompt = format!("You are agent number {number}.");
        std::fs::write(folder.join(format!("prompts/agent_{number}.txt")), prompt).unwrap();
    }
    let file = folder.join("config/mesh_agents.yaml");
    std::fs::write(&file, yaml).unwrap();
    file
}

/// `mesh run --config … --only … --only …` with the earlier format and variables; an agent whose key is missing is named.
#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_format_runs_unchanged() {
    let mut up = Up::start().await;
    let provider = provider().await;
    let folder = TempDir::new().unwrap();
    let file = write_legacy(folder.path());
    let mut command = without_keys(binary());
    command.args(["mesh", "run", "--config"]).arg(&file);
    command
        .args(["--only", "agent_1", "--only", "agent_2", "--data-dir"])
        .arg(folder.path().join("data"));
    command
        .env("NATS_URL", &up.url)
        .env("OPENAI_API_KEY", "sk-secret-legacy")
        .env("OPENAI_BASE_URL", provider.url())
        .env("MESH_FINAL_MAX_TOKENS", "150");
    let mut host = Service::spawn(command);
    online(&host, &up.url, &["mesh_agent_1", "mesh_agent_2"]).await;
    host.says("ANTHROPIC_API_KEY").await;
    let words = "request --to-username mesh_agent_1 --timeout 60 --json";
    let ran = crate::harness::agentnet(&up.url, words.split(' ').chain([r#"{"text":"hello"}"#])).await;
    assert!(ran.ok().contains(QUESTION));
    let requests = provider.requests().await.unwrap();
    assert_eq!(requests[0]["model"], "model-1");
    let text = requests[0].to_string();
    assert!(text.contains("You are agent number 1."), "{text}");
    let listed: Value = line(&up.url, "list --json").await.json();
    assert!(!listed.to_string().contains("mesh_agent_3"), "{listed}");
    host.signal(rustix::process::Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.stderr());
    up.stop().await;
}
