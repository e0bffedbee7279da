//! Python's `str` and `repr` of values that are neither array nor object.

use std::borrow::Cow;

use super::number;
use super::value::{Kind, Value};

/// Python's `str(x)`; `None` for an array or object.
pub(super) fn scalar_str<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    Some(match value.kind() {
        Kind::String => value.as_str().unwrap_or_default(),
        Kind::Null => Cow::Borrowed("None"),
        Kind::Bool(true) => Cow::Borrowed("True"),
        Kind::Bool(false) => Cow::Borrowed("False"),
        Kind::Integer("-0") => Cow::Borrowed("0"),
        Kind::Integer(text) => Cow::Borrowed(text),
        Kind::Float(text) => Cow::Owned(number::python_str(number::parse(text))),
        Kind::Array | Kind::Object => return None,
    })
}

/// Python's `repr(x)`; empty for an array or object.
pub(super) fn scalar_repr<'a>(value: &Value<'a>) -> Cow<'a, str> {
    match value.as_str() {
        Some(text) => {
            let mut out = String::with_capacity(text.len() + 2);
            quote(&text, &mut out);
            Cow::Owned(out)
        }
        None => scalar_str(value).unwrap_or_default(),
    }
}

fn quote(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == mark => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || matches!(c, '\u{a0}' | '\u{ad}') => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(mark);
}
