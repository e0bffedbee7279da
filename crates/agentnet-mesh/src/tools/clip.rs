//! Limits of texts that a model is shown, and removal of secrets from them.

use serde_json::Value;

/// The first characters of a text, with an ellipsis where some are missing.
pub(super) fn clip(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The longest beginning of a text whose JSON form, without its quotes, has at most so many bytes.
pub(super) fn json_prefix(text: &str, max_bytes: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            control if control < ' ' => 6,
            other => other.len_utf8(),
        };
        if used > max_bytes {
            return &text[..at];
        }
    }
    text
}

/// Secrets that must not appear in what a tool returns, such as a token that a server echoes.
#[derive(Clone, Default)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

/// A shorter value is a word of everyday text rather than a secret.
const MIN_SECRET_LEN: usize = 6;
/// Variables of an environment whose values are everyday text.
const PLAIN_VARIABLES: [&str; 11] = [
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

impl Redactor {
    /// Adds a secret; of `Bearer TOKEN` the token counts too, and of several lines each.
    pub(super) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        let token = secret.rsplit_once(' ').map_or("", |(_, token)| token);
        for text in [secret, token].into_iter().chain(secret.lines().map(str::trim)) {
            if text.len() >= MIN_SECRET_LEN && !self.secrets.iter().any(|known| known == text) {
                self.secrets.push(text.to_owned());
            }
        }
        // The longest first, so that no rest of it stays.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Adds the value of a variable of a program's environment, which may be a key: of all but some well-known ones.
    pub(super) fn add_variable(&mut self, name: &str, value: &str) {
        if !PLAIN_VARIABLES.contains(&name) && !name.starts_with("LC_") {
            self.add(value);
        }
    }

    /// The text with `***` in place of the secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.secrets {
            if clean.contains(secret.as_str()) {
                clean = clean.replace(secret.as_str(), "***");
            }
        }
        clean
    }

    /// The beginning of a longer text, with `***` also in place of a secret that the cut has left in part.
    pub(super) fn clean_beginning(&self, text: &str) -> String {
        let mut clean = self.clean(text);
        let cut = self
            .secrets
            .iter()
            .filter_map(|secret| cut_secret(&clean, secret))
            .max();
        if let Some(length) = cut {
            clean.truncate(clean.len() - length);
            clean.push_str("***");
        }
        clean
    }

    /// The value with `***` in place of the secrets in its texts.
    pub(super) fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.clean_value(item)).collect(),
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name, self.clean_value(value)))
                    .collect(),
            ),
            plain => plain,
        }
    }
}

/// Bytes at the end of a text that are the beginning of a secret.
fn cut_secret(text: &str, secret: &str) -> Option<usize> {
    (MIN_SECRET_LEN..secret.len())
        .rev()
        .find(|length| secret.get(..*length).is_some_and(|beginning| text.ends_with(beginning)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abc", 3, "abc")]
    #[case("abcd", 3, "abc…")]
    #[case("äöü", 2, "äö…")]
    #[case("", 0, "")]
    fn a_text_is_clipped_by_characters(#[case] text: &str, #[case] max: usize, #[case] expected: &str) {
        assert_eq!(clip(text, max), expected);
    }

    #[rstest]
    #[case("abc", 2)]
    #[case("a\"b\\c\n\u{1}ä€😀", 7)]
    #[case("\u{0}\u{0}\u{0}", 13)]
    fn a_prefix_fits_in_its_json_form(#[case] text: &str, #[case] max: usize) {
        let prefix = json_prefix(text, max);
        let json = serde_json::to_string(prefix).unwrap();
        assert!(json.len() - 2 <= max, "{json}");
        let next: String = text.chars().take(prefix.chars().count() + 1).collect();
        assert!(
            serde_json::to_string(&next).unwrap().len() - 2 > max,
            "{next:?} would have fitted"
        );
    }

    #[test]
    fn secrets_are_removed() {
        let mut redactor = Redactor::default();
        redactor.add("Bearer sk-123456789");
        redactor.add("no");
        assert_eq!(redactor.clean("no: Bearer sk-123456789, sk-123456789"), "no: ***, ***");
    }

    #[test]
    fn each_line_of_a_secret_is_removed() {
        let mut redactor = Redactor::default();
        redactor.add("-----BEGIN KEY-----\nMC4CAQAwBQ\n");
        assert_eq!(redactor.clean("MC4CAQAwBQ and\n-----BEGIN KEY-----"), "*** and\n***");
    }

    #[rstest]
    #[case("the key is sk-1234", "the key is ***")]
    #[case("the key is sk-123456789", "the key is ***")]
    #[case("the key is sk-12", "the key is sk-12")]
    fn a_secret_that_is_cut_is_removed(#[case] text: &str, #[case] expected: &str) {
        let mut redactor = Redactor::default();
        redactor.add("sk-123456789");
        assert_eq!(redactor.clean_beginning(text), expected);
    }

    #[test]
    fn everyday_variables_are_no_secrets() {
        let mut redactor = Redactor::default();
        for (name, value) in [
            ("HOME", "/home/me"),
            ("LC_ALL", "en_US.UTF-8"),
            ("API_KEY", "sk-123456789"),
        ] {
            redactor.add_variable(name, value);
        }
        assert_eq!(
            redactor.clean("/home/me en_US.UTF-8 sk-123456789"),
            "/home/me en_US.UTF-8 ***"
        );
    }
}
