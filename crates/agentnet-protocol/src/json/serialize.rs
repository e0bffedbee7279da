//! Writing a value again: wire, persisted and canonical form (PROTOCOL.md sections 4.2, 4.4, 4.5).

use std::borrow::Cow;

use super::byte_run::run;
use super::escape::char_escape;
use super::sink::ByteCount;
use super::value::Value;
use super::walk::{Style, walk};

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
    let mut length = ByteCount(0);
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
