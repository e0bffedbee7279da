//! Tools of MCP servers: a foreign server (`@modelcontextprotocol/server-everything`) as a program and over streamable HTTP.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentnet::json;
use agentnet_testkit::eventually;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::harness::process::{gone, is_running, send_signal};
use crate::harness::{FreePort, Up, WAIT_TIMEOUT};
use crate::mesh::limits::Silent;
use crate::mesh::scripted::{KEY, Mesh, Setup, agent, calls, head, mesh_command, says, spawn_host, tool_results};

fn server() -> PathBuf {
    let program = ".tools/aimock/node_modules/.bin/mcp-server-everything";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(program);
    path.canonicalize().expect("run `make aimock`")
}

/// The server on a port, for streamable HTTP.
async fn over_http(port: &FreePort) -> Child {
    let child = Command::new("node")
        .arg(server())
        .arg("streamableHttp")
        .env("PORT", port.number().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let look = async || tokio::net::TcpStream::connect(("127.0.0.1", port.number())).await;
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    child
}

/// Process ids of the server that this process has started.
fn children(parent: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let above = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if above == Some(parent) && read("cmdline").contains("server-everything") && is_running(pid) {
            found.push(pid);
        }
    }
    found
}

/// Only the tools that the globs name are offered; both servers answer; one that is killed is started again; all end with the
/// host.
#[tokio::test(flavor = "multi_thread")]
async fn tools_of_mcp_servers_are_called() {
    let port = FreePort::take().await;
    let web = over_http(&port).await;
    let servers =
        "mcp_servers:\n  local: { command: [node, \"${EVERYTHING}\"] }\n  web: { url: \"${MCP_URL}\" }\nagents:\n";
    let both = [
        ("mcp__local__echo", json!({ "message": "one" })),
        ("mcp__web__echo", json!({ "message": "two" })),
    ];
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + servers + &agent("user", "You use tools.", "    tools: [\"mcp.*.echo\"]\n"),
        online: &["user"],
        fixtures: json!([
            calls(json!({ "hasToolResult": false }), &both),
            says(json!({ "hasToolResult": true }), "Heard."),
        ]),
        environment: vec![
            ("EVERYTHING", server().to_string_lossy().into_owned()),
            ("MCP_URL", format!("http://127.0.0.1:{}/mcp", port.number())),
        ],
    })
    .await;
    assert_eq!(mesh.answer("@user", "mcp_1", "use them").await, "Heard.");
    let requests = mesh.asked(2).await;
    let mut offered: Vec<_> = requests[0]["tools"].as_array().unwrap().iter().collect();
    offered.sort_by_key(|tool| tool["function"]["name"].to_string());
    let names: Vec<_> = offered
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["mcp__local__echo", "mcp__web__echo"]);
    for ((_, result), text) in tool_results(&requests[1]).iter().zip(["one", "two"]) {
        assert_eq!(result["ok"], true, "{result}; {}", mesh.host.stderr());
        assert!(result.to_string().contains(text), "{result}");
    }

    let host = mesh.host.pid();
    let local = children(host);
    assert_eq!(local.len(), 1);
    send_signal(local[0], Signal::KILL);
    let look = async || {
        mesh.answer("@user", "mcp_2", "use them again").await;
        let requests = mesh.provider.requests().await.unwrap();
        let results = tool_results(requests.last().unwrap());
        let is_ok = |(_, result): &(String, serde_json::Value)| result["ok"] == true;
        if results.iter().rev().take(2).all(is_ok) {
            Ok(())
        } else {
            Err(format!("{results:?}"))
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    let again = children(host);
    assert!(again.len() == 1 && again != local, "{again:?}");
    mesh.stop().await;
    let look = async || {
        if is_running(again[0]) {
            Err("the server still runs")
        } else {
            Ok(())
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    drop(web);
}

/// What a server writes before its first answer may hold a key of its environment: none of it is logged.
#[tokio::test(flavor = "multi_thread")]
async fn unexpected_messages_of_a_server_are_not_logged() {
    // A line without JSON, a message that nobody waits for, and the end.
    const SCRIPT: &str = r#"
        read -r request
        printf 'no JSON: %s\n' "$TOKEN"
        printf '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"%s","progress":1}}\n' "$TOKEN"
    "#;
    let servers = format!(
        "mcp_servers:\n  odd: {{ command: [sh, -c, \"${{ODD_SERVER}}\"], env: {{ TOKEN: {KEY} }} }}\nagents:\n"
    );
    let mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + &servers + &agent("user", "You use tools.", "    tools: [\"mcp.*\"]\n"),
        online: &["user"],
        fixtures: json!([]),
        environment: vec![("ODD_SERVER", SCRIPT.to_owned()), ("RUST_LOG", "debug".to_owned())],
    })
    .await;
    mesh.host.says("an MCP server is down").await;
    // Fails if the key is in the log.
    mesh.stop().await;
}

/// A server that stays when its input ends and when it is asked to end: a second signal kills it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_kills_a_server() {
    const SERVER: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../agentnet-mesh/src/tools/mcp/tests/server.py"
    );
    let silent = Silent::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let provider = "  silent: { api: openai-chat, base_url: \"${SILENT_URL}/v1\", api_key: x, timeout_seconds: 600 }\n";
    let servers = "mcp_servers:\n  stays: { command: [python3, \"${SERVER}\", \"--stubborn\", \"--log\", \"${LOG}\"] }\n\
                   agents:\n";
    let patient =
        "  - { key: patient, prompt: { text: A. }, model: { provider: silent, name: m }, tools: [\"mcp.*\"] }\n";
    let mut mesh = Mesh::start(Setup {
        yaml: head("openai-chat") + provider + servers + patient,
        online: &["patient"],
        fixtures: json!([]),
        environment: vec![
            ("SILENT_URL", silent.url.clone()),
            ("SERVER", SERVER.to_owned()),
            ("LOG", log.to_string_lossy().into_owned()),
        ],
    })
    .await;
    let logged = std::fs::read_to_string(&log).unwrap();
    let mut started = logged.lines().filter_map(|line| line.strip_prefix("started "));
    let pid = started.next().unwrap().parse().unwrap();
    assert_eq!(started.next(), None, "{logged}");
    // An answer that does not come keeps the host from closing the server by itself.
    let question = json!({ "text": "a poem", "stream": true });
    let request = mesh.asker.request_stream("@patient", question).timeout(WAIT_TIMEOUT);
    let stream = request.idle_timeout(WAIT_TIMEOUT).await.unwrap();
    silent.has_waiting(1).await;
    mesh.host.signal(Signal::INT);
    mesh.host.says("stopping").await;
    mesh.host.signal(Signal::INT);
    assert_eq!(mesh.host.ended().await.code(), Some(130), "{}", mesh.host.stderr());
    gone(pid).await;
    drop(stream);
    mesh.host = mesh.another_host();
    mesh.ready(2).await;
    mesh.stop().await;
}

/// A host that waits for a server is stopped: the server, which ignores that, is killed.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_start_leaves_no_server() {
    const SCRIPT: &str = "trap '' TERM; echo $$ > \"$PID_FILE\"; while :; do sleep 600; done";
    let mut up = Up::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, pid_file) = (folder.path().join("mesh.yaml"), folder.path().join("pid"));
    let servers = "mcp_servers:\n  mute: { command: [sh, -c, \"${SCRIPT}\"], env: { PID_FILE: \"${PID_FILE}\" } }\n\
                   agents:\n";
    let yaml = head("openai-chat") + servers + &agent("user", "You use tools.", "    tools: [\"mcp.*\"]\n");
    std::fs::write(&file, yaml).unwrap();
    let mut command = mesh_command(&up.url, "run", &file, folder.path());
    command
        .env("MODEL_URL", "http://127.0.0.1:9")
        .env("SCRIPT", SCRIPT)
        .env("PID_FILE", &pid_file);
    let mut host = spawn_host(command, folder.path());
    let look = async || {
        let written = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let pid = written.trim().parse::<i32>();
        pid.map_err(|error| format!("{error}: {written:?}; stderr: {}", host.stderr()))
    };
    let pid = eventually(WAIT_TIMEOUT, look).await.unwrap();
    host.signal(Signal::INT);
    assert_eq!(host.ended().await.code(), Some(130), "{}", host.stderr());
    gone(pid).await;
    up.stop().await;
}
