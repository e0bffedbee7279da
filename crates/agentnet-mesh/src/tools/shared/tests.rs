use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::json;

use super::super::test_context::{call, context};
use super::*;
use crate::config::{CommandTool, HttpTool};

fn config(parameters: Value, action: ToolAction) -> ToolConfig {
    ToolConfig {
        description: "A tool.".to_owned(),
        parameters,
        timeout: Duration::from_secs(10),
        max_result_bytes: 16_384,
        action,
    }
}

fn command(argv: &[&str]) -> ToolAction {
    let argv = argv.iter().map(|element| (*element).to_owned()).collect();
    ToolAction::Command(CommandTool {
        argv,
        cwd: None,
        env: Vec::new(),
    })
}

fn http(url: &str) -> ToolAction {
    ToolAction::Http(HttpTool {
        method: "GET".to_owned(),
        url: url.to_owned(),
        query: BTreeMap::new(),
        headers: BTreeMap::new(),
        secret_query: BTreeMap::new(),
        body: None,
        allow_hosts: Vec::new(),
        allow_private: false,
    })
}

fn mesh(tools: Vec<(&str, ToolConfig)>) -> Mesh {
    Mesh {
        path: "mesh.yaml".into(),
        nats_url: None,
        providers: BTreeMap::new(),
        prices: BTreeMap::new(),
        mcp_servers: BTreeMap::new(),
        tools: tools
            .into_iter()
            .map(|(name, config)| (name.to_owned(), config))
            .collect(),
        agents: Vec::new(),
    }
}

#[rstest]
#[case(json!({"properties": {"path": {"type": "string"}}}), command(&["df", "-h", "{path}"]), None)]
#[case(json!(null), command(&["df"]), None)]
#[case(json!({"properties": {"id": {"type": "string"}}}), http("https://status.example/{id}"), None)]
#[case(json!({}), command(&["df", "{path}"]), Some("{path} is not in parameters.properties"))]
#[case(json!({}), http("https://status.example/{id}"), Some("{id} is not in parameters.properties"))]
#[case(json!({"type": "string"}), command(&["df"]), Some("parameters: "))]
#[case(json!({"properties": {"path": {"type": "strange"}}}), command(&["df"]), Some("parameters: "))]
#[case(json!({}), command(&[]), Some("argv names no program"))]
#[case(json!({}), http("https://{host}/"), Some("url: "))]
fn a_tool_is_checked(#[case] parameters: Value, #[case] action: ToolAction, #[case] problem: Option<&str>) {
    match (check("tool", &config(parameters, action)), problem) {
        (Ok(()), None) => {}
        (Err(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
        (got, expected) => panic!("{got:?}, expected {expected:?}"),
    }
}

#[tokio::test]
async fn an_agent_gets_the_tools_of_its_globs() {
    let schema = json!({"required": ["text"], "properties": {"text": {"type": "string"}}});
    let tools = SharedTools::start(&mesh(vec![
        ("say", config(schema, command(&["printf", "%s", "--", "{text}"]))),
        ("odds", config(json!({}), http("https://odds.example/"))),
        ("broken", config(json!({}), command(&[]))),
    ]));
    let set = tools.select(&["s*".to_owned(), "broken".to_owned()], Vec::new()).await;
    let specs = set.specs();
    assert_eq!(specs.len(), 1);
    assert_eq!(
        (specs[0].name.as_str(), specs[0].description.as_str()),
        ("say", "A tool.")
    );
    assert_eq!(specs[0].parameters["type"], json!("object"));
    assert_eq!(set.unmatched_globs(), ["broken"]);
    let result = set.call(&call("say", r#"{"text":"hi"}"#), &context()).await;
    assert_eq!(
        result.content,
        r#"{"ok":true,"tool":"say","result":{"exit_code":0,"stdout":"--hi"}}"#
    );
    let result = set.call(&call("odds", "{}"), &context()).await;
    assert!(
        result.is_error && result.content.contains("tool_not_allowed"),
        "{}",
        result.content
    );
    tools.close().await;
}
