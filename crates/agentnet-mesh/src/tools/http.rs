//! HTTP tools: one request to a host of the allowlist.
//!
//! 1. `request.rs` fills the template with the model's arguments.
//! 2. `exchange.rs` sends it and follows redirects; each URL is checked before a connection is made.
//! 3. `guard.rs` knows the hosts and refuses private addresses after their lookup.
//! 4. The answer becomes JSON or text without the request's secrets.

mod exchange;
mod guard;
mod request;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::exchange::{GuardedClient, HttpAnswer};
use self::guard::HostAllowlist;
use self::request::{FillError, RequestTemplate};
use super::clip::{Redactor, clip};
use super::{Tool, ToolContext, ToolOutcome};
use crate::config::HttpTool;
use crate::model::ToolSpec;

/// Bytes of a body that are read at least: JSON with white space may fit once that is gone.
const MIN_BODY_BYTES: usize = 64 * 1024;
/// Bytes of a body that are read at most.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Characters of the body of an error.
const MAX_ERROR_BODY_CHARS: usize = 500;

/// The HTTP clients that all tools share.
pub(super) struct HttpClients {
    public: GuardedClient,
    any: GuardedClient,
}

impl HttpClients {
    /// Clients that connect at the first request.
    pub(super) fn new() -> Self {
        Self {
            public: GuardedClient::new(false),
            any: GuardedClient::new(true),
        }
    }
}

/// An HTTP request as a tool.
pub(super) struct HttpRequestTool {
    config_name: String,
    spec: ToolSpec,
    timeout: Duration,
    max_result_bytes: usize,
    request: RequestTemplate,
    allowlist: HostAllowlist,
    allow_private: bool,
    clients: Arc<HttpClients>,
}

impl HttpRequestTool {
    /// Checks the configuration of a request.
    pub(super) fn compile(
        spec: ToolSpec,
        config_name: &str,
        limits: (Duration, usize),
        tool: &HttpTool,
        clients: Arc<HttpClients>,
    ) -> Result<Self, String> {
        let request = RequestTemplate::compile(tool)?;
        let allowlist = if tool.allow_hosts.is_empty() {
            HostAllowlist::parse(&[request.origin().host_str().unwrap_or_default().to_owned()])?
        } else {
            HostAllowlist::parse(&tool.allow_hosts)?
        };
        if !allowlist.allows(request.origin()) {
            return Err("allow_hosts does not allow the host of url".to_owned());
        }
        let (timeout, max_result_bytes) = limits;
        Ok(Self {
            config_name: config_name.to_owned(),
            spec,
            timeout,
            max_result_bytes,
            request,
            allowlist,
            allow_private: tool.allow_private,
            clients,
        })
    }

    /// The parameters of all parts of the request.
    pub(super) fn parameters(&self) -> Vec<&str> {
        self.request.parameters()
    }
}

#[async_trait]
impl Tool for HttpRequestTool {
    fn config_name(&self) -> &str {
        &self.config_name
    }

    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn max_result_bytes(&self) -> usize {
        self.max_result_bytes
    }

    async fn call(&self, arguments: Value, _context: &ToolContext) -> ToolOutcome {
        let Value::Object(arguments) = arguments else {
            return ToolOutcome::failed("bad_args", "the arguments are not a JSON object");
        };
        let request = match self.request.fill(&arguments) {
            Ok(request) => request,
            Err(FillError::BadArguments(problem)) => return ToolOutcome::failed("bad_args", problem),
            Err(FillError::Config(problem)) => return ToolOutcome::failed("config_error", problem),
        };
        let client = if self.allow_private {
            &self.clients.any
        } else {
            &self.clients.public
        };
        let max_body_bytes = self
            .max_result_bytes
            .saturating_mul(4)
            .clamp(MIN_BODY_BYTES, MAX_BODY_BYTES);
        match client.send(&request, &self.allowlist, max_body_bytes).await {
            Ok(answer) => outcome(&answer, &request.redactor),
            Err(failure) => ToolOutcome::failed(failure.code, request.redactor.clean(&failure.detail)),
        }
    }
}

/// The result for the model: the JSON or text of the answer; a failure for a status other than 2xx.
fn outcome(answer: &HttpAnswer, redactor: &Redactor) -> ToolOutcome {
    let clean = |text: String| {
        if answer.is_cut {
            redactor.clean_beginning(&text)
        } else {
            redactor.clean(&text)
        }
    };
    let body = body_text(answer).map(clean);
    if !answer.status.is_success() {
        let text = body.unwrap_or_default();
        let place = if text.trim().is_empty() { "" } else { ": " };
        let detail = format!("{}{place}{}", answer.status, clip(text.trim(), MAX_ERROR_BODY_CHARS));
        return ToolOutcome::failed("http_status", detail);
    }
    let Some(text) = body else {
        let media_type = clip(&answer.media_type, 100);
        let bytes = answer.body.len();
        return ToolOutcome::failed(
            "not_text",
            format!("the answer is not text: {bytes} bytes of {media_type:?}"),
        );
    };
    if text.trim().is_empty() {
        return ToolOutcome::Ok(json!({"status": answer.status.as_u16()}));
    }
    if answer.is_cut {
        // Cut again at the limit of the tool, which is lower, and marked there.
        return ToolOutcome::Ok(Value::String(text));
    }
    // Once more: JSON may write any character as an escape.
    let json = serde_json::from_str(&text).map(|json| redactor.clean_value(json));
    ToolOutcome::Ok(json.unwrap_or(Value::String(text)))
}

/// The body as text; `None` if it is something else.
fn body_text(answer: &HttpAnswer) -> Option<String> {
    let is_text = answer.media_type.starts_with("text/")
        || ["json", "xml", "javascript", "yaml"]
            .iter()
            .any(|word| answer.media_type.contains(word));
    match std::str::from_utf8(&answer.body) {
        Ok(text) => Some(text.to_owned()),
        // The limit may have cut a character.
        Err(error) if answer.is_cut && error.error_len().is_none() => {
            Some(String::from_utf8_lossy(&answer.body[..error.valid_up_to()]).into_owned())
        }
        Err(_) if is_text => Some(String::from_utf8_lossy(&answer.body).into_owned()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
