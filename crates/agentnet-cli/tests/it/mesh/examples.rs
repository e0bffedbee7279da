//! examples/mesh: the trio's tools against a recorded web server, with and without keys.

use std::path::{Path, PathBuf};

use agentnet::json;
use agentnet_testkit::Aimock;
use serde_json::Value;

use crate::harness::{Ran, Service, Up, agentnet, binary, run};
use crate::mesh::recorder::Recorder;
use crate::mesh::scripted::{calls, online, says, tool_results, without_keys};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn trio() -> PathBuf {
    root().join("examples/mesh/mesh_agents.yaml")
}

/// Both examples are valid; the one that needs keys names them.
#[tokio::test]
async fn the_examples_are_valid() {
    for name in ["mesh_agents.yaml", "local.yaml"] {
        let mut command = without_keys(binary());
        command
            .args(["mesh", "check"])
            .arg(root().join("examples/mesh").join(name));
        command.env("OPENAI_API_KEY", "x").env("ANTHROPIC_API_KEY", "x");
        let ran = run(command).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

/// The programs at the paths of the Python implementation say what to run now.
#[tokio::test]
async fn the_earlier_programs_say_where_they_went() {
    let cases: [(&str, &[&str], &str); 4] = [
        ("agent_novita_a.py", &[], "agentnet demo duo --role a"),
        ("agent_novita_b.py", &[], "agentnet demo duo --role b"),
        (
            "agent_mesh_trio.py",
            &[
                "--config",
                "agents/config/mesh_agents.yaml",
                "--only",
                "agent_1",
                "--only",
                "agent_2",
            ],
            "agentnet mesh run --config examples/mesh/mesh_agents.yaml --only agent_1 --only agent_2",
        ),
        (
            "agent_mesh_trio.py",
            &["--config", "examples/mesh/local.yaml"],
            "agentnet mesh run --config examples/mesh/local.yaml",
        ),
    ];
    for (program, arguments, expected) in cases {
        let mut command = tokio::process::Command::new("python3");
        command
            .arg(format!("agents/{program}"))
            .args(arguments)
            .current_dir(root());
        let ran: Ran = run(command).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("\n    {expected}\n")), "{ran:?}");
    }
    let example = std::fs::read_to_string(root().join("agents/.env.example")).unwrap();
    for name in [
        "NOVITA_API_KEY",
        "DEMO_TURNS",
        "LOG_TEXT_MAX_CHARS",
        "TARGET_USERNAME",
        "OPENAI_API_KEY",
        "RSC_TOKEN",
    ] {
        assert!(
            example.lines().any(|line| line.starts_with(&format!("{name}="))),
            "{name}"
        );
    }
}

/// Agents 2 and 3 look things up: the requests that reach the web have the keys, and the models do not see them.
#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_the_trio_reach_the_web() {
    let mut up = Up::start().await;
    let web = Recorder::start(r#"{"data":{"NBA":[{"home_team":"Oslo","away_team":"Bergen"}]}}"#).await;
    let second = [
        ("nba_schedule", json!({ "date": "2026-11-29" })),
        ("nba_live", json!({ "date": "now", "game_id": "7" })),
        ("nba_teams", json!({})),
        ("nba_roster", json!({ "team_id": "1 or 2" })),
        ("nba_injuries", json!({})),
    ];
    let third = [
        ("nba_odds", json!({ "markets": "h2h" })),
        ("nba_team_stats", json!({ "season": "2026" })),
        ("search_web", json!({ "query": "who \"wins\"?" })),
    ];
    let provider = Aimock::start(&json!([
        calls(
            json!({ "userMessage": "look", "toolName": "nba_schedule", "hasToolResult": false }),
            &second
        ),
        calls(
            json!({ "userMessage": "look", "toolName": "nba_odds", "hasToolResult": false }),
            &third
        ),
        says(json!({ "hasToolResult": true }), "Oslo plays Bergen."),
    ]))
    .await
    .unwrap();
    let mut command = without_keys(binary());
    command.args(["--nats-url", &up.url, "mesh", "run"]).arg(trio());
    let folder = tempfile::TempDir::new().unwrap();
    command.arg("--data-dir").arg(folder.path());
    for tool in [
        "nba_schedule",
        "nba_live",
        "nba_teams",
        "nba_roster",
        "nba_injuries",
        "nba_odds",
        "nba_team_stats",
        "search_web",
    ] {
        command
            .arg("--set")
            .arg(format!("tools.{tool}.http.allow_private=true"));
    }
    command
        .env("OPENAI_API_KEY", "x")
        .env("ANTHROPIC_API_KEY", "x")
        .env("OPENAI_BASE_URL", provider.url())
        .env("ANTHROPIC_BASE_URL", provider.url())
        .env("RSC_BASE_URL", format!("{}/rsc", web.url))
        .env("ODDS_API_BASE_URL", format!("{}/odds", web.url))
        .env("PERPLEXITY_BASE_URL", format!("{}/search", web.url))
        .env("RSC_TOKEN", "secret-rsc")
        .env("PERPLEXITY_API_KEY", "secret-search");
    let mut host = Service::spawn(command);
    online(&host, &up.url, &["mesh_agent_1", "mesh_agent_2", "mesh_agent_3"]).await;
    for agent in ["mesh_agent_2", "mesh_agent_3"] {
        let words = [
            "request",
            "--to-username",
            agent,
            "--timeout",
            "60",
            r#"{"text":"look it up"}"#,
        ];
        assert!(
            agentnet(&up.url, words).await.ok().contains("Oslo plays Bergen."),
            "{}",
            host.stderr()
        );
    }
    let mut targets: Vec<String> = web
        .seen()
        .into_iter()
        .map(|seen| format!("{} {}", seen.method, seen.target))
        .collect();
    targets.sort();
    let expected = [
        "GET /rsc/injuries/NBA?RSC_token=secret-rsc",
        "GET /rsc/live/now/NBA?game_id=7&RSC_token=secret-rsc",
        "GET /rsc/player-info/NBA?team_id=1%20or%202&RSC_token=secret-rsc",
        "GET /rsc/schedule/2026-11-29/NBA?RSC_token=secret-rsc",
        "GET /rsc/team-info/NBA?RSC_token=secret-rsc",
        "GET /rsc/team-stats/2026/NBA?RSC_token=secret-rsc",
        "POST /search/chat/completions",
    ];
    assert_eq!(targets, expected, "{}", host.stderr());
    let asked = web.seen().into_iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(asked.headers["authorization"], "Bearer secret-search");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["messages"][1]["content"], "who \"wins\"?");
    // The tool whose key is missing says so; no key is in what the models saw.
    let requests = provider.requests().await.unwrap();
    let results: Vec<Value> = requests
        .iter()
        .flat_map(tool_results)
        .map(|(_, result)| result)
        .collect();
    assert_eq!(results.len(), 8);
    let failed: Vec<&Value> = results.iter().filter(|result| result["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].to_string().contains("ODDS_API_KEY"), "{}", failed[0]);
    let seen_by_models = Value::from(requests).to_string();
    assert!(!seen_by_models.contains("secret-") && !host.stderr().contains("secret-"));
    host.signal(rustix::process::Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.stderr());
    up.stop().await;
}
