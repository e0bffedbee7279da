//! What stands in a transcript for a value that is different each time: `<account:1>`, `<timestamp>`, `<ms>`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agentnet_protocol::Timestamp;
use serde_json::Value;

const LOWER: &str = "0123456789abcdefghjkmnpqrstvwxyz";
const UPPER: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The kinds whose placeholders carry a number: the same number is the same value, another number another one.
const NUMBERED: [&str; 4] = ["account", "session", "msg", "trace"];

/// The values of numbered placeholders, bound where they are met first.
#[derive(Debug, Clone)]
pub(crate) struct Bindings {
    server_id: String,
    values: BTreeMap<String, String>,
}

/// A piece of a text with placeholders.
enum Piece<'a> {
    Literal(&'a str),
    /// What stands between the angle brackets.
    Placeholder(&'a str),
}

impl Bindings {
    pub(crate) fn new(server_id: &str) -> Self {
        Self {
            server_id: server_id.to_owned(),
            values: BTreeMap::new(),
        }
    }

    /// The text to send: bound values put in, `<timestamp>` is now.
    pub(crate) fn fill(&mut self, template: &str) -> String {
        let fill = |piece| match piece {
            Piece::Literal(text) => text.to_owned(),
            Piece::Placeholder("timestamp") => Timestamp::from(SystemTime::now()).to_string(),
            // Met in a request first: any value of its kind will do, as it did in the recording.
            Piece::Placeholder(name) => self
                .values
                .entry(name.to_owned())
                .or_insert_with(|| invented(name))
                .clone(),
        };
        pieces(template).into_iter().map(fill).collect()
    }

    /// As [`Bindings::fill`], for every text in a value.
    pub(crate) fn fill_value(&mut self, template: &Value) -> Value {
        match template {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.fill_value(value)))
                .collect(),
            other => other.clone(),
        }
    }

    /// Whether a value is what a text of the recording stands for; binds what was not bound.
    pub(crate) fn matches(&mut self, template: &str, actual: &Value) -> bool {
        match (template, actual) {
            ("<ms>", Value::Number(ms)) => ms
                .as_f64()
                .is_some_and(|ms| ms >= 0.0 && ((ms * 100.0).round() / 100.0 - ms).abs() < f64::EPSILON),
            ("<count>", Value::Number(count)) => count.as_u64().is_some(),
            (template, Value::String(actual)) => self.matches_text(template, actual),
            _ => false,
        }
    }

    fn matches_text(&mut self, template: &str, actual: &str) -> bool {
        let mut rest = actual;
        for piece in pieces(template) {
            let length = match piece {
                Piece::Literal(text) => rest.starts_with(text).then_some(text.len()),
                Piece::Placeholder(name) => self.length(name, rest),
            };
            let Some(length) = length else { return false };
            rest = &rest[length..];
        }
        rest.is_empty()
    }

    /// How much of the text a placeholder takes; `None` if the text is nothing that it stands for.
    fn length(&mut self, name: &str, text: &str) -> Option<usize> {
        if let Some(names) = name.strip_prefix("about ") {
            return names.split('|').any(|name| text.contains(name)).then_some(text.len());
        }
        let kind = name.split(':').next()?;
        if kind == "cursor" {
            let base64 = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
            return (!text.is_empty() && text.chars().all(base64)).then_some(text.len());
        }
        if kind == "timestamp" {
            // Not only readable: spelled as the network writes it.
            return (Timestamp::parse_exact(text)?.to_string() == text).then_some(text.len());
        }
        let (prefix, digits, length) = match kind {
            "account" => ("acct_".to_owned(), LOWER, 26),
            "session" => (format!("{}_", self.server_id), UPPER, 26),
            "msg" | "trace" => (format!("{kind}_"), LOWER, 26),
            "suffix6" => (String::new(), LOWER, 6),
            "ulid8" => (String::new(), LOWER, 8),
            _ => panic!("unknown placeholder <{name}>"),
        };
        let id = text.strip_prefix(&prefix)?.get(..length)?;
        if !id.chars().all(|c| digits.contains(c)) {
            return None;
        }
        let value = &text[..prefix.len() + length];
        if NUMBERED.contains(&kind) {
            let bound = self.values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            if bound != value || self.values.values().filter(|other| *other == value).count() > 1 {
                return None;
            }
        }
        Some(value.len())
    }
}

/// A value of the kind of a numbered placeholder.
fn invented(name: &str) -> String {
    let (kind, number) = name
        .split_once(':')
        .unwrap_or_else(|| panic!("<{name}> cannot be sent"));
    match kind {
        "account" => format!("acct_{number:0>26}"),
        "session" => format!("registry_{number:0>26}"),
        _ => format!("{kind}_{number:0>26}"),
    }
}

/// A text in angle brackets is a placeholder if it names a kind.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let known = |name: &str| {
        let kind = name.split([':', ' ']).next().unwrap_or_default();
        NUMBERED.contains(&kind) || ["timestamp", "suffix6", "ulid8", "cursor", "about"].contains(&kind)
    };
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((start, end)) = rest
        .find('<')
        .and_then(|start| Some((start, start + rest[start..].find('>')?)))
    {
        let name = &rest[start + 1..end];
        if known(name) {
            pieces.push(Piece::Literal(&rest[..start]));
            pieces.push(Piece::Placeholder(name));
        } else {
            pieces.push(Piece::Literal(&rest[..=end]));
        }
        rest = &rest[end + 1..];
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01khzq5j7k8m9n0p1q2r3s4t5v";

    #[test]
    fn a_number_means_one_value_and_no_other() {
        let mut bindings = Bindings::new("registry");
        let account = json!(format!("acct_{ID}"));
        assert!(bindings.matches("<account:1>", &account));
        assert!(bindings.matches("<account:1>", &account));
        assert!(
            !bindings.matches("<account:2>", &account),
            "bound already under another number"
        );
        let mut bindings = Bindings::new("registry");
        assert!(bindings.matches("<account:1>", &account));
        assert!(!bindings.matches("<account:1>", &json!("acct_01khzq5j7k8m9n0p1q2r3s4t5w")));
        assert_eq!(bindings.fill(" <account:1> "), format!(" acct_{ID} "));
        assert!(bindings.matches("<session:1>", &json!(format!("registry_{}", ID.to_uppercase()))));
        assert!(!bindings.matches("<session:2>", &json!(format!("other_{}", ID.to_uppercase()))));
    }

    #[test]
    fn each_kind_has_its_form() {
        let cases = [
            ("<timestamp>", json!("2026-02-21T08:00:00Z"), true),
            ("<timestamp>", json!("2026-02-21T08:00:00.000000Z"), false),
            ("<timestamp>", json!("2026-02-21T08:00:00+00:00"), false),
            ("<timestamp>", json!(""), false),
            ("<timestamp>", json!(5), false),
            ("alice-<suffix6>", json!("alice-01khzq"), true),
            ("alice-<suffix6>", json!("alice-01khzq0"), false),
            ("agent_<ulid8>", json!("agent_01KHZQ5J"), false),
            ("agent_<ulid8>", json!("agent_01khzq5j"), true),
            ("<account:9>", json!("acct_short"), false),
            ("<ms>", json!(0.25), true),
            ("<ms>", json!(0.255), false),
            ("<ms>", json!("0.25"), false),
            ("<count>", json!(3), true),
            ("<count>", json!(3.5), false),
            ("<about limit|query>", json!("limit is out of range"), true),
            ("<about limit|query>", json!("something"), false),
            ("a <b> c", json!("a <b> c"), true),
            ("a < b", json!("a < b"), true),
        ];
        for (template, actual, expected) in cases {
            assert_eq!(
                Bindings::new("registry").matches(template, &actual),
                expected,
                "{template} {actual}"
            );
        }
    }
}
