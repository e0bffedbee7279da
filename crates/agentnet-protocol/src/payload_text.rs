//! The text of a reply (PROTOCOL.md section 17, `SDKResult.text`).

use crate::json::{self, Object, Value};

/// The trimmed text of a text payload, of an object's `text`, or, when that is no text, of its `error`. A blank `text` hides
/// the `error`. `None` where there is none.
#[must_use]
pub fn extract_text(payload: &Value<'_>) -> Option<String> {
    let text = match payload.as_object() {
        None => payload.as_str(),
        Some(object) => object.get("text").as_str().or_else(|| object.get("error").as_str()),
    }?;
    Some(json::trim(&text))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The code of a reply that reports a failure: the trimmed text of a truthy `error` member, whatever the reply's kind.
#[must_use]
pub fn extract_error(payload: &Value<'_>) -> Option<String> {
    let error = payload
        .as_object()
        .map(|object: Object<'_>| object.get("error").text())?;
    Some(json::trim(&error))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_whatever_their_type() {
        let cases = [
            (r#"{"error":" busy "}"#, Some("busy")),
            (r#"{"error":5}"#, Some("5")),
            (r#"{"error":""}"#, None),
            (r#"{"error":null}"#, None),
            (r#"{"text":"x"}"#, None),
            (r#""error""#, None),
        ];
        for (payload, expected) in cases {
            assert_eq!(
                extract_error(&Value::parse(payload).unwrap()).as_deref(),
                expected,
                "{payload}"
            );
        }
    }
}
