//! JSON in `jsonb` columns without losing its text (PROTOCOL.md section 0, decision 2).
//!
//! `jsonb` keeps values, not texts: it sorts members by length and then by bytes, drops all but the last of equal names,
//! writes numbers out, and takes no NUL, lone surrogate or non-finite number. Where the compact wire form of what it would
//! give back is not the text that came, the text is kept beside it.

use agentnet_protocol::RawJson;
use agentnet_protocol::json::{self, Kind, Value};

use crate::error::StoreError;

/// The content of a `jsonb` column that cannot hold the value: its default.
const PLACEHOLDER: &str = "{}";
/// Numbers with more characters may be beyond what `numeric` holds.
const MAX_NUMBER_LEN: usize = 10_000;
/// Larger exponents are written out by `numeric` in too many digits.
const MAX_EXPONENT: u32 = 400;

/// A value as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns<'a> {
    /// For the `jsonb` column.
    pub(super) jsonb: &'a str,
    /// For the text column beside it.
    pub(super) text: Option<&'a str>,
}

/// How faithfully `jsonb` keeps a value; the worst of its parts counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fidelity {
    Kept,
    Changed,
    Unsupported,
}

/// How the value is stored.
pub(super) fn columns(value: &RawJson) -> Columns<'_> {
    let raw = value.get();
    let view = value.view();
    match fidelity(&view) {
        Fidelity::Unsupported => Columns {
            jsonb: PLACEHOLDER,
            text: Some(raw),
        },
        Fidelity::Kept if json::wire(&view) == raw => Columns { jsonb: raw, text: None },
        Fidelity::Kept | Fidelity::Changed => Columns {
            jsonb: raw,
            text: Some(raw),
        },
    }
}

/// The value that was stored: `jsonb` as its text, and the text column.
pub(super) fn value(jsonb: &str, text: Option<String>, column: &str) -> Result<RawJson, StoreError> {
    let exact = match text {
        Some(text) => text,
        None => {
            let view = Value::parse(jsonb).map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")))?;
            json::wire(&view)
        }
    };
    RawJson::parse(exact).map_err(|error| StoreError::Corrupt(format!("column {column}: {error}")))
}

/// A walk with its own stack: values nest as deep as the wire allows.
fn fidelity(value: &Value<'_>) -> Fidelity {
    let mut worst = Fidelity::Kept;
    let mut open = vec![*value];
    while let Some(value) = open.pop() {
        let this = match value.kind() {
            Kind::Null | Kind::Bool(_) => Fidelity::Kept,
            Kind::Integer(text) | Kind::Float(text) => number(text),
            Kind::String => string(value.raw()),
            Kind::Array => {
                open.extend(value.as_array().into_iter().flatten());
                Fidelity::Kept
            }
            Kind::Object => {
                let object = value.as_object();
                let mut order = Fidelity::Kept;
                let mut last = None;
                for (key, member) in object.iter().flat_map(|object| object.iter()) {
                    let name = key.as_str().unwrap_or_default();
                    let rank = (name.len(), name.into_owned());
                    if last.as_ref().is_some_and(|last| *last >= rank) {
                        order = Fidelity::Changed;
                    }
                    last = Some(rank);
                    order = order.max(string(key.raw()));
                    open.push(member);
                }
                order
            }
        };
        worst = worst.max(this);
        if worst == Fidelity::Unsupported {
            break;
        }
    }
    worst
}

fn number(text: &str) -> Fidelity {
    if text.len() > MAX_NUMBER_LEN || text.contains(['N', 'I']) {
        return Fidelity::Unsupported;
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E']) {
        let digits = exponent.trim_start_matches(['+', '-']);
        return match digits.parse::<u32>() {
            Ok(exponent) if exponent <= MAX_EXPONENT => Fidelity::Changed,
            _ => Fidelity::Unsupported,
        };
    }
    // Minus zero loses its sign.
    if text.starts_with('-') && !text.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        return Fidelity::Changed;
    }
    Fidelity::Kept
}

/// A string as written, quotes included.
fn string(raw: &str) -> Fidelity {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        if !escape.starts_with("\\u") {
            rest = escape.get(2..).unwrap_or_default();
            continue;
        }
        let unit = |text: &str| u32::from_str_radix(text.get(2..6)?, 16).ok();
        let after = escape.get(6..).unwrap_or_default();
        rest = match unit(escape) {
            None | Some(0 | 0xdc00..=0xdfff) => return Fidelity::Unsupported,
            Some(0xd800..=0xdbff) => match after.strip_prefix("\\u").and(unit(after)) {
                Some(0xdc00..=0xdfff) => after.get(6..).unwrap_or_default(),
                _ => return Fidelity::Unsupported,
            },
            Some(_) => after,
        };
    }
    Fidelity::Kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> (String, bool) {
        let json = RawJson::parse(text.to_owned()).unwrap();
        let columns = columns(&json);
        (columns.jsonb.to_owned(), columns.text.is_some())
    }

    #[test]
    fn what_jsonb_gives_back_needs_no_text() {
        for text in [
            "null",
            "true",
            "0",
            "-7",
            "1.5",
            "123456789012345678901234567890",
            r#""""#,
            r#""\u00e9 \ud83d\ude00 \" \\ \n \u007f""#,
            r#"{"text":"hi"}"#,
            r#"{"a":1,"b":[],"aa":{"x":null,"yy":2.0}}"#,
        ] {
            assert_eq!(kept(text), (text.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn what_jsonb_changes_keeps_its_text() {
        for text in [
            "1.50",
            "-0",
            "-0.0",
            "1e2",
            "1E400",
            r#"{"b":1,"a":2}"#,
            r#"{"aa":1,"b":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a": 1}"#,
            "\"é\"",
            r#""\/""#,
            r#""\u00E9""#,
            "[1, 2]",
        ] {
            assert_eq!(kept(text), (text.to_owned(), true), "{text}");
        }
    }

    #[test]
    fn what_jsonb_refuses_is_only_in_the_text() {
        let long = format!("1{}", "0".repeat(4299));
        assert_eq!(kept(&long), (long.clone(), false), "the longest integer of the wire");
        for text in [
            "NaN",
            "-Infinity",
            "[Infinity]",
            "1e401",
            "1e-99999999999",
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\udc00\ud800""#,
            r#""\ud800\u0041""#,
        ] {
            assert_eq!(kept(text), ("{}".to_owned(), true), "{text}");
        }
        assert_eq!(
            kept(r#""\\u0000""#),
            (r#""\\u0000""#.to_owned(), false),
            "an escaped backslash"
        );
    }
}
