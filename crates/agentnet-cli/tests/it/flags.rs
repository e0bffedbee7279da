//! Every command and every flag is used by a test or by a guide whose commands are run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use agentnet_testkit::NatsServer;
use rustix::process::Signal;

use crate::harness::{Service, binary, line};

/// The flags of a command, each with its default, as its help tells.
async fn flags(command: &str) -> BTreeMap<String, Option<String>> {
    let help = line("nats://127.0.0.1:1", &format!("{command} --help")).await.ok();
    let mut flags = BTreeMap::new();
    let mut last = None;
    for line in help.lines().map(str::trim) {
        // `-h, --help` and `--name <VALUE>`.
        let words = line.trim_start_matches(|c: char| c == '-' && !line.starts_with("--"));
        let flag = words.split_whitespace().find(|word| word.starts_with("--"));
        if let (true, Some(flag)) = (line.starts_with('-'), flag) {
            let flag = flag.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned();
            let flag = flag.split(['=', '[']).next().unwrap().to_owned();
            flags.insert(flag.clone(), None);
            last = Some(flag);
        } else if let (Some(flag), Some(default)) = (&last, line.strip_prefix("[default: ")) {
            flags.insert(flag.clone(), Some(default.trim_end_matches(']').to_owned()));
        }
    }
    flags
}

/// The names of the commands, those below others with their parents'.
async fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    for name in below("").await {
        let inner = below(&name).await;
        match inner.is_empty() {
            true => commands.push(name),
            false => commands.extend(inner.iter().map(|inner| format!("{name} {inner}"))),
        }
    }
    commands
}

async fn below(command: &str) -> Vec<String> {
    let help = line("nats://127.0.0.1:1", &format!("{command} --help")).await.ok();
    let Some(list) = help.split("Commands:\n").nth(1) else {
        return Vec::new();
    };
    let rows = list.lines().take_while(|line| line.starts_with("  "));
    let names = rows
        .filter(|row| !row.starts_with("   "))
        .filter_map(|row| row.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// What the tests say, function by function.
fn said(folder: &Path, said: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            self::said(&path, said);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("flags.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            said.extend(text.split("\n}\n").map(str::to_owned));
        }
    }
}

/// Whether the word stands in the text, and not only as a part of another.
fn stands(word: &str, text: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        !before.is_some_and(part) && !behind.is_some_and(part)
    })
}

#[tokio::test]
async fn none_is_forgotten() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places = Vec::new();
    said(&here.join("tests"), &mut places);
    for guide in ["NETWORK_CLI_GUIDE.md", "UI_BACKEND_MAPPING.md"] {
        let text = std::fs::read_to_string(here.join("../../docs").join(guide)).unwrap();
        places.extend(text.lines().map(str::to_owned));
    }
    let of_all: BTreeSet<String> = flags("").await.into_keys().collect();
    let settings: BTreeSet<String> = flags("registry").await.into_keys().collect();
    let mut missing = Vec::new();
    let commands = commands().await;
    assert!(
        commands.len() >= 20 && commands.contains(&"export thread".to_owned()),
        "{commands:?}"
    );
    for command in &commands {
        // Where it is run: its words stand there, one way or another.
        let runs = |place: &&String| command.split(' ').all(|word| stands(word, place));
        let places_of: Vec<&String> = places.iter().filter(runs).collect();
        if places_of.is_empty() {
            missing.push(command.clone());
        }
        // The registry's own settings have a test of their own below.
        let of_registry = |flag: &String| matches!(command.as_str(), "registry" | "up") && settings.contains(flag);
        for flag in flags(command).await.into_keys().filter(|flag| !of_registry(flag)) {
            // What all commands have is used with one of them.
            let used = match of_all.contains(&flag) {
                true => places.iter().any(|place| stands(&flag, place)),
                false => places_of.iter().any(|place| stands(&flag, place)),
            };
            if !used && flag != "--version" {
                missing.push(format!("{command} {flag}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test]
async fn a_registry_takes_each_of_its_settings() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry", "--data-dir"])
        .arg(folder.path());
    let settings = flags("registry").await;
    let mut given = 0;
    for (flag, default) in &settings {
        if let Some(default) = default
            && !matches!(flag.as_str(), "--output" | "--log-format")
        {
            // Unset by default, in words.
            let value = if flag == "--metrics-addr" {
                "127.0.0.1:0"
            } else {
                default
            };
            command.arg(flag).arg(value);
            given += 1;
        }
    }
    assert!(given >= 20, "{settings:?}");
    let mut registry = Service::spawn(command);
    assert!(registry.next_line().await.starts_with("registry ready:"));
    registry.signal(Signal::TERM);
    assert_eq!(registry.ended().await.code(), Some(0), "{}", registry.stderr());
}
