//! The language model of the duo.

use std::collections::BTreeMap;
use std::time::Duration;

use agentnet_mesh::config::{Api, ModelConfig, Provider};
use agentnet_mesh::model::chain::{ModelChain, collect};
use agentnet_mesh::model::client::HttpClient;
use agentnet_mesh::model::{ChatMessage, ChatRequest, ModelError};
use tokio::time::Instant;

use super::settings::ModelSettings;
use crate::exit::Failure;

/// How long an answer may take, retries included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Retries of a failed call.
const MAX_RETRIES: u32 = 4;
/// Name of the provider in messages.
const PROVIDER: &str = "novita";

/// Asks the model for one text at a time.
pub(super) struct Speaker {
    models: ModelChain,
    pub(super) model: String,
}

impl Speaker {
    pub(super) fn new(settings: &ModelSettings) -> Result<Self, Failure> {
        let http = HttpClient::new().map_err(|error| Failure::error(format!("HTTP cannot be used: {error}")))?;
        let provider = Provider {
            api: Api::OpenAiChat,
            base_url: settings.base_url.clone(),
            api_key: Ok(settings.api_key.clone()),
            timeout: ANSWER_TIMEOUT,
            max_retries: MAX_RETRIES,
            headers: BTreeMap::new(),
            params_drop: Vec::new(),
        };
        let model = ModelConfig {
            provider: PROVIDER.to_owned(),
            name: settings.name.clone(),
            temperature: Some(settings.temperature),
            max_tokens: settings.max_tokens,
            thinking: 0,
        };
        let providers = BTreeMap::from([(PROVIDER.to_owned(), provider)]);
        Ok(Self {
            models: ModelChain::new(&http, &providers, &[model]),
            model: settings.name.clone(),
        })
    }

    /// The model's answer, without white space around it; it may be empty.
    pub(super) async fn say(&self, system: &str, user: String) -> Result<String, ModelError> {
        let request = ChatRequest {
            system: system.to_owned(),
            messages: vec![ChatMessage::User(user)],
            ..ChatRequest::default()
        };
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let answer = self.models.stream(&request, deadline).await?;
        let (turn, _, _) = collect(answer.stream).await?;
        Ok(turn.text.trim().to_owned())
    }
}
