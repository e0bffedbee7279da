//! Text that strangers wrote, made fit for a terminal and a table cell.

use std::borrow::Cow;

use agentnet_protocol::RawJson;
use agentnet_protocol::preview::payload_preview;

use super::Output;
use super::ago::NEVER;

/// How much of an account id a table shows on a terminal, in characters.
const ACCOUNT_LENGTH: usize = 20;

/// The text on one line without anything that steers a terminal: white space becomes a space, other control characters and
/// marks that reorder text become U+FFFD.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() && !reorders(c);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        c if harmless(c) => c,
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(replace).collect())
}

/// As [`clean`], but line breaks and tabs stay.
pub(crate) fn clean_lines(text: &str) -> String {
    let kept = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || reorders(c));
    let text = text.replace("\r\n", "\n");
    text.chars()
        .map(|c| if kept(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A payload in one cell, at most 72 characters.
pub(crate) fn preview(payload: &RawJson) -> String {
    clean(&payload_preview(&payload.view())).into_owned()
}

impl Output {
    /// A payload as a table shows it: a preview, or the exact JSON where a program may read it.
    pub(crate) fn payload(self, payload: &RawJson) -> String {
        match self.is_csv() {
            true => payload.get().to_owned(),
            false => preview(payload),
        }
    }
}

/// The text, or a dash for none.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .map_or_else(|| NEVER.to_owned(), |text| clean(text).into_owned())
}

/// Texts behind each other.
pub(crate) fn list(texts: &[String]) -> String {
    if texts.is_empty() {
        NEVER.to_owned()
    } else {
        clean(&texts.join(", ")).into_owned()
    }
}

/// A username with its mark.
pub(crate) fn at(username: Option<&str>) -> String {
    username
        .filter(|name| !name.is_empty())
        .map_or_else(|| NEVER.to_owned(), |name| format!("@{}", clean(name)))
}

impl Output {
    /// An account id: its first 20 characters on a terminal, whole where a program may read it.
    pub(crate) fn account(self, id: Option<&str>) -> String {
        let id = or_dash(id);
        if self.is_terminal() && !self.is_wide() {
            id.chars().take(ACCOUNT_LENGTH).collect()
        } else {
            id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, shown) in [
            ("plain, ünïcödé 日本", "plain, ünïcödé 日本"),
            ("two\nlines\tand more", "two lines and more"),
            ("\x1b[31mred\x07", "\u{fffd}[31mred\u{fffd}"),
            ("a\u{202e}b\u{9b}2J", "a\u{fffd}b\u{fffd}2J"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn lines_stay_where_there_is_room_for_them() {
        assert_eq!(clean_lines("one\r\ntwo\tx\x1b[2J"), "one\ntwo\tx\u{fffd}[2J");
    }

    #[test]
    fn the_message_column_shows_text_and_cleans_it() {
        for (payload, shown) in [
            (r#"{"text":"  hi  "}"#, "hi"),
            (r#"{"a": 1,  "b": [1, 2]}"#, r#"{"a":1,"b":[1,2]}"#),
            (r#""line\nbreak\u001b[2J""#, "line break\u{fffd}[2J"),
            ("null", "null"),
        ] {
            assert_eq!(preview(&RawJson::parse(payload).unwrap()), shown, "{payload}");
        }
    }

    #[test]
    fn account_ids_are_cut_for_people_only() {
        let id = "acct_01kj0000000000000000000000";
        assert_eq!(Output::fixed(true, false).account(Some(id)), "acct_01kj00000000000");
        assert_eq!(Output::fixed(false, false).account(Some(id)), id);
        assert_eq!(Output::fixed(false, false).account(None), NEVER);
    }
}
