use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;

use crate::config::{Api, Mesh, load, parse};

const FILE: &str = "\
defaults:
  nats_url_env: NATS_URL
  max_history_messages: 40
  request_timeout_seconds: 60
  context_timezone: America/Chicago
  not_used: 1

agents:
  - key: agent_1
    agent_id: mesh_agent_1
    username: mesh_agent_1
    name: Mesh Agent 1
    system_prompt_path: prompts/agent_1.txt
    allowed_tools: [\"*\"]
    model_config:
      provider: openai
      model: gpt-4.1-mini
      api_key_env: OPENAI_API_KEY
      base_url_env: OPENAI_BASE_URL
      temperature: 0.3
      max_tokens: 500
  - key: agent_2
    agent_id: mesh_agent_2
    username: mesh_agent_2
    name: Mesh Agent 2
    system_prompt_path: prompts/agent_2.txt
    allowed_tools: [get_scores]
    model_config:
      provider: claude
      model: claude-sonnet-4-6
      api_key_env: ANTHROPIC_API_KEY
      base_url_env: ANTHROPIC_BASE_URL
  - key: agent_3
    agent_id: mesh_agent_3
    username: mesh_agent_3
    name: Mesh Agent 3
    system_prompt_path: prompts/agent_2.txt
    allowed_tools: []
    model_config:
      provider: openai
      model: zai-org/glm-5
      api_key_env: NOVITA_API_KEY
      base_url_env: NOVITA_BASE_URL
";

/// The Python implementation's folders, and what they say with these variables.
fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Mesh, String> {
    let directory = tempfile::tempdir().unwrap();
    let agents = directory.path().join("agents");
    for (path, text) in [
        ("config/mesh_agents.yaml", text),
        ("prompts/agent_1.txt", "You are the first.\n"),
        ("prompts/agent_2.txt", "You are another.\n"),
    ] {
        let path = agents.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let environment = move |name: &str| variables.get(name).cloned();
    load(&agents.join("config/mesh_agents.yaml"), &environment, &[]).map_err(|error| error.to_string())
}

#[test]
fn the_file_loads_unchanged() {
    let mesh = loaded(FILE, &[("OPENAI_API_KEY", "sk-1"), ("NATS_URL", "nats://h:4222")]).unwrap();
    assert_eq!(mesh.nats_url.as_deref(), Some("nats://h:4222"));
    let [first, second, third] = &mesh.agents[..] else {
        panic!("{} agents", mesh.agents.len());
    };
    assert_eq!(&*first.prompt, "You are the first.");
    assert!(
        first
            .prompt_path
            .as_ref()
            .unwrap()
            .ends_with("agents/prompts/agent_1.txt")
    );
    assert_eq!(
        (first.username.as_str(), first.timezone.as_str()),
        ("mesh_agent_1", "America/Chicago")
    );
    assert_eq!(
        (first.models[0].temperature, first.models[0].max_tokens),
        (Some(0.3), 500)
    );
    assert_eq!(
        (second.models[0].temperature, second.models[0].max_tokens),
        (Some(0.2), 1200)
    );
    assert_eq!((first.memory.max_messages, first.memory.keep_tail), (40, 24));
    assert_eq!(first.memory.compaction.as_ref().unwrap().max_messages, 400);
    assert_eq!(
        (first.limits.max_steps, first.limits.max_time),
        (3, Duration::from_secs(240))
    );
    assert!(first.reply.include_tool_results && first.orchestrate.is_none());
    assert_eq!(
        (first.tools.len(), second.tools.join(",")),
        (0, "get_scores".to_owned())
    );

    let openai = &mesh.providers[&first.models[0].provider];
    assert_eq!(
        (openai.api, openai.base_url.as_str()),
        (Api::OpenAiResponses, "https://api.openai.com/v1")
    );
    assert_eq!(openai.api_key.as_ref().unwrap().reveal(), "sk-1");
    assert_eq!(openai.timeout, Duration::from_secs(45));
    let claude = &mesh.providers[&second.models[0].provider];
    assert_eq!(
        (claude.api, &claude.api_key),
        (Api::AnthropicMessages, &Err("ANTHROPIC_API_KEY".to_owned()))
    );
    let novita = &mesh.providers[&third.models[0].provider];
    assert_eq!(
        (novita.api, novita.base_url.as_str()),
        (Api::OpenAiChat, "https://api.novita.ai/openai")
    );
    assert_eq!(
        mesh.providers.keys().collect::<Vec<_>>(),
        ["claude", "openai", "openai_2"]
    );
}

#[test]
fn variables_override_limits() {
    let mesh = loaded(
        FILE,
        &[
            ("MESH_TOOL_LOOP_MAX_STEPS", "0"),
            ("MESH_PLANNER_MAX_TOKENS", "64"),
            ("MESH_FINAL_MAX_TOKENS", "900"),
            ("MESH_LLM_TIMEOUT_SECONDS", "7.5"),
            ("MESH_OPENAI_API_MODE", "Chat"),
            ("MESH_WORK_TIMEOUT_SECONDS", "2"),
            ("MESH_AUTO_COMPACTION", "off"),
            ("MESH_COMPACTION_KEEP_TAIL_MESSAGES", "12"),
            ("MESH_AGENT1_ORCHESTRATE", "true"),
            ("MESH_AGENT1_PEERS", "@mesh_agent_1, mesh_agent_3,mesh_agent_2, x"),
            ("MESH_AGENT1_DEBATE_ROUNDS", "3"),
            ("MESH_AGENT1_PEER_TIMEOUT_SECONDS", "1"),
            ("MESH_AGENT1_KICKOFF_TOOLS", "get_scores, get_odds"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/"),
        ],
    )
    .unwrap();
    let first = &mesh.agents[0];
    assert_eq!(
        (first.limits.max_steps, first.limits.max_time),
        (1, Duration::from_secs(10))
    );
    assert_eq!(first.models[0].max_tokens, 900);
    assert!(first.memory.compaction.is_none());
    assert_eq!(first.memory.keep_tail, 12);
    let debate = first.orchestrate.as_ref().unwrap();
    assert_eq!(
        (debate.peers.join(","), debate.rounds),
        ("mesh_agent_3,mesh_agent_2".to_owned(), 3)
    );
    assert_eq!((debate.peer_timeout, debate.peer_retries), (Duration::from_secs(5), 1));
    assert_eq!(debate.kickoff_tools.len(), 2);
    assert!(mesh.agents[1].orchestrate.is_none());
    let openai = &mesh.providers["openai"];
    assert_eq!(
        (openai.api, openai.base_url.as_str()),
        (Api::OpenAiChat, "http://127.0.0.1:8080/v1")
    );
    assert_eq!(openai.timeout, Duration::from_secs_f64(7.5));
}

#[test]
fn tools_may_be_added() {
    let text = format!("{FILE}tools:\n  get_scores: {{ description: Scores., shell: {{ argv: [scores] }} }}\n");
    let mesh = loaded(&text, &[]).unwrap();
    assert_eq!(mesh.agents[0].tools, ["get_scores"]);
    assert_eq!(mesh.agents[2].tools.len(), 0);
}

#[rstest]
#[case("", "", ("MESH_WORK_TIMEOUT_SECONDS", "long"), "environment MESH_WORK_TIMEOUT_SECONDS: must be a number of seconds")]
#[case("", "", ("MESH_OPENAI_API_MODE", "both"), "environment MESH_OPENAI_API_MODE: must be auto, chat or responses")]
#[case("", "", ("MESH_AUTO_COMPACTION", "perhaps"), "environment MESH_AUTO_COMPACTION: must be true or false")]
#[case("", "", ("OPENAI_BASE_URL", "sk-secret"), "agents[0].model_config.base_url_env: the variable \"OPENAI_BASE_URL\" is no URL")]
#[case("", "", ("OPENAI_API_KEY", "sk-secret\u{1}"), "the variable \"OPENAI_API_KEY\" contains characters")]
#[case("key: agent_2", "key: agent_1", ("", ""), "agents[1].key: another agent has the same key")]
#[case("username: mesh_agent_2", "username: mesh_agent_1", ("", ""), "the agent \"agent_1\" has the same username")]
#[case("provider: claude", "provider: clade", ("", ""), "unknown value \"clade\" (known: openai, claude); did you mean \"claude\"?")]
#[case("prompts/agent_1.txt", "prompts/none.txt", ("", ""), "\"prompts/none.txt\" cannot be read")]
#[case("    name: Mesh Agent 1\n", "", ("", ""), "mesh_agents.yaml:9:5 agents[0]: \"name\" is missing")]
#[case("max_tokens: 500", "max_tokens: 0", ("", ""), "must be from 1 to 1000000")]
fn mistakes_are_reported(#[case] from: &str, #[case] to: &str, #[case] variable: (&str, &str), #[case] message: &str) {
    let text = if from.is_empty() {
        FILE.to_owned()
    } else {
        FILE.replacen(from, to, 1)
    };
    let error = loaded(&text, &[variable]).unwrap_err();
    assert!(error.contains(message), "{error}");
    assert!(!error.contains("sk-secret"), "{error}");
}

#[test]
fn an_unknown_time_zone_is_utc() {
    let mesh = loaded(&FILE.replace("America/Chicago", "Mars/Base"), &[]).unwrap();
    assert_eq!(mesh.agents[0].timezone, "UTC");
}

#[test]
fn overrides_reach_agents_by_key() {
    let overrides = [("agents.agent_2.name".to_owned(), "Second".to_owned())];
    let error = parse(FILE, Path::new("config/mesh.yaml"), &|_: &str| None, &overrides).unwrap_err();
    // Nothing but the prompts, which are not there.
    assert_eq!(error.problems().len(), 3, "{error}");
    assert!(
        error
            .problems()
            .iter()
            .all(|problem| problem.path.ends_with("system_prompt_path")),
        "{error}"
    );
}
