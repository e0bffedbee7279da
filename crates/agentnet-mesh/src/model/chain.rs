//! The models of an agent: retries of one, then the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{ModelConfig, Provider};
use crate::model::client::HttpClient;
use crate::model::provider::{ProviderModel, config_error};
use crate::model::provider_error::shown;
use crate::model::retry;
pub use crate::model::turn::collect;
use crate::model::{ChatEvent, ChatModel, ChatRequest, ChatStream, ModelError, ModelErrorKind};

/// Events that are held back before the first piece of the answer at most.
const MAX_HELD: usize = 16;

/// Retries after a time-out: each of them takes as long again.
const MAX_TIMEOUT_RETRIES: u32 = 1;

/// How long a model that was not available is asked only after the others, where its provider does not say.
const REST: Duration = Duration::from_secs(30);

/// The longest time that a provider may ask for in this.
const MAX_REST: Duration = Duration::from_secs(10 * 60);

/// The models of an agent, in the order in which they are asked. A clone shares them.
#[derive(Clone, Default)]
pub struct ModelChain {
    models: Arc<[ChainModel]>,
    /// Until when each of them is asked after the others.
    rests_until: Arc<[Mutex<Option<Instant>>]>,
}

/// A model of a chain.
#[derive(Clone)]
pub struct ChainModel {
    /// What is asked of it.
    pub config: ModelConfig,
    /// Retries of a call that failed.
    pub max_retries: u32,
    /// The model itself.
    pub model: Arc<dyn ChatModel>,
}

/// The answer of a chain.
pub struct ChainAnswer {
    /// The pieces of the answer. It ends with an error of kind [`ModelErrorKind::Timeout`] at the deadline.
    pub stream: ChatStream,
    /// Name of the provider that answers.
    pub provider: String,
    /// Name of the model that answers, as in the configuration.
    pub model: String,
    /// Calls that were made, this one included.
    pub attempts: u32,
}

/// A model that cannot be called as it is configured.
struct Misconfigured(ModelError);

impl ModelChain {
    /// The chain of these models. A model whose provider or key is missing fails when it is called:
    /// [`ModelError::is_config_error`].
    #[must_use]
    pub fn new(client: &HttpClient, providers: &BTreeMap<String, Provider>, models: &[ModelConfig]) -> Self {
        let chain_model = |config: &ModelConfig| {
            let provider = providers.get(&config.provider);
            let made = match provider {
                Some(provider) => ProviderModel::new(client, provider, &config.name),
                None => Err(config_error("there is no provider of this name")),
            };
            let model: Arc<dyn ChatModel> = match made {
                Ok(model) => Arc::new(model),
                Err(error) => Arc::new(Misconfigured(error)),
            };
            ChainModel {
                config: config.clone(),
                max_retries: provider.map_or(0, |provider| provider.max_retries),
                model,
            }
        };
        Self::from_models(models.iter().map(chain_model))
    }

    /// A chain of models that are already made.
    #[must_use]
    pub fn from_models(models: impl IntoIterator<Item = ChainModel>) -> Self {
        let models: Arc<[ChainModel]> = models.into_iter().collect();
        let rests_until = models.iter().map(|_| Mutex::new(None)).collect();
        Self { models, rests_until }
    }

    /// Its models in the order in which they are asked.
    #[must_use]
    pub fn models(&self) -> &[ChainModel] {
        &self.models
    }

    /// Asks the models in turn until one begins to answer. Model, and where the request has none of them limit of tokens,
    /// temperature and thinking, are those of the configuration.
    ///
    /// A failed call is made again while the failure is transient, the retries of the provider last, and the deadline is
    /// not reached; so is one that breaks off before the first piece of its answer. After that, the next model is asked,
    /// unless the conversation is too long or the content was refused: there the caller has to act. A model that was not
    /// available is asked after the others for half a minute, or for as long as its provider wants to be left alone.
    ///
    /// # Errors
    /// The failure that can be acted on best: the transient one of several models, else that of the first.
    pub async fn stream(&self, request: &ChatRequest, deadline: Instant) -> Result<ChainAnswer, ModelError> {
        let mut attempts = 0;
        let mut failures: Vec<ModelError> = Vec::new();
        for index in self.order(Instant::now()) {
            let link = &self.models[index];
            let request = link.fill(request);
            match link.stream(&request, deadline, &mut attempts).await {
                Ok(stream) => {
                    *self.rests_until[index].lock() = None;
                    let stream = until(stream, deadline);
                    let (provider, model) = (link.config.provider.clone(), link.config.name.clone());
                    return Ok(ChainAnswer {
                        stream,
                        provider,
                        model,
                        attempts,
                    });
                }
                Err(error) => {
                    let error = link.name_in(error);
                    if error.kind.is_transient() {
                        let rest = error.retry_after.unwrap_or(REST).clamp(REST, MAX_REST);
                        *self.rests_until[index].lock() = Some(Instant::now() + rest);
                    }
                    if matches!(error.kind, ModelErrorKind::ContextOverflow | ModelErrorKind::Refused) {
                        return Err(error);
                    }
                    failures.push(error);
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(summary(failures))
    }

    /// Positions of the models: those that rest come last.
    fn order(&self, now: Instant) -> Vec<usize> {
        let rests = |index: &usize| self.rests_until[*index].lock().is_some_and(|until| until > now);
        let (resting, mut order): (Vec<_>, Vec<_>) = (0..self.models.len()).partition(rests);
        order.extend(resting);
        order
    }
}

impl ChainModel {
    /// The request as this model gets it.
    fn fill(&self, request: &ChatRequest) -> ChatRequest {
        let mut request = request.clone();
        request.model.clone_from(&self.config.name);
        request.max_tokens = request.max_tokens.or(Some(self.config.max_tokens));
        request.temperature = request.temperature.or(self.config.temperature);
        if request.thinking == 0 {
            request.thinking = self.config.thinking;
        }
        request
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        deadline: Instant,
        attempts: &mut u32,
    ) -> Result<ChatStream, ModelError> {
        let mut retries = 0;
        let mut timeouts = 0;
        let mut last: Option<ModelError> = None;
        loop {
            *attempts += 1;
            let error = match timeout_at(deadline, begin(self.model.as_ref(), request)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => error,
                Err(_) => return Err(last.unwrap_or_else(deadline_error)),
            };
            timeouts += u32::from(error.kind == ModelErrorKind::Timeout);
            let is_over = !error.kind.is_transient() || retries >= self.max_retries || timeouts > MAX_TIMEOUT_RETRIES;
            let delay = retry::delay(retries, error.retry_after, rand::random());
            let delay = delay.filter(|delay| !is_over && Instant::now() + *delay < deadline);
            let (provider, model) = (&self.config.provider, &self.config.name);
            let Some(delay) = delay else {
                tracing::warn!(%provider, %model, retries, %error, "a call of the model failed");
                return Err(error);
            };
            tracing::info!(%provider, %model, retries, ?delay, %error, "the model is asked again");
            sleep(delay).await;
            retries += 1;
            last = Some(error);
        }
    }

    /// Says which model failed.
    fn name_in(&self, mut error: ModelError) -> ModelError {
        error.message = format!(
            "{}/{}: {}",
            shown(&self.config.provider),
            shown(&self.config.name),
            error.message
        );
        error
    }
}

#[async_trait]
impl ChatModel for Misconfigured {
    async fn stream(&self, _request: &ChatRequest) -> Result<ChatStream, ModelError> {
        Err(self.0.clone())
    }
}

/// Asks a model, and waits for the first piece of its answer: until then a failure can be repaired.
async fn begin(model: &dyn ChatModel, request: &ChatRequest) -> Result<ChatStream, ModelError> {
    let mut rest = model.stream(request).await?;
    let mut held = Vec::new();
    loop {
        let Some(event) = rest.next().await.transpose()? else {
            return Err(ModelError::new(
                ModelErrorKind::Malformed,
                "the stream ended before the answer began",
            ));
        };
        let is_piece = !matches!(event, ChatEvent::Started { .. } | ChatEvent::Usage(_));
        held.push(Ok(event));
        if is_piece || held.len() == MAX_HELD {
            return Ok(stream::iter(held).chain(rest).boxed());
        }
    }
}

/// Ends a stream at the deadline.
fn until(stream: ChatStream, deadline: Instant) -> ChatStream {
    stream::unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        match timeout_at(deadline, stream.next()).await {
            Ok(Some(event)) => Some((event, Some(stream))),
            Ok(None) => None,
            Err(_) => Some((Err(deadline_error()), None)),
        }
    })
    .boxed()
}

fn deadline_error() -> ModelError {
    ModelError::new(ModelErrorKind::Timeout, "the time for the answer is used up")
}

/// One error of several: the first transient one, because the caller may try again, else the first.
fn summary(failures: Vec<ModelError>) -> ModelError {
    let chosen = failures
        .iter()
        .find(|error| error.kind.is_transient())
        .or(failures.first());
    let Some(mut error) = chosen.cloned() else {
        return config_error("no model is configured");
    };
    let messages: Vec<_> = failures.into_iter().map(|failure| failure.message).collect();
    error.message = shown(&messages.join("; "));
    error
}

#[cfg(test)]
mod tests;
