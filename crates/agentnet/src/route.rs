//! The route of a message: from what the caller names to a subject (PROTOCOL.md section 11.2).

use agentnet_protocol::target::{Target, TargetError, Verb};
use agentnet_protocol::{Text, json, subject};

use crate::send::error::SendError;
use crate::username_cache::UsernameCache;

/// The destination of a message, as the caller gave it.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Text of section 11.2, parsed by the rules of the node's calls.
    Text(String, Verb),
    /// Text of section 11.2, parsed by the rules of the high-level SDK.
    SdkText(String),
    /// Given one by one; there must be exactly one.
    OneOf(Vec<Target>),
    /// Given by the name of the call.
    Target(Target),
}

/// A target with its account resolved.
pub(crate) struct Route {
    pub(crate) subject: String,
    pub(crate) to_agent: Text,
    pub(crate) to_account_id: Option<Text>,
    /// The name to remove from the cache if nothing is delivered.
    pub(crate) username: Option<String>,
}

impl Route {
    /// Resolves a destination.
    pub(crate) async fn resolve(usernames: &UsernameCache, destination: Destination) -> Result<Self, SendError> {
        let target = match destination {
            Destination::Text(text, verb) => Target::parse_node(&text, verb)?,
            Destination::SdkText(text) => Target::parse(&text)?,
            Destination::OneOf(targets) => match <[Target; 1]>::try_from(targets) {
                Ok([target]) => target,
                Err(_) => return Err(TargetError::ExactlyOne.into()),
            },
            Destination::Target(target) => target,
        };
        let (account_id, username) = match target {
            Target::Capability(capability) => {
                let capability = json::trim(&capability);
                if !subject::routable_capability(capability) {
                    return Err(SendError::Unroutable(capability.to_owned()));
                }
                return Ok(Self {
                    subject: subject::capability(capability),
                    to_agent: Text::from(format!("capability:{capability}")),
                    to_account_id: None,
                    username: None,
                });
            }
            Target::Account(account_id) => (Text::from(account_id), None),
            Target::Username(username) => {
                let account_id = match usernames.cached_account(&username) {
                    Some(account_id) => account_id,
                    // Rare, and its future is larger than all the rest of a send.
                    None => Box::pin(usernames.look_up(&username)).await?,
                };
                (account_id, Some(username))
            }
        };
        if !subject::routable_account(&account_id) {
            return Err(SendError::Unroutable(account_id.to_string()));
        }
        Ok(Self {
            subject: subject::inbox(&account_id),
            to_agent: account_id.clone(),
            to_account_id: Some(account_id),
            username,
        })
    }

    /// Removes the username from the cache: its account could not be reached.
    pub(crate) fn forget_username(&self, usernames: &UsernameCache) {
        if let Some(username) = &self.username {
            usernames.forget(username);
        }
    }
}
