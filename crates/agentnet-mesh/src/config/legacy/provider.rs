//! Providers of the Python implementation's format: each agent names a kind and two variables.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::{ApiMode, Settings};
use crate::config::assemble::{Assembly, http_url};
use crate::config::key_path::KeyPath;
use crate::config::quote::quote;
use crate::config::{Api, Environment, Provider, Secret};

/// Base URLs where the variable is not set.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
const ANTHROPIC_BASE_URL: &str = "https://api.anthropic.com";
const NOVITA_BASE_URL: &str = "https://api.novita.ai/openai";
/// The host whose responses API is used without asking.
const OPENAI_HOST: &str = "api.openai.com";
const MAX_RETRIES: u32 = 4;

/// Kind of a provider: OpenAI and what speaks its APIs, or Claude. Variants have no comments, or the schema had no `enum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Openai,
    Claude,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Claude => "claude",
        }
    }
}

/// The providers of a file: one for each kind and pair of variables.
pub(super) struct Providers<'a> {
    environment: &'a Environment,
    settings: &'a Settings,
    known: Vec<((Kind, String, String), String)>,
    map: BTreeMap<String, Provider>,
}

impl<'a> Providers<'a> {
    /// No providers yet.
    pub(super) fn new(environment: &'a Environment, settings: &'a Settings) -> Self {
        Self {
            environment,
            settings,
            known: Vec::new(),
            map: BTreeMap::new(),
        }
    }

    /// The name of the provider of this kind with these variables: `openai`, `claude`, `openai_2`.
    pub(super) fn name(
        &mut self,
        assembly: &mut Assembly<'_>,
        kind: Kind,
        key_variable: &str,
        url_variable: &str,
        path: &KeyPath,
    ) -> String {
        let id = (kind, key_variable.to_owned(), url_variable.to_owned());
        if let Some((_, name)) = self.known.iter().find(|(other, _)| *other == id) {
            return name.clone();
        }
        let name = match self.known.iter().filter(|((other, ..), _)| *other == kind).count() {
            0 => kind.name().to_owned(),
            count => format!("{}_{}", kind.name(), count + 1),
        };
        let provider = self.provider(assembly, kind, key_variable, url_variable, path);
        self.map.insert(name.clone(), provider);
        self.known.push((id, name.clone()));
        name
    }

    fn provider(
        &self,
        assembly: &mut Assembly<'_>,
        kind: Kind,
        key_variable: &str,
        url_variable: &str,
        path: &KeyPath,
    ) -> Provider {
        let base_url = self.text(url_variable).unwrap_or_else(|| {
            let default = match kind {
                Kind::Claude => ANTHROPIC_BASE_URL,
                Kind::Openai if url_variable.starts_with("NOVITA") => NOVITA_BASE_URL,
                Kind::Openai => OPENAI_BASE_URL,
            };
            default.to_owned()
        });
        let mut is_openai = false;
        match http_url(&base_url) {
            Ok(url) => is_openai = url.host_str() == Some(OPENAI_HOST),
            Err(message) => {
                let message = format!("the variable {} {message}", quote(url_variable));
                assembly.problem(&path.key("base_url_env"), message);
            }
        }
        let key = self.text(key_variable);
        if key.as_deref().is_some_and(|key| HeaderValue::from_str(key).is_err()) {
            let variable = quote(key_variable);
            let message = format!("the variable {variable} contains characters that a header cannot have");
            assembly.problem(&path.key("api_key_env"), message);
        }
        Provider {
            api: match (kind, self.settings.api_mode) {
                (Kind::Claude, _) => Api::AnthropicMessages,
                (Kind::Openai, ApiMode::Responses) => Api::OpenAiResponses,
                (Kind::Openai, ApiMode::Auto) if is_openai => Api::OpenAiResponses,
                (Kind::Openai, _) => Api::OpenAiChat,
            },
            base_url: base_url.trim_end_matches('/').to_owned(),
            api_key: key.map(Secret::new).ok_or_else(|| key_variable.to_owned()),
            timeout: Duration::from_secs_f64(self.settings.llm_timeout_seconds),
            max_retries: MAX_RETRIES,
            headers: BTreeMap::new(),
            params_drop: Vec::new(),
        }
    }

    /// The text of a variable; `None` if it is not set or blank.
    fn text(&self, variable: &str) -> Option<String> {
        let text = (self.environment)(variable)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The providers by name.
    pub(super) fn into_map(self) -> BTreeMap<String, Provider> {
        self.map
    }
}
