use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::template;

/// Text that must not be in any message.
const SECRET: &str = "sk-fuzzed";

/// Pieces that mean something to YAML, to variables or to the format.
const PIECES: [&str; 20] = [
    "${KEY}", "${", "}", "{", "[", "]", ": ", "- ", "\n", "\n  ", "\"", "'", "&a ", "*a", "<<: *a", "~", "-1", "1e999",
    "é", "\u{0}",
];

/// Whatever a file contains, it is read or refused, and no message shows the value of a variable.
#[test]
fn any_text_is_read_or_refused() {
    let mut random = StdRng::seed_from_u64(7);
    let original: Vec<char> = template("support").unwrap()[0].1.chars().collect();
    let environment = |name: &str| (name == "KEY").then(|| SECRET.to_owned());
    let mut refused = 0;
    for _ in 0..400 {
        let mut text = original.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..text.len());
            let end = (at + random.random_range(0..12)).min(text.len());
            let piece = PIECES[random.random_range(0..PIECES.len())];
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = mesh(&text, Path::new("mesh.yaml"), &environment, &[]) {
            refused += 1;
            let shown = error.to_string();
            assert!(
                !error.problems().is_empty() && !shown.contains(SECRET),
                "{shown}\n{text}"
            );
            assert!(
                error.problems().iter().all(|problem| !problem.message.contains('\n')),
                "{shown}"
            );
        }
    }
    // The prompts of the template are not there.
    assert_eq!(refused, 400);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mesh.yaml");
    let problem = |path: &Path| text(path).unwrap_err().to_string();
    assert!(problem(&path).starts_with(&format!("{}: cannot be read: ", path.display())));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(problem(&path).contains("cannot be read"));
    std::fs::write(&path, "#".repeat(1_000_001)).unwrap();
    assert!(problem(&path).ends_with("has more than 1000000 bytes"));
    assert!(problem(directory.path()).ends_with("is a directory, not a regular file"));
    assert!(problem(Path::new("/dev/null")).ends_with("is a device, not a regular file"));
}

/// Problems of the schema do not hide those behind it: several of one agent, of other agents, and of what they refer to.
#[test]
fn all_problems_are_told_at_once() {
    let text = "\
version: 1
providers:
  near: { api: openai-chats, base_url: nowhere }
tools:
  disk: { shell: { argv: [df, \"{path}\"] } }
  page: { descriptions: Reads., http: { url: \"https://h/{a}{b}\" } }
agents:
  - key: planner
    prompt: { txt: Plan. }
    model: { provider: neer, max_tokens: 0, thinking: 5000 }
    tools: [dsk, 5]
    limits: { max_steps: 0, usd_per_day: 1 }
  - prompt: { text: Criticise. }
    model: { provider: far, name: m }
    orchestrate: { peers: [planner], kickoff_tools: [{ tool: disk, arguments: { a: \"${NONE}\", b: \"${NONE}\" } }] }
";
    let error = mesh(text, Path::new("m.yaml"), &|_: &str| None, &[]).unwrap_err();
    let expected = [
        "m.yaml:3:16 providers.near.api: unknown value \"openai-chats\" (known: openai-chat, openai-responses, \
         anthropic-messages); did you mean \"openai-chat\"?",
        "m.yaml:3:40 providers.near.base_url: is no URL; it begins with http:// or https://",
        "m.yaml:5:9 tools.disk: \"description\" is missing",
        "m.yaml:5:31 tools.disk.shell.argv[1]: {path} is no argument of the tool (none is known)",
        "m.yaml:6:11 tools.page.descriptions: unknown key \"descriptions\"; did you mean \"description\"?",
        "m.yaml:6:46 tools.page.http.url: {a} is no argument of the tool (none is known)",
        "m.yaml:6:46 tools.page.http.url: {b} is no argument of the tool (none is known)",
        "m.yaml:9:15 agents[0].prompt.txt: unknown key \"txt\"; did you mean \"text\"?",
        "m.yaml:10:12 agents[0].model: \"name\" is missing",
        "m.yaml:10:24 agents[0].model.provider: unknown provider \"neer\" (known: near); did you mean \"near\"?",
        "m.yaml:10:42 agents[0].model.max_tokens: must be from 1 to 1000000",
        "m.yaml:11:13 agents[0].tools[0]: \"dsk\" matches no tool (known: disk, page, network.list_online, \
         network.get_profile, network.ask, network.send, network.thread, network.search, network.note, network.task_assign, \
         network.task_status, network.task_list, network.task_cancel); did you mean \
         \"disk\"?",
        "m.yaml:11:18 agents[0].tools[1]: expected text, found a number; put it in quotes",
        "m.yaml:12:26 agents[0].limits.max_steps: must be from 1 to 100",
        "m.yaml:13:5 agents[1]: \"key\" is missing",
        "m.yaml:14:24 agents[1].model.provider: unknown provider \"far\" (known: near)",
        "m.yaml:15:62 agents[1].orchestrate.kickoff_tools[0].tool: is not among the `tools` of the agent",
        "m.yaml:15:84 agents[1].orchestrate.kickoff_tools[0].arguments.a: the variable NONE is not set and has no default \
         (`${NAME:-default}`)",
        "m.yaml:15:98 agents[1].orchestrate.kickoff_tools[0].arguments.b: the variable NONE is not set and has no default \
         (`${NAME:-default}`)",
    ];
    assert_eq!(error.to_string(), expected.join("\n"));
}

/// A broken list of providers or tools is one problem, not one of each agent that names one of them.
#[test]
fn what_follows_from_a_problem_is_no_problem() {
    let text = "\
version: 1
providers: []
tool: {}
agents:
  - key: planner
    prompt: { text: Plan. }
    model: { provider: near, name: m, max_tokens: many, thinking: 5000 }
    tools: [disk]
    memory: { max_messages: few, keep_tail: 50 }
";
    let error = mesh(text, Path::new("m.yaml"), &|_: &str| None, &[]).unwrap_err();
    let expected = [
        "m.yaml:2:12 providers: expected a mapping, found a list",
        "m.yaml:3:1 tool: unknown key \"tool\"; did you mean \"tools\"?",
        "m.yaml:7:51 agents[0].model.max_tokens: expected a whole number, found text",
        "m.yaml:9:29 agents[0].memory.max_messages: expected a whole number, found text",
    ];
    assert_eq!(error.to_string(), expected.join("\n"));
}

/// The version is missing, which does not hide the rest.
#[test]
fn a_file_without_its_version_is_checked() {
    let text = "providers: {}\nagents: [{ key: a, prompt: { text: A. }, model: { provider: x, name: m } }]\n";
    let error = mesh(text, Path::new("m.yaml"), &|_: &str| None, &[]).unwrap_err();
    let expected = [
        "m.yaml:1:1: `version: 1` is missing",
        "m.yaml:2:61 agents[0].model.provider: unknown provider \"x\" (none is known)",
    ];
    assert_eq!(error.to_string(), expected.join("\n"));
}

#[test]
fn usernames_that_become_others_are_told() {
    let agent = |key: &str, username: &str| {
        format!("  - {{ key: {key}{username}, prompt: {{ text: A. }}, model: {{ provider: near, name: m }} }}\n")
    };
    let agents = [
        agent("plain", ""),
        agent("spaced", ", username: \"@Planner One\""),
        agent("Upper", ""),
        agent("mention", ", username: \" @mentioned \""),
        agent("variable", ", username: \"${NAME}\""),
    ];
    let text = format!(
        "version: 1\nproviders: {{ near: {{ api: openai-chat }} }}\nagents:\n{}",
        agents.concat()
    );
    let environment = |name: &str| (name == "NAME").then(|| "A Value".to_owned());
    let (mesh, warnings) = mesh(&text, Path::new("m.yaml"), &environment, &[]).unwrap();
    assert_eq!(mesh.agents[1].username, "planner_one");
    let warnings: Vec<String> = warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        warnings,
        [
            "m.yaml:5:30 agents[1].username: \"@Planner One\" joins as @planner_one: usernames consist of a-z 0-9 . _ -, \
             at most 32",
            "m.yaml:6:12 agents[2].key: \"Upper\" joins as @upper: usernames consist of a-z 0-9 . _ -, at most 32",
            "m.yaml:8:32 agents[4].username: \"${NAME}\" joins as another: usernames consist of a-z 0-9 . _ -, at most 32",
        ]
    );
}

#[test]
fn overrides_come_before_the_check() {
    let text = template("duo").unwrap()[0]
        .1
        .replace("{ file: prompts/asker.txt }", "{ text: A. }");
    let text = text.replace("{ file: prompts/answerer.txt }", "{ text: B. }");
    let read = |overrides: &[(&str, &str)]| {
        let overrides: Vec<(String, String)> = overrides
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
            .collect();
        let mesh = mesh(&text, Path::new("mesh.yaml"), &|_: &str| None, &overrides);
        mesh.map(|(mesh, _)| mesh).map_err(|error| error.to_string())
    };
    let mesh = read(&[
        ("agents.asker.limits.max_steps", "${STEPS:-2}"),
        ("agents.answerer.tools", "[network.thread]"),
        ("providers.local.base_url", "http://127.0.0.1:9/v1"),
    ])
    .unwrap();
    assert_eq!(mesh.agents[0].limits.max_steps, 2);
    assert_eq!(mesh.agents[1].tools, ["network.thread"]);
    assert_eq!(mesh.providers["local"].base_url, "http://127.0.0.1:9/v1");
    assert_eq!(
        read(&[("agents.asker.limits.max_stepz", "2")]).unwrap_err(),
        "--set agents[0].limits.max_stepz: unknown key \"max_stepz\"; did you mean \"max_steps\"?"
    );
    assert_eq!(
        read(&[("agents.asker.model.provider", "locl")]).unwrap_err(),
        "--set agents[0].model.provider: unknown provider \"locl\" (known: local); did you mean \"local\"?"
    );
}
