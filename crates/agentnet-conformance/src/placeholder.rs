//! Placeholders in step files for values that differ in each run: `<account:1>`, `<timestamp>`, `<ms>`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use agentnet_protocol::Timestamp;
use serde_json::Value;

const LOWER_BASE32: &str = "0123456789abcdefghjkmnpqrstvwxyz";
const UPPER_BASE32: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ULID_LENGTH: usize = 26;
/// Kinds of placeholders with a number: equal numbers stand for equal values, different numbers for different ones.
const NUMBERED: [&str; 5] = ["account", "session", "msg", "trace", "task"];
/// Kinds of placeholders without a number.
const UNNUMBERED: [&str; 6] = ["timestamp", "time", "suffix6", "ulid8", "cursor", "text"];
/// The largest difference between a `<time>` and the present, in microseconds.
const MAX_TIME_DIFFERENCE: u64 = 300_000_000;

/// The values of numbered placeholders, bound at their first use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bindings {
    values: BTreeMap<String, String>,
}

/// A part of a text with placeholders.
enum TemplatePart<'a> {
    Literal(&'a str),
    /// The text between the angle brackets.
    Placeholder(&'a str),
}

impl Bindings {
    /// Sets a placeholder's value.
    pub(crate) fn bind(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Whether some placeholder stands for this text.
    pub(crate) fn knows(&self, value: &str) -> bool {
        self.values.values().any(|known| known == value)
    }

    /// The text to send: placeholders become their values, `<timestamp>` the current time. An unbound placeholder gets a new
    /// value of its kind that contains `own`, so that it is unique.
    pub(crate) fn fill(&mut self, template: &str, own: &str) -> String {
        let fill = |piece| match piece {
            TemplatePart::Literal(text) => text.to_owned(),
            TemplatePart::Placeholder("timestamp" | "time") => Timestamp::from(SystemTime::now()).to_string(),
            TemplatePart::Placeholder(name) => self
                .values
                .entry(name.to_owned())
                .or_insert_with(|| format!("{}_{own}", name.replace(':', "_")))
                .clone(),
        };
        pieces(template).into_iter().map(fill).collect()
    }

    /// The text with bound placeholders replaced, for messages.
    pub(crate) fn shown(&self, template: &str) -> String {
        let show = |piece| match piece {
            TemplatePart::Literal(text) => text.to_owned(),
            TemplatePart::Placeholder(name) => self.values.get(name).cloned().unwrap_or_else(|| format!("<{name}>")),
        };
        pieces(template).into_iter().map(show).collect()
    }

    /// Like [`Bindings::fill`], for every text in a value.
    pub(crate) fn fill_value(&mut self, template: &Value, own: &str) -> Value {
        match template {
            Value::String(text) => Value::String(self.fill(text, own)),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item, own)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.fill_value(value, own)))
                .collect(),
            other => other.clone(),
        }
    }

    /// Whether a value matches a text of the step file; binds unbound placeholders.
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
                TemplatePart::Literal(text) => rest.starts_with(text).then_some(text.len()),
                TemplatePart::Placeholder(name) => self.length(name, rest),
            };
            let Some(length) = length else { return false };
            rest = &rest[length..];
        }
        rest.is_empty()
    }

    /// The length of the text's start that a placeholder matches; `None` if it does not match.
    fn length(&mut self, name: &str, text: &str) -> Option<usize> {
        let (kind, number) = name
            .split_once(':')
            .map_or((name, None), |(kind, number)| (kind, Some(number)));
        let length = match kind {
            "text" => (!text.is_empty()).then_some(text.len()),
            "cursor" => {
                let base64 = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
                (!text.is_empty() && text.chars().all(base64)).then_some(text.len())
            }
            // The exact spelling of the wire, not just any form that parses.
            "timestamp" => (Timestamp::parse_exact(text)?.to_string() == text).then_some(text.len()),
            "time" => {
                let now = Timestamp::from(SystemTime::now());
                (now.micros_since(Timestamp::parse(text)?).unsigned_abs() < MAX_TIME_DIFFERENCE).then_some(text.len())
            }
            // The server id may hold underscores too.
            "session" => {
                let (server, id) = text.rsplit_once('_')?;
                (!server.is_empty() && id.len() == ULID_LENGTH && made_of(id, UPPER_BASE32)).then_some(text.len())
            }
            "suffix6" => starts_with(text, "", 6),
            "ulid8" => starts_with(text, "", 8),
            "account" => starts_with(text, "acct_", ULID_LENGTH),
            kind => starts_with(text, &format!("{kind}_"), ULID_LENGTH),
        }?;
        if number.is_none() {
            return Some(length);
        }
        let value = &text[..length];
        match self.values.get(name) {
            Some(bound) if bound != value => None,
            Some(_) => Some(length),
            None => {
                let taken =
                    |(other, bound): (&String, &String)| bound == value && other.split(':').next() == Some(kind);
                if NUMBERED.contains(&kind) && self.values.iter().any(taken) {
                    return None;
                }
                self.values.insert(name.to_owned(), value.to_owned());
                Some(length)
            }
        }
    }
}

fn made_of(text: &str, characters: &str) -> bool {
    text.chars().all(|c| characters.contains(c))
}

/// The length of a prefix and `length` lower-case ULID characters, if the text begins with them.
fn starts_with(text: &str, prefix: &str, length: usize) -> Option<usize> {
    let id = text.strip_prefix(prefix)?.get(..length)?;
    made_of(id, LOWER_BASE32).then_some(prefix.len() + length)
}

/// A text in angle brackets is a placeholder if it names a kind.
fn pieces(template: &str) -> Vec<TemplatePart<'_>> {
    let known = |name: &str| match name.split_once(':') {
        Some((kind, number)) => (NUMBERED.contains(&kind) || kind == "text") && !number.is_empty(),
        None => UNNUMBERED.contains(&name),
    };
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((start, end)) = rest
        .find('<')
        .and_then(|start| Some((start, start + rest[start..].find('>')?)))
    {
        let name = &rest[start + 1..end];
        if known(name) {
            pieces.push(TemplatePart::Literal(&rest[..start]));
            pieces.push(TemplatePart::Placeholder(name));
        } else {
            pieces.push(TemplatePart::Literal(&rest[..=end]));
        }
        rest = &rest[end + 1..];
    }
    pieces.push(TemplatePart::Literal(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01khzq5j7k8m9n0p1q2r3s4t5v";

    #[test]
    fn a_number_means_one_value_and_no_other() {
        let mut bindings = Bindings::default();
        let account = json!(format!("acct_{ID}"));
        assert!(bindings.matches("<account:1>", &account));
        assert!(bindings.matches("<account:1>", &account));
        assert!(
            !bindings.matches("<account:2>", &account),
            "bound already under another number"
        );
        assert!(!bindings.matches("<account:1>", &json!("acct_01khzq5j7k8m9n0p1q2r3s4t5w")));
        assert_eq!(bindings.fill(" <account:1> ", "xyz"), format!(" acct_{ID} "));
        assert_eq!(bindings.fill("<session:9>", "xyz"), "session_9_xyz");
        assert!(bindings.knows("session_9_xyz") && bindings.knows(&format!("acct_{ID}")));
        let mut bindings = Bindings::default();
        assert!(bindings.matches("<session:1>", &json!(format!("a_b_{}", ID.to_uppercase()))));
        assert!(!bindings.matches("<session:2>", &json!(format!("_{}", ID.to_uppercase()))));
        assert!(!bindings.matches("<session:2>", &json!(format!("a_{ID}"))));
        assert!(bindings.matches("<text:agent>", &json!("bob")) && bindings.matches("<text:other>", &json!("bob")));
        assert!(!bindings.matches("<text:agent>", &json!("eve")));
    }

    #[test]
    fn each_kind_has_its_form() {
        let recent = Timestamp::from(SystemTime::now()).to_string();
        let cases = [
            ("<timestamp>", json!("2026-02-21T08:00:00Z"), true),
            ("<timestamp>", json!("2026-02-21T08:00:00.000000Z"), false),
            ("<timestamp>", json!("2026-02-21T08:00:00+00:00"), false),
            ("<timestamp>", json!(""), false),
            ("<timestamp>", json!(5), false),
            ("<time>", json!(recent), true),
            ("<time>", json!("2001-02-21T08:00:00Z"), false),
            ("alice-<suffix6>", json!("alice-01khzq"), true),
            ("alice-<suffix6>", json!("alice-01khzq0"), false),
            ("agent_<ulid8>", json!("agent_01KHZQ5J"), false),
            ("agent_<ulid8>", json!("agent_01khzq5j"), true),
            ("<account:9>", json!("acct_short"), false),
            ("thread_<task:9>", json!("thread_task_01khzq5j7k8m9n0p1q2r3s4t5v"), true),
            ("<task:9>", json!("task_1"), false),
            ("<ms>", json!(0.25), true),
            ("<ms>", json!(0.255), false),
            ("<ms>", json!("0.25"), false),
            ("<count>", json!(3), true),
            ("<count>", json!(3.5), false),
            ("<text>", json!("limit is out of range"), true),
            ("<text>", json!(""), false),
            ("a <b> c", json!("a <b> c"), true),
            ("a < b", json!("a < b"), true),
        ];
        for (template, actual, expected) in cases {
            assert_eq!(
                Bindings::default().matches(template, &actual),
                expected,
                "{template} {actual}"
            );
        }
    }
}
