//! Problems of a configuration, each with its place in the file.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::key_path::{KeyPath, Segment};

/// Problems that are kept; the rest is counted.
const MAX_PROBLEMS: usize = 50;

/// Where a value of a configuration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The file itself, without a place in it.
    Whole,
    /// A place in the file; both numbers count from 1.
    File {
        /// Line of the file.
        line: u64,
        /// Column, in characters.
        column: u64,
    },
    /// An override of the command line (`--set`).
    Override,
    /// An environment variable, which [`Problem::path`] names.
    Environment,
}

/// One thing that is wrong with a configuration, or odd about it. Its text holds no values of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file.
    pub file: PathBuf,
    /// Where the value comes from.
    pub position: Position,
    /// Path of the value, such as `agents[0].model.provider`; empty for the file itself.
    pub path: String,
    /// Description for people.
    pub message: String,
}

/// A configuration cannot be used. Displays one problem per line, such as
/// `mesh.yaml:12:7 agents[0].model.provider: unknown provider "clade" (known: claude, local)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
    omitted: usize,
}

impl ConfigError {
    /// The problems in the order of the file, at most 50.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are, those beyond 50 included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.problems.len() + self.omitted
    }

    /// An error about the file itself.
    pub(crate) fn of_file(file: &Path, message: String) -> Self {
        let problem = Problem {
            file: file.to_owned(),
            position: Position::Whole,
            path: String::new(),
            message,
        };
        Self {
            problems: vec![problem],
            omitted: 0,
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            if place > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        match self.omitted {
            0 => Ok(()),
            1 => formatter.write_str("\nand 1 more problem"),
            several => write!(formatter, "\nand {several} more problems"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.position {
            Position::Whole => write!(formatter, "{file}")?,
            Position::File { line, column } => write!(formatter, "{file}:{line}:{column}")?,
            Position::Override => formatter.write_str("--set")?,
            Position::Environment => formatter.write_str("environment")?,
        }
        if !self.path.is_empty() {
            write!(formatter, " {}", self.path)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
    omitted: usize,
    /// Values that are wrong or missing, which is in the list already: what follows from them is no further problem.
    broken: HashSet<Vec<Segment>>,
    warnings: Vec<Problem>,
}

impl Problems {
    /// No problems of this file yet.
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
            omitted: 0,
            broken: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds a problem, unless it is in the list already.
    pub(crate) fn add(&mut self, position: Position, path: &KeyPath, message: impl Into<String>) {
        let problem = self.problem(position, path, message.into());
        if self.list.contains(&problem) {
            return;
        }
        if self.list.len() == MAX_PROBLEMS {
            self.omitted += 1;
            return;
        }
        self.list.push(problem);
    }

    fn problem(&self, position: Position, path: &KeyPath, message: String) -> Problem {
        Problem {
            file: self.file.clone(),
            position,
            path: path.to_string(),
            message,
        }
    }

    /// Adds a warning: the file is valid, and probably not what was meant.
    pub(crate) fn warn(&mut self, position: Position, path: &KeyPath, message: impl Into<String>) {
        if self.warnings.len() < MAX_PROBLEMS {
            let warning = self.problem(position, path, message.into());
            self.warnings.push(warning);
        }
    }

    /// Adds a problem of an environment variable.
    pub(crate) fn add_variable(&mut self, name: &str, message: impl Into<String>) {
        self.add(Position::Environment, &KeyPath::of([name]), message);
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Marks a value as wrong or missing. Another one is used in its place, so that the rest of the file can be checked.
    pub(crate) fn mark_broken(&mut self, path: &KeyPath) {
        self.broken.insert(path.segments().to_vec());
    }

    /// Whether a value, or one that contains it, is wrong or missing.
    pub(crate) fn is_broken(&self, path: &KeyPath) -> bool {
        let segments = path.segments();
        (0..=segments.len()).any(|length| self.broken.contains(&segments[..length]))
    }

    /// Whether a value, one that contains it, or one inside it is wrong or missing.
    pub(crate) fn is_broken_within(&self, path: &KeyPath) -> bool {
        self.is_broken(path) || self.broken.iter().any(|broken| broken.starts_with(path.segments()))
    }

    /// The warnings of a file without problems.
    pub(crate) fn into_warnings(self) -> Vec<Problem> {
        self.warnings
    }

    /// The error: the problems by their lines.
    pub(crate) fn into_error(self) -> ConfigError {
        let mut problems = self.list;
        problems.sort_by_key(|problem| match problem.position {
            Position::Whole => (0, 0, 0),
            Position::File { line, column } => (1, line, column),
            Position::Override => (2, 0, 0),
            Position::Environment => (3, 0, 0),
        });
        ConfigError {
            problems,
            omitted: self.omitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_shown_with_their_place() {
        let mut problems = Problems::new(Path::new("mesh.yaml"));
        let provider = KeyPath::of(["agents"]).index(0).key("model").key("provider");
        problems.add(Position::Override, &KeyPath::of(["version"]), "must be 1");
        problems.add_variable("MESH_WORK_TIMEOUT_SECONDS", "must be a number");
        problems.add(Position::File { line: 12, column: 7 }, &provider, "unknown provider");
        problems.add(Position::Whole, &KeyPath::default(), "is empty");
        assert_eq!(
            problems.into_error().to_string(),
            "mesh.yaml: is empty\n\
             mesh.yaml:12:7 agents[0].model.provider: unknown provider\n\
             --set version: must be 1\n\
             environment MESH_WORK_TIMEOUT_SECONDS: must be a number"
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let mut problems = Problems::new(Path::new("mesh.yaml"));
        // The same problem counts once.
        for number in std::iter::once(0).chain(0..MAX_PROBLEMS + 7) {
            problems.add(Position::Whole, &KeyPath::default(), format!("is wrong: {number}"));
            problems.warn(Position::Whole, &KeyPath::default(), "is odd");
        }
        assert_eq!(problems.warnings.len(), MAX_PROBLEMS);
        let error = problems.into_error();
        assert_eq!(error.problems().len(), MAX_PROBLEMS);
        assert_eq!(error.count(), MAX_PROBLEMS + 7);
        assert!(error.to_string().ends_with("\nand 7 more problems"));
    }

    #[test]
    fn what_is_inside_a_broken_value_is_broken_too() {
        let mut problems = Problems::new(Path::new("mesh.yaml"));
        let model = KeyPath::of(["agents"]).index(0).key("model");
        problems.mark_broken(&model);
        assert!(problems.is_broken(&model) && problems.is_broken(&model.key("provider")));
        let agents = KeyPath::of(["agents"]);
        assert!(!problems.is_broken(&agents) && problems.is_broken_within(&agents));
        assert!(problems.is_broken_within(&model.key("provider")));
        assert!(!problems.is_broken_within(&agents.index(1)));
        assert!(problems.is_empty());
    }
}
