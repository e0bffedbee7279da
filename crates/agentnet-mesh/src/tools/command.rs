//! Command tools: a program with arguments, never a shell.
//!
//! An argument of the model fills a place in one element of `argv` and stays within that element, whatever characters it has. It can
//! never be the program, and not an option either: a value that begins with `-` is refused at the beginning of an element, unless
//! `--` stands before it in `argv`. In an element that begins with a directory (`notes/{name}`), it cannot lead out of it. The program
//! runs with an environment of the listed variables alone, without input, and is killed with all that it has started when the call
//! ends. The values of these variables are removed from what it writes.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::clip::{Redactor, json_prefix};
use super::process::ProcessGroup;
use super::template::Template;
use super::{Tool, ToolContext, ToolOutcome};
use crate::config::CommandTool;
use crate::model::ToolSpec;

/// A program that writes more than this is killed.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024 * 1024;
/// Wait for the rest of the output when the program has ended: a process that left the group may hold the pipe open.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Bytes of one element of `argv`.
const MAX_ELEMENT_BYTES: usize = 100 * 1024;

/// A program as a tool.
pub(super) struct CommandTemplate {
    config_name: String,
    spec: ToolSpec,
    timeout: Duration,
    max_result_bytes: usize,
    argv: Vec<Template>,
    /// Index of the first `--` of `argv`; elements after it are no options.
    options_end: usize,
    directory: PathBuf,
    env: Vec<String>,
}

impl CommandTemplate {
    /// Checks the configuration of a command.
    pub(super) fn compile(
        spec: ToolSpec,
        config_name: &str,
        limits: (Duration, usize),
        command: &CommandTool,
        base_directory: &std::path::Path,
    ) -> Result<Self, String> {
        let argv: Vec<Template> = command.argv.iter().map(|element| Template::parse(element)).collect();
        let program = argv.first().ok_or("argv names no program")?;
        if program.has_parameters() {
            return Err("argv[0], the program, cannot have parameters".to_owned());
        }
        if command.argv[0].is_empty() {
            return Err("argv[0], the program, is empty".to_owned());
        }
        if let Some(position) = command.argv.iter().position(|element| element.contains('\0')) {
            return Err(format!("argv[{position}] has a NUL character"));
        }
        if let Some(name) = command
            .env
            .iter()
            .find(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            return Err(format!("env: {name:?} is not the name of a variable"));
        }
        let options_end = command
            .argv
            .iter()
            .position(|element| element == "--")
            .unwrap_or(argv.len());
        let directory = match &command.cwd {
            Some(directory) => base_directory.join(directory),
            None => base_directory.to_owned(),
        };
        let (timeout, max_result_bytes) = limits;
        Ok(Self {
            config_name: config_name.to_owned(),
            spec,
            timeout,
            max_result_bytes,
            argv,
            options_end,
            directory,
            env: command.env.clone(),
        })
    }

    /// The parameters of all elements.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.argv.iter().flat_map(Template::parameters)
    }

    /// The elements with the arguments in them. An element whose argument is absent is left out.
    fn fill(&self, arguments: &Map<String, Value>) -> Result<Vec<String>, String> {
        let mut argv = Vec::with_capacity(self.argv.len());
        for (position, template) in self.argv.iter().enumerate() {
            let Ok(element) = template.fill(arguments, str::to_owned) else {
                continue;
            };
            if template.has_parameters() {
                check_element(&element, template, position > self.options_end)?;
                check_path(&element, template, arguments)?;
            }
            argv.push(element);
        }
        Ok(argv)
    }

    /// The variables that are passed on, as they are now.
    fn environment(&self) -> Vec<(String, String)> {
        let variables = self.env.iter();
        variables
            .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
            .collect()
    }

    async fn run(&self, argv: &[String], env: Vec<(String, String)>) -> Result<Output, ToolOutcome> {
        let mut group = ProcessGroup::spawn(argv, &self.directory, env, Stdio::null())
            .map_err(|error| ToolOutcome::failed("command_failed", format!("the program does not start: {error}")))?;
        let mut stdout = Captured::new(self.max_result_bytes);
        let mut stderr = Captured::new(self.max_result_bytes);
        let (out, err) = (group.take_stdout(), group.take_stderr());
        let status = {
            let reading = async {
                tokio::join!(stdout.read(out), stderr.read(err));
            };
            tokio::pin!(reading);
            tokio::select! {
                () = &mut reading => None,
                status = group.wait() => {
                    // What is left in the pipes.
                    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
                    Some(status)
                }
            }
        };
        if stdout.has_overflowed() || stderr.has_overflowed() {
            group.kill();
            let detail = format!("the program wrote more than {MAX_OUTPUT_BYTES} bytes and was killed");
            return Err(ToolOutcome::failed("output_too_large", detail));
        }
        let status = match status {
            Some(status) => status,
            None => group.wait().await,
        };
        let status = status.map_err(|error| ToolOutcome::failed("command_failed", error.to_string()))?;
        Ok(Output { status, stdout, stderr })
    }
}

/// Refuses what an argument must not do to an element of `argv`.
fn check_element(element: &str, template: &Template, is_after_options: bool) -> Result<(), String> {
    if element.contains('\0') {
        return Err("an argument has a NUL character".to_owned());
    }
    if element.len() > MAX_ELEMENT_BYTES {
        return Err(format!(
            "an argument has {} bytes, at most {MAX_ELEMENT_BYTES}",
            element.len()
        ));
    }
    if element.starts_with('-') && template.begins_with_parameter() && !is_after_options {
        let name = template.parameters().next().unwrap_or_default();
        return Err(format!(
            "the argument {name:?} may not begin with \"-\": the program would take it for an option"
        ));
    }
    Ok(())
}

/// Refuses arguments that lead out of the directory that an element of `argv` begins with: a path from the root, or `..`.
fn check_path(element: &str, template: &Template, arguments: &Map<String, Value>) -> Result<(), String> {
    if !template.begins_with_directory() {
        return Ok(());
    }
    let is_absolute = Cell::new(false);
    let fixed = template.fill(arguments, |argument| {
        is_absolute.set(is_absolute.get() || argument.starts_with('/'));
        "x".to_owned()
    });
    let parents = |path: &str| path.split('/').filter(|component| *component == "..").count();
    // Those that the configuration has may stay.
    let has_parent = parents(element) > fixed.map_or(0, |fixed| parents(&fixed));
    if is_absolute.get() || has_parent {
        let names: Vec<&str> = template.parameters().collect();
        return Err(format!(
            "{:?} may not begin with \"/\" or have \"..\": the path must stay in its directory",
            names.join(", ")
        ));
    }
    Ok(())
}

#[async_trait]
impl Tool for CommandTemplate {
    fn config_name(&self) -> &str {
        &self.config_name
    }

    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn max_result_bytes(&self) -> usize {
        self.max_result_bytes
    }

    async fn call(&self, arguments: Value, _context: &ToolContext) -> ToolOutcome {
        let Value::Object(arguments) = arguments else {
            return ToolOutcome::failed("bad_args", "the arguments are not a JSON object");
        };
        let argv = match self.fill(&arguments) {
            Ok(argv) => argv,
            Err(problem) => return ToolOutcome::failed("bad_args", problem),
        };
        let env = self.environment();
        let mut redactor = Redactor::default();
        for (name, value) in &env {
            redactor.add_variable(name, value);
        }
        match self.run(&argv, env).await {
            Ok(output) => output.outcome(self.max_result_bytes, &redactor),
            Err(failure) => failure,
        }
    }
}

/// What a program did.
struct Output {
    status: ExitStatus,
    stdout: Captured,
    stderr: Captured,
}

impl Output {
    /// `{"exit_code":0,"stdout":…}`, with `stderr` if there is any and `truncated` if something is missing; a failure if the program
    /// did not exit with 0.
    fn outcome(&self, max_bytes: usize, redactor: &Redactor) -> ToolOutcome {
        // Most of the space is for the output; the rest is for errors and the members around them.
        let stdout = self.stdout.text(max_bytes / 4 * 3, redactor);
        let stderr = self.stderr.text(max_bytes / 8, redactor);
        if !self.status.success() {
            let mut detail = format!("the program ended with {}", self.status);
            for (name, text) in [("stderr", &stderr.text), ("stdout", &stdout.text)] {
                if !text.trim().is_empty() {
                    detail.push_str(&format!("; {name}: {}", text.trim_end()));
                }
            }
            return ToolOutcome::failed("exit_status", detail);
        }
        let mut result = json!({"exit_code": 0, "stdout": stdout.text});
        if !stderr.text.is_empty() {
            result["stderr"] = json!(stderr.text);
        }
        if stdout.is_cut || stderr.is_cut {
            result["truncated"] = json!(true);
            result["stdout_bytes"] = json!(self.stdout.total);
        }
        ToolOutcome::Ok(result)
    }
}

/// The beginning of an output; the rest is read and dropped, so that the program does not wait.
struct Captured {
    kept: Vec<u8>,
    max_kept: usize,
    total: u64,
}

/// The text of an output.
struct Excerpt {
    text: String,
    is_cut: bool,
}

impl Captured {
    fn new(max_kept: usize) -> Self {
        Self {
            kept: Vec::new(),
            max_kept,
            total: 0,
        }
    }

    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else {
            return;
        };
        let mut buffer = vec![0; 16 * 1024];
        while !self.has_overflowed() {
            let Ok(read) = stream.read(&mut buffer).await else {
                return;
            };
            if read == 0 {
                return;
            }
            self.total += read as u64;
            let room = self.max_kept - self.kept.len();
            self.kept.extend_from_slice(&buffer[..read.min(room)]);
        }
    }

    fn has_overflowed(&self) -> bool {
        self.total > MAX_OUTPUT_BYTES
    }

    /// The text without secrets, whose JSON form has at most so many bytes.
    fn text(&self, max_bytes: usize, redactor: &Redactor) -> Excerpt {
        let text = String::from_utf8_lossy(&self.kept);
        let has_more = self.total > self.kept.len() as u64;
        let text = if has_more {
            redactor.clean_beginning(&text)
        } else {
            redactor.clean(&text)
        };
        let prefix = json_prefix(&text, max_bytes);
        let is_cut = has_more || prefix.len() < text.len();
        Excerpt {
            text: prefix.to_owned(),
            is_cut,
        }
    }
}

#[cfg(test)]
mod tests;
