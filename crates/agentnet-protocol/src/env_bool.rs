//! Booleans in environment variables (PROTOCOL.md section 15).

/// Whether the text, trimmed and in any case, is one of `1`, `true`, `yes`, `y`, `on`.
#[must_use]
pub fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "y" | "on"
    )
}

/// Reads a boolean: true as [`is_true`], false for `0`, `false`, `no`, `n`, `off` and an empty text; `None` for anything else,
/// so that a typing error is reported and does not turn a setting off.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    let no = matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "" | "0" | "false" | "no" | "n" | "off"
    );
    if no { Some(false) } else { is_true(text).then_some(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_is_false() {
        for text in ["1", "TRUE", " yes\n", "y", "On"] {
            assert!(is_true(text), "{text}");
        }
        for text in ["", "0", "2", "false", "no", "off", "truth"] {
            assert!(!is_true(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_boolean() {
        for text in ["1", "TRUE", " yes\n", "y", "On"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["", " ", "0", "FALSE", "no", "n", " off"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["maybe", "2", "ture", "enabled", "-"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }
}
