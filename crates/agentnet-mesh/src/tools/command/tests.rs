use std::path::Path;

use agentnet_testkit::eventually;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rstest::rstest;
use std::sync::Arc;

use super::super::ToolSet;
use super::super::test_context::{any_spec, call, context, nasty_text};
use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn compile(argv: &[&str], env: &[&str], timeout: Duration, directory: &Path) -> Result<CommandTemplate, String> {
    let command = CommandTool {
        argv: argv.iter().map(|element| (*element).to_owned()).collect(),
        cwd: None,
        env: env.iter().map(|name| (*name).to_owned()).collect(),
    };
    CommandTemplate::compile(any_spec("run"), "run", (timeout, 16_384), &command, directory)
}

fn tool(argv: &[&str]) -> CommandTemplate {
    compile(argv, &[], WAIT, Path::new("/")).unwrap()
}

async fn run(tool: CommandTemplate, arguments: &Value) -> Value {
    let tools = ToolSet::of(vec![Arc::new(tool)]);
    let result = tools.call(&call("run", &arguments.to_string()), &context()).await;
    serde_json::from_str(&result.content).unwrap()
}

fn filled(tool: &CommandTemplate, arguments: &Value) -> Result<Vec<String>, String> {
    tool.fill(arguments.as_object().unwrap())
}

/// Whether a process runs; a zombie does not.
fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) else {
        return false;
    };
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, Some(Some('Z' | 'X')))
}

async fn assert_ends(pid: &str) {
    let ended = async || {
        if is_running(pid) {
            Err(format!("{pid} runs"))
        } else {
            Ok(())
        }
    };
    eventually(WAIT, ended).await.unwrap();
}

#[rstest]
#[case(&[])]
#[case(&[""])]
#[case(&["{program}"])]
#[case(&["/bin/{program}"])]
#[case(&["a\0b"])]
fn a_bad_command_is_refused(#[case] argv: &[&str]) {
    assert!(compile(argv, &[], WAIT, Path::new("/")).is_err());
}

#[test]
fn a_variable_is_named_without_its_value() {
    assert!(compile(&["env"], &["A=b"], WAIT, Path::new("/")).is_err());
}

#[rstest]
#[case(json!({"path": "/tmp", "n": 5}), Ok(vec!["ls", "--limit=5", "x/tmpx", "/tmp"]))]
#[case(json!({"path": "/tmp"}), Ok(vec!["ls", "x/tmpx", "/tmp"]))]
#[case(json!({"n": null}), Ok(vec!["ls"]))]
#[case(json!({"path": "a; rm -rf b"}), Ok(vec!["ls", "xa; rm -rf bx", "a; rm -rf b"]))]
#[case(json!({"path": "-la"}), Err("may not begin with"))]
#[case(json!({"path": "--output=/etc/passwd"}), Err("may not begin with"))]
#[case(json!({"path": -5}), Err("may not begin with"))]
#[case(json!({"path": "a\0b"}), Err("NUL"))]
fn arguments_fill_their_elements(#[case] arguments: Value, #[case] expected: Result<Vec<&str>, &str>) {
    match (
        filled(&tool(&["ls", "--limit={n}", "x{path}x", "{path}"]), &arguments),
        expected,
    ) {
        (Ok(argv), Ok(expected)) => assert_eq!(argv, expected),
        (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
        (got, expected) => panic!("{got:?}, expected {expected:?}"),
    }
}

#[test]
fn after_two_dashes_a_value_may_begin_with_a_dash() {
    let argv = filled(&tool(&["ls", "-l", "--", "{path}"]), &json!({"path": "-la"}));
    assert_eq!(argv.unwrap(), ["ls", "-l", "--", "-la"]);
    assert!(filled(&tool(&["ls", "{path}", "--"]), &json!({"path": "-la"})).is_err());
}

#[rstest]
#[case("notes/{a}", "today.md", true)]
#[case("notes/{a}", "2026/today..md", true)]
#[case("notes/{a}", "../secret", false)]
#[case("notes/{a}", "2026/../../secret", false)]
#[case("notes/{a}", "..", false)]
#[case("notes/{a}", "/etc/passwd", false)]
#[case("notes/{a}{b}", ".", false)]
#[case("notes/.{a}", ".", false)]
#[case("--out=notes/{a}", "../secret", false)]
#[case("../notes/{a}/../all", "today", true)]
#[case("{a}/notes", "../secret", true)]
#[case("--out={a}", "/etc/passwd", true)]
fn an_argument_does_not_leave_a_fixed_directory(#[case] element: &str, #[case] a: &str, #[case] is_allowed: bool) {
    let argv = filled(&tool(&["cat", element]), &json!({"a": a, "b": "./secret"}));
    match argv {
        Ok(argv) => assert!(is_allowed, "{argv:?}"),
        Err(problem) => assert!(
            !is_allowed && problem.contains("must stay in its directory"),
            "{problem}"
        ),
    }
}

#[test]
fn no_argument_leaves_its_element() {
    let tool = tool(&["prog", "--fixed", "{a}", "k={b}", "--", "{a}{b}"]);
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..20_000 {
        let (a, b) = (nasty_text(&mut random, 8), nasty_text(&mut random, 8));
        match filled(&tool, &json!({"a": a, "b": b})) {
            Ok(argv) => {
                assert_eq!(
                    argv,
                    ["prog", "--fixed", &a, &format!("k={b}"), "--", &format!("{a}{b}")]
                );
                assert!(!a.starts_with('-'), "{a:?} would be an option");
            }
            Err(problem) => assert!(a.starts_with('-'), "{a:?} {b:?}: {problem}"),
        }
    }
}

#[tokio::test]
async fn a_program_gets_its_arguments_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let argv = ["printf", "%s\\0", "--", "{a}", "x{b}"];
    let mut random = StdRng::seed_from_u64(12);
    for _ in 0..100 {
        let (a, b) = (nasty_text(&mut random, 12), nasty_text(&mut random, 12));
        let tool = compile(&argv, &[], WAIT, directory.path()).unwrap();
        let content = run(tool, &json!({"a": a, "b": b})).await;
        assert_eq!(
            content["result"]["stdout"],
            json!(format!("--\0{a}\0x{b}\0")),
            "{content}"
        );
    }
    for attack in [
        "; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "| touch pwned",
        "\ntouch pwned\n",
        "&& touch pwned",
    ] {
        let tool = compile(&argv, &[], WAIT, directory.path()).unwrap();
        run(tool, &json!({"a": attack, "b": attack})).await;
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_environment_has_only_the_listed_variables() {
    let tool = compile(&["env"], &["PATH", "NO_SUCH_VARIABLE"], WAIT, Path::new("/")).unwrap();
    let content = run(tool, &json!({})).await;
    let stdout = content["result"]["stdout"].as_str().unwrap();
    let mut names: Vec<&str> = stdout
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["AGENTNET_MESH_RUN", "PATH"], "{stdout}");
}

#[rstest]
#[case::output("")]
#[case::failure("; exit 1")]
#[tokio::test]
async fn values_of_variables_are_not_shown(#[case] end: &str) {
    const NAME: &str = "CARGO_MANIFEST_DIR";
    let script = format!("echo key ${NAME}; echo key ${NAME} >&2{end}");
    let tool = compile(&["sh", "-c", &script], &["PATH", NAME], WAIT, Path::new("/")).unwrap();
    let content = run(tool, &json!({})).await.to_string();
    assert_eq!(content.matches("key ***").count(), 2, "{content}");
    assert!(!content.contains(&std::env::var(NAME).unwrap()), "{content}");
}

#[rstest]
#[case(&["sh", "-c", "echo out; echo why >&2; exit 1"], "exit_status", &["exit status: 1", "why", "out"])]
#[case(&["sh", "-c", "kill -9 $$"], "exit_status", &["signal: 9"])]
#[case(&["no-such-program-anywhere"], "command_failed", &["not in PATH"])]
#[case(&["/no/such/program"], "command_failed", &["does not start"])]
#[tokio::test]
async fn a_failure_says_what_happened(#[case] argv: &[&str], #[case] code: &str, #[case] parts: &[&str]) {
    let content = run(tool(argv), &json!({})).await;
    assert_eq!(content["error"], json!(code), "{content}");
    for part in parts {
        assert!(
            content["detail"].as_str().unwrap().contains(part),
            "{part} in {content}"
        );
    }
}

#[tokio::test]
async fn ten_megabytes_are_cut() {
    let content = run(
        tool(&["sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; echo warn >&2"]),
        &json!({}),
    )
    .await;
    let result = &content["result"];
    assert_eq!(
        (&result["truncated"], &result["stdout_bytes"]),
        (&json!(true), &json!(10_000_000)),
        "{content}"
    );
    assert_eq!(
        (result["stdout"].as_str().unwrap().len(), &result["stderr"]),
        (12_288, &json!("warn\n"))
    );
    assert!(content.to_string().len() < 16_384 + 200);
}

#[tokio::test]
async fn a_program_that_never_stops_writing_is_killed() {
    let content = run(tool(&["yes"]), &json!({})).await;
    assert_eq!(content["error"], json!("output_too_large"), "{content}");
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_what_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > child; echo $$ > parent; wait";
    let tool = compile(
        &["sh", "-c", script],
        &["PATH"],
        Duration::from_secs(2),
        directory.path(),
    )
    .unwrap();
    let content = run(tool, &json!({})).await;
    assert_eq!(content["error"], json!("timeout"), "{content}");
    for name in ["child", "parent"] {
        assert_ends(&std::fs::read_to_string(directory.path().join(name)).unwrap()).await;
    }
}

#[cfg(target_os = "linux")]
#[rstest]
#[case::in_a_session("setsid sh -c 'echo $$ > child; exec sleep 1000' &")]
#[case::without_a_parent("(setsid sh -c 'echo $$ > child; exec sleep 1000' &);")]
#[tokio::test]
async fn what_has_left_the_process_group_is_killed_too(#[case] start: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("{start} while [ ! -s child ]; do sleep 0.01; done; echo done");
    let tool = compile(&["sh", "-c", &script], &["PATH"], WAIT, directory.path()).unwrap();
    let content = run(tool, &json!({})).await;
    assert_eq!(content["result"]["stdout"], json!("done\n"), "{content}");
    assert_ends(&std::fs::read_to_string(directory.path().join("child")).unwrap()).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > child; echo done";
    let tool = compile(&["sh", "-c", script], &["PATH"], WAIT, directory.path()).unwrap();
    let content = run(tool, &json!({})).await;
    assert_eq!(content["result"]["stdout"], json!("done\n"), "{content}");
    assert_ends(&std::fs::read_to_string(directory.path().join("child")).unwrap()).await;
}
