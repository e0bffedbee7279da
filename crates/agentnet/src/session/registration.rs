//! The registration of a session (PROTOCOL.md section 14), signed where the node signs.

use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::AgentInfo;
use agentnet_protocol::register_auth::RegisterAuthError;
use agentnet_protocol::rpc::RegisterReply;
use agentnet_protocol::signature::SigningKey;

use crate::config::Config;
use crate::error::{RegistryError, StartError};
use crate::identity::{self, OpenedKeys};
use crate::ids;
use crate::registry::RegistryClient;

const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a signed registration is made within that time.
const SIGNED_ATTEMPTS: u32 = 3;

/// What the node says of itself before it is registered.
pub(crate) fn requested_info(config: &Config) -> AgentInfo {
    AgentInfo {
        agent_id: config.agent_id.clone(),
        name: config.name.clone(),
        capabilities: config.capabilities.clone(),
        metadata: config.metadata.clone(),
        account_id: config.account_id.clone(),
        username: config.username.clone(),
        session_tag: None,
        last_seen: Some(ids::now().to_string()),
    }
}

/// Registers, and says with which key. Should a registry die in the middle, its request is made again: a session that it has
/// issued already is never heard of again, and expires. A signed request counts once, so each try signs anew.
///
/// Where the account is bound to the key that an interrupted rotation left, that one is the node's from now on.
pub(super) async fn register(
    registry: &RegistryClient,
    config: &Config,
    opened: Option<OpenedKeys>,
) -> Result<(RegisterReply, Option<Arc<SigningKey>>), StartError> {
    let Some(OpenedKeys { key, next }) = opened else {
        let registry = registry.clone().with_timeout(REGISTER_TIMEOUT);
        let reply = registry
            .call(&identity::registration(
                requested_info(config),
                config.keep_profile,
                None,
            ))
            .await;
        return Ok((reply.map_err(StartError::Register)?, None));
    };
    match register_signed(registry, config, &key).await {
        Err(RegistryError::Refused(code)) if code == RegisterAuthError::PublicKey.code() => {
            let refused = StartError::Register(RegistryError::Refused(code));
            let (Some(next), Some(source)) = (next, &config.key) else {
                return Err(refused);
            };
            let Ok(reply) = register_signed(registry, config, &next).await else {
                return Err(refused);
            };
            source.settle(next.clone()).await?;
            tracing::info!("a rotation that was interrupted is finished: the new key has taken its place");
            Ok((reply, Some(next)))
        }
        reply => Ok((reply.map_err(StartError::Register)?, Some(key))),
    }
}

async fn register_signed(
    registry: &RegistryClient,
    config: &Config,
    key: &SigningKey,
) -> Result<RegisterReply, RegistryError> {
    let registry = registry.clone().with_timeout(REGISTER_TIMEOUT / SIGNED_ATTEMPTS);
    let mut tries = SIGNED_ATTEMPTS;
    loop {
        tries -= 1;
        let request = identity::registration(requested_info(config), config.keep_profile, Some(key));
        match registry.call(&request).await {
            Err(RegistryError::Timeout { .. }) if tries > 0 => {}
            outcome => return outcome,
        }
    }
}
