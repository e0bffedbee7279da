//! Limits of texts that a model is shown, and removal of secrets from them.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

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
    /// Adds a secret, also as JSON writes it; of `Bearer TOKEN` the token counts too, and of several lines each.
    pub(super) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        let token = secret.rsplit_once(' ').map_or("", |(_, token)| token);
        for text in [secret, token].into_iter().chain(secret.lines().map(str::trim)) {
            if text.len() >= MIN_SECRET_LEN {
                self.add_form(text.to_owned());
                json_forms(text).into_iter().for_each(|form| self.add_form(form));
            }
        }
    }

    fn add_form(&mut self, form: String) {
        if !self.secrets.contains(&form) {
            self.secrets.push(form);
        }
    }

    /// Adds the value of a variable of a program's environment, which may be a key: of all but some well-known ones.
    pub(super) fn add_variable(&mut self, name: &str, value: &str) {
        if !PLAIN_VARIABLES.contains(&name) && !name.starts_with("LC_") {
            self.add(value);
        }
    }

    /// The text with `***` in place of the secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        mask(text, self.find(text))
    }

    /// The beginning of a longer text, with `***` also in place of a secret that the cut has left in part.
    pub(super) fn clean_beginning(&self, text: &str) -> String {
        let mut found = self.find(text);
        // What a cut inside a character leaves of it.
        let kept = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let cut = self.secrets.iter().filter_map(|secret| cut_secret(kept, secret)).max();
        found.extend(cut.map(|length| kept.len() - length..text.len()));
        mask(text, found)
    }

    /// Where secrets stand in a text. One may be a part of another.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let secrets = self.secrets.iter();
        secrets.flat_map(|secret| occurrences(text, secret)).collect()
    }

    /// The value with `***` in place of the secrets in its texts and in the names of its members.
    pub(super) fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.clean_value(item)).collect(),
            Value::Object(members) => Value::Object(self.clean_members(members)),
            plain => plain,
        }
    }

    /// Names and values of members. Of names that become equal, the later ones get a number.
    fn clean_members(&self, members: Map<String, Value>) -> Map<String, Value> {
        let mut clean = Map::with_capacity(members.len());
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for (name, value) in members {
            let mut name = self.clean(&name);
            if clean.contains_key(&name) {
                let number = numbers.entry(name.clone()).or_insert(1);
                name = loop {
                    *number += 1;
                    let numbered = format!("{name} {number}");
                    if !clean.contains_key(&numbered) {
                        break numbered;
                    }
                };
            }
            clean.insert(name, self.clean_value(value));
        }
        clean
    }
}

/// A text as programs write it inside a JSON string: with and without escapes of the characters beyond ASCII and of `/`.
fn json_forms(text: &str) -> Vec<String> {
    let quoted = Value::from(text).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let lower = escape_non_ascii(&json, |unit| format!("\\u{unit:04x}"));
    let upper = escape_non_ascii(&json, |unit| format!("\\u{unit:04X}"));
    [json, lower, upper]
        .into_iter()
        .flat_map(|form| [form.replace('/', "\\/"), form])
        .collect()
}

/// The text with its characters beyond ASCII as escapes, one for each unit of UTF-16.
fn escape_non_ascii(text: &str, escape: impl Fn(u16) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            escaped.extend(character.encode_utf16(&mut units).iter().map(|unit| escape(*unit)));
        }
    }
    escaped
}

/// Where a secret stands in a text, from left to right. Occurrences that overlap are one.
fn occurrences(text: &str, secret: &str) -> Vec<Range<usize>> {
    let step = secret.chars().next().map_or(1, char::len_utf8);
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(secret) {
        let (start, end) = (from + at, from + at + secret.len());
        match found.last_mut() {
            Some(last) if start < last.end => last.end = end,
            _ => found.push(start..end),
        }
        from = start + step;
    }
    found
}

/// The text with `***` in place of the ranges; those that overlap get one.
fn mask(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges {
        if range.start >= done {
            masked.push_str(&text[done..range.start]);
            masked.push_str("***");
        }
        done = done.max(range.end);
    }
    masked.push_str(&text[done..]);
    masked
}

/// Bytes at the end of a text that are the beginning of a secret.
fn cut_secret(text: &str, secret: &str) -> Option<usize> {
    (MIN_SECRET_LEN..secret.len())
        .rev()
        .find(|length| secret.get(..*length).is_some_and(|beginning| text.ends_with(beginning)))
}

#[cfg(test)]
mod tests;
