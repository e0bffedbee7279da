//! A proxy of the environment: providers are asked through it, HTTP tools never use it. A client reads the environment when it is made,
//! so each test runs itself once more, as a process with a proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, Envelope, Message};
use agentnet_mesh::config::{Api, HttpTool, Mesh, Provider, Secret, ToolAction, ToolConfig};
use agentnet_mesh::model::{ToolCall, ping};
use agentnet_mesh::tools::network::allowance::TaskAllowance;
use agentnet_mesh::tools::{SharedTools, ToolContext, ToolSet};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// The longest that a test waits for one thing before it fails.
const DEADLINE: Duration = Duration::from_secs(60);
/// Variable with the address that the process behind the proxy asks.
const TARGET: &str = "AGENTNET_TEST_TARGET";
/// Variable with what comes of it.
const EXPECTED: &str = "AGENTNET_TEST_EXPECTED";
const PROXY_VARIABLES: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A proxy that answers requests itself, and refuses tunnels.
struct Proxy {
    url: String,
    /// The first lines of what came.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let mut connection = BufReader::new(connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && connection.read_line(&mut head).await.unwrap() > 0 {}
                let first = head.lines().next().unwrap_or_default().to_owned();
                let status = if first.starts_with("CONNECT") {
                    "403 Forbidden"
                } else {
                    "200 OK"
                };
                seen.lock().push(first);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                let _ = connection.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, requests }
    }

    /// The first request since the last call.
    fn first_request(&self) -> Option<String> {
        std::mem::take(&mut *self.requests.lock()).into_iter().next()
    }
}

/// An address of this machine without a server.
async fn closed_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The address to ask, if this is the process behind the proxy.
fn target() -> Option<String> {
    std::env::var(TARGET).ok()
}

/// Runs a test as a process behind a proxy.
async fn run_behind_proxy(test: &str, target: &str, expected: &str, proxy: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    command
        .args(["--exact", test])
        .env(TARGET, target)
        .env(EXPECTED, expected)
        .envs(proxy.iter().copied())
        .kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn provider(base_url: String) -> Provider {
    Provider {
        api: Api::OpenAiChat,
        base_url,
        api_key: Ok(Secret::new("none")),
        timeout: DEADLINE,
        max_retries: 0,
        headers: BTreeMap::new(),
        params_drop: Vec::new(),
    }
}

#[tokio::test]
async fn providers_are_asked_through_it() {
    if let Some(target) = target() {
        let outcome = match ping(&provider(target)).await {
            Ok(()) => "reached".to_owned(),
            Err(error) => format!("{:?}", error.kind),
        };
        assert_eq!(outcome, std::env::var(EXPECTED).unwrap());
        return;
    }
    let proxy = Proxy::start().await;
    let address = closed_address().await;
    let (http, https) = (("HTTP_PROXY", &*proxy.url), ("HTTPS_PROXY", &*proxy.url));
    let cases = [
        (
            "http",
            vec![http],
            "reached",
            Some(format!("GET http://{address}/v1/models HTTP/1.1")),
        ),
        (
            "https",
            vec![https],
            "Connect",
            Some(format!("CONNECT {address} HTTP/1.1")),
        ),
        ("http", vec![https], "Connect", None),
        ("http", vec![http, ("NO_PROXY", "127.0.0.1")], "Connect", None),
    ];
    for (scheme, variables, expected, request) in cases {
        let target = format!("{scheme}://{address}/v1");
        run_behind_proxy("proxies::providers_are_asked_through_it", &target, expected, &variables).await;
        assert_eq!(proxy.first_request(), request, "{variables:?}");
    }
}

fn mesh_with_tool(url: String) -> Mesh {
    let tool = ToolConfig {
        description: "A page.".to_owned(),
        parameters: json!({}),
        timeout: DEADLINE,
        max_result_bytes: 16_384,
        action: ToolAction::Http(HttpTool {
            method: "GET".to_owned(),
            url,
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            secret_query: BTreeMap::new(),
            body: None,
            allow_hosts: Vec::new(),
            allow_private: true,
        }),
    };
    Mesh {
        path: "mesh.yaml".into(),
        nats_url: None,
        providers: BTreeMap::new(),
        prices: BTreeMap::new(),
        mcp_servers: BTreeMap::new(),
        tools: BTreeMap::from([("page".to_owned(), tool)]),
        agents: Vec::new(),
    }
}

#[tokio::test]
async fn http_tools_do_not_use_it() {
    if let Some(target) = target() {
        let tools = SharedTools::start(&mesh_with_tool(target));
        let set = tools.select(&["page".to_owned()], Vec::new()).await;
        let node = AgentNode::builder("tester").ignore_environment().build().unwrap();
        let context = ToolContext {
            node: Arc::new(node),
            message: Message::from(Envelope::decode(r#"{"message_id":"m1","from_agent":"asker"}"#).unwrap()),
            task_id: None,
            task_allowance: TaskAllowance::default(),
            tools: ToolSet::of(Vec::new()),
            hops: 0,
            max_hops: 6,
            chain: Arc::new([]),
            deadline: Instant::now() + DEADLINE,
            cancelled: CancellationToken::new(),
        };
        let call = ToolCall {
            id: "call_1".to_owned(),
            name: "page".to_owned(),
            arguments: "{}".to_owned(),
        };
        let result = set.call(&call, &context).await;
        assert!(result.content.contains("connect_failed"), "{}", result.content);
        return;
    }
    let proxy = Proxy::start().await;
    let target = format!("http://{}/page", closed_address().await);
    let variables = PROXY_VARIABLES.map(|name| (name, &*proxy.url));
    // Without NO_PROXY.
    run_behind_proxy("proxies::http_tools_do_not_use_it", &target, "", &variables[..6]).await;
    assert_eq!(proxy.first_request(), None);
}
