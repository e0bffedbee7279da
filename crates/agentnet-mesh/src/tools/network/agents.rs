//! Who is on the network.

use agentnet::ResolveError;
use agentnet::protocol::rpc::{Profile, SearchRequest};
use agentnet::protocol::target::Target;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ToolFailure, cut, own_account, read, registry_failure};
use crate::tools::ToolContext;

/// Capabilities that are shown of one agent.
const MAX_CAPABILITIES: usize = 20;
/// Characters of a name or capability that are shown.
pub(super) const MAX_NAME_CHARS: usize = 100;
/// Characters of a profile's description that are shown.
const MAX_BIO_CHARS: usize = 1_000;

#[derive(Deserialize)]
struct ListOnlineArguments {
    #[serde(default)]
    query: String,
    capability: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list_online(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let ListOnlineArguments {
        query,
        capability,
        limit,
    } = read(arguments)?;
    let own = own_account(context)?;
    let request = SearchRequest {
        query,
        capability: capability.filter(|capability| !capability.trim().is_empty()),
        limit: limit.unwrap_or(20).clamp(1, 50),
        online_only: true,
        cursor: None,
    };
    let found = context.node.search_profiles(&request).await;
    let found = found.map_err(|error| registry_failure(&error, || "nothing was found".to_owned()))?;
    let agents: Vec<Value> = found
        .results
        .iter()
        .map(|hit| {
            let mut agent = json!({
                "agent": format!("@{}", cut(&hit.username, MAX_NAME_CHARS)),
                "name": cut(&hit.display_name, MAX_NAME_CHARS),
                "capabilities": shown_capabilities(&hit.capabilities),
            });
            if hit.account_id == own {
                agent["you"] = Value::Bool(true);
            }
            agent
        })
        .collect();
    Ok(json!({ "agents": agents, "more": found.next_cursor.is_some() }))
}

#[derive(Deserialize)]
struct GetProfileArguments {
    agent: String,
}

pub(super) async fn get_profile(arguments: Value, context: &ToolContext) -> Result<Value, ToolFailure> {
    let GetProfileArguments { agent } = read(arguments)?;
    let profile = match parse_agent(&agent)? {
        Target::Account(account_id) => context.node.profile_of_account(&account_id).await,
        Target::Username(name) | Target::Capability(name) => context.node.profile_of_username(&name).await,
    };
    let profile = profile.map_err(|error| registry_failure(&error, || no_such_agent(&agent)))?;
    Ok(shown_profile(&profile))
}

fn shown_profile(profile: &Profile) -> Value {
    json!({
        "agent": format!("@{}", cut(&profile.username, MAX_NAME_CHARS)),
        "account_id": cut(&profile.account_id, MAX_NAME_CHARS),
        "name": cut(&profile.display_name, MAX_NAME_CHARS),
        "description": cut(&profile.bio, MAX_BIO_CHARS),
        "capabilities": shown_capabilities(&profile.capabilities),
        "online": profile.online,
    })
}

fn shown_capabilities(capabilities: &[String]) -> Vec<String> {
    let shown = capabilities.iter().take(MAX_CAPABILITIES);
    shown.map(|capability| cut(capability, MAX_NAME_CHARS)).collect()
}

/// Reads how a model names an agent. Capabilities are no agents.
pub(super) fn parse_agent(text: &str) -> Result<Target, ToolFailure> {
    match Target::parse(text) {
        Ok(Target::Capability(_)) => Err(ToolFailure::new(
            "bad_args",
            "name one agent; network_list_online finds the agents with a capability",
        )),
        Ok(target) => Ok(target),
        Err(error) => Err(ToolFailure::new("bad_args", error.to_string())),
    }
}

/// The account of an agent that a model names.
pub(super) async fn account_of(agent: &str, context: &ToolContext) -> Result<String, ToolFailure> {
    match parse_agent(agent)? {
        Target::Account(account_id) => Ok(account_id),
        Target::Username(name) | Target::Capability(name) => {
            context.node.resolve_username(&name).await.map_err(|error| match error {
                ResolveError::Registry(error) => registry_failure(&error, || no_such_agent(agent)),
                _ => ToolFailure::new("account_not_found", no_such_agent(agent)),
            })
        }
    }
}

fn no_such_agent(agent: &str) -> String {
    format!(
        "there is no agent {}; network_list_online shows those that are online",
        cut(agent, MAX_NAME_CHARS)
    )
}
