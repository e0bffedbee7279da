//! `{name}` in the texts of a tool: where its arguments go. `tools/template.rs` fills them in.

use serde_json::Value;

/// Names of the placeholders of a text, in their order. Braces around anything but a name are text, and so are `{{` and `}}`.
pub(super) fn in_text(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        rest = &rest[at..];
        let doubled = rest.starts_with("{{") || rest.starts_with("}}");
        let name = rest[1..].split_once('}').map(|(name, _)| name);
        match name.filter(|name| rest.starts_with('{') && is_argument_name(name)) {
            Some(name) if !doubled => {
                names.push(name);
                rest = &rest[name.len() + 2..];
            }
            _ => rest = &rest[if doubled { 2 } else { 1 }..],
        }
    }
    names
}

/// Names of the placeholders in the texts of a JSON value.
pub(super) fn in_json(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(list) => list.iter().flat_map(in_json).collect(),
        Value::Object(object) => object.values().flat_map(in_json).collect(),
        _ => Vec::new(),
    }
}

/// Whether a text can name an argument.
fn is_argument_name(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case("https://status/{id}", &["id"])]
    #[case("{a}{b}/{a}", &["a", "b", "a"])]
    #[case("{ user { name } }", &[])]
    #[case("{1} {} {a b} {x {-y}", &[])]
    #[case("{{a}} {{{b}}} }{c}", &["b", "c"])]
    #[case("é{a}é", &["a"])]
    fn placeholders_are_names_in_braces(#[case] text: &str, #[case] names: &[&str]) {
        assert_eq!(in_text(text), names);
    }

    #[test]
    fn texts_of_json_have_placeholders() {
        assert_eq!(in_json(&json!({ "a": ["{x}", 1], "b": { "c": "{y}" } })), ["x", "y"]);
    }
}
