//! Sends the request of an HTTP tool, follows redirects within the allowlist, and reads the answer up to a limit.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode, redirect};
use url::Url;

use super::super::clip::clip;
use super::guard::{AddressGuard, AddressRefused, GuardedResolver, HostAllowlist};
use super::request::PreparedRequest;

/// Redirects that are followed for one call.
const MAX_REDIRECTS: usize = 5;
/// Wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Unused connections to one host.
const MAX_IDLE_PER_HOST: usize = 4;
/// Characters of the description of an error.
const MAX_ERROR_CHARS: usize = 300;

/// An HTTP client that connects only where its guard allows.
pub(super) struct GuardedClient {
    guard: AddressGuard,
    resolver: GuardedResolver,
    /// Built at the first request: it loads the certificates of the system.
    client: OnceLock<Result<Client, String>>,
}

/// The answer to a request.
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    /// Media type without parameters, lower case.
    pub(super) media_type: String,
    /// The beginning of the body.
    pub(super) body: Vec<u8>,
    /// Whether there was more.
    pub(super) is_cut: bool,
}

/// Why there is no answer. Its texts hold neither URL nor secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpFailure {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl HttpFailure {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl GuardedClient {
    /// A client for public addresses, or for all.
    pub(super) fn new(allow_private: bool) -> Self {
        let guard = AddressGuard::new(allow_private);
        Self::with_resolver(guard.clone(), GuardedResolver::new(guard))
    }

    /// A client with a resolver of its own.
    pub(super) fn with_resolver(guard: AddressGuard, resolver: GuardedResolver) -> Self {
        Self {
            guard,
            resolver,
            client: OnceLock::new(),
        }
    }

    /// Sends a request and reads at most so many bytes of the answer.
    pub(super) async fn send(
        &self,
        request: &PreparedRequest,
        allowlist: &HostAllowlist,
        max_body_bytes: usize,
    ) -> Result<HttpAnswer, HttpFailure> {
        let mut method = request.method.clone();
        let mut url = request.url.clone();
        let mut body = request.body.as_deref();
        let mut has_left_origin = false;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url, allowlist)?;
            let headers = if has_left_origin {
                HeaderMap::new()
            } else {
                request.secret_headers.clone()
            };
            let response = self.send_once(&method, &url, headers, body).await?;
            let Some(target) = redirect_target(&response, &url)? else {
                return read_answer(response, max_body_bytes).await;
            };
            check_redirect(&url, &target, &request.url)?;
            // 307 and 308 repeat the request, the others ask for another document.
            if !matches!(
                response.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            ) {
                body = None;
                if method != Method::HEAD {
                    method = Method::GET;
                }
            }
            // Once away, the secrets stay away, also from a redirect back.
            has_left_origin |= target.origin() != request.url.origin();
            if has_left_origin && body.is_some() {
                return Err(HttpFailure::new(
                    "redirect_refused",
                    "the server redirects a body to another host",
                ));
            }
            url = target;
        }
        Err(HttpFailure::new(
            "too_many_redirects",
            format!("more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// Checks host and, where it is written as one, address.
    fn check(&self, url: &Url, allowlist: &HostAllowlist) -> Result<(), HttpFailure> {
        if !allowlist.allows(url) {
            let host = clip(url.host_str().unwrap_or_default(), 100);
            return Err(HttpFailure::new(
                "host_not_allowed",
                format!("the host {host:?} is not in allow_hosts"),
            ));
        }
        self.guard
            .check_literal(url)
            .map_err(|refused| HttpFailure::new("address_refused", refused.to_string()))
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Response, HttpFailure> {
        let client = self
            .client
            .get_or_init(|| build(&self.resolver))
            .as_ref()
            .map_err(|problem| HttpFailure::new("config_error", problem.clone()))?;
        let mut all = HeaderMap::new();
        all.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.5"),
        );
        if body.is_some() {
            all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        all.extend(headers);
        let mut request = client.request(method.clone(), url.clone()).headers(all);
        if let Some(body) = body {
            request = request.body(body.to_vec());
        }
        request.send().await.map_err(describe)
    }
}

fn build(resolver: &GuardedResolver) -> Result<Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails if another thread was faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let system = builder(resolver).build();
    let client = system.or_else(|error| {
        tracing::warn!(%error, "no certificates of the system: HTTP tools make only plain requests");
        builder(resolver).tls_certs_only(Vec::new()).build()
    });
    client.map_err(|error| clip(&error.to_string(), MAX_ERROR_CHARS))
}

fn builder(resolver: &GuardedResolver) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        // A proxy would connect in our place, to any address.
        .no_proxy()
        .referer(false)
        .dns_resolver(resolver.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .user_agent(concat!("agentnet-mesh/", env!("CARGO_PKG_VERSION")))
}

/// Where a response redirects to.
fn redirect_target(response: &Response, url: &Url) -> Result<Option<Url>, HttpFailure> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else {
        return Ok(None);
    };
    let malformed = || {
        HttpFailure::new(
            "redirect_refused",
            "the server redirects to something that is not a URL",
        )
    };
    let location = location.to_str().map_err(|_| malformed())?;
    url.join(location).map(Some).map_err(|_| malformed())
}

/// Refuses redirects that change the protocol for the worse, or go to another service of a host.
fn check_redirect(from: &Url, to: &Url, first: &Url) -> Result<(), HttpFailure> {
    let refuse = |why: &str| {
        Err(HttpFailure::new(
            "redirect_refused",
            format!("the server redirects {why}"),
        ))
    };
    if !matches!(to.scheme(), "http" | "https") {
        return refuse("to something other than http and https");
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        return refuse("from https to http");
    }
    if !to.username().is_empty() || to.password().is_some() {
        return refuse("to a URL with a user or password");
    }
    let port = to.port_or_known_default();
    if to.port().is_some() && port != first.port_or_known_default() {
        return refuse("to another port");
    }
    Ok(())
}

async fn read_answer(mut response: Response, max_body_bytes: usize) -> Result<HttpAnswer, HttpFailure> {
    let status = response.status();
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|media_type| media_type.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let mut body = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        let room = max_body_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(HttpAnswer {
        status,
        media_type,
        body,
        is_cut,
    })
}

/// What went wrong, without the URL: it has secrets and arguments.
fn describe(error: reqwest::Error) -> HttpFailure {
    let error = error.without_url();
    let mut deepest: &(dyn std::error::Error + 'static) = &error;
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(refused) = inner.downcast_ref::<AddressRefused>() {
            return HttpFailure::new("address_refused", refused.to_string());
        }
        deepest = inner;
        source = inner.source();
    }
    let code = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect_failed"
    } else {
        "http_failed"
    };
    HttpFailure::new(code, clip(&format!("{error}: {deepest}"), MAX_ERROR_CHARS))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://a/", "https://b/", "https://a/", true)]
    #[case("https://a/", "http://a/", "https://a/", false)]
    #[case("http://a/", "https://a/", "http://a/", true)]
    #[case("http://a:8080/", "http://b:8080/", "http://a:8080/", true)]
    #[case("http://a:8080/", "http://b/", "http://a:8080/", true)]
    #[case("http://a/", "http://a:22/", "http://a/", false)]
    #[case("https://a/", "https://a:443/", "https://a/", true)]
    #[case("https://a/", "ftp://a/", "https://a/", false)]
    #[case("https://a/", "https://u@a/", "https://a/", false)]
    fn redirects_are_checked(#[case] from: &str, #[case] to: &str, #[case] first: &str, #[case] expected: bool) {
        let [from, to, first] = [from, to, first].map(|url| Url::parse(url).unwrap());
        assert_eq!(check_redirect(&from, &to, &first).is_ok(), expected);
    }
}
