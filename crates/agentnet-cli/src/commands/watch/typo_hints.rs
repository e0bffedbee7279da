//! Notes about filters that may be mistyped: usernames and capabilities that do not exist. They are watched all the same:
//! agents may come later.

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::AgentInfo;
use agentnet_protocol::rpc::ProfileRequest;
use agentnet_protocol::username::lookup_key;

use super::filter::Filter;
use crate::did_you_mean::{capability_note, similar_username};
use crate::output::Output;
use crate::output::sanitize::clean;

/// Prints a note for each wanted sender and receiver that does not exist. Prints nothing if no registry answers.
pub(super) async fn print(registry: RegistryClient, filter: Filter, output: Output) {
    let wanted: Vec<&str> = [filter.from(), filter.to()].into_iter().flatten().collect();
    if wanted.is_empty() {
        return;
    }
    let Ok(online) = registry.list_online().await else {
        return;
    };
    for wanted in wanted {
        let note = match filter.capability().filter(|_| filter.to() == Some(wanted)) {
            Some(name) => capability_note(&online, name),
            None => agent_note(&registry, &online, wanted).await,
        };
        if let Some(note) = note {
            output.note(note);
        }
    }
}

async fn agent_note(registry: &RegistryClient, online: &[AgentInfo], wanted: &str) -> Option<String> {
    let name = lookup_key(wanted);
    let is_wanted = |agent: &AgentInfo| {
        agent.agent_id == wanted
            || agent.account_id.as_deref() == Some(wanted)
            || agent
                .username
                .as_deref()
                .is_some_and(|username| lookup_key(username) == name)
    };
    if online.iter().any(is_wanted) {
        return None;
    }
    let by_id = ProfileRequest {
        account_id: Some(wanted.to_owned()),
        username: None,
    };
    let by_name = ProfileRequest {
        account_id: None,
        username: Some(name.clone()),
    };
    for request in [by_name, by_id] {
        // It exists, or the registry does not answer.
        let Err(RegistryError::Refused(_)) = registry.call(&request).await else {
            return None;
        };
    }
    let meant = similar_username(registry, &name).await;
    let meant = meant.map_or_else(String::new, |name| format!(" (did you mean @{}?)", clean(&name)));
    Some(format!("note: there is no agent {} yet{meant}", clean(wanted)))
}
