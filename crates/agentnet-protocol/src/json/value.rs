//! A view of one value in validated text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{JsonError, text, validate};

/// One JSON value as a view of validated text. Copying it copies a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a str,
}

/// What a value is. Numbers carry their text: integers and doubles are different things (section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `null`, or a missing member.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A literal without `.`, `e` or `E`.
    Integer(&'a str),
    /// Any other number, the non-finite ones included.
    Float(&'a str),
    /// A string in double quotes.
    String,
    /// An array of values.
    Array,
    /// An object of named members.
    Object,
}

impl<'a> Value<'a> {
    /// The null value; also what a missing member reads as.
    pub const NULL: Value<'static> = Value { raw: "null" };

    /// Checks the text and gives a view of its one value.
    ///
    /// # Errors
    /// [`JsonError`] with the offset of the first fault.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        let (start, end) = validate::document(text.as_bytes())?;
        Ok(Self { raw: &text[start..end] })
    }

    /// A view of text that has been checked before.
    pub(crate) fn validated(raw: &'a str) -> Self {
        Self { raw }
    }

    /// Checks `text` in one pass and visits the members of its object; `false` if it is JSON but no object.
    pub(crate) fn walk_object(text: &'a str, mut visit: impl FnMut(Self, Self)) -> Result<bool, JsonError> {
        let bytes = text.as_bytes();
        let start = validate::skip_space(bytes, 0);
        if bytes.get(start) != Some(&b'{') {
            return validate::document(bytes).map(|_| false);
        }
        let end = validate::members(bytes, start, 0, |key, value| {
            visit(
                Self {
                    raw: &text[key.0..key.1],
                },
                Self {
                    raw: &text[value.0..value.1],
                },
            );
        })?;
        let rest = validate::skip_space(bytes, end);
        if rest == bytes.len() {
            Ok(true)
        } else {
            Err(JsonError::Syntax {
                offset: rest,
                expected: "the end of the text",
            })
        }
    }

    /// Whether it is a string with this text.
    fn is_text(&self, expected: &str) -> bool {
        self.string_content()
            .is_some_and(|content| content == expected || (content.contains('\\') && text::decode(content) == expected))
    }

    /// The exact text of the value.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind<'a> {
        match self.raw.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') | None => Kind::Null,
            _ if self.raw.bytes().all(|b| b == b'-' || b.is_ascii_digit()) => Kind::Integer(self.raw),
            _ => Kind::Float(self.raw),
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The decoded text of a string; lone surrogates read as U+FFFD.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        self.string_content().map(text::decode)
    }

    /// The content between the quotes of a string, escapes as written.
    pub(crate) fn string_content(&self) -> Option<&'a str> {
        let content = self.raw.strip_prefix('"')?;
        content.strip_suffix('"')
    }

    /// The members of an object.
    #[must_use]
    pub fn as_object(&self) -> Option<Object<'a>> {
        if !self.raw.starts_with('{') {
            return None;
        }
        let mut members = Vec::new();
        let raw = self.raw;
        // Checked before: the walk cannot fail, and a failure would only end it early.
        let _ = validate::members(raw.as_bytes(), 0, 0, |key, value| {
            members.push((
                Value {
                    raw: &raw[key.0..key.1],
                },
                Value {
                    raw: &raw[value.0..value.1],
                },
            ));
        });
        Some(Object { members })
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<Array<'a>> {
        self.raw.starts_with('[').then_some(Array { raw: self.raw, at: 1 })
    }
}

/// The members of one object, in the order written.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    members: Vec<(Value<'a>, Value<'a>)>,
}

impl<'a> Object<'a> {
    /// Checks a body and gives its members; an empty body is an empty object (section 4.1), any other value than an object
    /// is `None`.
    ///
    /// # Errors
    /// [`JsonError`] where the text is not JSON.
    pub fn parse_body(body: &'a [u8]) -> Result<Option<Self>, JsonError> {
        if body.is_empty() {
            return Ok(Some(Self { members: Vec::new() }));
        }
        let text = std::str::from_utf8(body).map_err(|_| JsonError::Utf8)?;
        Ok(Value::parse(text)?.as_object())
    }

    /// The member with this name; null when missing. Of equal names the last one counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Value<'a> {
        self.members
            .iter()
            .rev()
            .find(|(key, _)| key.is_text(name))
            .map_or(Value::NULL, |(_, value)| *value)
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Names (as string values) and values, duplicates included, as written.
    pub fn iter(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + '_ {
        self.members.iter().copied()
    }

    /// Names and values as a Python dict would hold them: each name once, at its first place, with its last value.
    #[must_use]
    pub fn unique(&self) -> Vec<(Value<'a>, Value<'a>)> {
        let mut places: HashMap<Cow<'a, [u8]>, usize> = HashMap::with_capacity(self.members.len());
        let mut unique: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(self.members.len());
        for (key, value) in &self.members {
            match places.entry(text::sort_key(key.string_content().unwrap_or_default())) {
                std::collections::hash_map::Entry::Occupied(place) => unique[*place.get()].1 = *value,
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(unique.len());
                    unique.push((*key, *value));
                }
            }
        }
        unique
    }
}

/// The items of one array, in order.
#[derive(Debug, Clone)]
pub struct Array<'a> {
    raw: &'a str,
    at: usize,
}

impl<'a> Iterator for Array<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let bytes = self.raw.as_bytes();
        let start = validate::skip_space(bytes, self.at);
        // Checked before: only the closing bracket can fail to be a value here.
        let end = validate::value(bytes, start, 0).ok()?;
        let next = validate::skip_space(bytes, end);
        self.at = if bytes.get(next) == Some(&b',') { next + 1 } else { next };
        Some(Value {
            raw: &self.raw[start..end],
        })
    }
}
