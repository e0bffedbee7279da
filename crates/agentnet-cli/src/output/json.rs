//! Formatting JSON text: on one line or indented, with numbers and payloads unchanged. The non-JSON numbers of Python become
//! strings (`"NaN"`, `"Infinity"`, `"-Infinity"`), and invisible characters are escaped.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use agentnet_protocol::RawJson;
use agentnet_protocol::json::{JsonError, Value};
use agentnet_protocol::preview::visible::is_unseen;

/// The JSON text on one line.
pub(crate) fn one_line(json: &str) -> String {
    laid_out(json, Layout::OneLine)
}

/// The JSON text on one line, with each string cut to `max_chars` characters as written; `…` stands for the rest.
pub(crate) fn bounded_line(json: &str, max_chars: usize) -> String {
    let line = one_line(json);
    if line.len() <= max_chars {
        return line;
    }
    let mut out = String::with_capacity(line.len().min(2 * max_chars));
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c != '"' {
            continue;
        }
        let mut left = max_chars;
        let mut is_cut = false;
        while let Some(inner) = chars.next().filter(|inner| *inner != '"') {
            let mut written = String::from(inner);
            if inner == '\\' {
                let escaped = chars.next();
                written.extend(escaped);
                let digits = if escaped == Some('u') { 4 } else { 0 };
                written.extend(chars.by_ref().take(digits));
            }
            is_cut |= written.chars().count() > left;
            if !is_cut {
                left -= written.chars().count();
                out.push_str(&written);
            }
        }
        out.push_str(if is_cut { "…\"" } else { "\"" });
    }
    out
}

/// The JSON text on several lines, indented by two spaces a level; numbers, strings and member order are unchanged.
pub(crate) fn indented(json: &RawJson) -> String {
    laid_out(json.get(), Layout::Indented)
}

/// Checks that bytes are one JSON value.
///
/// # Errors
/// They are not.
pub(crate) fn checked(body: &[u8]) -> Result<&str, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::Utf8)?;
    Value::parse(text).map(|value| value.raw())
}

/// The payload with its string escapes resolved.
pub(crate) fn unescaped(payload: &RawJson) -> String {
    serde_json::from_str::<serde_json::Value>(payload.get())
        .map_or_else(|_| payload.get().to_owned(), |value| value.to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    OneLine,
    Indented,
}

/// The JSON text with changed white space between its tokens.
pub(super) fn laid_out(json: &str, layout: Layout) -> String {
    let pretty = layout == Layout::Indented;
    let mut out = String::with_capacity(if pretty { json.len() * 2 } else { json.len() });
    let mut depth = 0_usize;
    let line = |out: &mut String, depth: usize| {
        if pretty {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => {
                            out.push(inner);
                            out.extend(chars.next());
                        }
                        '"' => {
                            out.push(inner);
                            break;
                        }
                        inner if inner.is_control() || is_unseen(inner) => escape(&mut out, inner),
                        inner => out.push(inner),
                    }
                }
            }
            // Python writes these, JSON does not allow them. The `-` of `-Infinity` is written already.
            'N' => number_text(&mut out, &mut chars, "NaN"),
            'I' => number_text(&mut out, &mut chars, "Infinity"),
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(if pretty { ": " } else { ":" }),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// Writes the escape of an invisible or control character, which does not change the string.
fn escape(out: &mut String, c: char) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Writes `NaN`, `Infinity` or `-Infinity` as a string: `"NaN"`.
fn number_text(out: &mut String, rest: &mut Peekable<Chars<'_>>, name: &str) {
    while rest.next_if(char::is_ascii_alphabetic).is_some() {}
    let sign = if out.ends_with('-') { "-" } else { "" };
    out.truncate(out.len() - sign.len());
    let _ = write!(out, "\"{sign}{name}\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_changes_nothing_but_white_space() {
        let json = r#"{"n":123456789012345678901234567890,"f":1.50,"t":"a, b:{\"}\\","e":{},"l":[],"d":[1e2,[null,{"x":true}]]}"#;
        let expected = r#"{
  "n": 123456789012345678901234567890,
  "f": 1.50,
  "t": "a, b:{\"}\\",
  "e": {},
  "l": [],
  "d": [
    1e2,
    [
      null,
      {
        "x": true
      }
    ]
  ]
}"#;
        for text in [json, expected] {
            assert_eq!(laid_out(text, Layout::Indented), expected);
            assert_eq!(laid_out(text, Layout::OneLine), json);
        }
        assert_eq!(laid_out(" [ ] ", Layout::Indented), "[]");
        assert_eq!(indented(&RawJson::parse(" 5 ").unwrap()), "5");
    }

    #[test]
    fn what_json_has_not_becomes_a_text() {
        for (json, shown) in [
            (
                r#"{"a":NaN,"b":[Infinity,-Infinity, NaN],"c":"NaN -Infinity"}"#,
                r#"{"a":"NaN","b":["Infinity","-Infinity","NaN"],"c":"NaN -Infinity"}"#,
            ),
            ("NaN", "\"NaN\""),
            ("[-Infinity]", "[\"-Infinity\"]"),
            ("[-1e400,-0]", "[-1e400,-0]"),
            (
                "{\"\u{200b}a\":\"\u{202e}\u{9b}\u{e0041}\u{7f}日\"}",
                r#"{"\u200ba":"\u202e\u009b\udb40\udc41\u007f日"}"#,
            ),
        ] {
            assert_eq!(one_line(json), shown);
            assert!(serde_json::from_str::<serde_json::Value>(&one_line(json)).is_ok() || json.contains("1e400"));
        }
    }

    #[test]
    fn texts_of_a_bounded_line_are_cut() {
        let long = format!(
            r#"{{"a":"{}","b":"x\u001b\n\"y\"","n":1,"{}":["z"]}}"#,
            "ä".repeat(99),
            "k".repeat(20)
        );
        let expected = format!(
            r#"{{"a":"{}…","b":"x\u001b\n\"…","n":1,"{}…":["z"]}}"#,
            "ä".repeat(11),
            "k".repeat(11)
        );
        assert_eq!(bounded_line(&long, 11), expected);
        assert_eq!(bounded_line(&long, 999), long);
    }

    #[test]
    fn only_json_passes_the_check() {
        assert_eq!(checked(b" {\"a\": 1} ").unwrap(), "{\"a\": 1}");
        for body in [b"\xff\xfe".as_slice(), b"hello", b"", b"{\"a\":"] {
            assert!(checked(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn escapes_are_read() {
        let payload = RawJson::parse(r#"{"text":"Caf\u00e9"}"#).unwrap();
        assert_eq!(unescaped(&payload), r#"{"text":"Café"}"#);
    }
}
