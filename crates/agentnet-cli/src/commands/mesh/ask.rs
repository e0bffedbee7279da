//! `agentnet mesh ask`: one question to an agent, its answer printed as it comes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentnet::{AgentNode, StreamExt as _, StreamReply, json};
use agentnet_mesh::config::{AgentConfig, Mesh};
use agentnet_mesh::host::HostOptions;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::rpc::SearchRequest;
use agentnet_protocol::username::lookup_key;
use clap::Args;

use super::run::{close, nats_url, start};
use super::source::{DEFAULT_FILE, Overrides, load, read, summary};
use crate::args::{Seconds, checked_username, not_blank, trimmed};
use crate::commands::identity_args::IdentityArgs;
use crate::data_dir;
use crate::did_you_mean::stream_failure;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::{clean, clean_lines};
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;

/// Accounts of one search.
const SEARCH_LIMIT: usize = 100;
/// The longest lifetime of a question: receivers remember message ids for so long, so that none is answered twice.
const MAX_LIFETIME: Duration = Duration::from_secs(600);
/// Bytes of a question from standard input.
const MAX_QUESTION_BYTES: u64 = 1_000_000;

#[derive(Debug, Args)]
#[command(after_help = "\
The answer is written by a language model, and may quote other agents and tools: it is data, not advice to trust.")]
pub(crate) struct Ask {
    /// Key of an agent of the file, or its username; or a file, whose agent runs for this question unless it is online
    #[arg(value_name = "KEY|FILE", value_parser = not_blank)]
    target: String,
    /// The question; - reads it from standard input
    #[arg(value_parser = not_blank, allow_hyphen_values = true)]
    text: String,
    /// File in which the key is looked up [default: mesh.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which agent of a FILE [default: the first]
    #[arg(long, value_name = "KEY", value_parser = not_blank)]
    only: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    /// Thread to ask in [default: one of its own]
    #[arg(long, value_name = "ID", value_parser = not_blank, add = crate::shell_completion::threads())]
    thread_id: Option<String>,
    /// How long to wait for the answer, and for each of its pieces, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    timeout: Seconds,
    #[command(flatten)]
    identity: IdentityArgs,
}

/// Who is asked.
struct Asked {
    username: String,
    /// What to run if the agent is not online.
    mesh: Option<(Mesh, String)>,
}

impl Ask {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let text = question(&self.text)?;
        let asked = self.asked(output)?;
        let mut signals = StopSignals::listen()?;
        let node = self
            .identity
            .join(global, &mut signals, output, "cli_mesh_ask", "CLI Mesh Ask")
            .await?;
        let result = self.ask_or_run(&node, asked, &text, global, &mut signals, output).await;
        // In every case, closes the session.
        node.close().await;
        result
    }

    /// Asks the agent. One of a file that is not online runs for the question.
    async fn ask_or_run(
        &self,
        node: &AgentNode,
        asked: Asked,
        text: &str,
        global: &Global,
        signals: &mut StopSignals,
        output: Output,
    ) -> Result<(), Exit> {
        let Asked { username, mesh } = asked;
        let host = match mesh {
            Some((mesh, key)) if !signals.unless(is_online(node, &username)).await? => {
                let key_dir = self.identity.signing_directory()?;
                let options = HostOptions {
                    nats_url: nats_url(global),
                    only: vec![key],
                    data_dir: Some(data_dir::choose(None)?.path),
                    dev_auth: Some(key_dir.is_some()),
                    key_dir,
                    ..HostOptions::default()
                };
                Some(start(mesh, options, signals, output).await?)
            }
            _ => None,
        };
        let username = match &host {
            Some(host) => host
                .agents()
                .await
                .into_iter()
                .next()
                .map_or(username, |agent| agent.username),
            None => username,
        };
        let answer = signals.unless(self.ask(node, &username, text, global, output)).await;
        if let Some(host) = host {
            close(host, signals).await?;
        }
        answer
    }

    async fn ask(
        &self,
        node: &AgentNode,
        username: &str,
        text: &str,
        global: &Global,
        output: Output,
    ) -> Result<(), Exit> {
        let timeout = self.timeout.duration();
        // After this time nobody waits: an agent that is busy until then need not answer any more.
        let lifetime = timeout.min(MAX_LIFETIME);
        let ttl_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let mut request = node
            .request_stream_username(username, json!({ "text": text, "stream": true }))
            .ttl_ms(ttl_ms)
            .timeout(timeout)
            .idle_timeout(timeout);
        if let Some(thread) = trimmed(self.thread_id.as_ref()) {
            request = request.thread(thread);
        }
        let spinner = Spinner::start(output, format!("waiting for @{username}"));
        let mut stream = match request.await {
            Ok(stream) => stream,
            Err(error) => return Err(stream_failure(global, error).await.into()),
        };
        let mut has_text = false;
        while let Some(delta) = stream.next().await {
            let delta = match delta {
                Ok(delta) => delta,
                Err(error) => {
                    end_line(has_text, output)?;
                    return Err(stream_failure(global, error).await.into());
                }
            };
            if let Some(text) = delta.text().filter(|text| !text.is_empty() && !output.is_json()) {
                spinner.end();
                output.text(&clean_lines(&text))?;
                has_text = true;
            }
        }
        spinner.end();
        end_line(has_text, output)?;
        let reply = match stream.finish().await {
            Ok(reply) => reply,
            Err(error) => return Err(stream_failure(global, error).await.into()),
        };
        if output.is_json() {
            output.document(&document(username, &reply))?;
        } else if !has_text {
            output.line(clean_lines(&reply.text))?;
        }
        Ok(())
    }

    /// Who is asked: the agent of a file, or an agent of the network.
    fn asked(&self, output: Output) -> Result<Asked, Failure> {
        let path = Path::new(&self.target);
        if is_file_name(path) || path.is_file() {
            let mesh = load(path, &self.overrides)?.mesh;
            let agent = match &self.only {
                Some(key) => by_key(&mesh.agents, key).ok_or_else(|| no_agent(path, key))?,
                None => mesh.agents.first().ok_or_else(|| no_agent(path, "*"))?,
            };
            let (username, key) = (agent.username.clone(), agent.key.clone());
            return Ok(Asked {
                username,
                mesh: Some((mesh, key)),
            });
        }
        let mesh = match self.target.starts_with('@') {
            true => None,
            false => self.mesh_of_keys(output)?,
        };
        let agent = mesh.as_ref().and_then(|mesh| by_key(&mesh.agents, &self.target));
        let username = match agent {
            Some(agent) => agent.username.clone(),
            None => checked_username(&self.target)?,
        };
        Ok(Asked { username, mesh: None })
    }

    /// The file in which the key is looked up. The default one may be broken: the agent may be online all the same.
    fn mesh_of_keys(&self, output: Output) -> Result<Option<Mesh>, Failure> {
        let default = Path::new(DEFAULT_FILE);
        // Values to change need a file.
        let named = self
            .config
            .as_deref()
            .or((!self.overrides.is_empty()).then_some(default));
        if let Some(file) = named {
            return Ok(Some(load(file, &self.overrides)?.mesh));
        }
        if !default.is_file() {
            return Ok(None);
        }
        match read(default, &self.overrides) {
            Ok(loaded) => Ok(Some(loaded.mesh)),
            Err(error) => {
                let summary = summary(default, &error);
                output.note(format!(
                    "warning: {}, and is not used to find {}; see `agentnet mesh check`",
                    clean(&summary),
                    clean(&self.target)
                ));
                Ok(None)
            }
        }
    }
}

fn by_key<'a>(agents: &'a [AgentConfig], key: &str) -> Option<&'a AgentConfig> {
    agents.iter().find(|agent| agent.key == key)
}

fn no_agent(path: &Path, key: &str) -> Failure {
    Failure::refused(format!("{} has no agent with the key {key}", path.display())).with_code("wrong_usage")
}

/// Whether the text names a file of agents, even one that is not there: no key has a `/`.
fn is_file_name(path: &Path) -> bool {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml || path.components().count() > 1
}

/// Whether an agent with the username is online.
async fn is_online(node: &AgentNode, username: &str) -> Result<bool, Exit> {
    let registry = node.registry().map_err(|error| Failure::error(error.to_string()))?;
    let request = SearchRequest {
        query: lookup_key(username),
        online_only: true,
        limit: SEARCH_LIMIT,
        ..SearchRequest::default()
    };
    let found = registry
        .call(&request)
        .await
        .map_err(|error| registry_failure(&error))?;
    Ok(found.results.iter().any(|hit| hit.username == request.query))
}

fn question(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MAX_QUESTION_BYTES + 1);
    let outcome = input.read_to_string(&mut text);
    if input.limit() == 0 {
        let message = format!("the question has more than {MAX_QUESTION_BYTES} bytes");
        return Err(Failure::refused(message).with_code("wrong_usage"));
    }
    outcome.map_err(|error| Failure::error(format!("cannot read the question from standard input: {error}")))?;
    match text.trim() {
        "" => Err(Failure::refused("the question is empty").with_code("wrong_usage")),
        text => Ok(text.to_owned()),
    }
}

fn end_line(has_text: bool, output: Output) -> Result<(), Exit> {
    if has_text { Ok(output.line("")?) } else { Ok(()) }
}

fn document(username: &str, reply: &StreamReply) -> String {
    let mut document = ObjectWriter::new();
    document
        .text("agent", username)
        .text("text", &reply.text)
        .nullable_text("thread_id", reply.message.thread_id.as_deref())
        .text("message_id", &reply.message.message_id);
    if let Some(result) = &reply.result {
        document.raw("result", result.get());
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name() {
        for (text, expected) in [
            ("mesh.yaml", true),
            ("a/b.yml", true),
            ("./planner", true),
            ("planner", false),
            ("@planner", false),
        ] {
            assert_eq!(is_file_name(Path::new(text)), expected, "{text}");
        }
    }
}
