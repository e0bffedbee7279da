//! Asks a provider whether it is there and takes the key, without using tokens.

use reqwest::StatusCode;
use serde_json::Map;

use crate::config::Provider;
use crate::model::client::HttpClient;
use crate::model::endpoint::{endpoint, models_endpoint};
use crate::model::provider::{ProviderAccess, config_error};
use crate::model::{ModelError, ModelErrorKind};

/// Whether a provider is reached and takes the key: `agentnet mesh check --online`.
///
/// Asks for the list of models. A provider that has none is sent an empty request: if the address and the key are right,
/// that is refused as incomplete.
///
/// # Errors
/// [`ModelError`] of the kinds of a call.
pub async fn ping(provider: &Provider) -> Result<(), ModelError> {
    let client = HttpClient::new().map_err(|error| ModelError::new(ModelErrorKind::Connect, error.to_string()))?;
    let access = ProviderAccess::new(&client, provider)?;
    let models = models_endpoint(&provider.base_url).map_err(config_error)?;
    let response = access.get(&models).await?;
    if response.status().is_success() {
        return Ok(());
    }
    let has_no_list = matches!(
        response.status(),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    );
    if !has_no_list {
        return Err(access.rejected(response).await);
    }
    let address = endpoint(provider.api, &provider.base_url).map_err(config_error)?;
    let response = access.post(&address, &Map::new()).await?;
    let is_incomplete = matches!(
        response.status(),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
    );
    if is_incomplete || response.status().is_success() {
        Ok(())
    } else {
        Err(access.rejected(response).await)
    }
}
