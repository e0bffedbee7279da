//! A network, a provider whose answers a test writes down, and a host that runs the agents of a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use agentnet::{AgentNode, Message, json};
use agentnet_testkit::{Aimock, eventually};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Service, Up, WAIT_TIMEOUT, binary, until};

/// The key that the file gives the provider: it must not appear anywhere.
pub const KEY: &str = "sk-secret-0123456789";

/// What a host prints when its agents have joined.
const READY: &str = r#""event":"ready""#;

/// What a mesh is made of.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// The file behind its head (see [`head`]).
    pub yaml: String,
    /// Agents that must be online before the test goes on, by username.
    pub online: &'a [&'a str],
    /// Fixtures of the provider.
    pub fixtures: Value,
    /// Variables of the host.
    pub environment: Vec<(&'a str, String)>,
}

pub struct Mesh {
    pub up: Up,
    pub provider: Aimock,
    pub host: Service,
    pub asker: AgentNode,
    /// The configuration file.
    pub file: PathBuf,
    pub folder: TempDir,
    environment: Vec<(String, String)>,
}

/// Version, and the provider `mock` with this API.
pub fn head(api: &str) -> String {
    format!("version: 1\nproviders:\n  mock: {{ api: {api}, base_url: \"${{MODEL_URL}}/v1\", api_key: {KEY} }}\n")
}

/// An agent of the provider `mock`, with this prompt and more lines, indented by four spaces.
pub fn agent(key: &str, prompt: &str, more: &str) -> String {
    format!(
        "  - key: {key}\n    prompt: {{ text: \"{prompt}\" }}\n    model: {{ provider: mock, name: scripted }}\n{more}"
    )
}

/// A fixture that answers with text.
pub fn says(matching: Value, text: &str) -> Value {
    json!({ "match": matching, "response": { "content": text } })
}

/// A fixture that calls tools: name and arguments of each.
pub fn calls(matching: Value, calls: &[(&str, Value)]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(
            |(index, (name, arguments))| json!({ "id": format!("call_{index}"), "name": name, "arguments": arguments }),
        )
        .collect();
    json!({ "match": matching, "response": { "toolCalls": calls } })
}

impl Mesh {
    pub async fn start(setup: Setup<'_>) -> Self {
        let up = Up::start().await;
        let provider = Aimock::start(&setup.fixtures).await.unwrap();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("mesh.yaml");
        std::fs::write(&file, &setup.yaml).unwrap();
        let mut environment = vec![("MODEL_URL".to_owned(), provider.url())];
        environment.extend(
            setup
                .environment
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let asker = AgentNode::builder("tester")
            .username("tester")
            .nats_url(&up.url)
            .start()
            .await
            .unwrap();
        let mut command = mesh_command(&up.url, "run", &file, folder.path());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let host = spawn_host(command, folder.path());
        let mesh = Self {
            up,
            provider,
            host,
            asker,
            file,
            folder,
            environment,
        };
        mesh.ready(1).await;
        mesh.online(setup.online).await;
        mesh
    }

    /// `agentnet mesh VERB FILE` with the variables of this mesh.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = mesh_command(&self.up.url, verb, &self.file, self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Another host of the same file.
    pub fn another_host(&self) -> Service {
        spawn_host(self.command("run"), self.folder.path())
    }

    /// Waits until so many hosts of this folder are ready. An agent is listed a moment before it hears its messages.
    pub async fn ready(&self, hosts: usize) {
        let look = async || match self.printed().matches(READY).count() {
            found if found >= hosts => Ok(()),
            found => Err(format!(
                "{found} of {hosts} hosts are ready; stderr: {}",
                self.host.stderr()
            )),
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    }

    /// What the hosts printed of messages so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("printed")).unwrap()
    }

    /// Waits until these agents are online.
    pub async fn online(&self, usernames: &[&str]) {
        online(&self.host, &self.up.url, usernames).await;
    }

    /// Asks an agent and waits for its reply, which may be an error.
    pub async fn ask(&self, to: &str, thread: &str, text: &str) -> Message {
        let request = self.asker.request(to, json!({ "text": text })).thread(thread);
        let reply = request.timeout(WAIT_TIMEOUT).await;
        reply.unwrap_or_else(|error| panic!("{error}; {}\n{}", self.printed(), self.host.stderr()))
    }

    /// As [`Mesh::ask`], for the text of an answer.
    pub async fn answer(&self, to: &str, thread: &str, text: &str) -> String {
        let reply = self.ask(to, thread, text).await;
        assert_eq!(reply.error_code(), None, "{}: {}", reply.payload(), self.host.stderr());
        reply.text().unwrap()
    }

    /// The messages of a thread in the history, oldest first, once there are so many.
    pub async fn thread(&self, thread: &str, count: usize) -> Vec<Value> {
        let words = format!("thread-messages --thread-id {thread} --limit 200");
        let mut page = until(&self.up.url, &words, |reply| {
            reply["messages"].as_array().is_some_and(|all| all.len() >= count)
        })
        .await;
        let mut messages: Vec<Value> = serde_json::from_value(page["messages"].take()).unwrap();
        messages.reverse();
        messages
    }

    /// Waits until the provider has been asked so often, and gives the requests.
    pub async fn asked(&self, count: usize) -> Vec<Value> {
        let look = async || {
            let requests = self.provider.requests().await.map_err(|error| error.to_string())?;
            if requests.len() >= count {
                Ok(requests)
            } else {
                Err(format!("{} requests; stderr: {}", requests.len(), self.host.stderr()))
            }
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap()
    }

    /// Ends everything, and checks that the key was neither logged nor sent.
    pub async fn stop(mut self) {
        let told = format!("{}{}", self.printed(), self.host.stderr());
        assert!(!told.contains(KEY), "{told}");
        let found = crate::harness::agentnet(&self.up.url, ["message-search", "--json", "--limit", "200"]).await;
        assert!(!found.ok().contains(KEY));
        self.asker.close().await;
        self.host.signal(rustix::process::Signal::TERM);
        let status = self.host.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.host.stderr());
        self.up.stop().await;
    }
}

/// Starts a host whose output goes to a file: nobody reads it while the test runs.
pub fn spawn_host(command: Command, folder: &Path) -> Service {
    let printed = File::options()
        .create(true)
        .append(true)
        .open(folder.join("printed"))
        .unwrap();
    Service::spawn_into(command, printed)
}

/// Waits until these agents are online; fails when the host has said why they are not.
pub async fn online(host: &Service, url: &str, usernames: &[&str]) {
    let look = async || {
        let ran = crate::harness::line(url, "list --json").await;
        let listed: Value = serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?;
        let is_listed = |name: &&str| {
            listed["agents"]
                .as_array()
                .is_some_and(|all| all.iter().any(|agent| agent["username"] == **name))
        };
        match usernames.iter().find(|name| !is_listed(name)) {
            Some(name) => Err(format!("@{name} is not online; stderr: {}", host.stderr())),
            None => Ok(()),
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
}

/// `agentnet mesh VERB FILE` without the keys of the test's environment. `run` keeps its data in the folder.
pub fn mesh_command(url: &str, verb: &str, file: &Path, data: &Path) -> Command {
    let mut command = without_keys(binary());
    command.args(["--nats-url", url, "mesh", verb]).arg(file);
    if verb == "run" {
        command.arg("--data-dir").arg(data.join("data"));
    }
    command
}

/// Without what the mesh reads of the test's environment.
pub fn without_keys(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = [
            "NOVITA_",
            "OPENAI_",
            "ANTHROPIC_",
            "MESH_",
            "DEMO_",
            "AGENT_A_",
            "AGENT_B_",
            "LLM_",
        ];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    for name in [
        "RSC_TOKEN",
        "ODDS_API_KEY",
        "THE_ODDS_API_KEY",
        "PERPLEXITY_API_KEY",
        "TARGET_USERNAME",
    ] {
        command.env_remove(name);
    }
    command
}

/// The results of tools in a request to the model, by the id of the call.
pub fn tool_results(request: &Value) -> Vec<(String, Value)> {
    let messages = request["messages"].as_array().unwrap();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results
        .map(|message| {
            let text = message["content"].as_str().unwrap_or_default();
            let content = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
            (message["tool_call_id"].as_str().unwrap_or_default().to_owned(), content)
        })
        .collect()
}
