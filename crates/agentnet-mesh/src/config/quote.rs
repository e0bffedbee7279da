//! Texts of a configuration as messages show them.

/// Characters of a text that a message shows.
const MAX_QUOTED: usize = 60;

/// A text on one line, cut, in double quotes.
pub(crate) fn quote(text: &str) -> String {
    format!("{:?}", shorten(text))
}

/// The beginning of a text that may be long.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_are_cut_and_escaped() {
        assert_eq!(quote("a\n\u{1b}"), "\"a\\n\\u{1b}\"");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), MAX_QUOTED + 3);
    }
}
