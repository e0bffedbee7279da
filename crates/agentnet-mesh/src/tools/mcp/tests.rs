mod sdk;

use std::collections::BTreeMap;
use std::process::Stdio;

use agentnet_testkit::eventually;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::super::test_context::{call, context};
use super::super::{SharedTools, ToolSet};
use super::*;
use crate::config::{Mesh, Secret};

const WAIT: Duration = Duration::from_secs(30);

/// A mesh with one MCP server, `files`.
struct Fixture {
    directory: TempDir,
    tools: SharedTools,
}

fn script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools/mcp/tests/server.py").to_owned()
}

fn mesh(server: McpServer) -> Mesh {
    Mesh {
        path: PathBuf::from("mesh.yaml"),
        nats_url: None,
        providers: BTreeMap::new(),
        prices: BTreeMap::new(),
        mcp_servers: BTreeMap::from([("files".to_owned(), server)]),
        tools: BTreeMap::new(),
        agents: Vec::new(),
    }
}

/// A server over its standard input and output, with its files in a directory.
fn stdio_server(directory: &Path, options: &[&str]) -> McpServer {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut argv = vec!["python3".to_owned(), "-u".to_owned(), script()];
    argv.extend(["--log".to_owned(), path("log"), "--refuse".to_owned(), path("refuse")]);
    argv.extend(options.iter().map(|option| (*option).to_owned()));
    let env = BTreeMap::from([("TOKEN".to_owned(), Secret::new("secret-token"))]);
    McpServer::Command { argv, cwd: None, env }
}

impl Fixture {
    fn stdio(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tools = SharedTools::start(&mesh(stdio_server(directory.path(), options)));
        Self { directory, tools }
    }

    async fn select(&self, globs: &[&str]) -> ToolSet {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        self.tools.select(&globs, Vec::new()).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn refuse(&self) {
        std::fs::write(self.directory.path().join("refuse"), "").unwrap();
    }

    fn accept(&self) {
        std::fs::remove_file(self.directory.path().join("refuse")).unwrap();
    }

    /// Process ids of all servers that have started.
    fn pids(&self) -> Vec<String> {
        let log = self.log();
        let started = log.lines().filter_map(|line| line.strip_prefix("started "));
        started.map(str::to_owned).collect()
    }

    async fn logged(&self, line: &str) {
        let check = async || {
            let log = self.log();
            if log.lines().any(|logged| logged == line) {
                Ok(())
            } else {
                Err(format!("no {line:?} in {log}"))
            }
        };
        eventually(WAIT, check).await.unwrap();
    }
}

/// Waits until these processes have ended.
async fn gone(pids: &[String]) {
    let look = async || {
        for pid in pids {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if !stat.is_empty() && !stat.contains(") Z ") {
                return Err(stat);
            }
        }
        Ok(())
    };
    eventually(WAIT, look).await.unwrap();
}

async fn content(tools: &ToolSet, name: &str, arguments: &Value) -> Value {
    let result = tools.call(&call(name, &arguments.to_string()), &context()).await;
    serde_json::from_str(&result.content).unwrap()
}

fn names(tools: &ToolSet) -> Vec<String> {
    tools.specs().iter().map(|spec| spec.name.clone()).collect()
}

#[rstest]
#[case(&[])]
#[case(&["--modern"])]
#[tokio::test]
async fn a_server_of_each_revision_is_used(#[case] options: &[&str]) {
    let fixture = Fixture::stdio(options);
    let tools = fixture
        .select(&["mcp.files.[ar]*", "mcp.files.fail", "mcp.files.big"])
        .await;
    let expected = [
        "mcp__files__add",
        "mcp__files__big",
        "mcp__files__fail",
        "mcp__files__read_file",
    ];
    assert_eq!(names(&tools), expected, "{}", fixture.log());
    assert_eq!(tools.specs()[0].parameters["required"], json!(["a", "b"]));

    let sum = content(&tools, "mcp__files__add", &json!({"a": 2, "b": 3})).await;
    assert_eq!(
        sum,
        json!({"ok": true, "tool": "mcp__files__add", "result": {"sum": 5}})
    );
    let refused = content(&tools, "mcp__files__add", &json!({"a": "2"})).await;
    assert_eq!(refused["error"], json!("bad_args"), "{refused}");
    let failed = content(&tools, "mcp.files.fail", &json!({})).await;
    assert_eq!(
        (&failed["error"], &failed["detail"]),
        (&json!("tool_error"), &json!("the disk is full"))
    );
    let big = content(&tools, "mcp__files__big", &json!({})).await;
    assert_eq!(big["truncated"], json!(true));
    assert!(big.to_string().len() < 33_000);
    let forbidden = content(&tools, "mcp__files__slow", &json!({})).await;
    assert_eq!(forbidden["error"], json!("tool_not_allowed"), "{forbidden}");

    fixture.tools.close().await;
    assert!(fixture.log().contains("end of input"), "{}", fixture.log());
    let closed = content(&tools, "mcp__files__add", &json!({"a": 2, "b": 3})).await;
    assert_eq!(closed["error"], json!("server_unavailable"), "{closed}");
}

#[tokio::test]
async fn a_server_that_nobody_wants_does_not_start() {
    let fixture = Fixture::stdio(&[]);
    let tools = fixture.select(&["network.*", "mcp.web.*"]).await;
    assert!(names(&tools).is_empty());
    fixture.tools.close().await;
    assert_eq!(fixture.log(), "");
}

#[tokio::test]
async fn a_server_gets_a_cleared_environment() {
    let fixture = Fixture::stdio(&[]);
    let tools = fixture.select(&["mcp.*"]).await;
    let specs = tools.specs();
    let spec = specs.iter().find(|spec| spec.name == "mcp__files__environment");
    assert_eq!(spec.unwrap().description, "Lists the variables, such as ***.");
    let content = content(&tools, "mcp__files__environment", &json!({})).await;
    assert!(!content.to_string().contains("secret-token"), "{content}");
    let variables: BTreeMap<String, String> = serde_json::from_str(content["result"].as_str().unwrap()).unwrap();
    // A launcher of Python may add variables of its own.
    let inherited = |name: &str| variables.contains_key(name);
    assert!(inherited("PATH") && inherited("TOKEN"), "{variables:?}");
    assert!(!inherited("CARGO_MANIFEST_DIR"), "{variables:?}");
    fixture.tools.close().await;
}

#[rstest]
#[case(&[])]
#[case(&["--modern"])]
#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server(#[case] options: &[&str]) {
    let fixture = Fixture::stdio(options);
    let tools = fixture.select(&["mcp.*"]).await;
    let context = context();
    let call = call("mcp__files__slow", "{}");
    let cancelling = async {
        fixture.logged("tools/call").await;
        context.cancelled.cancel();
    };
    let (result, ()) = tokio::join!(tools.call(&call, &context), cancelling);
    assert!(result.content.contains("\"cancelled\""), "{}", result.content);
    fixture.logged("slow was cancelled").await;
    let sum = content(&tools, "mcp__files__add", &json!({"a": 1, "b": 1})).await;
    assert_eq!(sum["result"], json!({"sum": 2}));
    fixture.tools.close().await;
}

#[tokio::test]
async fn a_server_that_ends_is_started_again() {
    let fixture = Fixture::stdio(&[]);
    let tools = fixture.select(&["mcp.*"]).await;
    let crashed = content(&tools, "mcp__files__crash", &json!({})).await;
    assert_eq!(crashed["error"], json!("server_unavailable"), "{crashed}");
    // The tools stay listed, and the next call waits for the server.
    assert!(names(&tools).contains(&"mcp__files__add".to_owned()));
    let sum = content(&tools, "mcp__files__add", &json!({"a": 1, "b": 1})).await;
    assert_eq!(sum["result"], json!({"sum": 2}), "{sum}");
    assert_eq!(fixture.log().matches("started").count(), 2);
    fixture.tools.close().await;
}

#[tokio::test]
async fn only_a_server_with_other_settings_is_started_again() {
    let mut fixture = Fixture::stdio(&[]);
    let tools = fixture.select(&["mcp.*"]).await;
    let server = stdio_server(fixture.directory.path(), &[]);
    let mut with_another = mesh(server.clone());
    with_another.mcp_servers.insert("more".to_owned(), server);
    fixture.tools.renew(&with_another).close().await;
    let both = fixture.select(&["mcp.files.add", "mcp.more.add"]).await;
    assert_eq!(names(&both), ["mcp__files__add", "mcp__more__add"]);
    let arguments = json!({"a": 1, "b": 1});
    let sum = content(&tools, "mcp__files__add", &arguments).await;
    assert_eq!(sum["result"], json!({"sum": 2}), "{sum}");
    assert_eq!(fixture.log().matches("started").count(), 2, "one for each");

    let changed = stdio_server(fixture.directory.path(), &["--modern"]);
    fixture.tools.renew(&mesh(changed)).close().await;
    let ended = content(&tools, "mcp__files__add", &arguments).await;
    assert_eq!(ended["error"], json!("server_unavailable"), "{ended}");
    let renewed = fixture.select(&["mcp.*"]).await;
    let sum = content(&renewed, "mcp__files__add", &arguments).await;
    assert_eq!(sum["result"], json!({"sum": 2}), "{sum}");
    assert_eq!(fixture.log().matches("started").count(), 3);
    fixture.tools.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_start_is_tried_again() {
    let fixture = Fixture::stdio(&[]);
    fixture.refuse();
    let tools = fixture.select(&["mcp.*"]).await;
    assert!(names(&tools).is_empty());
    fixture.accept();
    let listed = async || {
        if names(&tools).is_empty() {
            Err("no tools")
        } else {
            Ok(())
        }
    };
    eventually(WAIT, listed).await.unwrap();
    let sum = content(&tools, "mcp__files__add", &json!({"a": 1, "b": 1})).await;
    assert_eq!(sum["result"], json!({"sum": 2}));
    fixture.tools.close().await;
}

#[rstest]
#[case(&[])]
#[case(&["--modern"])]
#[tokio::test]
async fn a_tool_that_is_added_later_can_be_called(#[case] options: &[&str]) {
    let fixture = Fixture::stdio(options);
    let tools = fixture.select(&["mcp.*"]).await;
    if options.contains(&"--modern") {
        fixture.logged("subscriptions/listen").await;
    }
    assert!(!names(&tools).contains(&"mcp__files__late".to_owned()));
    content(&tools, "mcp__files__grow", &json!({})).await;
    let listed = async || {
        let names = names(&tools);
        if names.contains(&"mcp__files__late".to_owned()) {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    };
    eventually(WAIT, listed).await.unwrap();
    let late = content(&tools, "mcp__files__late", &json!({})).await;
    assert_eq!(late["result"], json!("better than never"));
    fixture.tools.close().await;
}

#[tokio::test]
async fn a_list_without_an_end_is_cut() {
    let fixture = Fixture::stdio(&["--endless"]);
    let tools = fixture.select(&["mcp.*"]).await;
    let specs = tools.specs();
    assert_eq!(specs.len(), 512);
    assert!(specs.iter().all(|spec| spec.description.len() < 4_200));
    fixture.tools.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_end_is_killed() {
    let fixture = Fixture::stdio(&["--stubborn"]);
    fixture.select(&["mcp.*"]).await;
    let pids = fixture.pids();
    assert_eq!(pids.len(), 1);
    fixture.tools.close().await;
    fixture.logged("end of input").await;
    gone(&pids).await;
}

/// The one that runs, one that a reload has left, and one that is being closed.
#[tokio::test]
async fn servers_are_killed_at_once() {
    let mut fixture = Fixture::stdio(&["--stubborn"]);
    fixture.select(&["mcp.*"]).await;
    let changed = stdio_server(fixture.directory.path(), &["--stubborn", "--modern"]);
    let closing = fixture.tools.renew(&mesh(changed));
    fixture.select(&["mcp.*"]).await;
    let again = stdio_server(fixture.directory.path(), &["--stubborn"]);
    let retired = fixture.tools.renew(&mesh(again));
    fixture.select(&["mcp.*"]).await;
    let pids = fixture.pids();
    assert_eq!(pids.len(), 3, "{}", fixture.log());
    let closing = tokio::spawn(closing.close());
    fixture.logged("end of input").await;
    fixture.tools.kill().await;
    gone(&pids).await;
    closing.await.unwrap();
    retired.close().await;
}

#[rstest]
#[case(&[])]
#[case(&["--modern"])]
#[tokio::test]
async fn a_server_over_http_is_used(#[case] options: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut server = tokio::process::Command::new("python3")
        .args(["-u", &script(), "--http", "--log", log.to_str().unwrap()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = server.stdout.take().unwrap();
    let port = BufReader::new(stdout).lines().next_line().await.unwrap().unwrap();
    let headers = BTreeMap::from([("Authorization".to_owned(), Secret::new("Bearer secret-token"))]);
    let url = format!("http://127.0.0.1:{port}/mcp");
    let fixture = Fixture {
        directory,
        tools: SharedTools::start(&mesh(McpServer::Http { url, headers })),
    };

    let tools = fixture.select(&["mcp.files.add"]).await;
    assert_eq!(names(&tools), ["mcp__files__add"], "{}", fixture.log());
    let sum = content(&tools, "mcp__files__add", &json!({"a": 2, "b": 3})).await;
    assert_eq!(sum["result"], json!({"sum": 5}), "{sum}");
    fixture.logged("authorization: Bearer secret-token").await;

    server.kill().await.unwrap();
    let down = content(&tools, "mcp__files__add", &json!({"a": 2, "b": 3})).await;
    assert_eq!(down["error"], json!("server_unavailable"), "{down}");
    assert!(!down.to_string().contains("secret-token"), "{down}");
    fixture.tools.close().await;
}
