//! What counts as true in an environment variable (PROTOCOL.md section 15).

/// Whether a text is one of `1`, `true`, `yes`, `y`, `on`, trimmed, in whatever case.
#[must_use]
pub fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "y" | "on"
    )
}

/// Whether a text says yes (as [`is_true`]) or no (`0`, `false`, `no`, `n`, `off`, or nothing); `None` if it says neither, so
/// that a slip is refused instead of turning something off.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
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
    fn what_says_neither_yes_nor_no_is_neither() {
        for text in ["1", "TRUE", " yes\n", "y", "On"] {
            assert_eq!(truth(text), Some(true), "{text}");
        }
        for text in ["", " ", "0", "FALSE", "no", "n", " off"] {
            assert_eq!(truth(text), Some(false), "{text}");
        }
        for text in ["maybe", "2", "ture", "enabled", "-"] {
            assert_eq!(truth(text), None, "{text}");
        }
    }
}
