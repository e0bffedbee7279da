use std::path::Path;
use std::time::Duration;

use rstest::rstest;

use crate::config::{Api, McpServer, Mesh, TasksConfig, ToolAction, parse};

/// The values of the brief of the format, all at once.
const WHOLE: &str = r#"
version: 1
defaults: { nats_url_env: NATS, timezone: Europe/Berlin, max_history_messages: 30, request_timeout_seconds: 60 }
providers:
  local:  { api: openai-chat, base_url: "${LLM_BASE_URL:-http://127.0.0.1:8080/v1}", api_key: "${LLM_API_KEY:-none}" }
  claude: { api: anthropic-messages, api_key: "${ANTHROPIC_API_KEY}", headers: { x-team: blue }, params_drop: [temperature] }
  openai: { api: openai-responses, api_key: "${KEY}", timeout_seconds: 20, max_retries: 0 }
prices:
  claude-large: { input: 3.0, output: 15, cached_input: 0.3 }
  "qwen2.5": { input: 0, output: 0 }
mcp_servers:
  files: { command: [npx, server, /data], env: { TOKEN: "${KEY}" } }
  web: { url: "https://mcp.example.org/mcp", headers: { authorization: "Bearer ${KEY}" } }
tools:
  status_page:
    description: Status of a service.
    http: { url: "https://status.example.org/{id}?x=1", query: { page: "{page}" }, headers: { x-token: "${NONE}" } }
    parameters: { properties: { id: { type: string }, page: { type: integer } }, required: [id] }
  disk:
    description: Free space.
    shell: { argv: [df, -h, "{path}"], env: [PATH] }
    parameters: { type: object, properties: { path: { type: string } }, required: [path] }
    timeout_seconds: 3
agents:
  - key: planner
    username: "@Planner One"
    capabilities: [plan]
    prompt: { text: " Plan. " }
    model: { provider: claude, name: claude-large, temperature: 0.2, max_tokens: 8000, thinking: 2000, fallback: [{ provider: local, name: qwen2.5 }] }
    tools: [network.*, mcp.files.read_*, status_page]
    memory: { source: thread, max_tokens: 9000, keep_tail: 10, compaction: { at_tokens: 15000, model: { provider: local, name: qwen2.5 } } }
    limits: { max_steps: 5, max_seconds: 12.5, usd_per_day: 5, concurrency: 2, max_hops: 3, tokens_per_day: 10 }
    reply: { stream: auto, ttl_ms: 60000, include_tool_results: true, events: true }
    orchestrate: { peers: ["@critic", writer], synthesis_prompt: Sum up., kickoff_tools: [{ tool: network.list_online, arguments: { limit: 5 } }] }
  - key: critic
    prompt: { text: Criticise. }
    model: { provider: local, name: "${MODEL:-default}", max_tokens: "${TOKENS:-100}" }
    memory: { source: none, compaction: { enabled: false } }
    timezone: UTC
    answer_direct: true
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-secret\n".to_owned()),
        "NATS" => Some("nats://127.0.0.1:4222".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn whole() -> Mesh {
    let mesh = parse(
        &WHOLE.replace("Bearer ${KEY}", "Bearer x"),
        Path::new("mesh.yaml"),
        &environment,
        &[],
    );
    mesh.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn providers_and_tools_are_read() {
    let mesh = whole();
    assert_eq!(mesh.nats_url.as_deref(), Some("nats://127.0.0.1:4222"));
    let local = &mesh.providers["local"];
    assert_eq!(
        (local.api, local.base_url.as_str()),
        (Api::OpenAiChat, "http://127.0.0.1:8080/v1")
    );
    assert_eq!(local.api_key.as_ref().unwrap().reveal(), "none");
    assert_eq!((local.timeout, local.max_retries), (Duration::from_secs(60), 4));
    let claude = &mesh.providers["claude"];
    assert_eq!(claude.base_url, "https://api.anthropic.com");
    assert_eq!(claude.api_key, Err("ANTHROPIC_API_KEY".to_owned()));
    assert_eq!(claude.headers["x-team"].reveal(), "blue");
    let openai = &mesh.providers["openai"];
    assert_eq!(openai.api_key.as_ref().unwrap().reveal(), "sk-secret");
    assert_eq!((openai.timeout, openai.max_retries), (Duration::from_secs(20), 0));
    assert_eq!(mesh.prices["qwen2.5"].cached_input, None);
    assert!(
        matches!(&mesh.mcp_servers["files"], McpServer::Command { argv, env, .. } if argv.len() == 3 && env.len() == 1)
    );
    assert!(matches!(&mesh.mcp_servers["web"], McpServer::Http { headers, .. } if headers.len() == 1));
    let ToolAction::Http(http) = &mesh.tools["status_page"].action else {
        panic!("no HTTP tool");
    };
    assert_eq!(
        (http.method.as_str(), http.allow_hosts.as_slice()),
        ("GET", &["status.example.org".to_owned()][..])
    );
    assert_eq!(http.headers["x-token"], Err("NONE".to_owned()));
    assert_eq!(mesh.tools["status_page"].parameters["type"], "object");
    assert!(matches!(&mesh.tools["disk"].action, ToolAction::Command(tool) if tool.env == ["PATH"]));
    assert_eq!(mesh.tools["disk"].timeout, Duration::from_secs(3));
}

#[test]
fn tasks_are_taken_where_the_file_says_so() {
    let tasks = |value: &str| {
        let text = WHOLE.replace("Bearer ${KEY}", "Bearer x");
        let text = text.replace(
            "    answer_direct: true\n",
            &format!("    limits: {{ max_steps: 3, max_seconds: 9 }}\n    {value}\n"),
        );
        let mesh = parse(&text, Path::new("mesh.yaml"), &environment, &[]);
        mesh.unwrap_or_else(|error| panic!("{error}")).agents[1].tasks.clone()
    };
    assert_eq!(tasks("answer_direct: true"), None);
    for off in ["tasks: false", "tasks:", "tasks: ${NONE:-no}"] {
        assert_eq!(tasks(off), None, "{off}");
    }
    let whole = TasksConfig {
        concurrency: 1,
        max_steps: 3,
        max_tool_calls: 24,
        max_time: Duration::from_secs(9),
    };
    for on in ["tasks: true", "tasks: {}", "tasks: ${KEY2:-true}"] {
        assert_eq!(tasks(on).as_ref(), Some(&whole), "{on}");
    }
    let own = TasksConfig {
        concurrency: 2,
        max_steps: 50,
        max_tool_calls: 0,
        max_time: Duration::from_secs(3600),
    };
    let text = "tasks: { concurrency: 2, max_steps: 50, max_tool_calls: 0, max_seconds: 3600 }";
    assert_eq!(tasks(text), Some(own));
}

#[test]
fn agents_are_read() {
    let mesh = whole();
    let planner = &mesh.agents[0];
    assert_eq!(
        (planner.username.as_str(), planner.agent_id.as_str()),
        ("planner_one", "planner")
    );
    assert_eq!(
        (&*planner.prompt, planner.timezone.as_str()),
        ("Plan.", "Europe/Berlin")
    );
    assert_eq!((planner.models.len(), planner.models[0].thinking), (2, 2000));
    assert_eq!(planner.models[1].max_tokens, 4096);
    assert_eq!((planner.memory.max_messages, planner.memory.keep_tail), (30, 10));
    assert_eq!(planner.memory.compaction.as_ref().unwrap().at_tokens, 15_000);
    assert_eq!(planner.limits.max_time, Duration::from_secs_f64(12.5));
    assert_eq!(
        (planner.limits.max_tool_calls, planner.limits.usd_per_day),
        (24, Some(5.0))
    );
    assert!(planner.reply.events && planner.reply.include_tool_results);
    let debate = planner.orchestrate.as_ref().unwrap();
    assert_eq!((debate.peers.join(","), debate.rounds), ("critic,writer".to_owned(), 2));
    assert_eq!(debate.kickoff_tools[0].1["limit"], 5);
    let critic = &mesh.agents[1];
    assert_eq!(
        (critic.models[0].name.as_str(), critic.models[0].max_tokens),
        ("default", 100)
    );
    assert!(!critic.memory.uses_thread && critic.memory.compaction.is_none() && critic.answer_direct);
    assert_eq!((critic.memory.keep_tail, critic.timezone.as_str()), (24, "UTC"));
    assert!(critic.tools.is_empty() && critic.orchestrate.is_none());
}

/// A small valid file, whose values the cases replace by overrides.
const SMALL: &str = "\
version: 1
providers:
  claude: { api: anthropic-messages, api_key: k }
  local: { api: openai-chat, base_url: \"http://127.0.0.1:8080/v1\" }
prices: { small: { input: 1, output: 2 } }
mcp_servers: { files: { command: [server] } }
tools:
  page:
    description: Reads a page.
    parameters: { properties: { id: { type: string }, n: {} }, required: [id] }
    http: { url: \"https://example.org/{id}\" }
  disk:
    description: Free space.
    shell: { argv: [df, -h] }
agents:
  - key: planner
    prompt: { text: Plan. }
    model: { provider: claude, name: small }
  - key: critic
    prompt: { text: Criticise. }
    model: { provider: local, name: other }
";

fn problem_of(path: &str, value: &str) -> String {
    let overrides = [(path.to_owned(), value.to_owned())];
    match parse(SMALL, Path::new("mesh.yaml"), &environment, &overrides) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[rstest]
#[case(
    "agents[0].model.provider",
    "clade",
    "unknown provider \"clade\" (known: claude, local); did you mean \"claude\"?"
)]
#[case(
    "agents[0].model.fallback",
    "[{ provider: x, name: y }]",
    "unknown provider \"x\" (known: claude, local)"
)]
#[case(
    "agents[0].model.thinking",
    "500",
    "must be 0 or at least 1024 for anthropic-messages"
)]
#[case("agents[0].model.thinking", "5000", "must be less than `max_tokens`, which is 4096")]
#[case(
    "agents[0].memory.compaction.model",
    "{ provider: y, name: z }",
    "unknown provider \"y\""
)]
#[case("agents[0].memory.keep_tail", "50", "must be at most `max_messages`, which is 40")]
#[case("agents[1].limits.usd_per_day", "1", "needs `prices` of all models")]
#[case("agents[0].limits.usd_per_day", "1", "")]
#[case("agents[0].tools", "[netwrk.*]", "\"netwrk.*\" matches no tool")]
#[case("agents[0].tools", "[mcp.fils.*]", "unknown MCP server \"fils\"")]
#[case("agents[0].tools", "[page, disk, \"mcp.files.*\", network.ask]", "")]
#[case("agents[1].key", "planner", "another agent has the same key")]
#[case("agents[1].username", "Planner", "the agent \"planner\" has the same username")]
#[case("agents[1].agent_id", "planner", "the agent \"planner\" has the same agent id")]
#[case("agents[0].key", "a b", "has letters, digits, `_`, `-` and `.` only")]
#[case("agents[0].username", "日本", "\"日本\" cannot be a username")]
#[case("agents[0].capabilities", "[a.b, \"a b\"]", "")]
#[case("agents[0].capabilities", "[\" \"]", "must not be empty")]
#[case("agents[0].timezone", "Mars/Base", "unknown time zone \"Mars/Base\"")]
#[case("defaults.timezone", "Mars/Base", "unknown time zone \"Mars/Base\"")]
#[case("defaults.nats_url_env", "A-B", "is no name of an environment variable")]
#[case("agents[0].prompt.file", "none.txt", "needs either `file` or `text`")]
#[case("agents[0].prompt", "{ file: none.txt }", "\"none.txt\" cannot be read")]
#[case("agents[0].prompt", "{ text: \" \" }", "must not be empty")]
#[case("agents[0].orchestrate", "{ peers: [planner] }", "is the agent itself")]
#[case("agents[0].orchestrate", "{ peers: [a, \"@A\"] }", "is given twice")]
#[case(
    "agents[0].orchestrate",
    "{ peers: [a], kickoff_tools: [{ tool: disk }] }",
    "is not among the `tools` of the agent"
)]
#[case("providers.local.base_url", "ftp://x", "is no http or https URL")]
#[case("providers.local.base_url", "127.0.0.1:8080", "is no URL")]
#[case("providers.local.base_url", "http://u:p@x/v1", "must not contain a user or password")]
#[case("providers.local.headers", "{ \"a b\": c }", "is no name of a header")]
#[case(
    "providers.local.headers",
    "{ x-a: \"b\\nc\" }",
    "contains characters that a header cannot have"
)]
#[case(
    "providers.local.api_key",
    "\"a\\nb\"",
    "contains characters that a header cannot have"
)]
#[case("mcp_servers.files.url", "http://x", "needs either `command` or `url`")]
#[case("mcp_servers.files.headers", "{ a: b }", "is for servers with `url`")]
#[case("mcp_servers.files.env", "{ \"A-B\": c }", "is no name of an environment variable")]
#[case(
    "mcp_servers.files.cwd",
    "no/such/directory",
    "\"no/such/directory\" is no directory"
)]
#[case("mcp_servers.\"a b\"", "{ command: [x] }", "the name of an MCP server has")]
#[case(
    "tools.network_x",
    "{ description: d, shell: { argv: [x] } }",
    "names that begin with network_ are those of other tools"
)]
#[case(
    "tools.\"a.b\"",
    "{ description: d, shell: { argv: [x] } }",
    "the name of a tool has"
)]
#[case("tools.page.shell", "{ argv: [x] }", "needs either `http` or `shell`")]
#[case("tools.page.parameters", "{ type: array }", "must have `type: object`")]
#[case(
    "tools.page.parameters",
    "{ properties: { id: { type: nonsense } }, required: [id] }",
    "is no JSON Schema"
)]
#[case(
    "tools.page.http.url",
    "https://{id}/x",
    "an argument cannot stand in scheme, host or port"
)]
#[case(
    "tools.page.http.url",
    "https://example.org:{id}",
    "an argument cannot stand in scheme, host or port"
)]
#[case(
    "tools.page.http.url",
    "https://example.org/{x}",
    "{x} is no argument of the tool (known: id, n)"
)]
#[case("tools.page.http.url", "https://example.org/{n}", "")]
#[case("tools.page.http.query", "{ a: \"{n}\" }", "")]
#[case("tools.page.http.query", "{ a: \"{m}\" }", "{m} is no argument of the tool")]
#[case("tools.page.http.body", "{ a: 1 }", "a GET request has no body")]
#[case("tools.page.http.allow_hosts", "[example.com]", "does not allow the host of `url`")]
#[case(
    "tools.page.http.allow_hosts",
    "[\"*.org\", \"http://x\"]",
    "write a host or `*.name`"
)]
#[case("tools.page.http.allow_hosts", "[\"EXAMPLE.org\"]", "")]
#[case("tools.disk.shell.argv", "[\"{id}\", x]", "an argument cannot choose the program")]
#[case(
    "tools.disk.shell.argv",
    "[df, \"{id}\"]",
    "{id} is no argument of the tool (none is known)"
)]
#[case("tools.disk.shell.env", "[\"A=B\"]", "is no name of an environment variable")]
fn references_and_bounds_are_checked(#[case] path: &str, #[case] value: &str, #[case] message: &str) {
    let error = problem_of(path, value);
    if message.is_empty() {
        assert_eq!(error, "");
    } else {
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn all_problems_are_listed_with_their_places() {
    let text = SMALL
        .replace("provider: claude", "provider: clade")
        .replace("provider: local", "provider: locl")
        .replace("api_key: k", "api_key: k, base_url: nowhere");
    let error = parse(&text, Path::new("conf/mesh.yaml"), &environment, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "conf/mesh.yaml:3:60 providers.claude.base_url: is no URL; it begins with http:// or https://\n\
         conf/mesh.yaml:18:24 agents[0].model.provider: unknown provider \"clade\" (known: claude, local); did you mean \
         \"claude\"?\n\
         conf/mesh.yaml:21:24 agents[1].model.provider: unknown provider \"locl\" (known: claude, local); did you mean \
         \"local\"?"
    );
}

#[test]
fn values_of_variables_are_never_shown() {
    let text = SMALL
        .replace("provider: claude", "provider: \"${KEY}\"")
        .replace("http://127.0.0.1:8080/v1", "${KEY}")
        .replace("key: critic", "key: \"${KEY}\"")
        .replace("api: anthropic-messages", "api: \"${KEY}\"");
    let error = parse(&text, Path::new("mesh.yaml"), &environment, &[]).unwrap_err();
    assert!(!error.to_string().contains("sk-secret"), "{error}");
    let text = text.replace("api: \"${KEY}\"", "api: openai-chat");
    let error = parse(&text, Path::new("mesh.yaml"), &environment, &[]).unwrap_err();
    assert!(
        !error.to_string().contains("sk-secret") && error.problems().len() >= 3,
        "{error}"
    );
    assert!(!format!("{:?}", whole()).contains("sk-secret"));
}

#[test]
fn prompts_are_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("plan.txt"), "\n Plan ${KEY}.\n").unwrap();
    std::fs::write(directory.path().join("empty.txt"), "\n").unwrap();
    std::fs::write(directory.path().join("large.txt"), "x".repeat(1_000_001)).unwrap();
    let path = directory.path().join("mesh.yaml");
    let parsed = |file: &str| {
        let overrides = [("agents[0].prompt".to_owned(), format!("{{ file: {file} }}"))];
        parse(SMALL, &path, &environment, &overrides)
    };
    let mesh = parsed("plan.txt").unwrap();
    assert_eq!(&*mesh.agents[0].prompt, "Plan ${KEY}.");
    assert_eq!(
        mesh.agents[0].prompt_path.as_deref(),
        Some(&*directory.path().join("plan.txt"))
    );
    for (file, message) in [
        ("empty.txt", "is empty"),
        ("large.txt", "has more than 1000000 bytes"),
        (".", "is a directory, not a regular file"),
    ] {
        let error = parsed(file).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
