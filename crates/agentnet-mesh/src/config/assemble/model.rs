//! Models of agents.

use std::collections::BTreeMap;

use super::Assembly;
use crate::config::file::{ModelFile, PrimaryModelFile};
use crate::config::key_path::KeyPath;
use crate::config::{Api, ModelConfig, Provider, similar};

/// Smallest budget for thinking that Anthropic takes.
const MIN_THINKING_TOKENS: u32 = 1024;

/// Checks the models of an agent: the first, then those that take over.
pub(super) fn models(
    assembly: &mut Assembly<'_>,
    file: PrimaryModelFile,
    providers: &BTreeMap<String, Provider>,
    path: &KeyPath,
) -> Vec<ModelConfig> {
    let first = ModelFile {
        provider: file.provider,
        name: file.name,
        temperature: file.temperature,
        max_tokens: file.max_tokens,
        thinking: file.thinking,
    };
    let mut models = vec![model(assembly, first, providers, path)];
    for (index, fallback) in file.fallback.into_iter().enumerate() {
        let path = path.key("fallback").index(index);
        models.push(model(assembly, fallback, providers, &path));
    }
    models
}

/// Checks one model.
pub(super) fn model(
    assembly: &mut Assembly<'_>,
    file: ModelFile,
    providers: &BTreeMap<String, Provider>,
    path: &KeyPath,
) -> ModelConfig {
    let provider = providers.get(&file.provider);
    if provider.is_none() && !assembly.is_broken(&KeyPath::of(["providers"])) {
        let path = path.key("provider");
        let hint = similar::hint(&file.provider, providers.keys().map(String::as_str));
        let quoted = assembly.quoted(&path);
        assembly.problem(&path, format!("unknown provider {quoted}{hint}"));
    }
    if file.thinking > 0 {
        let is_limited = !assembly.is_broken(&path.key("max_tokens"));
        let path = path.key("thinking");
        if is_limited && file.thinking >= file.max_tokens {
            let message = format!("must be less than `max_tokens`, which is {}", file.max_tokens);
            assembly.problem(&path, message);
        }
        let is_anthropic = provider.is_some_and(|provider| provider.api == Api::AnthropicMessages);
        if is_anthropic && file.thinking < MIN_THINKING_TOKENS {
            let message = format!("must be 0 or at least {MIN_THINKING_TOKENS} for anthropic-messages");
            assembly.problem(&path, message);
        }
    }
    ModelConfig {
        provider: file.provider,
        name: file.name,
        temperature: file.temperature,
        max_tokens: file.max_tokens,
        thinking: file.thinking,
    }
}
