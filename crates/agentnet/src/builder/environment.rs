//! The settings that a builder reads from environment variables.

use std::path::PathBuf;
use std::time::Duration;

use agentnet_nats::DEFAULT_NATS_URL;
use agentnet_protocol::env_bool::is_true;

use super::AgentBuilder;
use crate::config::Limits;
use crate::config::error::ConfigError;
use crate::identity::KeySource;

/// The broker that the environment names.
pub(super) fn url_from(read: impl Fn(&str) -> Option<String>) -> String {
    let read = |name| read(name).filter(|url| !url.trim().is_empty());
    let url = read("AGENTNET_NATS_URL").or_else(|| read("NATS_URL"));
    url.unwrap_or_else(|| DEFAULT_NATS_URL.to_owned())
}

/// The settings of section 15 that concern a node, where the caller has left the default.
pub(super) fn limits_from(limits: &mut Limits, read: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    let default = Limits::default();
    let number = |name: &'static str| -> Result<Option<f64>, ConfigError> {
        let Some(value) = read(name).filter(|value| !value.trim().is_empty()) else {
            return Ok(None);
        };
        match value.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(ConfigError::Environment { name, value }),
        }
    };
    if limits.resolve_cache_ttl == default.resolve_cache_ttl
        && let Some(seconds) = number("ACCOUNT_RESOLVE_CACHE_TTL_SECONDS")?
    {
        limits.resolve_cache_ttl = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    }
    if limits.metrics_window == default.metrics_window
        && let Some(samples) = number("AGENT_METRICS_WINDOW_SIZE")?
    {
        limits.metrics_window = samples.max(32.0) as usize;
    }
    Ok(())
}

impl<A> AgentBuilder<A> {
    /// Where the agent's key comes from, if it signs.
    pub(super) fn key_source(&self, read: impl Fn(&str) -> Option<String>) -> Option<KeySource> {
        let read = |name| {
            let value = self.limits_from_environment.then(|| read(name))?;
            value.filter(|value| !value.trim().is_empty())
        };
        if let (Some(key), None | Some(true)) = (&self.signing_key, self.dev_auth) {
            return Some(KeySource::memory(key.clone()));
        }
        if !self
            .dev_auth
            .unwrap_or_else(|| read("DEV_AUTH").is_some_and(|value| is_true(&value)))
        {
            return None;
        }
        let directory = self
            .key_dir
            .clone()
            .or_else(|| read("DEV_AUTH_KEY_DIR").map(PathBuf::from));
        Some(KeySource::directory(
            directory.as_deref(),
            self.username.as_deref(),
            &self.agent_id,
        ))
    }
}
