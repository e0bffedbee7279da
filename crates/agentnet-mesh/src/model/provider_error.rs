//! What providers say when they refuse: the JSON of an error, and the kind of failure that it means.

use reqwest::StatusCode;
use serde_json::Value;

use crate::model::dialect::{items, text};
use crate::model::{ModelError, ModelErrorKind};

/// Characters of a provider's text that are shown at most.
const MAX_SHOWN: usize = 1_000;

/// Phrases by which providers say that a conversation is too long. OpenAI, llama.cpp and vLLM have codes or fixed sentences
/// for it, Anthropic a sentence, others all kinds of them.
const OVERFLOW_PHRASES: &[&str] = &[
    "context length",
    "context size",
    "context window",
    "context limit",
    "context_length",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "input token count",
    "reduce the length of the messages",
];

/// An error as a provider tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// What happened, for people; may be empty.
    pub(crate) message: String,
    /// Type of the error, lower case.
    pub(crate) kind: String,
    /// Code of the error, lower case.
    pub(crate) code: String,
    /// The member of the request that is refused.
    pub(crate) param: String,
}

impl ErrorBody {
    /// Reads the body of a response. What is no JSON is the message.
    pub(crate) fn from_bytes(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => Self {
                message: shown(&String::from_utf8_lossy(body)),
                ..Self::default()
            },
        }
    }

    /// Reads the JSON of an error: `{"error":{…}}`, `{"error":"text"}`, a list of one of them, or the members themselves;
    /// `detail` is FastAPI's.
    pub(crate) fn from_value(value: &Value) -> Self {
        let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        let inner = match value.get("error") {
            Some(error) if !error.is_null() => error,
            _ => value,
        };
        let message = match inner {
            Value::String(message) => message.clone(),
            _ => first_message(inner),
        };
        Self {
            message: shown(&message),
            kind: name(inner.get("type")),
            code: name(inner.get("code")),
            param: text(inner, "param").to_owned(),
        }
    }

    /// The failure of a response with this status.
    pub(crate) fn into_status_error(self, status: StatusCode) -> ModelError {
        let kind = self.kind_of(Some(status.as_u16()));
        let reason = status
            .canonical_reason()
            .map(|reason| format!(" {reason}"))
            .unwrap_or_default();
        let mut message = format!("the provider answered {}{reason}", status.as_u16());
        if status.is_redirection() {
            message.push_str(", a redirect: base_url must be the address itself");
        } else if !self.message.is_empty() {
            message = format!("{message}: {}", self.message);
        }
        ModelError {
            kind,
            status: Some(status.as_u16()),
            message,
            retry_after: None,
        }
    }

    /// The failure that an event inside a stream tells of.
    pub(crate) fn into_stream_error(self) -> ModelError {
        let status = self
            .code
            .parse::<u16>()
            .ok()
            .filter(|status| (400..600).contains(status));
        let kind = self.kind_of(status);
        let message = match (self.message.as_str(), self.kind.as_str(), self.code.as_str()) {
            ("", "" | "error", "") => "the provider broke off the answer with an error".to_owned(),
            ("", "" | "error", code) => format!("the provider broke off the answer: {code}"),
            ("", kind, _) => format!("the provider broke off the answer: {kind}"),
            (message, ..) => format!("the provider broke off the answer: {message}"),
        };
        ModelError {
            kind,
            status,
            message,
            retry_after: None,
        }
    }

    fn kind_of(&self, status: Option<u16>) -> ModelErrorKind {
        let is = |names: &[&str]| names.iter().any(|name| self.kind == *name || self.code == *name);
        let message = self.message.to_lowercase();
        let is_overflow = is(&[
            "context_length_exceeded",
            "exceed_context_size_error",
            "model_context_window_exceeded",
        ]) || OVERFLOW_PHRASES.iter().any(|phrase| message.contains(phrase));
        if is_overflow && matches!(status, None | Some(400 | 413 | 422 | 500)) {
            return ModelErrorKind::ContextOverflow;
        }
        if is(&[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "refusal",
        ]) {
            return ModelErrorKind::Refused;
        }
        // To wait does not help: somebody has to pay.
        let is_unpaid = is(&["insufficient_quota", "billing_hard_limit_reached", "billing_error"])
            || message.contains("credit balance is too low");
        if is_unpaid {
            return ModelErrorKind::Auth;
        }
        match status {
            Some(status) => kind_of_status(status),
            None if is(&[
                "rate_limit_error",
                "rate_limit_exceeded",
                "too_many_requests",
                "tokens",
                "requests",
            ]) =>
            {
                ModelErrorKind::RateLimited
            }
            None if is(&["authentication_error", "permission_error", "invalid_api_key"]) => ModelErrorKind::Auth,
            None if is(&[
                "invalid_request_error",
                "not_found_error",
                "request_too_large",
                "invalid_prompt",
            ]) =>
            {
                ModelErrorKind::InvalidRequest
            }
            None if is(&["timeout_error"]) => ModelErrorKind::Timeout,
            None => ModelErrorKind::Server,
        }
    }
}

fn kind_of_status(status: u16) -> ModelErrorKind {
    match status {
        429 => ModelErrorKind::RateLimited,
        401..=403 => ModelErrorKind::Auth,
        408 | 409 | 425 | 500..=599 => ModelErrorKind::Server,
        _ => ModelErrorKind::InvalidRequest,
    }
}

fn first_message(error: &Value) -> String {
    let mut named = ["message", "msg", "detail", "error_description"]
        .into_iter()
        .map(|member| text(error, member));
    if let Some(message) = named.find(|message| !message.is_empty()) {
        return message.to_owned();
    }
    let details = items(error, "detail").iter().take(8).map(|detail| {
        let place = items(detail, "loc")
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(".");
        match place.as_str() {
            "" => text(detail, "msg").to_owned(),
            place => format!("{place}: {}", text(detail, "msg")),
        }
    });
    details.collect::<Vec<_>>().join("; ")
}

/// A name of an error; OpenRouter, Gemini and llama.cpp give the code as a number.
fn name(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(name)) => name.chars().take(100).collect::<String>().to_lowercase(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A text from outside as it may be shown: on one line, without control characters and marks that reorder text, at most
/// 1,000 characters.
pub(crate) fn shown(text: &str) -> String {
    let is_invisible =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut shown = String::new();
    let mut length = 0;
    let mut is_space = true;
    for c in text.chars().filter(|&c| !is_invisible(c)) {
        let c = if c.is_control() || c.is_whitespace() { ' ' } else { c };
        if c == ' ' && is_space {
            continue;
        }
        if length == MAX_SHOWN - 1 {
            shown.push('…');
            return shown;
        }
        is_space = c == ' ';
        shown.push(c);
        length += 1;
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests;
