//! Makes the mesh from a file whose shape is right: resolves references and checks what a schema cannot.

use std::path::{Path, PathBuf};

use super::file::MeshFile;
use super::key_path::KeyPath;
use super::node::Node;
use super::problem::Problems;
use super::{Environment, Mesh, Price};

mod address;
mod agent;
mod model;
mod placeholder;
mod prompt;
mod provider;
mod tool;
mod tool_glob;

pub(crate) use address::http_url;
pub(crate) use agent::{duplicates, is_key, own_username};
pub(crate) use prompt::read as read_prompt;
pub(crate) use tool::{mcp_servers, tools};
use tool_glob::KnownTools;

/// The document that is assembled, and its problems.
pub(crate) struct Assembly<'a> {
    root: &'a Node,
    /// Directory that paths of the file are relative to.
    directory: &'a Path,
    problems: &'a mut Problems,
}

impl<'a> Assembly<'a> {
    /// Nothing is assembled yet.
    pub(crate) fn new(root: &'a Node, directory: &'a Path, problems: &'a mut Problems) -> Self {
        Self {
            root,
            directory,
            problems,
        }
    }

    /// Adds a problem of a value. One that stands in for a broken value has been reported.
    pub(crate) fn problem(&mut self, path: &KeyPath, message: impl Into<String>) {
        if !self.problems.is_broken(path) {
            self.problems.add(self.root.locate(path), path, message);
        }
    }

    /// Adds a warning about a value that is valid.
    pub(crate) fn warn(&mut self, path: &KeyPath, message: impl Into<String>) {
        if !self.problems.is_broken(path) {
            self.problems.warn(self.root.locate(path), path, message);
        }
    }

    /// Whether a value is broken, so that nothing follows from what stands in for it.
    pub(crate) fn is_broken(&self, path: &KeyPath) -> bool {
        self.problems.is_broken(path)
    }

    /// Whether a value or one inside it is broken.
    pub(crate) fn is_broken_within(&self, path: &KeyPath) -> bool {
        self.problems.is_broken_within(path)
    }

    /// Adds the problem that a mapping has none or several of the keys of which it needs one.
    pub(crate) fn needs_one_of(&mut self, keys: [&str; 2], path: &KeyPath) {
        if keys.iter().all(|key| !self.is_broken(&path.key(key))) {
            let [one, other] = keys;
            self.problem(path, format!("needs either `{one}` or `{other}`"));
        }
    }

    /// A value as messages quote it: as the file has it, with its variables.
    pub(crate) fn quoted(&self, path: &KeyPath) -> String {
        self.root.quoted(path)
    }

    /// Whether a value has variables, so that messages must not show it.
    pub(crate) fn has_variables(&self, path: &KeyPath) -> bool {
        self.root.has_variables(path)
    }

    /// Whether the file gives a value at this path.
    pub(crate) fn has(&self, path: &KeyPath) -> bool {
        self.root.has(path)
    }

    /// A path of the file.
    pub(crate) fn file_path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// A working directory of the file.
    pub(crate) fn working_directory(&mut self, directory: Option<&str>, path: &KeyPath) -> Option<PathBuf> {
        let directory = self.file_path(directory?);
        if !directory.is_dir() {
            let quoted = self.quoted(path);
            self.problem(path, format!("{quoted} is no directory"));
        }
        Some(directory)
    }
}

/// Makes the mesh. Problems are added to the assembly's; the mesh is only good without any.
pub(crate) fn mesh(assembly: &mut Assembly<'_>, path: &Path, file: MeshFile, environment: &Environment) -> Mesh {
    let defaults = file.defaults;
    zone(assembly, &defaults.timezone, &KeyPath::of(["defaults", "timezone"]));
    if !super::variables::is_name(&defaults.nats_url_env) {
        let message = "is no name of an environment variable";
        assembly.problem(&KeyPath::of(["defaults", "nats_url_env"]), message);
    }
    let providers = provider::providers(assembly, file.providers, defaults.request_timeout_seconds);
    let prices = file.prices.into_iter().map(|(model, price)| {
        let price = Price {
            input: price.input,
            output: price.output,
            cached_input: price.cached_input,
        };
        (model, price)
    });
    let mut mesh = Mesh {
        path: path.to_owned(),
        nats_url: environment(&defaults.nats_url_env).filter(|url| !url.trim().is_empty()),
        providers,
        prices: prices.collect(),
        mcp_servers: tool::mcp_servers(assembly, file.mcp_servers),
        tools: tool::tools(assembly, file.tools),
        agents: Vec::new(),
    };
    let context = agent::Shared {
        providers: &mesh.providers,
        prices: &mesh.prices,
        tools: KnownTools::new(mesh.tools.keys(), mesh.mcp_servers.keys()),
        timezone: &defaults.timezone,
        max_messages: defaults.max_history_messages,
    };
    let agents = agent::agents(assembly, file.agents, &context);
    mesh.agents = agents;
    mesh
}

/// Checks the name of a time zone.
fn zone(assembly: &mut Assembly<'_>, name: &str, path: &KeyPath) {
    if jiff::tz::TimeZone::get(name).is_err() {
        let quoted = assembly.quoted(path);
        assembly.problem(
            path,
            format!("unknown time zone {quoted}; names are such as Europe/Berlin"),
        );
    }
}

#[cfg(test)]
mod tests;
