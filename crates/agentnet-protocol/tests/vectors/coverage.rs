//! No file of vectors lies there unused.

use std::path::Path;

/// Every module that runs vectors.
const MODULES: &[&str] = &[
    include_str!("auth.rs"),
    include_str!("identity.rs"),
    include_str!("json.rs"),
    include_str!("jwts.rs"),
    include_str!("limits.rs"),
    include_str!("mailbox.rs"),
    include_str!("payloads.rs"),
    include_str!("receiver.rs"),
    include_str!("records.rs"),
    include_str!("secure.rs"),
    include_str!("tasks.rs"),
    include_str!("threads.rs"),
    include_str!("times.rs"),
];

/// A file counts as covered when a test loads it by name.
fn uncovered(files: impl IntoIterator<Item = String>) -> Vec<String> {
    let loaded = |name: &str| MODULES.iter().any(|module| module.contains(&format!("(\"{name}\"")));
    files.into_iter().filter(|name| !loaded(name)).collect()
}

#[test]
fn every_file_of_vectors_is_run_by_a_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors");
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let files: Vec<String> = entries
        .map(|entry| entry.expect("the directory can be listed").path())
        .map(|path| match path.extension() {
            Some(extension) if extension == "json" => path.file_stem().unwrap().to_string_lossy().into_owned(),
            _ => panic!("{} is no file of vectors", path.display()),
        })
        .collect();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    assert_eq!(uncovered(files), Vec::<String>::new(), "files that no test loads");
}

#[test]
fn a_file_that_no_test_loads_is_reported() {
    let files = ["ulid", "forgotten"].map(str::to_owned);
    assert_eq!(uncovered(files), ["forgotten"]);
}
