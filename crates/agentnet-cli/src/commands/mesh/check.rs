//! `agentnet mesh check`: is everything there that a file needs?

use std::collections::{BTreeMap, BTreeSet};

use agentnet_mesh::config::{AgentConfig, Api, Mesh, Problem, Provider};
use agentnet_mesh::model;
use agentnet_mesh::tools::network::network_tools;
use agentnet_mesh::tools::{self, SharedTools};
use clap::Args;
use serde::Serialize;
use url::Url;

use super::source::{Loaded, Source};
use crate::exit::{Exit, Failure};
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::output::table::Rows;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
    /// Also call each provider and start each MCP server
    #[arg(long)]
    online: bool,
}

/// What a file has, and what it lacks.
#[derive(Debug, Serialize)]
struct Findings {
    file: String,
    ok: bool,
    agents: Vec<AgentFindings>,
    providers: Vec<ProviderFindings>,
    /// The agents cannot answer, or not with what the file gives them.
    problems: Vec<String>,
    /// Something is odd, and works.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AgentFindings {
    key: String,
    username: String,
    models: Vec<String>,
    tools: Vec<String>,
    /// Tasks that it takes at the same time; 0: none.
    tasks: usize,
}

#[derive(Debug, Serialize)]
struct ProviderFindings {
    name: String,
    api: &'static str,
    base_url: String,
    /// Whether its key is set.
    has_key: bool,
    /// Whether it answered; absent without `--online`.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<bool>,
}

impl Check {
    pub(crate) async fn run(self, output: Output) -> Result<(), Exit> {
        let Loaded { mesh, warnings } = self.source.load()?;
        let spinner = Spinner::start(output, "asking providers and MCP servers".to_owned());
        let findings = StopSignals::listen()?
            .unless(async { Ok(findings(&mesh, &warnings, self.online).await) })
            .await;
        spinner.end();
        let findings = findings?;
        if output.is_json() {
            let document = serde_json::to_string(&findings)
                .map_err(|error| Failure::error(format!("the findings cannot be written: {error}")))?;
            output.document(&document)?;
        } else {
            print(&findings, self.online, output)?;
        }
        match findings.problems.len() {
            0 => Ok(()),
            1 => Err(Failure::error("1 problem was found").with_code("check_failed").into()),
            several => Err(Failure::error(format!("{several} problems were found"))
                .with_code("check_failed")
                .into()),
        }
    }
}

async fn findings(mesh: &Mesh, warnings: &[Problem], online: bool) -> Findings {
    let mut problems = Vec::new();
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let mut answers: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, provider) in used_providers(mesh) {
        if let Err(variable) = &provider.api_key {
            problems.push(format!("provider {name}: {variable} is not set"));
        } else if online {
            let pinged = model::ping(provider).await;
            answers.insert(name, pinged.is_ok());
            problems.extend(pinged.err().map(|error| format!("provider {name}: {error}")));
        }
    }
    let wrong_tools = mesh
        .tools
        .iter()
        .filter_map(|(name, tool)| Some((name, tools::check(name, tool).err()?)));
    problems.extend(wrong_tools.map(|(name, problem)| format!("tool {name}: {problem}")));
    let agents = agents(mesh, online, &mut problems).await;
    for agent in &mesh.agents {
        warnings.extend(odd_values(mesh, agent));
    }
    let providers = mesh.providers.iter().map(|(name, provider)| ProviderFindings {
        name: name.clone(),
        api: api_name(provider.api),
        base_url: shown_url(&provider.base_url),
        has_key: provider.api_key.is_ok(),
        answers: answers.get(name.as_str()).copied(),
    });
    Findings {
        file: mesh.path.display().to_string(),
        ok: problems.is_empty(),
        agents,
        providers: providers.collect(),
        problems,
        warnings,
    }
}

/// The agents with their tools. Offline, the tools of MCP servers are not known.
async fn agents(mesh: &Mesh, online: bool, problems: &mut Vec<String>) -> Vec<AgentFindings> {
    let mut reachable = mesh.clone();
    if !online {
        reachable.mcp_servers.clear();
    }
    let shared = SharedTools::start(&reachable);
    let mut agents = Vec::new();
    for agent in &mesh.agents {
        let tools = shared.select(&agent.tools, network_tools()).await;
        for glob in tools.unmatched_globs() {
            let is_known_later = !online && names_server(&glob, mesh);
            if !is_known_later && glob != "*" {
                problems.push(format!("agent {}: no tool is named {glob}", agent.key));
            }
        }
        agents.push(AgentFindings {
            key: agent.key.clone(),
            username: agent.username.clone(),
            models: agent
                .models
                .iter()
                .map(|model| format!("{}/{}", model.provider, model.name))
                .collect(),
            tools: tools.specs().iter().map(|spec| spec.name.clone()).collect(),
            tasks: agent.tasks.as_ref().map_or(0, |tasks| tasks.concurrency),
        });
    }
    shared.close().await;
    agents
}

/// Whether a glob such as `mcp.files.read_*` names an MCP server of the file, or may name several.
fn names_server(glob: &str, mesh: &Mesh) -> bool {
    let server = glob.strip_prefix("mcp.").and_then(|rest| rest.split('.').next());
    server.is_some_and(|server| {
        mesh.mcp_servers.contains_key(server) || is_pattern(server) && !mesh.mcp_servers.is_empty()
    })
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The providers that an agent's models name.
fn used_providers(mesh: &Mesh) -> impl Iterator<Item = (&str, &Provider)> {
    let compaction = |agent: &AgentConfig| agent.memory.compaction.as_ref().and_then(|it| it.model.clone());
    let models = mesh
        .agents
        .iter()
        .flat_map(move |agent| agent.models.iter().cloned().chain(compaction(agent)));
    let used: BTreeSet<String> = models.map(|model| model.provider).collect();
    let providers = mesh.providers.iter().map(|(name, provider)| (name.as_str(), provider));
    providers.filter(move |(name, _)| used.contains(*name))
}

/// Values that are valid and probably not meant.
fn odd_values(mesh: &Mesh, agent: &AgentConfig) -> Vec<String> {
    let mut odd = Vec::new();
    let key = &agent.key;
    if agent.limits.usd_per_day.is_some() {
        let unpriced = agent
            .models
            .iter()
            .filter(|model| !mesh.prices.contains_key(&model.name));
        odd.extend(unpriced.map(|model| {
            format!(
                "agent {key}: usd_per_day does not count {}, which has no price",
                model.name
            )
        }));
    }
    if agent.prompt.trim().is_empty() {
        odd.push(format!("agent {key}: its prompt is empty"));
    }
    if let Some(orchestrate) = &agent.orchestrate {
        let is_known = |peer: &&String| {
            mesh.agents
                .iter()
                .any(|other| other.username == peer.trim_start_matches('@'))
        };
        let foreign = orchestrate.peers.iter().filter(|peer| !is_known(peer));
        odd.extend(foreign.map(|peer| format!("agent {key}: its peer {peer} is not in this file")));
    }
    odd
}

fn api_name(api: Api) -> &'static str {
    match api {
        Api::OpenAiChat => "openai-chat",
        Api::OpenAiResponses => "openai-responses",
        Api::AnthropicMessages => "anthropic-messages",
    }
}

/// The address without login, query and fragment, which may be secret.
fn shown_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return "(no URL)".to_owned();
    };
    // Addresses of HTTP have a host, so that a login can be removed.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn print(findings: &Findings, online: bool, output: Output) -> Result<(), Exit> {
    let mut rows = Rows::new(output, &["Agent", "Username", "Models", "Tasks", "Tools"]).yielding(&["Tools", "Models"]);
    for agent in &findings.agents {
        let tools = match agent.tools.len() {
            0 => output.blank(),
            _ => clean(&agent.tools.join(", ")).into_owned(),
        };
        rows.push([
            clean(&agent.key).into_owned(),
            format!("@{}", clean(&agent.username)),
            clean(&agent.models.join(", ")).into_owned(),
            match agent.tasks {
                0 => output.blank(),
                at_once => at_once.to_string(),
            },
            tools,
        ]);
    }
    output.line(rows.finish())?;
    let mut rows = Rows::new(output, &["Provider", "API", "Address", "State"]).yielding(&["Address"]);
    for provider in &findings.providers {
        let state = match (provider.has_key, provider.answers) {
            (false, _) => "no key",
            (true, Some(true)) => "answers",
            (true, Some(false)) => "does not answer",
            (true, None) if online => "not used",
            (true, None) => "key is set",
        };
        rows.push([
            clean(&provider.name).into_owned(),
            provider.api.to_owned(),
            clean(&provider.base_url).into_owned(),
            state.to_owned(),
        ]);
    }
    output.line(format!("\n{}\n", rows.finish()))?;
    for warning in &findings.warnings {
        output.line(format!("{} {}", output.tint(Tint::Yellow, "!"), clean(warning)))?;
    }
    for problem in &findings.problems {
        output.line(format!("{} {}", output.tint(Tint::Red, "✗"), clean(problem)))?;
    }
    if findings.ok {
        let tick = output.tint(Tint::Green, "✓");
        output.line(format!("{tick} {} is well", clean(&findings.file)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_secrets() {
        for (text, shown) in [
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
            ("https://me:secret@h/v1?key=secret#secret", "https://h/v1"),
            ("secret", "(no URL)"),
        ] {
            assert_eq!(shown_url(text), shown);
        }
    }

    #[test]
    fn a_part_of_a_glob_may_be_a_pattern() {
        for (text, expected) in [("files", false), ("fi*", true), ("{a,b}", true)] {
            assert_eq!(is_pattern(text), expected, "{text}");
        }
    }
}
