//! Estimates of tokens, and cuts of texts.

/// Characters of a token, on average in English.
const CHARS_PER_TOKEN: f64 = 4.0;
/// Rather too many tokens than too few.
const SAFETY_FACTOR: f64 = 1.2;

/// Estimated tokens of a text, rounded up. Outside Latin scripts, a character counts as about one token.
#[must_use]
pub fn tokens(text: &str) -> u64 {
    let weight: u64 = text.chars().map(weight).sum();
    // No text has so many characters that a double could not count them.
    (weight as f64 / CHARS_PER_TOKEN * SAFETY_FACTOR).ceil() as u64
}

fn weight(c: char) -> u64 {
    match c {
        '\0'..='\x7f' => 1,
        '\u{80}'..='\u{7ff}' => 2,
        _ => 4,
    }
}

/// A text of at most so many characters; one that is cut ends in `…`.
#[must_use]
pub fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().nth(max_chars).is_none() {
        return text.to_owned();
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}

/// A text of at most so many estimated tokens; one that is cut says so.
#[must_use]
pub fn cut_to_tokens(text: &str, max_tokens: u64) -> String {
    if tokens(text) <= max_tokens {
        return text.to_owned();
    }
    const MARK: &str = "… (cut)";
    let left = max_tokens.saturating_sub(tokens(MARK));
    // The inverse of the estimate, a little too small.
    let max_weight = left.saturating_mul(10) / 3;
    let mut weighed = 0;
    let kept = text.chars().take_while(|c| {
        weighed += weight(*c);
        weighed <= max_weight
    });
    let mut kept: String = kept.collect();
    kept.push_str(MARK);
    kept
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("", 0)]
    #[case::one("a", 1)]
    #[case::english("twenty characters ok", 6)]
    #[case::accents("éé", 2)]
    #[case::chinese("你好", 3)]
    fn tokens_are_estimated(#[case] text: &str, #[case] expected: u64) {
        assert_eq!(tokens(text), expected);
    }

    #[rstest]
    #[case::fits("abc", 3, "abc")]
    #[case::cut("abcd", 3, "ab…")]
    #[case::nothing("abcd", 0, "…")]
    #[case::wide("äöü!", 2, "ä…")]
    fn texts_are_cut(#[case] text: &str, #[case] max: usize, #[case] expected: &str) {
        assert_eq!(cut(text, max), expected);
    }

    #[test]
    fn a_cut_text_has_no_more_tokens_than_allowed() {
        for text in ["word ".repeat(1_000), "你好".repeat(500), "é".repeat(900)] {
            for max in [10, 50, 200] {
                let cut = cut_to_tokens(&text, max);
                assert!(tokens(&cut) <= max, "{max}: {}", tokens(&cut));
                assert!(tokens(&cut) + 5 >= max && cut.ends_with("(cut)"));
            }
            assert_eq!(cut_to_tokens(&text, 10_000), text);
        }
    }
}
