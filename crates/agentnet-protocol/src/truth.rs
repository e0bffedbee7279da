//! What counts as true in an environment variable (PROTOCOL.md section 15).

/// Whether a text is one of `1`, `true`, `yes`, `y`, `on`, trimmed, in whatever case.
#[must_use]
pub fn is_true(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "y" | "on"
    )
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
}
