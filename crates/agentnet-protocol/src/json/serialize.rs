//! Writing a value again: wire, persisted and canonical form (PROTOCOL.md sections 4.2, 4.4, 4.5).

use std::borrow::Cow;
use std::ops::Range;

use super::byte_run::{in_ascii_literal, run};
use super::number::{float_text, parse};
use super::python_coercion::python_scalar;
use super::text::{self, Piece};
use super::value::{Kind, Value};
use super::walk::walk;

/// Where text goes: a buffer, or just its length.
pub(super) trait Sink {
    fn push(&mut self, text: &str);

    /// How many bytes were pushed.
    fn position(&self) -> usize;

    /// Replaces all from `start` on by these parts of it, with a separator between them.
    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str);
}

impl Sink for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }

    fn position(&self) -> usize {
        self.len()
    }

    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str) {
        let mut arranged = String::with_capacity(self.len() - start);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                arranged.push_str(separator);
            }
            arranged.push_str(&self[part.clone()]);
        }
        self.truncate(start);
        self.push_str(&arranged);
    }
}

/// Counts bytes instead of keeping them.
struct Length(usize);

impl Sink for Length {
    fn push(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn position(&self) -> usize {
        self.0
    }

    fn rearrange(&mut self, start: usize, parts: &[Range<usize>], separator: &str) {
        let kept: usize = parts.iter().map(Range::len).sum();
        self.0 = start + kept + separator.len() * parts.len().saturating_sub(1);
    }
}

/// How a value is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Between two items or members.
    pub(super) item: &'static str,
    /// Between a name and its value.
    pub(super) member: &'static str,
    /// Whether members are ordered by code point of their names.
    pub(super) sorted: bool,
    /// Python's `repr` instead of JSON.
    python: bool,
}

const COMPACT: Style = Style {
    item: ",",
    member: ":",
    sorted: false,
    python: false,
};
const PERSISTED: Style = Style {
    item: ", ",
    member: ": ",
    ..COMPACT
};
const CANONICAL: Style = Style {
    sorted: true,
    ..COMPACT
};
const PYTHON: Style = Style {
    python: true,
    ..PERSISTED
};

/// The form that is signed and hashed: compact, ASCII, members sorted by code point (section 4.4).
#[must_use]
pub fn canonical(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    walk(value, CANONICAL, &mut out);
    out
}

/// The form that Python puts on the wire: compact, ASCII, members in order (section 4.2).
#[must_use]
pub fn wire(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    walk(value, COMPACT, &mut out);
    out
}

/// The form whose length counts towards a thread's size: `", "` and `": "`, ASCII, members in order (section 4.5).
#[must_use]
pub fn persisted(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    walk(value, PERSISTED, &mut out);
    out
}

/// The length of [`persisted`] in bytes, without building it.
#[must_use]
pub fn persisted_len(value: &Value<'_>) -> usize {
    let mut length = Length(0);
    walk(value, PERSISTED, &mut length);
    length.0
}

/// Python's `repr` of an array or object.
pub(super) fn python_repr(value: &Value<'_>) -> String {
    let mut out = String::with_capacity(value.raw().len());
    walk(value, PYTHON, &mut out);
    out
}

/// The same JSON text with every character outside U+0020 to U+007E written as an escape (section 4.2); numbers, order and
/// white space stay as they are. Borrowed when there is nothing to do.
#[must_use]
pub fn ascii(json: &str) -> Cow<'_, str> {
    let first = run(json.as_bytes(), |byte| byte < 0x7f);
    if first == json.len() {
        return Cow::Borrowed(json);
    }
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

/// Writes a value that is neither array nor object.
pub(super) fn scalar(value: &Value<'_>, style: Style, out: &mut impl Sink) {
    if style.python {
        return out.push(&python_scalar(value));
    }
    match value.kind() {
        Kind::Integer("-0") => out.push("0"),
        Kind::Float(text) => out.push(&float_text(parse(text))),
        Kind::String => literal(value, out),
        _ => out.push(value.raw()),
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
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(run(rest.as_bytes(), in_ascii_literal));
        out.push(plain);
        let mut characters = special.chars();
        let Some(character) = characters.next() else { return };
        char_escape(character, out);
        rest = characters.as_str();
    }
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
