//! The definition of the command line, and how it is parsed.

use super::*;

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_is_told_as_json_where_that_is_asked_for() {
    for (line, asked) in [
        ("agentnet list --json --fly", true),
        ("agentnet --output json list --fly", true),
        ("agentnet --output=json fly", true),
        ("agentnet list --output csv --fly", false),
        ("agentnet send --to-username a -- --json", false),
    ] {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        assert_eq!(asks_for_json(&words), asked, "{line}");
    }
    let text = "error: unexpected argument '--fly' found\n\n  tip: look\n    there\n\nUsage: agentnet list\n";
    assert_eq!(
        usage_failure(text).document(""),
        r#"{"code":"wrong_usage","message":"unexpected argument '--fly' found","hint":"tip: look there; Usage: agentnet list","network":null}"#
    );
}

/// The commands below, each with the words that lead to it.
fn commands(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    let below = command.get_subcommands().flat_map(|below| {
        let words: Vec<_> = words.iter().cloned().chain([below.get_name().to_owned()]).collect();
        commands(below, &words)
    });
    [(words.to_vec(), command.clone())].into_iter().chain(below).collect()
}

#[test]
fn no_option_takes_an_empty_value() {
    let mut root = Cli::command();
    root.build();
    let mut tried = 0;
    let mut taken = Vec::new();
    for (words, command) in commands(&root, &["agentnet".to_owned()]) {
        for (option, joined) in command
            .get_opts()
            .filter_map(|option| Some((option.get_long()?, option.is_require_equals_set())))
        {
            let value = match joined {
                true => vec![format!("--{option}=")],
                false => vec![format!("--{option}"), String::new()],
            };
            let line = words.iter().cloned().chain(value);
            let kind = Cli::try_parse_from(line).err().map(|error| error.kind());
            if !matches!(kind, Some(ErrorKind::ValueValidation | ErrorKind::InvalidValue)) {
                taken.push(format!("{words:?} --{option}: {kind:?}"));
            }
            tried += 1;
        }
    }
    assert!(taken.is_empty() && tried > 100, "of {tried}: {taken:#?}");
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let code = |line: &str| parse(line.split_whitespace().map(OsString::from)).map(|_| ()).err();
    for line in [
        "agentnet fly",
        "agentnet list --limit",
        "agentnet profile",
        "agentnet profile --username a --account-id b",
        "agentnet send {}",
        "agentnet send --to-username a --to-account b {}",
        "agentnet search --limit 0",
        "agentnet thread-messages --thread-id t --limit 0",
        "agentnet message-search --limit -1",
        "agentnet request --to-username a --timeout 0 {}",
        "agentnet list --timeout nan",
        "agentnet keys",
        "agentnet keys forget",
        "agentnet conformance",
        "agentnet conformance agent",
        "agentnet conformance registry --to @echo",
        "agentnet mailbox list --state lost",
        "agentnet mailbox list --username a --account-id b",
        "agentnet mailbox requeue --username a",
        "agentnet mailbox requeue --username a --all m1",
        "agentnet mailbox drop --username a",
        "agentnet mailbox drop --username a --state dead m1",
        "agentnet send --to-username a {} --mailbox=soon",
        "agentnet send --to-username a {} --mailbox --no-ack",
        "agentnet send --to-username a {} --mailbox --retry-attempts 3",
        "agentnet watch --mailbox --kind reply",
        "agentnet watch --tasks --grep x",
        "agentnet task",
        "agentnet task assign --to-username a",
        "agentnet task assign x",
        "agentnet task assign --to-username a --retries 20 x",
        "agentnet task list --state failed --status failed",
        "agentnet task cancel --as a",
        "agentnet task input task_1",
        "agentnet task work --as a",
        "agentnet task work --as a sh",
    ] {
        assert_eq!(code(line), Some(2), "{line}");
    }
    for line in [
        "agentnet",
        "agentnet --help",
        "agentnet up --help",
        "agentnet --version",
    ] {
        assert_eq!(code(line), Some(0), "{line}");
    }
    assert_eq!(code("agentnet --json list --timeout 1.5"), None);
    assert_eq!(
        code("agentnet send --to-username a {} --json --nats-url nats://x"),
        None
    );
    for line in [
        "agentnet send --to-username a --mailbox {}",
        "agentnet send --to-username a {} --mailbox=12h",
        "agentnet mailbox",
        "agentnet mailbox --username a",
        "agentnet mailbox --username a list --state dead",
        "agentnet mailbox drop --account-id acct_1 m1 m2",
        "agentnet watch --tasks --mailbox --inbox",
        "agentnet task assign --to-capability a --payload -1",
        "agentnet task input task_1 -1",
        "agentnet task cancel task_1 task_2 --keep-children",
        "agentnet task work --capability a -- sh -c --json",
        "agentnet tasks --status failed",
    ] {
        assert_eq!(code(line), None, "{line}");
    }
}
