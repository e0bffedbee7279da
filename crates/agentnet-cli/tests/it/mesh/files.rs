//! Files that are none, have many mistakes, or are not taken as they are written.

use std::fmt::Write as _;

use agentnet::json;
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::run;
use crate::mesh::commands::mesh;
use crate::mesh::scripted::{Mesh, Setup, agent, head, says};

/// A FIFO without a writer would never be opened, and a device never end.
#[tokio::test]
async fn what_is_no_file_is_refused() {
    const FIFO: &str = "fifo.yaml is a FIFO (named pipe), not a regular file";
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join("fifo.yaml");
    mkfifoat(CWD, fifo.as_path(), Mode::RUSR | Mode::WUSR).unwrap();
    std::fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    for (words, message) in [
        ("check fifo.yaml", FIFO),
        ("run fifo.yaml", FIFO),
        ("run --config fifo.yaml", FIFO),
        ("ask fifo.yaml there?", FIFO),
        ("ask --config fifo.yaml planner there?", FIFO),
        ("check folder.yaml", "folder.yaml is a directory, not a regular file"),
        ("check /dev/zero", "/dev/zero is a device, not a regular file"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        mesh(&words, &folder).await.fails(2, &[message]);
    }
    let yaml = "version: 1\nproviders: { near: { api: openai-chat } }\nagents:\n  - key: a\n    \
                prompt: { file: fifo.yaml }\n    model: { provider: near, name: m }\n";
    std::fs::write(folder.path().join("prompt.yaml"), yaml).unwrap();
    let ran = mesh(&["check", "prompt.yaml"], &folder).await;
    ran.fails(2, &["prompt.yaml:5:21", "\"fifo.yaml\" is a FIFO"]);
    std::fs::rename(&fifo, folder.path().join("mesh.yaml")).unwrap();
    let ran = mesh(&["init", "--force"], &folder).await;
    ran.fails(1, &["mesh.yaml: it is not a regular file"]);
}

/// A model without a name does not hide what is wrong with the other agents. The list is bounded.
#[tokio::test]
async fn many_mistakes_are_told_at_once() {
    let folder = TempDir::new().unwrap();
    let mut yaml = "version: 1\nproviders: { near: { api: openai-chat } }\nagents:\n".to_owned();
    for number in 0..60 {
        let name = if number == 0 { "" } else { ", name: m" };
        let model = format!("{{ provider: far{name} }}");
        writeln!(yaml, "  - {{ key: a{number}, prompt: {{ text: A. }}, model: {model} }}").unwrap();
    }
    std::fs::write(folder.path().join("mesh.yaml"), yaml).unwrap();
    let ran = mesh(&["check"], &folder).await;
    let parts = [
        "error: mesh.yaml has 61 problems",
        "mesh.yaml:4:45 agents[0].model: \"name\" is missing",
        "mesh.yaml:4:57 agents[0].model.provider: unknown provider \"far\" (known: near)",
        "mesh.yaml:52:58 agents[48].model.provider: unknown provider",
        "and 11 more problems",
    ];
    ran.fails(2, &parts);
    assert_eq!(ran.stderr.lines().count(), 52, "{ran:?}");
    let told = mesh(&["check", "--json"], &folder).await.fails_as_json(2);
    assert_eq!(told["message"], "mesh.yaml has 61 problems");
    assert_eq!(told["hint"].as_str().unwrap().lines().count(), 51, "{told}");
}

/// A username that the network writes otherwise is no surprise: `check` and the log of `run` tell it.
#[tokio::test(flavor = "multi_thread")]
async fn a_username_that_becomes_another_is_told() {
    const JOINS: &str = "agents[0].username: \"Planner One\" joins as @planner_one: usernames consist of a-z 0-9 . _ -";
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("planner", "You plan.", "    username: Planner One\n"),
        online: &["planner_one"],
        fixtures: json!([says(json!({}), "A plan.")]),
        ..Setup::default()
    })
    .await;
    mesh.host.says(JOINS).await;
    let ran = run(mesh.command("check")).await.ok();
    assert!(ran.contains(&format!("mesh.yaml:8:15 {JOINS}")), "{ran}");
    let mut check = mesh.command("check");
    check.arg("--json");
    let findings: Value = run(check).await.json();
    assert_eq!(findings["ok"], true, "{findings}");
    assert!(findings["warnings"][0].as_str().unwrap().contains(JOINS), "{findings}");
    mesh.stop().await;
}
