//! `agentnet mesh init`: writes a file and its prompts to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use agentnet_mesh::config::template;
use agentnet_protocol::json::ObjectWriter;
use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::output::{Output, Tint};

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Directory to write to
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Which agents to begin with
    #[arg(long, value_name = "NAME", value_enum, default_value = "duo")]
    template: Template,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Template {
    /// Two agents that talk
    Duo,
    /// Three agents that debate
    Trio,
    /// A support desk with tools and budgets
    Support,
}

impl Template {
    fn name(self) -> &'static str {
        match self {
            Self::Duo => "duo",
            Self::Trio => "trio",
            Self::Support => "support",
        }
    }
}

impl Init {
    pub(crate) fn run(self, output: Output) -> Result<(), Exit> {
        let name = self.template.name();
        let files = template(name).ok_or_else(|| Failure::error(format!("there is no template {name}")))?;
        if !self.force {
            let existing = files
                .iter()
                .map(|(path, _)| self.directory.join(path))
                .find(|path| path.exists());
            if let Some(path) = existing {
                return Err(Failure::refused(format!("{} exists already", path.display()))
                    .hint("name another directory, or replace it with --force")
                    .into());
            }
        }
        for (path, text) in files {
            let path = self.directory.join(path);
            write(&path, text, self.force)
                .map_err(|error| Failure::error(format!("cannot write {}: {error}", path.display())))?;
        }
        if output.is_json() {
            let written: Vec<String> = files
                .iter()
                .map(|(path, _)| self.directory.join(path).to_string_lossy().into_owned())
                .collect();
            let mut document = ObjectWriter::new();
            document.text("template", name).texts("files", &written);
            return Ok(output.document(&document.finish())?);
        }
        for (path, _) in files {
            let tick = output.tint(Tint::Green, "✓");
            output.line(format!("{tick} {}", self.directory.join(path).display()))?;
        }
        let first = files
            .first()
            .map_or(Path::new("mesh.yaml"), |(path, _)| Path::new(path));
        let file = self.directory.join(first);
        let file = file.strip_prefix(".").unwrap_or(&file).display();
        Ok(output.line(format!(
            "\nNext:\n  agentnet mesh check {file}\n  agentnet mesh run {file}"
        ))?)
    }
}

fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Opening a FIFO waits for its reader.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut options = OpenOptions::new();
    options.write(true);
    match replace {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    options.open(path)?.write_all(text.as_bytes())
}
