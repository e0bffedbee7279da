//! Texts of the configuration with `{parameter}` in them.
//!
//! A parameter is a letter or `_`, then letters, digits, `_` and `-`. Braces around anything else are just text; `{{` and `}}` stand
//! for one brace.

use serde_json::{Map, Value};

/// A text with places for arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Parameter(String),
}

/// The name of a parameter that has no argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingArgument(pub(super) String);

impl Template {
    /// Reads a text of the configuration; every text is a template.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                rest = &rest[2..];
            } else if let Some((name, after)) = parameter(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Parameter(name.to_owned()));
                rest = after;
            } else {
                literal.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self { parts }
    }

    /// The parameters, in their order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Whether it has a parameter.
    pub(super) fn has_parameters(&self) -> bool {
        self.parameters().next().is_some()
    }

    /// Whether it begins with a parameter, so that an argument chooses the first character.
    pub(super) fn begins_with_parameter(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Parameter(_)))
    }

    /// Whether it begins with a fixed text that has a `/`: a directory, which arguments must not lead out of.
    pub(super) fn begins_with_directory(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Literal(literal)) if literal.contains('/'))
    }

    /// The parameter, if it is all of the text.
    pub(super) fn sole_parameter(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Parameter(name)] => Some(name),
            _ => None,
        }
    }

    /// The text with the arguments in it, each passed through `encode`.
    pub(super) fn fill(
        &self,
        arguments: &Map<String, Value>,
        encode: impl Fn(&str) -> String,
    ) -> Result<String, MissingArgument> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Parameter(name) => {
                    let argument = arguments.get(name).and_then(argument_text);
                    text.push_str(&encode(&argument.ok_or_else(|| MissingArgument(name.clone()))?));
                }
            }
        }
        Ok(text)
    }
}

/// The parameter that a text begins with, and what follows it.
fn parameter(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let (name, after) = inner.split_once('}')?;
    let first = name.chars().next()?;
    let is_name = (first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
    is_name.then_some((name, after))
}

/// The text of an argument: lists of plain values are joined by commas, other lists and objects are JSON. `None` for `null`.
fn argument_text(argument: &Value) -> Option<String> {
    match argument {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar_text).collect();
            Some(texts.map_or_else(|| argument.to_string(), |texts| texts.join(",")))
        }
        other => Some(other.to_string()),
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("plain", "plain")]
    #[case("{a}", "1")]
    #[case("x{a}y{b}z", "x1ytwoz")]
    #[case("{{a}}", "{a}")]
    #[case("{ a }", "{ a }")]
    #[case("{\"k\":\"{b}\"}", "{\"k\":\"two\"}")]
    #[case("{1a}", "{1a}")]
    #[case("{", "{")]
    #[case("}{", "}{")]
    #[case("{list}", "x,2,true")]
    #[case("{object}", "{\"k\":1}")]
    #[case("{{{a}}}", "{1}")]
    #[case("é{a}é", "é1é")]
    fn a_template_is_filled(#[case] text: &str, #[case] expected: &str) {
        let arguments = json!({"a": 1, "b": "two", "list": ["x", 2, true], "object": {"k": 1}});
        let filled = Template::parse(text).fill(arguments.as_object().unwrap(), str::to_owned);
        assert_eq!(filled.as_deref(), Ok(expected));
    }

    #[rstest]
    #[case(json!({}))]
    #[case(json!({"a": null}))]
    fn a_missing_argument_is_named(#[case] arguments: Value) {
        let filled = Template::parse("x{a}").fill(arguments.as_object().unwrap(), str::to_owned);
        assert_eq!(filled, Err(MissingArgument("a".to_owned())));
    }

    #[test]
    fn arguments_are_not_templates() {
        let arguments = json!({"a": "{b}", "b": "secret"});
        let filled = Template::parse("{a}").fill(arguments.as_object().unwrap(), str::to_owned);
        assert_eq!(filled.as_deref(), Ok("{b}"));
    }
}
