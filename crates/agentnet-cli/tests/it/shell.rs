//! Completions, manual pages, and threads as documents.

use std::process::Stdio;

use agentnet::AgentNode;

use crate::harness::pty::Terminal;
use crate::harness::{Ran, Up, agentnet, binary, line, run};

/// What is offered for the last word of a line, as fish asks: a value and a tab and what stands beside it.
async fn offered(url: &str, words: &[&str]) -> Vec<String> {
    let mut command = binary();
    command.env("AGENTNET_COMPLETE", "fish").env("AGENTNET_NATS_URL", url);
    command.args(["--", "agentnet"]).args(words);
    run(command).await.ok().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn commands_flags_and_live_values_are_offered() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let mut command = binary();
    command.args([
        "--nats-url",
        &url,
        "echo",
        "--username",
        "parrot",
        "--capability",
        "say",
    ]);
    let agent = crate::harness::Service::spawn(command);
    agent.says("@parrot is online").await;
    line(&url, "send --to-username parrot --thread-id ops_1 1").await.ok();
    agentnet_testkit::eventually(crate::harness::WAIT_TIMEOUT, async || {
        match line(&url, "threads").await.ok().contains("ops_1") {
            true => Ok(()),
            false => Err("the message is not stored"),
        }
    })
    .await
    .unwrap();

    assert!(
        offered(&url, &["thread-"])
            .await
            .iter()
            .any(|one| one.starts_with("thread-status\t"))
    );
    assert!(
        offered(&url, &["send", "--to-"])
            .await
            .iter()
            .any(|one| one.starts_with("--to-username"))
    );
    assert_eq!(
        offered(&url, &["send", "--to-username", "par"]).await,
        ["parrot\tparrot"]
    );
    assert_eq!(
        offered(&url, &["send", "--to-username", "@par"]).await,
        ["@parrot\tparrot"]
    );
    assert_eq!(offered(&url, &["request", "--to-capability", ""]).await, ["say"]);
    assert_eq!(
        offered(&url, &["thread-status", "--thread-id", "op"]).await,
        ["ops_1\t1 message"]
    );
    assert_eq!(
        offered(&url, &["profile", "--username", "nobody"]).await,
        Vec::<String>::new()
    );
    assert_eq!(in_bash(&url, &["send", "--to-username", "par"]).await, "parrot");
    assert_eq!(in_bash(&url, &["thread-status", "--thread-id", "op"]).await, "ops_1");
    // The network that the line names counts more than the environment.
    let elsewhere = ["--nats-url", &url, "send", "--to-username", "par"];
    assert_eq!(offered("nats://127.0.0.1:1", &elsewhere).await, ["parrot\tparrot"]);
    // Without a network nothing is offered, and nothing is said.
    assert_eq!(
        offered("nats://127.0.0.1:1", &["send", "--to-username", ""]).await,
        Vec::<String>::new()
    );
    up.stop().await;
}

#[tokio::test]
async fn every_shell_has_a_script_and_bash_can_use_it() {
    for (shell, part) in [
        ("bash", "complete -o"),
        ("zsh", "#compdef agentnet"),
        ("fish", "complete --keep-order --exclusive --command agentnet"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer"),
    ] {
        let script = line("nats://127.0.0.1:1", &format!("completions {shell}")).await.ok();
        assert!(
            script.contains(part) && script.contains("AGENTNET_COMPLETE"),
            "{shell}: {script}"
        );
    }
    assert_eq!(in_bash("nats://127.0.0.1:1", &["thread-st"]).await, "thread-status");
}

/// The typed text, and the shell's prompt when it waits for a line.
const PROMPT: &str = "ready> ";

/// A real shell on a terminal, with our completions.
async fn shell(name: &str, url: &str, home: &std::path::Path) -> Terminal {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_agentnet"));
    let beside = program.parent().unwrap().display();
    let mut command = tokio::process::Command::new(name);
    command
        .kill_on_drop(true)
        .current_dir(home)
        .env("HOME", home)
        .env("ZDOTDIR", home)
        .env("XDG_CONFIG_HOME", home)
        .env("PATH", format!("{beside}:{}", std::env::var("PATH").unwrap()))
        .env("AGENTNET_NATS_URL", url)
        .env("PS1", PROMPT)
        .env("PROMPT", PROMPT);
    let (arguments, set_up) = match name {
        "bash" => (
            vec!["--norc", "--noprofile", "-i"],
            "source <(agentnet completions bash)",
        ),
        "zsh" => (
            vec!["-f", "-i"],
            "autoload -U compinit; compinit -u; source <(agentnet completions zsh)",
        ),
        "fish" => (
            vec!["--no-config", "--interactive"],
            "function fish_prompt; printf 'ready> '; end; agentnet completions fish | source",
        ),
        other => panic!("no shell {other}"),
    };
    command.args(arguments);
    let hint = "scripts/shells.sh installs the shells that these tests need";
    assert!(found(name), "{name} is not installed: {hint}");
    let mut shell = Terminal::spawn(command, 200, 50);
    shell
        .type_text(
            &format!("{set_up}; echo set_$((1+1))\r")
                .replace("$((1+1))", if name == "fish" { "(math 1+1)" } else { "$((1+1))" }),
        )
        .await;
    shell.shows("set_2").await;
    shell
}

fn found(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shell_runs_what_strangers_have_named() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let agent = AgentNode::builder("evil").username("evil").nats_url(&url);
    let named = [
        "$(touch RAN)",
        "`touch RAN`",
        "x;touch RAN",
        "x\ntouch RAN\n",
        "'; touch RAN; '",
        "fine",
    ];
    let agent = agent
        .capabilities(named)
        .on_message(async |_, _| Ok(()))
        .start()
        .await
        .unwrap();
    for thread in [
        "$(touch RAN)",
        "`touch RAN`",
        "x;touch${IFS}RAN",
        "x|touch RAN",
        "(touch RAN)",
        "fine_1",
    ] {
        let sent = agentnet(&url, ["send", "--to-username", "evil", "--thread-id", thread, "1"]).await;
        sent.ok();
    }
    agentnet_testkit::eventually(crate::harness::WAIT_TIMEOUT, async || {
        match line(&url, "threads --output csv").await.ok().lines().count() {
            7.. => Ok(()),
            count => Err(format!("{count} lines")),
        }
    })
    .await
    .unwrap();
    for name in ["bash", "zsh", "fish"] {
        let home = tempfile::tempdir().unwrap();
        let mut shell = shell(name, &url, home.path()).await;
        // The one that is left is put on the line, whole.
        shell
            .type_until("agentnet thread-status --thread-id \t", "--thread-id fine_1")
            .await;
        shell.type_until("\r", "Last Msg At").await;
        shell
            .type_until("agentnet search --capability \t", "--capability fine")
            .await;
        shell.type_until("\r", "@evil").await;
        shell.type_until("echo over_(and)_out\x15echo over\r", "over").await;
        assert!(!home.path().join("RAN").exists(), "{name} ran it:\n{}", shell.text());
    }
    agent.close().await;
    up.stop().await;
}

/// What a real bash makes of the last word, by the script itself.
async fn in_bash(url: &str, words: &[&str]) -> String {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_agentnet"));
    let mut bash = tokio::process::Command::new("bash");
    let beside = program.parent().unwrap().display();
    bash.env("PATH", format!("{beside}:{}", std::env::var("PATH").unwrap()))
        .env("AGENTNET_NATS_URL", url);
    let (line, count, last) = (words.join(" "), words.len(), words[words.len() - 1]);
    bash.args(["--norc", "-c"]).stdin(Stdio::null()).arg(format!(
        "source <(agentnet completions bash); COMP_WORDS=(agentnet {line}); COMP_CWORD={count}; COMP_TYPE=9; \
         _clap_complete_agentnet agentnet {last} agentnet; printf '%s' \"${{COMPREPLY[0]}}\"",
    ));
    run(bash).await.ok().trim().to_owned()
}

#[tokio::test]
async fn manual_pages_are_made_from_the_commands() {
    let page = line("nats://127.0.0.1:1", "man").await.ok();
    assert!(
        page.contains(".TH agentnet 1") && page.contains("agentnet\\-thread\\-status"),
        "{page}"
    );
    let page = line("nats://127.0.0.1:1", "man send").await.ok();
    assert!(page.contains("\\-\\-to\\-username"), "{page}");
    line("nats://127.0.0.1:1", "man fly")
        .await
        .fails(2, &["there is no command `fly`"]);
    for (words, part) in [
        ("man export thread", "agentnet\\-export\\-thread"),
        ("man keys", "agentnet\\-keys"),
    ] {
        let page = line("nats://127.0.0.1:1", words).await.ok();
        assert!(page.contains(part), "{words}: {page}");
    }
    line("nats://127.0.0.1:1", "man export thraed")
        .await
        .fails(2, &["there is no command `thraed`", "did you mean `thread`?"]);
    let folder = tempfile::tempdir().unwrap();
    agentnet("nats://127.0.0.1:1", ["man", "--dir", folder.path().to_str().unwrap()])
        .await
        .ok();
    for page in ["agentnet.1", "agentnet-send.1", "agentnet-doctor.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failed: Ran = agentnet("nats://127.0.0.1:1", ["man", "--dir", file.to_str().unwrap()]).await;
    failed.fails(1, &["cannot write the pages to"]);
}

/// An agent gets two messages in the thread `ops_1`. Returns the agent.
async fn record_thread(url: &str) -> crate::harness::Service {
    let mut command = binary();
    command.args([
        "--nats-url",
        url,
        "echo",
        "--username",
        "parrot",
        "--rate-limit",
        "1000",
        "--rate-burst",
        "1000",
    ]);
    let agent = crate::harness::Service::spawn(command);
    agent.says("@parrot is online").await;
    for text in [r#"{"text":"first\n# second line"}"#, r#"{"n":1.50}"#] {
        agentnet(
            url,
            [
                "send",
                "--as",
                "alice",
                "--to-username",
                "parrot",
                "--thread-id",
                "ops_1",
                text,
            ],
        )
        .await
        .ok();
    }
    agentnet_testkit::eventually(crate::harness::WAIT_TIMEOUT, async || {
        match line(url, "thread-status --thread-id ops_1 --json").await {
            Ran {
                code: Some(0), stdout, ..
            } if stdout.contains(r#""message_count":2"#) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    agent
}

#[tokio::test]
async fn a_thread_becomes_a_document() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = record_thread(&url).await;
    let text = line(&url, "export thread ops_1").await.ok();
    assert!(text.starts_with("# Thread ops\\_1\n\n2 messages, "), "{text}");
    assert!(text.contains("between @alice, @parrot. Exported "), "{text}");
    assert!(
        text.contains("\n## @alice → @parrot\n") && text.contains("\n> first\n> \\# second line\n"),
        "{text}"
    );
    assert!(text.ends_with("```json\n{\n  \"n\": 1.50\n}\n```\n"), "{text}");

    let document = line(&url, "export thread ops_1 --timeout 10 --json").await.ok();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["thread_id"], "ops_1");
    assert_eq!(document["messages"][1]["payload"]["n"], 1.5);
    assert_eq!(
        line(&url, "export thread ops_1 --format json").await.ok(),
        line(&url, "export thread ops_1 --format json --json").await.ok()
    );
    line(&url, "export thread ops_1 --format jsonl --json")
        .await
        .fails_as_json(2);
    let lines = line(&url, "export thread ops_1 --format jsonl").await.ok();
    let payloads: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].clone())
        .collect();
    assert_eq!(
        payloads,
        [
            serde_json::json!({"text": "first\n# second line"}),
            serde_json::json!({"n": 1.5})
        ]
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops.md");
    let ran = agentnet(&url, ["export", "thread", "ops_1", "--out", path.to_str().unwrap()]).await;
    assert!(ran.stderr.contains("2 messages are in "), "{ran:?}");
    assert_eq!(ran.ok(), "");
    assert!(std::fs::read_to_string(path).unwrap().starts_with("# Thread"));
    line(&url, "export thread nothing")
        .await
        .fails(2, &["not_found", "there is no thread \"nothing\""]);
    up.stop().await;
}
