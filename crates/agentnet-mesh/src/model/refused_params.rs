//! Members of a request that a model refuses: found in the text of a 400, and left out from then on.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::model::provider_error::ErrorBody;

/// Codes of errors that mean "this member is not taken", as opposed to "this value is wrong".
const CODES: &[&str] = &[
    "unsupported_parameter",
    "unsupported_value",
    "unknown_parameter",
    "extra_forbidden",
];

/// Phrases that mean the same.
const PHRASES: &[&str] = &[
    "unsupported",
    "not support",
    "n't support",
    "unknown",
    "unrecognized",
    "unexpected",
    "not permitted",
    "not allowed",
    "deprecated",
    "may only be set",
    "must be verified",
    "not available",
    "not recognized",
];

/// Other words for a member in such texts.
const ALIASES: &[(&str, &[&str])] = &[(
    "thinking.budget_tokens",
    &["thinking.type", "thinking.type.enabled", "adaptive"],
)];

/// What one model has refused so far.
#[derive(Debug, Default)]
pub(crate) struct RefusedParams {
    names: Mutex<BTreeSet<&'static str>>,
}

impl RefusedParams {
    /// The names of those members and of these.
    pub(crate) fn with(&self, more: &[String]) -> BTreeSet<String> {
        let names = self.names.lock();
        names
            .iter()
            .map(|name| (*name).to_owned())
            .chain(more.iter().cloned())
            .collect()
    }

    /// Remembers a member.
    pub(crate) fn insert(&self, name: &'static str) {
        self.names.lock().insert(name);
    }
}

/// The optional member of the body that an error refuses. The longest name that fits is meant.
pub(crate) fn refused_param(
    error: &ErrorBody,
    body: &Map<String, Value>,
    optional: &[&'static str],
) -> Option<&'static str> {
    let message = error.message.to_lowercase();
    let is_refusal = CODES.iter().any(|code| error.code == *code || error.kind == *code)
        || PHRASES.iter().any(|phrase| message.contains(phrase));
    if !is_refusal {
        return None;
    }
    let is_named = |name: &str| match error.param.as_str() {
        "" => names_of(name).any(|name| has_word(&message, name)),
        param => names_of(name).any(|name| is_or_has(name, param)),
    };
    let named = optional
        .iter()
        .copied()
        .filter(|name| has_member(body, name) && is_named(name));
    named.max_by_key(|name| name.len())
}

fn names_of(name: &str) -> impl Iterator<Item = &str> {
    let aliases = ALIASES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(&[] as &[&str], |(_, aliases)| *aliases);
    std::iter::once(name).chain(aliases.iter().copied())
}

/// Whether the path `param` is the member, or leads to something in it.
fn is_or_has(member: &str, param: &str) -> bool {
    param
        .strip_prefix(member)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn has_member(body: &Map<String, Value>, name: &str) -> bool {
    match name.split_once('.') {
        Some((outer, inner)) => body.get(outer).is_some_and(|value| value.get(inner).is_some()),
        None => body.contains_key(name),
    }
}

/// Whether the text has the name as a word: `max_tokens` is none of the words of `max_tokens_2`.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::{RefusedParams, refused_param};
    use crate::model::provider_error::ErrorBody;
    use crate::model::{anthropic, openai_chat, openai_responses};

    fn refused(optional: &[&'static str], body: &Value, error: &Value) -> Option<&'static str> {
        let error = ErrorBody::from_value(&json!({ "error": error }));
        refused_param(&error, body.as_object().unwrap(), optional)
    }

    #[rstest]
    #[case::max_tokens(json!({"max_tokens": 1}), json!({
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}), Some("max_tokens"))]
    #[case::temperature(json!({"temperature": 0.2, "max_tokens": 1}), json!({
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "param": "temperature", "code": "unsupported_value"}), Some("temperature"))]
    #[case::only_in_the_text(json!({"stream_options": {}}), json!({
        "message": "Unknown field `stream_options`", "type": "invalid_request_error"}), Some("stream_options"))]
    #[case::pydantic(json!({"max_completion_tokens": 1}), json!({
        "message": "body.max_completion_tokens: Extra inputs are not permitted"}), Some("max_completion_tokens"))]
    #[case::wrong_value(json!({"max_tokens": 1}), json!({
        "message": "max_tokens is too large: 50000. This model supports at most 16384 completion tokens.",
        "param": "max_tokens", "code": "invalid_value"}), None)]
    #[case::not_in_the_body(json!({"max_tokens": 1}), json!({
        "message": "'temperature' is not supported", "param": "temperature"}), None)]
    #[case::required_member(json!({"messages": [], "temperature": 1}), json!({
        "message": "Unsupported value in messages", "param": "messages"}), None)]
    #[case::part_of_a_word(json!({"temperature": 1}), json!({"message": "unknown temperature_2"}), None)]
    fn of_chat(#[case] body: Value, #[case] error: Value, #[case] expected: Option<&str>) {
        assert_eq!(refused(openai_chat::OPTIONAL, &body, &error), expected);
    }

    #[rstest]
    #[case(json!({"reasoning": {"effort": "low", "summary": "auto"}}), json!({
        "message": "Your organization must be verified to generate reasoning summaries.",
        "param": "reasoning.summary", "code": "unsupported_value"}), Some("reasoning.summary"))]
    #[case(json!({"reasoning": {"effort": "low"}, "include": []}), json!({
        "message": "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        "param": "reasoning.effort", "code": "unsupported_parameter"}), Some("reasoning"))]
    #[case(json!({"include": []}), json!({
        "message": "Encrypted content is not supported with this model.", "param": "include"}), Some("include"))]
    fn of_responses(#[case] body: Value, #[case] error: Value, #[case] expected: Option<&str>) {
        assert_eq!(refused(openai_responses::OPTIONAL, &body, &error), expected);
    }

    #[rstest]
    #[case(json!({"temperature": 1, "thinking": {"type": "enabled", "budget_tokens": 1024}}), json!({
        "message": "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\"."}),
        Some("thinking.budget_tokens"))]
    #[case(json!({"thinking": {"type": "adaptive"}}), json!({
        "message": "'claude-x' does not support thinking"}), Some("thinking"))]
    #[case(json!({"temperature": 1}), json!({
        "message": "`temperature` is deprecated for this model."}), Some("temperature"))]
    fn of_anthropic(#[case] body: Value, #[case] error: Value, #[case] expected: Option<&str>) {
        assert_eq!(refused(anthropic::OPTIONAL, &body, &error), expected);
    }

    #[test]
    fn refused_members_are_remembered() {
        let params = RefusedParams::default();
        params.insert("temperature");
        params.insert("temperature");
        let names: Vec<String> = params.with(&["store".to_owned()]).into_iter().collect();
        assert_eq!(names, ["store", "temperature"]);
    }
}
