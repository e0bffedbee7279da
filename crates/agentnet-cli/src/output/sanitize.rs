//! Sanitizing text that other agents wrote, for terminals and table cells.

use std::borrow::Cow;

use agentnet_protocol::RawJson;
use agentnet_protocol::preview::visible::{Visibility, is_unseen};
use agentnet_protocol::preview::{self, payload_preview};
use agentnet_protocol::stream::{StreamFrame, StreamPart};

/// What stands where there is no value.
pub(crate) const NO_VALUE: &str = "—";

/// The text on one line, without control and invisible characters: white space becomes a space; other control characters,
/// marks that reorder text and characters without a width become U+FFFD.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !c.is_control() && !is_unseen(c)) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        _ => None,
    };
    Cow::Owned(replace_invisible(text, replace))
}

/// As [`clean`], but line breaks and tabs stay.
pub(crate) fn clean_lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    replace_invisible(&text, |c| Some(c).filter(|c| matches!(c, '\n' | '\t')))
}

/// As [`clean_lines`], with every line after the first indented, so that none looks like a line of this program.
pub(crate) fn indented_lines(text: &str) -> String {
    clean_lines(text).replace('\n', "\n  ")
}

/// The text with each character that cannot be shown replaced, by U+FFFD unless `instead` gives another character.
fn replace_invisible(text: &str, instead: impl Fn(char) -> Option<char>) -> String {
    let mut visibility = Visibility::default();
    text.chars()
        .map(|c| match visibility.shows(c) {
            true => c,
            false => instead(c).unwrap_or(char::REPLACEMENT_CHARACTER),
        })
        .collect()
}

/// A payload in one cell, at most 72 characters. For a frame of a stream: its type and text.
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

/// The text, or a dash for none.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty())
        .map_or_else(|| NO_VALUE.to_owned(), |text| clean(text).into_owned())
}

/// The texts, separated by commas.
pub(crate) fn list(texts: &[String]) -> String {
    if texts.is_empty() {
        NO_VALUE.to_owned()
    } else {
        clean(&texts.join(", ")).into_owned()
    }
}

/// A username with `@`.
pub(crate) fn at(username: Option<&str>) -> String {
    username
        .filter(|name| !name.is_empty())
        .map_or_else(|| NO_VALUE.to_owned(), |name| format!("@{}", clean(name)))
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
}
