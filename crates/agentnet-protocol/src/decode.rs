//! Decoding of the records of PROTOCOL.md section 5: reads a body in one pass and turns members into text.

use bytes::Bytes;

use crate::Text;
use crate::json::{JsonError, Value};
use crate::limits::TooLarge;

/// Why a body is not the record that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON at all.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A member has a type that cannot be read.
    #[error("`{member}` {problem}")]
    Member {
        /// Name of the member on the wire.
        member: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A text of a reply is larger than it may be.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Checks a body in one pass and picks the values of the named members; of equal names the last one counts.
pub(crate) fn pick<'t, const N: usize>(
    body: &'t Text,
    names: &[&str; N],
) -> Result<[Option<Value<'t>>; N], DecodeError> {
    let mut values = [None; N];
    if body.is_empty() {
        return Ok(values);
    }
    // Senders write the members in one order and leave some out: the next one is rarely far.
    let mut next = 0;
    Value::walk_object(body, |key, value| {
        let Some(key) = key.as_str() else { return };
        let place = |range: std::ops::Range<usize>| range.into_iter().find(|index| names[*index] == key);
        if let Some(index) = place(next..N).or_else(|| place(0..next)) {
            values[index] = Some(value);
            next = index + 1;
        }
    })?
    .then_some(values)
    .ok_or(DecodeError::NotAnObject)
}

pub(crate) fn body_text(body: Bytes) -> Result<Text, DecodeError> {
    Text::try_from(body).map_err(|_| JsonError::Utf8.into())
}

/// `S(x)`, sharing the body's buffer where the text stands there as it is.
pub(crate) fn shared_text(body: &Text, value: Option<Value<'_>>) -> Text {
    let Some(value) = value else { return Text::new() };
    match value.string_content() {
        Some(content) if !content.contains('\\') => body.slice_ref(content),
        _ => Text::from(value.text().into_owned()),
    }
}

/// `S?(x)`, sharing the body's buffer where possible.
pub(crate) fn shared_opt_text(body: &Text, value: Option<Value<'_>>) -> Option<Text> {
    Some(shared_text(body, value)).filter(|text| !text.is_empty())
}
