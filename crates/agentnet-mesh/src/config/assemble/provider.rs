//! Providers of models.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::Assembly;
use super::address::http_url;
use crate::config::file::{ApiFile, ProviderFile};
use crate::config::key_path::KeyPath;
use crate::config::{Api, Provider, Secret};

/// Base URL of `openai-chat` and `openai-responses` that give none.
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// Base URL of `anthropic-messages` that gives none.
const ANTHROPIC_BASE_URL: &str = "https://api.anthropic.com";

impl From<ApiFile> for Api {
    fn from(api: ApiFile) -> Self {
        match api {
            ApiFile::OpenAiChat => Self::OpenAiChat,
            ApiFile::OpenAiResponses => Self::OpenAiResponses,
            ApiFile::AnthropicMessages => Self::AnthropicMessages,
        }
    }
}

/// Checks the providers.
pub(super) fn providers(
    assembly: &mut Assembly<'_>,
    files: BTreeMap<String, ProviderFile>,
    timeout_seconds: f64,
) -> BTreeMap<String, Provider> {
    let providers = files.into_iter().map(|(name, file)| {
        let path = KeyPath::of(["providers", &name]);
        let api = Api::from(file.api);
        let base_url = file.base_url.unwrap_or_else(|| {
            let default = match api {
                Api::AnthropicMessages => ANTHROPIC_BASE_URL,
                Api::OpenAiChat | Api::OpenAiResponses => OPENAI_BASE_URL,
            };
            default.to_owned()
        });
        let base_url = base_url.trim().to_owned();
        if let Err(message) = http_url(&base_url) {
            assembly.problem(&path.key("base_url"), message);
        }
        let api_key = file.api_key.map_or_else(
            || Ok(Secret::default()),
            |key| secret_header(assembly, key.into_result(), &path.key("api_key")),
        );
        let provider = Provider {
            api,
            base_url,
            api_key,
            timeout: Duration::from_secs_f64(file.timeout_seconds.unwrap_or(timeout_seconds)),
            max_retries: file.max_retries,
            headers: headers(assembly, file.headers, &path.key("headers")),
            params_drop: file.params_drop,
        };
        (name, provider)
    });
    providers.collect()
}

/// Checks headers whose values are given.
pub(super) fn headers(
    assembly: &mut Assembly<'_>,
    headers: BTreeMap<String, String>,
    path: &KeyPath,
) -> BTreeMap<String, Secret> {
    let headers = headers.into_iter().map(|(name, value)| {
        let path = path.key(&name);
        check_header(assembly, &name, &value, &path);
        (name, Secret::new(value))
    });
    headers.collect()
}

/// Checks a header.
pub(super) fn check_header(assembly: &mut Assembly<'_>, name: &str, value: &str, path: &KeyPath) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        assembly.problem(path, "is no name of a header");
    } else if HeaderValue::from_str(value).is_err() {
        assembly.problem(
            path,
            "contains characters that a header cannot have, such as a line break",
        );
    }
}

/// Checks a secret that is sent in a header, without the white space around it: files of keys end with a line break.
fn secret_header(
    assembly: &mut Assembly<'_>,
    secret: Result<Secret, String>,
    path: &KeyPath,
) -> Result<Secret, String> {
    let secret = Secret::new(secret?.reveal().trim());
    check_header(assembly, "authorization", secret.reveal(), path);
    Ok(secret)
}
