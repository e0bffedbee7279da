//! The HTTP client that all providers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::redirect::Policy;
use rustls::crypto::{CryptoProvider, ring};

use crate::model::refused_params::RefusedParams;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept open.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A client for the APIs of language models: connections are reused, redirects are not followed (they would carry the key
/// to another host), TLS is rustls with ring. A clone shares everything.
#[derive(Debug, Clone)]
pub struct HttpClient {
    http: reqwest::Client,
    /// By address and model; as many as the configuration has.
    refused_params: Arc<Mutex<RefusedParamsByModel>>,
}

/// By address and name of the model.
type RefusedParamsByModel = HashMap<(String, String), Arc<RefusedParams>>;

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct ClientError(#[from] reqwest::Error);

impl HttpClient {
    /// Makes a client. It trusts the certificates of the system; where the system has none, it makes only plain HTTP
    /// requests.
    ///
    /// Installs ring as the process's TLS provider if the process has none yet.
    ///
    /// # Errors
    /// [`ClientError`] when TLS or the name resolver cannot be set up.
    pub fn new() -> Result<Self, ClientError> {
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread was faster.
            let _ = ring::default_provider().install_default();
        }
        let http = builder().build().or_else(|error| {
            tracing::warn!(%error, "no certificates of the system: models are reached only by plain HTTP");
            builder().tls_certs_only(Vec::new()).build()
        })?;
        Ok(Self {
            http,
            refused_params: Arc::default(),
        })
    }

    /// The client itself.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// What a model at an address has refused so far.
    pub(crate) fn refused_params(&self, address: &str, model: &str) -> Arc<RefusedParams> {
        let mut known = self.refused_params.lock();
        known.entry((address.to_owned(), model.to_owned())).or_default().clone()
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("agentnet-mesh/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
}
