//! Writing a value again: wire, persisted and canonical form (PROTOCOL.md sections 4.2, 4.4, 4.5).

use std::borrow::Cow;

use super::number::{float_text, parse};
use super::text::{self, Piece};
use super::value::{Kind, Value};

/// Where text goes: a buffer, or just its length.
trait Sink {
    fn push(&mut self, text: &str);
}

impl Sink for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Counts bytes instead of keeping them.
struct Length(usize);

impl Sink for Length {
    fn push(&mut self, text: &str) {
        self.0 += text.len();
    }
}

#[derive(Clone, Copy)]
struct Style {
    item: &'static str,
    member: &'static str,
    sorted: bool,
}

const COMPACT: Style = Style {
    item: ",",
    member: ":",
    sorted: false,
};
const PERSISTED: Style = Style {
    item: ", ",
    member: ": ",
    sorted: false,
};
const CANONICAL: Style = Style {
    item: ",",
    member: ":",
    sorted: true,
};

/// The form that is signed and hashed: compact, ASCII, members sorted by code point (section 4.4).
#[must_use]
pub fn canonical(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    emit(value, CANONICAL, &mut out);
    out
}

/// The form that Python puts on the wire: compact, ASCII, members in order (section 4.2).
#[must_use]
pub fn wire(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    emit(value, COMPACT, &mut out);
    out
}

/// The form whose length counts towards a thread's size: `", "` and `": "`, ASCII, members in order (section 4.5).
#[must_use]
pub fn persisted(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    emit(value, PERSISTED, &mut out);
    out
}

/// The length of [`persisted`] in bytes, without building it.
#[must_use]
pub fn persisted_len(value: &Value<'_>) -> usize {
    let mut length = Length(0);
    emit(value, PERSISTED, &mut length);
    length.0
}

/// The same JSON text with every character outside U+0020 to U+007E written as an escape (section 4.2); numbers, order and
/// white space stay as they are. Borrowed when there is nothing to do.
#[must_use]
pub fn ascii(json: &str) -> Cow<'_, str> {
    let Some(first) = json.bytes().position(|b| b >= 0x7f) else {
        return Cow::Borrowed(json);
    };
    let mut out = String::with_capacity(json.len() + json.len() / 2);
    out.push_str(&json[..first]);
    for c in json[first..].chars() {
        if u32::from(c) < 0x7f {
            out.push(c)
        } else {
            char_escape(c, &mut out)
        }
    }
    Cow::Owned(out)
}

fn emit(value: &Value<'_>, style: Style, out: &mut impl Sink) {
    match value.kind() {
        Kind::Null => out.push("null"),
        Kind::Bool(true) => out.push("true"),
        Kind::Bool(false) => out.push("false"),
        Kind::Integer("-0") => out.push("0"),
        Kind::Integer(text) => out.push(text),
        Kind::Float(text) => out.push(&float_text(parse(text))),
        Kind::String => literal(value, out),
        Kind::Array => {
            out.push("[");
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push(style.item);
                }
                emit(&item, style, out);
            }
            out.push("]");
        }
        Kind::Object => {
            let mut members = value.as_object().map(|object| object.unique()).unwrap_or_default();
            if style.sorted {
                members.sort_by_cached_key(|(key, _)| {
                    text::sort_key(key.string_content().unwrap_or_default()).into_owned()
                });
            }
            out.push("{");
            for (index, (key, item)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(style.item);
                }
                literal(key, out);
                out.push(style.member);
                emit(item, style, out);
            }
            out.push("}");
        }
    }
}

fn literal(value: &Value<'_>, out: &mut impl Sink) {
    out.push("\"");
    for piece in text::pieces(value.string_content().unwrap_or_default()) {
        match piece {
            Piece::Plain(run) => escaped(run, out),
            Piece::Unit(unit) => unit_escape(unit, out),
        }
    }
    out.push("\"");
}

/// Writes text as the content of an ASCII string literal.
pub(super) fn escape_into(text: &str, out: &mut String) {
    escaped(text, out);
}

fn escaped(text: &str, out: &mut impl Sink) {
    let mut plain = 0;
    for (index, c) in text.char_indices() {
        if matches!(c, ' '..='~') && c != '"' && c != '\\' {
            continue;
        }
        out.push(&text[plain..index]);
        char_escape(c, out);
        plain = index + c.len_utf8();
    }
    out.push(&text[plain..]);
}

fn char_escape(c: char, out: &mut impl Sink) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        unit_escape(*unit, out);
    }
}

fn unit_escape(unit: u16, out: &mut impl Sink) {
    match unit {
        0x22 => out.push("\\\""),
        0x5c => out.push("\\\\"),
        0x0a => out.push("\\n"),
        0x0d => out.push("\\r"),
        0x09 => out.push("\\t"),
        0x0c => out.push("\\f"),
        0x08 => out.push("\\b"),
        0x20..=0x7e => out.push(char::from(unit as u8).encode_utf8(&mut [0; 4])),
        _ => out.push(&format!("\\u{unit:04x}")),
    }
}
