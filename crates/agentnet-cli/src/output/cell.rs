//! Text that strangers wrote, made fit for a terminal and a table cell.

use std::borrow::Cow;

use agentnet_protocol::RawJson;
use agentnet_protocol::preview::visible::{Visibility, is_unseen};
use agentnet_protocol::preview::{self, payload_preview};
use agentnet_protocol::stream::{StreamFrame, StreamPart};

use super::Output;
use super::ago::NEVER;

/// How much of an account id a table shows on a terminal, in characters.
const ACCOUNT_LENGTH: usize = 20;

/// The text on one line without anything that steers a terminal or cannot be seen: white space becomes a space, other control
/// characters, marks that reorder text and characters without a width become U+FFFD.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !c.is_control() && !is_unseen(c)) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        _ => None,
    };
    Cow::Owned(seen(text, replace))
}

/// As [`clean`], but line breaks and tabs stay.
pub(crate) fn clean_lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    seen(&text, |c| Some(c).filter(|c| matches!(c, '\n' | '\t')))
}

/// As [`clean_lines`], each line behind the first indented, so that none looks like one of ours.
pub(crate) fn indented_lines(text: &str) -> String {
    clean_lines(text).replace('\n', "\n  ")
}

/// The text with U+FFFD for what cannot be shown, unless something else stands for it.
fn seen(text: &str, instead: impl Fn(char) -> Option<char>) -> String {
    let mut visibility = Visibility::default();
    text.chars()
        .map(|c| match visibility.shows(c) {
            true => c,
            false => instead(c).unwrap_or(char::REPLACEMENT_CHARACTER),
        })
        .collect()
}

/// A payload in one cell, at most 72 characters. Of a frame of a stream it tells what the frame is and what it says, which
/// stands behind its other members.
pub(crate) fn preview(payload: &RawJson) -> String {
    let payload = payload.view();
    let preview = match StreamFrame::parse(&payload) {
        Ok(Some(frame)) => preview::shortened(&frame_text(&frame.part)),
        Ok(None) | Err(_) => payload_preview(&payload),
    };
    clean(&preview).into_owned()
}

fn frame_text(part: &StreamPart) -> String {
    match part {
        StreamPart::Start { .. } => "stream_start".to_owned(),
        StreamPart::Delta { delta } => {
            let said = part.text().unwrap_or_else(|| delta.get().into());
            format!("stream_delta: {said}")
        }
        StreamPart::End { text: Some(text), .. } if text.is_empty() => "stream_end: \"\"".to_owned(),
        StreamPart::End { text: Some(text), .. } => format!("stream_end: {text}"),
        StreamPart::End {
            result: Some(result), ..
        } => format!("stream_end: {}", result.get()),
        StreamPart::End { .. } => "stream_end".to_owned(),
        StreamPart::Error { error, detail, .. } => match detail {
            Some(detail) => format!("stream_error: {error}: {detail}"),
            None => format!("stream_error: {error}"),
        },
    }
}

impl Output {
    /// A payload as a table shows it: a preview, or the exact JSON where a program may read it.
    pub(crate) fn payload(self, payload: &RawJson) -> String {
        match self.is_csv() {
            true => super::json::one_line(payload.get()),
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

/// At most so many characters of an id, with `…` in its middle where it is longer: ids of one kind differ at the end.
pub(crate) fn shortened(id: &str, most: usize) -> String {
    let count = id.chars().count();
    if count <= most {
        return id.to_owned();
    }
    let end = (most - 1) / 2;
    let begin = most - 1 - end;
    let chars = |skip: usize, take: usize| id.chars().skip(skip).take(take).collect::<String>();
    format!("{}…{}", chars(0, begin), chars(count - end, end))
}

impl Output {
    /// What a cell without a value holds: a dash, or nothing in CSV.
    pub(crate) fn blank(self) -> String {
        if self.is_csv() { "" } else { NEVER }.to_owned()
    }

    /// The text, or a cell without a value.
    pub(crate) fn or_blank(self, text: Option<&str>) -> String {
        text.filter(|text| !text.is_empty())
            .map_or_else(|| self.blank(), |text| clean(text).into_owned())
    }

    /// Texts behind each other, or a cell without a value.
    pub(crate) fn list(self, texts: &[String]) -> String {
        self.or_blank(Some(&texts.join(", ")))
    }

    /// A username with its mark; in CSV bare, for `@` begins a formula there.
    pub(crate) fn username(self, name: Option<&str>) -> String {
        match self.is_csv() {
            true => self.or_blank(name),
            false => at(name),
        }
    }

    /// An account id: with `…` in its middle on a terminal, whole where a program may read it.
    pub(crate) fn account(self, id: Option<&str>) -> String {
        let id = self.or_blank(id);
        if self.is_terminal() && !self.is_wide() {
            shortened(&id, ACCOUNT_LENGTH)
        } else {
            id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_streams_show_what_they_say() {
        for (part, shown) in [
            (
                r#""stream_delta","role":"assistant","delta":"one\ntwo""#,
                "stream_delta: one two",
            ),
            (r#""stream_delta","delta":{"n":1}"#, r#"stream_delta: {"n":1}"#),
            (r#""stream_end","text":"onetwo""#, "stream_end: onetwo"),
            (r#""stream_end","text":"","result":1"#, "stream_end: \"\""),
            (r#""stream_end""#, "stream_end"),
            (
                r#""stream_error","error":"busy","detail":"later""#,
                "stream_error: busy: later",
            ),
        ] {
            let payload = RawJson::parse(format!(r#"{{"stream_id":"s","seq":1,"type":{part}}}"#)).unwrap();
            assert_eq!(preview(&payload), shown);
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, shown) in [
            ("plain, ünïcödé 日本", "plain, ünïcödé 日本"),
            ("two\nlines\tand more", "two lines and more"),
            ("\x1b[31mred\x07", "\u{fffd}[31mred\u{fffd}"),
            ("a\u{202e}b\u{9b}2J", "a\u{fffd}b\u{fffd}2J"),
            (
                "bo\u{200b}b\u{61c}\u{feff}\u{ad}",
                "bo\u{fffd}b\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("tag\u{e0041}\u{3164}\u{2060}", "tag\u{fffd}\u{fffd}\u{fffd}"),
            ("a\u{200d}b\u{fe0f}", "a\u{fffd}b\u{fffd}"),
            (
                "\u{2764}\u{fe0f} \u{1f469}\u{200d}\u{1f467}",
                "\u{2764}\u{fe0f} \u{1f469}\u{200d}\u{1f467}",
            ),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
    }

    #[test]
    fn lines_stay_where_there_is_room_for_them() {
        assert_eq!(clean_lines("one\r\ntwo\tx\x1b[2J"), "one\ntwo\tx\u{fffd}[2J");
        assert_eq!(indented_lines("hi\n@bob says: x"), "hi\n  @bob says: x");
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
        assert_eq!(Output::fixed(true, false).account(Some(id)), "acct_01kj0…000000000");
        assert_eq!(Output::fixed(false, false).account(Some(id)), id);
        assert_eq!(Output::fixed(false, false).account(None), NEVER);
    }
}
