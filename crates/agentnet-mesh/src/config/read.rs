//! From the text of a file to the mesh: parse, override, tell the format, check the shape, assemble.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::assemble::{self, Assembly};
use super::file::MeshFile;
use super::key_path::KeyPath;
use super::legacy::{self, LegacyFile, Settings};
use super::node::{Node, NodeValue};
use super::problem::{ConfigError, Problem, Problems};
use super::shape::Shape;
use super::{Environment, Mesh, overrides, schema, text_file};

/// Bytes of a configuration file.
const MAX_FILE_BYTES: u64 = 1_000_000;

/// Reads the text of a configuration file.
pub(crate) fn text(path: &Path) -> Result<String, ConfigError> {
    text_file::read(path, MAX_FILE_BYTES).map_err(|message| ConfigError::of_file(path, message))
}

/// Makes a mesh of the text of a configuration file. Beside it are warnings about values that are valid.
pub(crate) fn mesh(
    text: &str,
    path: &Path,
    environment: &Environment,
    overridden: &[(String, String)],
) -> Result<(Mesh, Vec<Problem>), ConfigError> {
    let mut problems = Problems::new(path);
    let mesh = match Node::parse(text) {
        Ok(mut root) => {
            overrides::apply(&mut root, overridden, &mut problems);
            of_document(&root, path, environment, &mut problems)
        }
        Err((at, message)) => {
            problems.add(at, &KeyPath::default(), message);
            None
        }
    };
    match mesh {
        Some(mesh) if problems.is_empty() => Ok((mesh, problems.into_warnings())),
        _ => Err(problems.into_error()),
    }
}

fn of_document(root: &Node, path: &Path, environment: &Environment, problems: &mut Problems) -> Option<Mesh> {
    match format(root, problems)? {
        Format::Version1 => {
            let file: MeshFile = shaped(root, schema::version_1(), environment, problems)?;
            let directory = path.parent().unwrap_or_else(|| Path::new(""));
            let mut assembly = Assembly::new(root, directory, problems);
            Some(assemble::mesh(&mut assembly, path, file, environment))
        }
        Format::Legacy => {
            let settings = Settings::read(environment, problems);
            let file: LegacyFile = shaped(root, legacy::schema(), environment, problems)?;
            let directory = path.parent().unwrap_or_else(|| Path::new(""));
            let mut assembly = Assembly::new(root, directory, problems);
            Some(legacy::mesh(&mut assembly, path, file, &settings, environment))
        }
    }
}

/// Formats of configuration files.
enum Format {
    Version1,
    /// That of the Python implementation.
    Legacy,
}

/// The format of a document.
fn format(root: &Node, problems: &mut Problems) -> Option<Format> {
    let whole = KeyPath::default();
    if !matches!(root.value, NodeValue::Map(_)) {
        let message = match root.value {
            NodeValue::Null => "is empty; `agentnet mesh init` writes one to begin with".to_owned(),
            _ => format!("expected a mapping, found {}", root.kind()),
        };
        problems.add(root.at, &whole, message);
        return None;
    }
    let Some(version) = root.get("version") else {
        if is_version_1_without_saying_so(root) {
            problems.add(root.at, &whole, "`version: 1` is missing");
            // The rest can be checked all the same.
            problems.mark_broken(&KeyPath::of(["version"]));
            return Some(Format::Version1);
        }
        return Some(Format::Legacy);
    };
    match &version.value {
        NodeValue::Number(number) if number.as_u64() == Some(1) => Some(Format::Version1),
        _ => {
            let path = KeyPath::of(["version"]);
            let quoted = root.quoted(&path);
            problems.add(version.at, &path, format!("unknown version {quoted} (known: 1)"));
            None
        }
    }
}

/// Whether a document has keys that only version 1 has.
fn is_version_1_without_saying_so(root: &Node) -> bool {
    let agent = root.get("agents").and_then(|agents| agents.element(0));
    ["providers", "prices"].iter().any(|key| root.get(key).is_some())
        || agent.is_some_and(|agent| agent.get("model").is_some() || agent.get("prompt").is_some())
}

/// Checks a document against a schema, and reads it.
fn shaped<T: DeserializeOwned>(
    root: &Node,
    schema: &Value,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<T> {
    let value = Shape::read(root, schema, environment, problems)?;
    let file = serde_json::from_value(value).ok();
    if file.is_none() && problems.is_empty() {
        // A difference between a record and its own schema. Its text may hold values of variables.
        problems.add(root.at, &KeyPath::default(), "does not fit its schema");
    }
    file
}

#[cfg(test)]
mod tests;
