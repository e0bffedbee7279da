//! One model at one provider: an HTTP request, and the reading of its answer.

mod reader;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio::time::timeout;
use url::Url;

use self::reader::AnswerReader;
use crate::config::{Api, Provider, Secret};
use crate::model::anthropic::{self, MessagesDecoder};
use crate::model::client::HttpClient;
use crate::model::dialect::{BodyOptions, Decoder, malformed};
use crate::model::endpoint::{endpoint, host};
use crate::model::openai_chat::{self, ChatDecoder};
use crate::model::openai_responses::{self, ResponsesDecoder};
use crate::model::provider_error::{ErrorBody, shown};
use crate::model::refused_params::{RefusedParams, refused_param};
use crate::model::retry;
use crate::model::{ChatMessage, ChatModel, ChatRequest, ChatStream, ModelError, ModelErrorKind};

/// Bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Bytes of an answer in one piece.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Shorter secrets are words like `none`, that errors may contain.
const MIN_REDACTED: usize = 8;

/// A model at a provider.
pub(crate) struct ProviderModel {
    access: ProviderAccess,
    api: Api,
    url: Url,
    is_openai: bool,
    params_drop: Vec<String>,
    refused_params: Arc<RefusedParams>,
}

/// What every request to a provider needs: the client, the headers, the limits.
pub(crate) struct ProviderAccess {
    client: HttpClient,
    headers: HeaderMap,
    redaction: Redaction,
    timeout: Duration,
}

/// The secrets of a provider, to be taken out of texts.
#[derive(Clone)]
pub(crate) struct Redaction(Arc<[Secret]>);

/// A response that is no success.
struct Rejection {
    error: ModelError,
    body: ErrorBody,
}

impl ProviderModel {
    /// A model. Fails where the configuration lacks something: [`ModelError::is_config_error`].
    pub(crate) fn new(client: &HttpClient, provider: &Provider, model: &str) -> Result<Self, ModelError> {
        let url = endpoint(provider.api, &provider.base_url).map_err(config_error)?;
        Ok(Self {
            access: ProviderAccess::new(client, provider)?,
            api: provider.api,
            is_openai: url.host_str() == Some("api.openai.com"),
            params_drop: provider.params_drop.clone(),
            refused_params: client.refused_params(url.as_str(), model),
            url,
        })
    }

    fn body(&self, request: &ChatRequest, drops: &BTreeSet<String>, without_blocks: bool) -> Map<String, Value> {
        let options = BodyOptions {
            drops,
            without_blocks,
            is_openai: self.is_openai,
        };
        match self.api {
            Api::OpenAiChat => openai_chat::body(request, &options),
            Api::OpenAiResponses => openai_responses::body(request, &options),
            Api::AnthropicMessages => anthropic::body(request, &options),
        }
    }

    fn optional_params(&self) -> &'static [&'static str] {
        match self.api {
            Api::OpenAiChat => openai_chat::OPTIONAL,
            Api::OpenAiResponses => openai_responses::OPTIONAL,
            Api::AnthropicMessages => anthropic::OPTIONAL,
        }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        match self.api {
            Api::OpenAiChat => Box::<ChatDecoder>::default(),
            Api::OpenAiResponses => Box::<ResponsesDecoder>::default(),
            Api::AnthropicMessages => Box::<MessagesDecoder>::default(),
        }
    }

    /// Reads a successful response: a stream, or JSON from servers that do not stream.
    async fn read(&self, response: Response) -> Result<ChatStream, ModelError> {
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or("text/event-stream").to_ascii_lowercase();
        match content_type.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => {
                let reader = AnswerReader::new(response, self.decoder(), &self.access);
                let next = |mut reader: AnswerReader| async move { reader.next().await.map(|item| (item, reader)) };
                Ok(stream::unfold(reader, next).boxed())
            }
            "application/json" => self.read_whole(response).await,
            other => {
                let other = shown(other);
                Err(malformed(format!(
                    "the provider answered {other:?}, not an event stream: is base_url right?"
                )))
            }
        }
    }

    async fn read_whole(&self, response: Response) -> Result<ChatStream, ModelError> {
        let (body, is_whole) = self.access.read_body(response, MAX_ANSWER_BYTES).await?;
        let answer = serde_json::from_slice::<Value>(&body).ok().filter(|_| is_whole);
        let answer = answer.ok_or_else(|| malformed("the answer is no JSON, or too long"))?;
        let has_error = answer.get("error").is_some_and(|error| !error.is_null());
        if has_error || answer.get("type").is_some_and(|kind| kind == "error") {
            return Err(self
                .access
                .redaction
                .clean(ErrorBody::from_value(&answer).into_stream_error()));
        }
        let mut events = Vec::new();
        self.decoder()
            .read_answer(&answer, &mut events)
            .map_err(|error| self.access.redaction.clean(error))?;
        Ok(stream::iter(events.into_iter().map(Ok)).boxed())
    }
}

#[async_trait]
impl ChatModel for ProviderModel {
    /// Makes one request; more than one only to learn which optional members the model refuses.
    async fn stream(&self, request: &ChatRequest) -> Result<ChatStream, ModelError> {
        let mut without_blocks = false;
        loop {
            let drops = self.refused_params.with(&self.params_drop);
            let body = self.body(request, &drops, without_blocks);
            let response = self.access.post(&self.url, &body).await?;
            if response.status().is_success() {
                return self.read(response).await;
            }
            let rejection = self.access.rejection(response).await;
            if rejection.error.kind != ModelErrorKind::InvalidRequest {
                return Err(rejection.error);
            }
            // Each turn of the loop leaves out more, so it ends.
            if let Some(name) =
                refused_param(&rejection.body, &body, self.optional_params()).filter(|it| !drops.contains(*it))
            {
                tracing::debug!(host = %host(&self.url), model = %request.model, name, "the model refuses a member");
                self.refused_params.insert(name);
            } else if !without_blocks && has_blocks(request) && is_about_blocks(&rejection.body) {
                without_blocks = true;
            } else {
                return Err(rejection.error);
            }
        }
    }
}

impl ProviderAccess {
    /// Access to a provider. Fails where the configuration lacks something: [`ModelError::is_config_error`].
    pub(crate) fn new(client: &HttpClient, provider: &Provider) -> Result<Self, ModelError> {
        let key = provider.api_key.as_ref().map_err(|variable| {
            config_error(format!(
                "the key is missing: the environment variable {} is not set",
                shown(variable)
            ))
        })?;
        let secrets = std::iter::once(key).chain(provider.headers.values()).cloned().collect();
        Ok(Self {
            client: client.clone(),
            headers: headers(provider, key)?,
            redaction: Redaction(secrets),
            timeout: provider.timeout,
        })
    }

    /// Sends a body, and waits for the head of the answer.
    pub(crate) async fn post(&self, url: &Url, body: &Map<String, Value>) -> Result<Response, ModelError> {
        let body = serde_json::to_vec(body).map_err(|error| malformed(format!("the request is no JSON: {error}")))?;
        let request = self
            .client
            .http()
            .post(url.clone())
            .headers(self.headers.clone())
            .body(body);
        self.send(url, request).await
    }

    /// Asks for a resource.
    pub(crate) async fn get(&self, url: &Url) -> Result<Response, ModelError> {
        self.send(url, self.client.http().get(url.clone()).headers(self.headers.clone()))
            .await
    }

    async fn send(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<Response, ModelError> {
        match timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self
                .redaction
                .clean(connect_error(&format!("{} is not reached", host(url)), error))),
            Err(_) => {
                let message = format!("{} did not answer within {:?}", host(url), self.timeout);
                Err(ModelError::new(ModelErrorKind::Timeout, message))
            }
        }
    }

    /// The failure that a response means.
    pub(crate) async fn rejected(&self, response: Response) -> ModelError {
        self.rejection(response).await.error
    }

    async fn rejection(&self, response: Response) -> Rejection {
        let status = response.status();
        let retry_after = retry::retry_after(response.headers(), Timestamp::now());
        let body = self
            .read_body(response, MAX_ERROR_BYTES)
            .await
            .map(|(body, _)| body)
            .unwrap_or_default();
        let mut body = ErrorBody::from_bytes(&body);
        body.message = self.redaction.clean_text(&body.message);
        let mut error = body.clone().into_status_error(status);
        if error.kind.is_transient() {
            error.retry_after = retry_after;
        }
        Rejection { error, body }
    }

    /// The bytes of a body up to a limit, and whether those are all.
    async fn read_body(&self, mut response: Response, limit: usize) -> Result<(Vec<u8>, bool), ModelError> {
        let mut body = Vec::new();
        let reading = async {
            while let Some(bytes) = response.chunk().await? {
                body.extend_from_slice(&bytes[..bytes.len().min(limit - body.len())]);
                if body.len() == limit {
                    return Ok(false);
                }
            }
            Ok::<_, reqwest::Error>(true)
        };
        match timeout(self.timeout, reading).await {
            Ok(Ok(is_whole)) => Ok((body, is_whole)),
            Ok(Err(error)) => Err(self.redaction.clean(connect_error("the connection broke", error))),
            Err(_) => Err(ModelError::new(
                ModelErrorKind::Timeout,
                "the provider stopped in the middle of the answer",
            )),
        }
    }
}

impl Redaction {
    /// Takes the secrets out of a text: providers repeat a wrong key.
    fn clean_text(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in self
            .0
            .iter()
            .map(Secret::reveal)
            .filter(|secret| secret.len() >= MIN_REDACTED)
        {
            clean = clean.replace(secret, "***");
        }
        clean
    }

    /// Takes the secrets out of the text of an error.
    fn clean(&self, mut error: ModelError) -> ModelError {
        error.message = self.clean_text(&error.message);
        error
    }
}

/// Something that is missing or wrong in the configuration, so that no request can be made.
pub(crate) fn config_error(message: impl Into<String>) -> ModelError {
    ModelError::new(ModelErrorKind::Auth, message)
}

fn headers(provider: &Provider, key: &Secret) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (name, value) = match provider.api {
        Api::OpenAiChat | Api::OpenAiResponses => (AUTHORIZATION, format!("Bearer {}", key.reveal())),
        Api::AnthropicMessages => {
            headers.insert("anthropic-version", HeaderValue::from_static(anthropic::VERSION));
            (HeaderName::from_static("x-api-key"), key.reveal().to_owned())
        }
    };
    if !key.reveal().is_empty() {
        headers.insert(name, secret_value("the key", &value)?);
    }
    for (name, value) in &provider.headers {
        let header = HeaderName::try_from(name.as_str())
            .map_err(|_| config_error(format!("{:?} is no name of a header", shown(name))))?;
        headers.insert(
            header,
            secret_value(&format!("the header {}", shown(name)), value.reveal())?,
        );
    }
    Ok(headers)
}

fn secret_value(what: &str, value: &str) -> Result<HeaderValue, ModelError> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| config_error(format!("{what} has characters that no header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A failure of the connection. The address is left out: it may have a password.
fn connect_error(what: &str, error: reqwest::Error) -> ModelError {
    let kind = if error.is_timeout() {
        ModelErrorKind::Timeout
    } else {
        ModelErrorKind::Connect
    };
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    ModelError::new(kind, format!("{what}: {}", shown(&reason)))
}

fn has_blocks(request: &ChatRequest) -> bool {
    request
        .messages
        .iter()
        .any(|message| matches!(message, ChatMessage::Assistant(turn) if !turn.blocks.is_empty()))
}

/// Whether an error is about thinking that came from another provider, or from a model that is gone.
fn is_about_blocks(error: &ErrorBody) -> bool {
    let message = error.message.to_lowercase();
    ["signature", "thinking", "reasoning", "encrypted"]
        .iter()
        .any(|word| message.contains(word))
}
