//! The file of a mesh: which one, read with the environment and the values of `--set`.

use std::path::{Path, PathBuf};

use agentnet_mesh::config::{self, ConfigError, Position, Problem};
use clap::Args;

use crate::exit::Failure;

/// The file where none is named.
pub(super) const DEFAULT_FILE: &str = "mesh.yaml";

/// The file, and changes of its values.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// File of the agents [default: mesh.yaml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as the Python implementation's command takes it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Values of the file that are changed.
#[derive(Debug, Args)]
pub(crate) struct Overrides {
    /// A value to change, by its path in the file; may be given several times: --set defaults.timezone=UTC
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) mesh: config::Mesh,
    /// Values that are valid and not taken as they are written.
    pub(crate) warnings: Vec<Problem>,
}

impl Loaded {
    /// The mesh, after its warnings are in the log.
    pub(crate) fn into_logged(self) -> config::Mesh {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        self.mesh
    }
}

impl Source {
    /// The file that is named, or the default.
    pub(crate) fn path(&self) -> &Path {
        let named = self.file.as_deref().or(self.config.as_deref());
        named.unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is not there, or invalid: exit code 2.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        load(self.path(), &self.overrides)
    }

    /// As [`load`](Self::load), for a log: every problem in one line.
    pub(crate) fn reload(&self) -> Result<Loaded, String> {
        read(self.path(), &self.overrides).map_err(|error| in_one_line(&error))
    }
}

impl Overrides {
    /// Whether no value is changed.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// Reads a file that is named.
pub(super) fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Failure> {
    if !path.exists() {
        return Err(Failure::refused(format!("there is no file {}", path.display()))
            .with_code("config_error")
            .hint("`agentnet mesh init` writes one to begin with; --config FILE names another"));
    }
    read(path, overrides).map_err(|error| failure(path, &error))
}

/// Reads a file that is there.
pub(super) fn read(path: &Path, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let environment = |name: &str| std::env::var(name).ok();
    let (mesh, warnings) = config::load_with_warnings(path, &environment, &overrides.set)?;
    Ok(Loaded { mesh, warnings })
}

/// What is wrong with a file, in a few words: it cannot be read, or the number of its problems.
pub(super) fn summary(path: &Path, error: &ConfigError) -> String {
    match (error.problems(), error.count()) {
        ([problem], _) if problem.position == Position::Whole => format!("{} {}", path.display(), problem.message),
        (_, 1) => format!("{} has 1 problem", path.display()),
        (_, several) => format!("{} has {several} problems", path.display()),
    }
}

/// The summary, and as the hint each problem in a line.
fn failure(path: &Path, error: &ConfigError) -> Failure {
    let failure = Failure::refused(summary(path, error)).with_code("config_error");
    match error.problems() {
        [problem] if problem.position == Position::Whole => failure,
        _ => failure.hint(error.to_string()),
    }
}

fn in_one_line(error: &ConfigError) -> String {
    let text = error.to_string();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("it must be PATH=VALUE, such as defaults.timezone=UTC")?;
    match path.trim() {
        "" => Err("the path before = is empty".to_owned()),
        path => Ok((path.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_by_its_path() {
        let pair = |path: &str, value: &str| Ok((path.to_owned(), value.to_owned()));
        assert_eq!(assignment("a.b=c"), pair("a.b", "c"));
        assert_eq!(
            assignment("agents.x.prompt.text=1 = 1"),
            pair("agents.x.prompt.text", "1 = 1")
        );
        assert_eq!(assignment("a="), pair("a", ""));
        for text in ["", "a", "=b", " =b"] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }

    fn refusal(path: &str) -> String {
        let loaded = load(Path::new(path), &Overrides { set: Vec::new() });
        loaded.unwrap_err().text()
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_what_to_do() {
        let text = refusal("/none/mesh.yaml");
        assert!(
            text.contains("no file /none/mesh.yaml") && text.contains("mesh init"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert_eq!(refusal("/"), "error: / is a directory, not a regular file");
        assert_eq!(refusal("/dev/zero"), "error: /dev/zero is a device, not a regular file");
    }
}
