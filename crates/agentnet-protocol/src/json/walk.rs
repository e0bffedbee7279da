//! Rewrites the value of a validated text in another form, in one pass. A loop, not a recursion: nesting costs no stack, and
//! no text is read twice because it is nested deeply.

use std::borrow::Cow;
use std::ops::Range;

use super::escape::literal;
use super::number::{float_text, parse};
use super::python_scalar::scalar_repr;
use super::sink::Sink;
use super::value::{Kind, Value};
use super::{text, validate};

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
    pub(super) python: bool,
}

/// An array or object that is being written.
struct Level<'a> {
    /// Where its content starts in the output.
    start: usize,
    /// The members so far; `None` for an array.
    members: Option<Vec<Member<'a>>>,
}

/// Where a member stands in the output, name included.
struct Member<'a> {
    /// The content of the name's literal.
    name: &'a str,
    span: Range<usize>,
}

impl<'a> Level<'a> {
    fn new(start: usize, object: bool) -> Self {
        Self {
            start,
            members: object.then(Vec::new),
        }
    }

    fn is_object(&self) -> bool {
        self.members.is_some()
    }

    /// Notes that the value which was being written is complete.
    fn end_member(&mut self, position: usize) {
        if let Some(member) = self.members.iter_mut().flatten().next_back() {
            member.span.end = position;
        }
    }

    /// Leaves each name once, with its last value: at its first place, or where the order of names puts it.
    fn arrange(&self, style: Style, out: &mut impl Sink) {
        let Some(members) = self.members.as_deref().filter(|members| members.len() > 1) else {
            return;
        };
        let mut names: Vec<(Cow<'_, [u8]>, usize)> = members
            .iter()
            .enumerate()
            .map(|(index, member)| (text::sort_key(member.name), index))
            .collect();
        names.sort_unstable();
        // The first and the last member of each name.
        let mut places: Vec<(usize, usize)> = names
            .chunk_by(|a, b| a.0 == b.0)
            .map(|equal| (equal[0].1, equal[equal.len() - 1].1))
            .collect();
        if !style.sorted {
            places.sort_unstable();
        }
        if places.iter().map(|(_, last)| *last).eq(0..members.len()) {
            return;
        }
        let parts: Vec<Range<usize>> = places.iter().map(|(_, last)| members[*last].span.clone()).collect();
        out.rearrange(self.start, &parts, style.item);
    }
}

/// Writes a value in a style.
pub(super) fn walk(value: &Value<'_>, style: Style, out: &mut impl Sink) {
    let raw = value.raw();
    let bytes = raw.as_bytes();
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut at = 0;
    'value: loop {
        match bytes.get(at) {
            Some(bracket @ (b'[' | b'{')) => {
                let object = *bracket == b'{';
                out.push(if object { "{" } else { "[" });
                levels.push(Level::new(out.position(), object));
                at = validate::skip_space(bytes, at + 1);
                if !matches!(bytes.get(at), Some(b']' | b'}')) {
                    at = name(raw, at, levels.last_mut(), style, out);
                    continue;
                }
            }
            _ => {
                // Checked before: it cannot fail.
                let end = validate::value(bytes, at, 0).unwrap_or(bytes.len());
                scalar(&Value::validated(&raw[at..end]), style, out);
                at = end;
            }
        }
        while let Some(level) = levels.last_mut() {
            level.end_member(out.position());
            at = validate::skip_space(bytes, at);
            if bytes.get(at) == Some(&b',') {
                out.push(style.item);
                at = name(raw, validate::skip_space(bytes, at + 1), Some(level), style, out);
                continue 'value;
            }
            level.arrange(style, out);
            out.push(if level.is_object() { "}" } else { "]" });
            levels.pop();
            at += 1;
        }
        return;
    }
}

/// Writes the name of the member that starts at `at`, if this is an object, and returns where the value starts.
fn name<'a>(raw: &'a str, at: usize, level: Option<&mut Level<'a>>, style: Style, out: &mut impl Sink) -> usize {
    let Some(members) = level.and_then(|level| level.members.as_mut()) else {
        return at;
    };
    // Checked before: it cannot fail.
    let (end, value) = validate::name(raw.as_bytes(), at).unwrap_or((raw.len(), raw.len()));
    let literal = Value::validated(&raw[at..end]);
    let start = out.position();
    members.push(Member {
        name: literal.string_content().unwrap_or_default(),
        span: start..start,
    });
    scalar(&literal, style, out);
    out.push(style.member);
    value
}

/// Writes a value that is neither array nor object.
fn scalar(value: &Value<'_>, style: Style, out: &mut impl Sink) {
    if style.python {
        return out.push(&scalar_repr(value));
    }
    match value.kind() {
        Kind::Integer("-0") => out.push("0"),
        Kind::Float(text) => out.push(&float_text(parse(text))),
        Kind::String => literal(value.string_content().unwrap_or_default(), out),
        _ => out.push(value.raw()),
    }
}
