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
    assert!(problem(directory.path()).contains("cannot be read"));
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
        mesh(&text, Path::new("mesh.yaml"), &|_: &str| None, &overrides).map_err(|error| error.to_string())
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
