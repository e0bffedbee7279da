use std::collections::BTreeSet;

use agentnet::protocol::target::Target;
use rstest::rstest;
use serde_json::{Value, json};

use super::agents::parse_agent;
use super::network_tools;
use crate::tools::ToolSet;
use crate::tools::test_context::{call, context};

#[test]
fn every_tool_has_a_name_that_models_take() {
    let tools = network_tools();
    let names: BTreeSet<&str> = tools.iter().map(|tool| tool.config_name()).collect();
    assert_eq!(names.len(), 11);
    for tool in &tools {
        let spec = tool.spec();
        assert!(tool.config_name().starts_with("network."));
        assert_eq!(spec.name, tool.config_name().replace('.', "_"));
        assert!(!spec.description.is_empty() && spec.parameters["additionalProperties"] == false);
        for required in spec.parameters["required"].as_array().unwrap() {
            assert!(
                spec.parameters["properties"][required.as_str().unwrap()].is_object(),
                "{required}"
            );
        }
    }
}

#[rstest]
#[case("network_ask", json!({}))]
#[case("network_ask", json!({ "agent": "@bob" }))]
#[case("network_ask", json!({ "agent": "@bob", "text": "" }))]
#[case("network_ask", json!({ "agent": "@bob", "text": "?", "timeout_seconds": 1_000 }))]
#[case("network_ask", json!({ "agent": "@bob", "text": "?", "subject": "x" }))]
#[case("network_task_assign", json!({ "agent": "@bob" }))]
#[case("network_task_assign", json!({ "text": "t", "agent": "@bob", "retries": 20 }))]
#[case("network_task_assign", json!({ "text": "t", "agent": "@bob", "wait": "yes" }))]
#[case("network_task_list", json!({ "role": "owner" }))]
#[case("network_task_list", json!({ "role": "worker", "state": "assigned" }))]
#[case("network_task_status", json!({}))]
#[case("network_task_cancel", json!({ "task_id": "" }))]
#[case("network_list_online", json!({ "limit": 0 }))]
#[case("network_search", json!({ "kind": "receipt" }))]
#[case("network_note", json!({ "text": "x".repeat(5_000) }))]
#[tokio::test]
async fn arguments_are_checked(#[case] name: &str, #[case] arguments: Value) {
    let tools = ToolSet::of(network_tools());
    let result = tools.call(&call(name, &arguments.to_string()), &context()).await;
    let content: Value = serde_json::from_str(&result.content).unwrap();
    assert_eq!(
        (result.is_error, &content["error"]),
        (true, &json!("bad_args")),
        "{content}"
    );
}

#[tokio::test]
async fn an_agent_that_has_left_the_network_calls_nobody() {
    let tools = ToolSet::of(network_tools());
    let result = tools
        .call(&call("network_ask", r#"{"agent":"@bob","text":"?"}"#), &context())
        .await;
    assert!(result.content.contains("shutting_down"), "{}", result.content);
}

#[rstest]
#[case("@bob", Some(Target::Username("bob".into())))]
#[case(" bob ", Some(Target::Username("bob".into())))]
#[case("acct_1", Some(Target::Account("acct_1".into())))]
#[case("capability:chat", None)]
#[case("@", None)]
fn agents_are_named_as_people_do(#[case] text: &str, #[case] expected: Option<Target>) {
    assert_eq!(parse_agent(text).ok(), expected);
}
