//! A payload in one table cell (PROTOCOL.md section 16).

pub mod visible;

use std::borrow::Cow;

use crate::json::{self, Value};

/// The longest preview, in characters.
pub const MAX_LENGTH: usize = 72;

/// The trimmed text of a text payload or of an object's `text`, else the compact JSON; what is longer than [`MAX_LENGTH`]
/// ends in `…`.
#[must_use]
pub fn payload_preview(payload: &Value<'_>) -> String {
    let said = match payload.as_object() {
        None => payload.as_str(),
        Some(object) => object.get("text").as_str().filter(|text| !json::trim(text).is_empty()),
    };
    let whole = said.unwrap_or_else(|| Cow::Owned(json::wire(payload)));
    shortened(json::trim(&whole))
}

/// The text; what is longer than [`MAX_LENGTH`] ends in `…`.
#[must_use]
pub fn shortened(text: &str) -> String {
    if text.chars().nth(MAX_LENGTH).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_LENGTH - 1).chain(['…']).collect()
}
