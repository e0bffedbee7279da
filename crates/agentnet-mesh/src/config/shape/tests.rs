use std::path::Path;

use rstest::rstest;

use crate::config::parse;

const SMALL: &str = "\
version: 1
x-notes: [anything, { at: all }]
providers:
  local: { api: openai-chat, api_key: \"${KEY}\" }
agents:
  - key: planner
    prompt: { text: Plan. }
    model: { provider: local, name: small }
";

fn environment(name: &str) -> Option<String> {
    match name {
        "SET" => Some("5".to_owned()),
        "YES" => Some("yes".to_owned()),
        "WORD" => Some("sk-word".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn problems(text: &str) -> String {
    match parse(text, Path::new("mesh.yaml"), &environment, &[]) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// The problems of the small file with more lines at the end of its agent.
fn problems_of_agent(lines: &str) -> String {
    problems(&format!("{SMALL}    {lines}\n"))
}

#[rstest]
#[case("limits: { max_steps: 3 }", "")]
#[case("limits: { max_steps: \"${SET}\" }", "")]
#[case("limits: { max_steps: ${SET} }", "is not valid YAML")]
#[case("limits:\n      max_steps: ${NONE:-4}", "")]
#[case("limits:\n      max_seconds: ${NONE:-4.5}", "")]
#[case("answer_direct: ${YES}", "")]
#[case("answer_direct: ${NONE:-false}", "")]
#[case("tasks: true", "")]
#[case("tasks: ${NONE:-false}", "")]
#[case("tasks: { concurrency: \"${SET}\" }", "")]
#[case("tasks: \"yes\"", "agents[0].tasks: expected true, false or a mapping, found text")]
#[case("tasks: [1]", "agents[0].tasks: expected true, false or a mapping, found a list")]
#[case("tasks: { max_step: 3 }", "did you mean \"max_steps\"?")]
#[case("limits:\n", "")]
#[case("limits: { tokens_per_day: ~ }", "")]
#[case(
    "answer_direct: yes",
    "mesh.yaml:9:20 agents[0].answer_direct: expected true or false, found text"
)]
#[case("limits: { max_steps: 0 }", "agents[0].limits.max_steps: must be from 1 to 100")]
#[case("limits: { max_steps: ${SET}0 }", "is not valid YAML")]
#[case("limits: { max_steps: \"${SET}00\" }", "must be from 1 to 100")]
#[case("limits: { max_steps: 1.5 }", "expected a whole number, found a number")]
#[case("limits: { max_steps: \"3\" }", "expected a whole number, found text")]
#[case(
    "limits: { max_steps: \"${WORD}\" }",
    "expected a whole number, and \"${WORD}\" gives something else"
)]
#[case("limits: { tokens_per_day: -1 }", "must be at least 1")]
#[case(
    "limits: { tokens_per_day: 99999999999999999999 }",
    "expected a whole number, found a number"
)]
#[case("limits: [a]", "agents[0].limits: expected a mapping, found a list")]
#[case("tools: disk", "agents[0].tools: expected a list, found text")]
#[case(
    "tools: [5]",
    "mesh.yaml:9:13 agents[0].tools[0]: expected text, found a number; put it in quotes"
)]
#[case("name: true", "expected text, found true or false; put it in quotes")]
#[case(
    "limit: {}",
    "mesh.yaml:9:5 agents[0].limit: unknown key \"limit\"; did you mean \"limits\"?"
)]
#[case("colour: red", "agents[0].colour: unknown key \"colour\" (known: key, username, ")]
#[case("limits: { maxsteps: 3 }", "unknown key \"maxsteps\"; did you mean \"max_steps\"?")]
#[case("key: other", "mesh.yaml:9:5 agents[0].key: is given twice, first in line 6")]
#[case(
    "name: \"${NONE}\"",
    "the variable NONE of the agent \"planner\" is not set and has no default"
)]
#[case(
    "name: \"${NONE:-${OTHER}}\"",
    "the variable NONE (or OTHER) of the agent \"planner\""
)]
#[case("name: \"${NONE\"", "`${` is not closed by `}`")]
#[case("name: \"$${NONE}\"", "")]
#[case(
    "memory: { source: treads }",
    "unknown value \"treads\" (known: thread, none); did you mean \"thread\"?"
)]
#[case("memory: { source: \"${WORD}\" }", "unknown value \"${WORD}\" (known: thread, none)")]
#[case(
    "orchestrate: { rounds: 2 }",
    "mesh.yaml:9:18 agents[0].orchestrate: \"peers\" is missing"
)]
#[case("orchestrate: { peer: [a] }", "unknown key \"peer\"; did you mean \"peers\"?")]
#[case("orchestrate: { peers: [] }", "needs at least 1 entries, has 0")]
fn agents_have_their_shape(#[case] lines: &str, #[case] message: &str) {
    let error = problems_of_agent(lines);
    if message.is_empty() {
        assert_eq!(error, "");
    } else {
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("sk-word"), "{error}");
    }
}

#[test]
fn a_misspelled_key_is_one_problem() {
    let error = parse(
        &SMALL.replace("prompt:", "promt:"),
        Path::new("mesh.yaml"),
        &environment,
        &[],
    )
    .unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
}

#[rstest]
#[case("", "mesh.yaml:1:1: is empty")]
#[case("- a\n", "mesh.yaml:1:1: expected a mapping, found a list")]
#[case("version: 2\nagents: []\n", "mesh.yaml:1:10 version: unknown version 2 (known: 1)")]
#[case("version: \"1\"\nagents: []\n", "version: unknown version \"1\" (known: 1)")]
#[case("version: 1\n", "mesh.yaml:1:1: \"agents\" is missing")]
#[case("version: 1\nagents:\n", "agents: expected a list, found nothing")]
#[case("version: 1\nagents: []\n", "agents: needs at least 1 entries, has 0")]
#[case("providers: {}\nagents: []\n", "`version: 1` is missing")]
#[case("agents: [{ key: a, model: {} }]\n", "`version: 1` is missing")]
#[case(
    "version: 1\nproviders: { a: }\nagents: [{ key: a }]\n",
    "providers.a: expected a mapping, found nothing"
)]
fn files_have_their_shape(#[case] text: &str, #[case] message: &str) {
    let error = problems(text);
    assert!(error.contains(message), "{error}");
}

#[rstest]
#[case("${WORD}", Ok("sk-word"))]
#[case("Bearer ${WORD}", Ok("Bearer sk-word"))]
#[case("literal", Ok("literal"))]
#[case("${NONE:-none}", Ok("none"))]
#[case("${NONE}", Err("NONE"))]
#[case("${EMPTY}", Err("EMPTY"))]
#[case("${NONE:-${OTHER}}", Err("NONE (or OTHER)"))]
fn keys_may_be_missing_until_they_are_used(#[case] text: &str, #[case] key: Result<&str, &str>) {
    let mesh = parse(
        &SMALL.replace("${KEY}", text),
        Path::new("mesh.yaml"),
        &environment,
        &[],
    )
    .unwrap();
    let found = mesh.providers["local"].api_key.as_ref();
    assert_eq!(found.map(|key| key.reveal()).map_err(String::as_str), key);
}
