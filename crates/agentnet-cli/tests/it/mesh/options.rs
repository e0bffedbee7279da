//! Options of the commands that no other test needs.

use agentnet::json;
use agentnet_testkit::{Aimock, eventually};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Service, Up, WAIT_TIMEOUT, binary, line, run, until};
use crate::mesh::scripted::{Mesh, Setup, agent, head, online, says, without_keys};

/// A network, a provider, and a file of two agents that no host runs.
struct Unrun {
    up: Up,
    provider: Aimock,
    folder: TempDir,
}

impl Unrun {
    async fn start(options: &str) -> Self {
        let up = Up::start_with(options).await;
        let provider = Aimock::start(&json!([says(json!({}), "At your service.")]))
            .await
            .unwrap();
        let folder = TempDir::new().unwrap();
        let yaml = head("openai-chat") + "agents:\n" + &agent("first", "FIRST", "") + &agent("second", "SECOND", "");
        std::fs::write(folder.path().join("mesh.yaml"), yaml).unwrap();
        Self { up, provider, folder }
    }

    /// `agentnet mesh …` beside the file.
    fn mesh(&self, words: &str) -> Command {
        let mut command = without_keys(binary());
        command
            .args(["--nats-url", &self.up.url, "mesh"])
            .args(words.split_whitespace());
        command
            .current_dir(self.folder.path())
            .env("MODEL_URL", self.provider.url())
            .env("AGENTNET_DATA_DIR", self.folder.path().join("data"));
        command
    }
}

/// The agent of a file that is not online runs for one question, and what that cost is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_asked_without_a_host() {
    let mut unrun = Unrun::start("").await;
    let options = "--only second --set agents[1].prompt.text=CHANGED --thread-id ask_1 --timeout 60 --as asker";
    let ran = run(unrun.mesh(&format!("ask mesh.yaml there? {options}"))).await;
    assert_eq!(ran.ok().trim(), "At your service.");
    let requests = unrun.provider.requests().await.unwrap();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].to_string().contains("CHANGED"), "{requests:?}");
    until(&unrun.up.url, "thread-messages --thread-id ask_1", |page| {
        page["messages"].as_array().is_some_and(|all| all.len() >= 2)
    })
    .await;
    // It has left.
    let listed = line(&unrun.up.url, "list --json").await.json();
    assert_eq!(listed["agents"], json!([]), "{listed}");
    let usage = run(unrun.mesh("usage --by thread --json")).await.json();
    assert_eq!(
        (&usage["rows"][0]["key"], &usage["total"]["calls"]),
        (&json!("ask_1"), &json!(1)),
        "{usage}"
    );
    // Nothing runs for a key.
    let ran = run(unrun.mesh("ask --config mesh.yaml second there? --json")).await;
    let told = ran.fails_as_json(2);
    assert!(told["code"].as_str().unwrap().contains("offline"), "{told}");
    let ran = run(unrun.mesh("ask mesh.yaml there? --only third")).await;
    ran.fails(2, &["mesh.yaml has no agent with the key third"]);
    unrun.up.stop().await;
}

/// A selected agent, without watching the file: SIGHUP reads it again. Messages are printed as blocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_reads_its_file_again_when_it_is_told_to() {
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + "agents:\n" + &agent("a", "OLD", "") + &agent("b", "OLD", ""),
        online: &["a", "b"],
        fixtures: json!([
            says(json!({ "systemMessage": "OLD" }), "old"),
            says(json!({ "systemMessage": "NEW" }), "new")
        ]),
        ..Setup::default()
    })
    .await;
    mesh.host.signal(Signal::TERM);
    mesh.host.ended().await;
    let mut command = mesh.command("run");
    command.args(["--no-watch", "--log", "pretty", "--only", "b"]);
    mesh.host = crate::mesh::scripted::spawn_host(command, mesh.folder.path());
    mesh.online(&["b"]).await;
    assert_eq!(mesh.answer("@b", "blocks_1", "well?").await, "old");
    let listed = line(&mesh.up.url, "list --json").await.ok();
    assert!(!listed.contains(r#""username":"a""#), "{listed}");
    let yaml = std::fs::read_to_string(&mesh.file).unwrap().replace("OLD", "NEW");
    std::fs::write(&mesh.file, yaml).unwrap();
    mesh.host.signal(Signal::HUP);
    let look = async || match mesh.answer("@b", "blocks_2", "well?").await.as_str() {
        "new" => Ok(()),
        other => Err(other.to_owned()),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    let printed = mesh.printed();
    for part in ["| b | RECV", "\n  well?", "| b | SEND", "\n  old"] {
        assert!(printed.contains(part), "no {part} in {printed}");
    }
    mesh.stop().await;
}

/// On a network that asks for signatures, hosts, questions and demos sign.
#[tokio::test(flavor = "multi_thread")]
async fn everything_signs_where_it_must() {
    let mut unrun = Unrun::start("--dev-auth").await;
    let keys = format!("--dev-auth --key-dir {}", unrun.folder.path().join("keys").display());
    run(unrun.mesh("run mesh.yaml"))
        .await
        .fails(2, &["agent first", "auth_required"]);
    let mut host = Service::spawn(unrun.mesh(&format!("run mesh.yaml {keys}")));
    online(&host, &unrun.up.url, &["first", "second"]).await;
    let ran = run(unrun.mesh(&format!("ask first there? --as asker {keys}"))).await;
    assert_eq!(ran.ok().trim(), "At your service.");
    let mut demo = without_keys(binary());
    demo.args(["--nats-url", &unrun.up.url, "demo", "duo", "--log", "json"])
        .args(keys.split(' '));
    demo.env("NOVITA_API_KEY", "none")
        .env("NOVITA_BASE_URL", unrun.provider.url())
        .env("DEMO_TURNS", "1");
    let printed = run(demo).await.ok();
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "send", "recv"], "{printed}");
    host.signal(Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.stderr());
    unrun.up.stop().await;
}

/// Records of two days and two agents, filtered and summed.
#[tokio::test]
async fn usage_is_filtered_and_summed() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("mesh")).unwrap();
    let record = |day: u8, agent: &str, input: u64| {
        json!({
            "at": format!("2026-11-{day:02}T10:00:00Z"), "agent": agent, "provider": "p", "model": "m",
            "thread_id": "t", "input": input, "output": 5, "cached_input": 0, "usd": 0.5,
        })
    };
    let records = [
        record(1, "a", 10),
        record(2, "a", 20),
        record(3, "a", 40),
        record(2, "b", 90),
    ];
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    std::fs::write(folder.path().join("mesh/usage.jsonl"), text).unwrap();
    let usage = async |words: &str| {
        let mut command = binary();
        command
            .args(["mesh", "usage", "--data-dir"])
            .arg(folder.path())
            .args(words.split(' '));
        run(command).await.ok()
    };
    let csv = usage("--by day --since 2026-11-02 --until 2026-11-03 --agent a --output csv").await;
    let expected = "Day,Calls,Input,Cached,Output,USD\n2026-11-02,1,20,0,5,0.5000\n2026-11-03,1,40,0,5,0.5000";
    assert_eq!(csv.trim(), expected);
    let table = usage("--by agent").await;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["b", "1", "90", "0", "5", "0.5000"], "{table}");
    assert_eq!(rows[3], ["total", "4", "160", "0", "20", "2.0000"], "{table}");
}

/// `mesh init` replaces files only with `--force`.
#[tokio::test]
async fn files_are_replaced_only_by_force() {
    let folder = TempDir::new().unwrap();
    let init = async |words: &str| {
        let mut command = binary();
        command
            .args(["mesh", "init"])
            .args(words.split_whitespace())
            .current_dir(folder.path());
        run(command).await
    };
    assert!(
        init("new/mesh")
            .await
            .ok()
            .contains("agentnet mesh run new/mesh/mesh.yaml")
    );
    let file = folder.path().join("new/mesh/mesh.yaml");
    std::fs::write(&file, "mine").unwrap();
    init("new/mesh").await.fails(2, &["exists already", "--force"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let written = init("new/mesh --force --json").await.json();
    assert!(
        written["files"]
            .as_array()
            .unwrap()
            .iter()
            .any(|file| file == "new/mesh/mesh.yaml"),
        "{written}"
    );
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "mine");
}

/// A file that `--config` names, with values that `--set` changes.
#[tokio::test]
async fn a_file_is_checked_with_other_values() {
    let folder = TempDir::new().unwrap();
    let yaml = head("openai-chat") + "agents:\n" + &agent("first", "FIRST", "");
    std::fs::write(folder.path().join("other.yaml"), yaml).unwrap();
    let check = async |set: &str| {
        let mut command = without_keys(binary());
        command.args(["mesh", "check", "--config", "other.yaml", "--set", set, "--json"]);
        command
            .current_dir(folder.path())
            .env("MODEL_URL", "http://127.0.0.1:9");
        run(command).await
    };
    let findings = check("agents[0].username=renamed").await.json();
    assert_eq!(findings["agents"][0]["username"], "renamed", "{findings}");
    assert_eq!(
        (&findings["ok"], &findings["providers"][0]["has_key"]),
        (&json!(true), &json!(true)),
        "{findings}"
    );
    let told = check("agents[0].model.provider=clade").await.fails_as_json(2);
    assert!(told["hint"].as_str().unwrap().contains("clade"), "{told}");
}
