//! The account that a registration, or the hello of an unknown session, claims.

use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{AgentInfo, username};
use agentnet_store::model::{AccountClaim, DesiredName};

use crate::clock::{self, Now};

/// The claim of an agent.
pub(crate) fn account_claim(agent: &AgentInfo, public_key: Option<String>, now: Now) -> AccountClaim {
    AccountClaim {
        account_id: agent.account_id.clone(),
        name: desired_name(agent),
        new_account_id: now.account_id(),
        display_name: agent.name.clone(),
        capabilities: agent.capabilities.clone(),
        metadata: agent.metadata.clone(),
        agent_id: agent.agent_id.clone(),
        public_key,
        signs: SigningScope::default(),
        at: now.time,
    }
}

fn desired_name(agent: &AgentInfo) -> DesiredName {
    let usable = |name: &str| Some(username::normalise(name)).filter(|name| !name.is_empty());
    agent
        .username
        .as_deref()
        .and_then(usable)
        .map(DesiredName::Requested)
        .or_else(|| usable(&agent.agent_id).map(DesiredName::Derived))
        .unwrap_or_else(|| DesiredName::Generated(clock::generated_username()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_requested_one_else_derived_else_generated() {
        let agent = |agent_id: &str, username: Option<&str>| AgentInfo {
            agent_id: agent_id.into(),
            username: username.map(str::to_owned),
            ..AgentInfo::default()
        };
        assert_eq!(
            desired_name(&agent("x", Some(" @Alice! "))),
            DesiredName::Requested("alice".into())
        );
        assert_eq!(
            desired_name(&agent("Bob Agent", None)),
            DesiredName::Derived("bob_agent".into())
        );
        assert_eq!(
            desired_name(&agent("Bob", Some("日本"))),
            DesiredName::Derived("bob".into())
        );
        let DesiredName::Generated(name) = desired_name(&agent("日本", None)) else {
            panic!("not generated")
        };
        assert!(name.starts_with("agent_") && name.len() == 14, "{name}");
    }
}
