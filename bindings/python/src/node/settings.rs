//! A node's settings, from the dict that the Python part passes.

use agentnet::{AgentBuilder, AgentNode, BlobStorage};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::exceptions::bug;
use crate::json;
use crate::options::duration;

/// A builder with the settings; names that are missing keep the SDK's defaults.
pub(super) fn builder(settings: &Bound<'_, PyDict>) -> PyResult<AgentBuilder> {
    let settings = Settings(settings);
    let mut builder = AgentNode::builder(settings.need::<String>("agent_id")?)
        .name(settings.need::<String>("name")?)
        .nats_url(settings.need::<String>("nats_url")?);
    if let Some(account_id) = settings.get::<String>("account_id")? {
        builder = builder.account_id(account_id);
    }
    if let Some(username) = settings.get::<String>("username")? {
        builder = builder.username(username);
    }
    if let Some(capabilities) = settings.get::<Vec<String>>("capabilities")? {
        builder = builder.capabilities(capabilities);
    }
    if let Some(metadata) = settings.0.get_item("metadata")? {
        builder = builder.metadata(json::from_python(&metadata)?);
    }
    if let Some(version) = settings.get::<String>("schema_version")? {
        builder = builder.schema_version(version);
    }
    if let Some(major) = settings.get("supported_schema_major")? {
        builder = builder.supported_schema_major(major);
    }
    if let Some(on) = settings.get("dev_auth")? {
        builder = builder.dev_auth(on);
    }
    if let Some(directory) = settings.get::<String>("key_dir")? {
        builder = builder.key_dir(directory);
    }
    if let Some(directory) = settings.get::<String>("blob_dir")? {
        builder = builder.blob_dir(directory);
    }
    if let Some(storage) = settings.get::<String>("blob_storage")? {
        let storage: BlobStorage = storage
            .parse()
            .map_err(|error: agentnet::UnknownStorage| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        builder = builder.blob_storage(storage);
    }
    if let Some(pull) = settings.get("pull_mailbox")? {
        builder = builder.pull_mailbox(pull);
    }
    if let Some(concurrency) = settings.get("task_concurrency")? {
        builder = builder.task_concurrency(concurrency);
    }
    limits(&settings, builder)
}

fn limits(settings: &Settings<'_, '_>, builder: AgentBuilder) -> PyResult<AgentBuilder> {
    let mut failed = None;
    let builder = builder.limits(|limits| {
        let mut read = || {
            settings.into("max_concurrency", &mut limits.max_concurrency)?;
            settings.into("max_pending", &mut limits.max_pending)?;
            settings.into("max_payload_bytes", &mut limits.max_payload_bytes)?;
            settings.into("default_ttl_ms", &mut limits.default_ttl_ms)?;
            settings.into(
                "rate_limit_per_sender_per_sec",
                &mut limits.rate_limit_per_sender_per_sec,
            )?;
            settings.into("rate_limit_burst", &mut limits.rate_limit_burst)?;
            settings.into("circuit_breaker_failures", &mut limits.circuit_breaker_failures)?;
            settings.into("send_retry_attempts", &mut limits.send_retry_attempts)?;
            settings.into("clock_skew_ms", &mut limits.clock_skew_ms)?;
            for (name, limit) in [
                ("work_timeout", &mut limits.work_timeout),
                ("drain_timeout", &mut limits.drain_timeout),
                ("dedupe_ttl", &mut limits.dedupe_ttl),
                ("circuit_breaker_reset", &mut limits.circuit_breaker_reset),
                ("receipt_timeout", &mut limits.receipt_timeout),
                ("key_cache_ttl", &mut limits.key_cache_ttl),
            ] {
                if let Some(value) = settings.get(name)? {
                    *limit = duration(value);
                }
            }
            Ok(())
        };
        failed = read().err();
    });
    match failed {
        None => Ok(builder),
        Some(error) => Err(error),
    }
}

struct Settings<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Settings<'_, 'py> {
    fn get<T>(&self, name: &str) -> PyResult<Option<T>>
    where
        T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
    {
        match self.0.get_item(name)? {
            Some(value) if !value.is_none() => value.extract::<T>().map(Some).map_err(Into::into),
            _ => Ok(None),
        }
    }

    fn need<T>(&self, name: &str) -> PyResult<T>
    where
        T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
    {
        self.get(name)?.ok_or_else(|| bug(format!("no setting {name}")))
    }

    fn into<T>(&self, name: &str, place: &mut T) -> PyResult<()>
    where
        T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
    {
        if let Some(value) = self.get(name)? {
            *place = value;
        }
        Ok(())
    }
}
