//! The registration of a session (PROTOCOL.md section 14), signed where the node signs.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::AgentInfo;
use agentnet_protocol::rpc::{RegisterReply, RegisterRequest};
use agentnet_protocol::signature::SigningKey;

use crate::config::Config;
use crate::error::{RegistryError, StartError};
use crate::identity::{self, OpenedKeys};
use crate::ids;
use crate::registry::RegistryClient;
use crate::registry::error::RegistryRefusal;

const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a signed registration is made within that time.
const SIGNED_ATTEMPTS: u32 = 3;

/// The agent's description before it is registered.
pub(crate) fn requested_info(config: &Config) -> AgentInfo {
    AgentInfo {
        agent_id: config.agent_id.clone(),
        name: config.name.clone(),
        capabilities: config.capabilities.iter().chain(&config.advertised).cloned().collect(),
        metadata: config.metadata.clone(),
        account_id: config.account_id.clone(),
        username: config.username.clone(),
        session_tag: None,
        last_seen: Some(ids::now().to_string()),
    }
}

/// Registers, and returns the key that the account is bound to. When a registry fails in the middle, the request is made again:
/// a session that it has issued already has no heartbeats, and expires. A signed request counts once, so each attempt is signed
/// anew.
///
/// Where the account is bound to the key that an interrupted rotation left, that key takes the place of the old one.
pub(super) async fn register(
    registry: &RegistryClient,
    config: &Config,
    claims_tasks: bool,
    opened: Option<OpenedKeys>,
) -> Result<(RegisterReply, Option<Arc<SigningKey>>), StartError> {
    let Some(OpenedKeys { key, next }) = opened else {
        let registry = registry.clone().with_timeout(REGISTER_TIMEOUT);
        let reply = registry.call(&registration(config, claims_tasks, None)).await;
        return Ok((reply.map_err(StartError::Register)?, None));
    };
    match register_signed(registry, config, claims_tasks, &key).await {
        Err(error) if error.refusal() == Some(RegistryRefusal::PublicKeyMismatch) => {
            let (Some(next), Some(source)) = (next, &config.key) else {
                return Err(StartError::Register(error));
            };
            let Ok(reply) = register_signed(registry, config, claims_tasks, &next).await else {
                return Err(StartError::Register(error));
            };
            source.settle(next.clone()).await?;
            tracing::info!("a rotation that was interrupted is finished: the new key has taken its place");
            Ok((reply, Some(next)))
        }
        reply => Ok((reply.map_err(StartError::Register)?, Some(key))),
    }
}

fn registration(config: &Config, claims_tasks: bool, key: Option<&SigningKey>) -> RegisterRequest {
    RegisterRequest {
        keep_profile: config.keep_profile,
        pulls_mailbox: config.pull_mailbox,
        claims_tasks,
        ..identity::registration(requested_info(config), key)
    }
}

async fn register_signed(
    registry: &RegistryClient,
    config: &Config,
    claims_tasks: bool,
    key: &SigningKey,
) -> Result<RegisterReply, RegistryError> {
    let registry = registry.clone().with_timeout(REGISTER_TIMEOUT / SIGNED_ATTEMPTS);
    let mut attempts = SIGNED_ATTEMPTS;
    loop {
        attempts -= 1;
        let request = registration(config, claims_tasks, Some(key));
        match registry.call(&request).await {
            Err(RegistryError::Timeout { .. }) if attempts > 0 => {}
            outcome => return outcome,
        }
    }
}
