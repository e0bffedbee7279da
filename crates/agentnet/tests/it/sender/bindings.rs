//! The placeholders of a transcript, compared with what a test has captured.

use std::collections::HashMap;

use serde_json::Value;

use crate::net;

/// What the numbered placeholders stand for.
#[derive(Default)]
pub(crate) struct Bindings {
    values: HashMap<String, String>,
}

impl Bindings {
    pub(crate) fn value(&mut self, at: &str, expected: &Value, actual: &Value) {
        match (expected, actual) {
            (Value::String(expected), Value::String(actual)) => self.text(at, expected, actual),
            (Value::Object(_), Value::Object(_)) => {
                assert_eq!(net::keys(expected), net::keys(actual), "{at}: members and their order");
                for (name, expected) in expected.as_object().unwrap() {
                    self.value(&format!("{at} {name}"), expected, &actual[name]);
                }
            }
            (Value::Array(expected), Value::Array(actual)) => {
                assert_eq!(expected.len(), actual.len(), "{at}: {actual:?}");
                for (number, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                    self.value(&format!("{at}[{number}]"), expected, actual);
                }
            }
            _ => assert_eq!(expected, actual, "{at}"),
        }
    }

    /// A text with at most one placeholder `<name>` or `<name:N>`.
    pub(crate) fn text(&mut self, at: &str, expected: &str, actual: &str) {
        let Some((before, rest)) = expected.split_once('<') else {
            return assert_eq!(expected, actual, "{at}");
        };
        let (placeholder, after) = rest.split_once('>').expect("a placeholder ends with >");
        let inner = actual
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .unwrap_or_else(|| panic!("{at}: `{actual}` is no `{expected}`"));
        let kind = placeholder.split(':').next().unwrap();
        let fits = match kind {
            "hex32" => inner.len() == 32 && inner.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "timestamp" => net::is_recent(inner),
            "account" => inner.starts_with("acct_"),
            "session" => inner.starts_with("registry_"),
            "reply-inbox" => ["_INBOX.", "_AGENTNET.", "agentnet.reply."]
                .iter()
                .any(|prefix| inner.starts_with(prefix)),
            _ => panic!("{at}: unknown placeholder <{placeholder}>"),
        };
        assert!(fits, "{at}: `{inner}` is no <{placeholder}>");
        if placeholder.contains(':') {
            let bound = self
                .values
                .entry(placeholder.to_owned())
                .or_insert_with(|| inner.to_owned());
            assert_eq!(bound, inner, "{at}: <{placeholder}> was something else before");
            let same = self.values.values().filter(|value| *value == inner).count();
            assert_eq!(same, 1, "{at}: two placeholders stand for `{inner}`");
        }
    }
}
