use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::{Api, Provider, Secret, ToolAction, ToolConfig};
use crate::config::{CommandTool, CompactionConfig, TasksConfig};
use crate::usage::fixtures::{agent, model};

fn provider(key: &str) -> Provider {
    Provider {
        api: Api::OpenAiChat,
        base_url: "http://127.0.0.1:1/v1".into(),
        api_key: Ok(Secret::new(key)),
        timeout: Duration::from_secs(45),
        max_retries: 4,
        headers: BTreeMap::new(),
        params_drop: Vec::new(),
    }
}

fn mesh() -> Mesh {
    Mesh {
        path: PathBuf::from("mesh.yaml"),
        nats_url: None,
        providers: BTreeMap::from([("p".into(), provider("k")), ("q".into(), provider("k"))]),
        prices: BTreeMap::new(),
        mcp_servers: BTreeMap::new(),
        tools: BTreeMap::new(),
        agents: vec![agent("a"), agent("b")],
    }
}

fn tasks(max_steps: u32) -> Option<TasksConfig> {
    Some(TasksConfig {
        concurrency: 1,
        max_steps,
        max_tool_calls: 24,
        max_time: Duration::from_secs(240),
    })
}

fn tool() -> ToolConfig {
    ToolConfig {
        description: String::new(),
        parameters: serde_json::json!({}),
        timeout: Duration::from_secs(10),
        max_result_bytes: 1,
        action: ToolAction::Command(CommandTool {
            argv: vec!["df".into()],
            cwd: None,
            env: Vec::new(),
        }),
    }
}

#[rstest::rstest]
#[case::nothing(|_: &mut Mesh| {}, Change::Keep)]
#[case::another_agent(|mesh: &mut Mesh| mesh.agents[1].prompt = Arc::from("new"), Change::Keep)]
#[case::prompt(|mesh: &mut Mesh| mesh.agents[0].prompt = Arc::from("new"), Change::Swap)]
#[case::model(|mesh: &mut Mesh| mesh.agents[0].models[0].name = "n".into(), Change::Swap)]
#[case::tools(|mesh: &mut Mesh| mesh.agents[0].tools.push("network.*".into()), Change::Swap)]
#[case::steps(|mesh: &mut Mesh| mesh.agents[0].limits.max_steps = 1, Change::Swap)]
#[case::its_provider(|mesh: &mut Mesh| drop(mesh.providers.insert("p".into(), provider("l"))), Change::Swap)]
#[case::another_provider(|mesh: &mut Mesh| drop(mesh.providers.insert("q".into(), provider("l"))), Change::Keep)]
#[case::a_tool_of_the_file(|mesh: &mut Mesh| drop(mesh.tools.insert("disk".into(), tool())), Change::Swap)]
#[case::username(|mesh: &mut Mesh| mesh.agents[0].username = "c".into(), Change::Rejoin)]
#[case::name(|mesh: &mut Mesh| mesh.agents[0].name = "C".into(), Change::Rejoin)]
#[case::capability(|mesh: &mut Mesh| mesh.agents[0].capabilities.push("c".into()), Change::Rejoin)]
#[case::concurrency(|mesh: &mut Mesh| mesh.agents[0].limits.concurrency = 9, Change::Rejoin)]
#[case::tasks(|mesh: &mut Mesh| mesh.agents[0].tasks = tasks(8), Change::Rejoin)]
#[case::time(|mesh: &mut Mesh| mesh.agents[0].limits.max_time = Duration::from_secs(9), Change::Rejoin)]
fn an_agent_changes_as_little_as_needed(#[case] edit: fn(&mut Mesh), #[case] expected: Change) {
    let (old, mut new) = (mesh(), mesh());
    edit(&mut new);
    let changes = Changes::between(&old, &new);
    assert_eq!(changes.of(&old.agents[0], &new.agents[0], true), expected);
}

#[test]
fn a_key_that_is_set_at_last_makes_the_agent_join_anew() {
    let (old, new) = (mesh(), mesh());
    assert_eq!(
        Changes::between(&old, &new).of(&old.agents[0], &new.agents[0], false),
        Change::Rejoin
    );
}

#[test]
fn the_provider_of_the_summaries_counts_too() {
    let with_compaction = || {
        let mut mesh = mesh();
        let model = Some(crate::config::ModelConfig {
            provider: "q".into(),
            ..model("m")
        });
        mesh.agents[0].memory.compaction = Some(CompactionConfig {
            at_tokens: 1,
            model,
            max_messages: 1,
        });
        mesh
    };
    let (old, mut new) = (with_compaction(), with_compaction());
    new.providers.insert("q".into(), provider("l"));
    assert_eq!(
        Changes::between(&old, &new).of(&old.agents[0], &new.agents[0], true),
        Change::Swap
    );
}

#[test]
fn a_report_says_what_happened() {
    let mut report = ReloadReport {
        kept: vec!["z".into()],
        ..ReloadReport::default()
    };
    assert_eq!(
        (report.to_string().as_str(), report.is_unchanged()),
        ("nothing changed", true)
    );
    report.changed = vec!["a".into(), "b".into()];
    report.removed = vec!["c".into()];
    report.failed = vec![("d".into(), "no".into())];
    assert_eq!(report.to_string(), "changed: a, b; removed: c; d cannot join: no");
    assert!(!report.is_unchanged());
}

#[test]
fn only_what_the_node_is_built_with_makes_a_worker_join_anew() {
    let (mut old, mut new) = (mesh(), mesh());
    old.agents[0].tasks = tasks(8);
    new.agents[0].tasks = tasks(50);
    let change = |new: &Mesh| Changes::between(&old, new).of(&old.agents[0], &new.agents[0], true);
    assert_eq!(change(&new), Change::Swap);
    new.agents[0].tasks.as_mut().unwrap().concurrency = 2;
    assert_eq!(change(&new), Change::Rejoin);
}
