//! A thread as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use agentnet_protocol::Timestamp;
use agentnet_protocol::payload_text::extract_text;
use agentnet_protocol::rpc::HistoryMessage;
use agentnet_protocol::stream::{StreamAssembler, StreamFrame, StreamPart};

use crate::account_names::AccountNames;
use crate::output::json::indented;
use crate::output::sanitize::clean;
use crate::output::table::MESSAGES;
use crate::shell_completion::is_inert;

/// A heading, the participants, and a section for each message: its text, or its payload as JSON. The end of a stream comes
/// with the whole text of the stream.
pub(super) async fn document(
    thread_id: &str,
    messages: &[HistoryMessage],
    names: &mut AccountNames,
    now: Timestamp,
) -> String {
    let mut sections = String::new();
    let mut people: Vec<String> = Vec::new();
    let mut streams = Streams::default();
    for message in messages {
        let from = names
            .sender(
                message.from_account_id.as_deref(),
                message.from_agent.as_deref().unwrap_or_default(),
            )
            .await;
        let to = names.display(message.to_account_id.as_deref(), &message.to_agent).await;
        for name in [&from, &to] {
            if !people.contains(name) {
                people.push(name.clone());
            }
        }
        sections.push_str(&section(message, &from, &to, streams.whole(message).as_deref()));
    }
    let count = MESSAGES.count(messages.len());
    format!(
        "# Thread {}\n\n{count}, {} to {}, between {}. Exported {now}.\n{sections}",
        escaped(thread_id),
        messages
            .first()
            .map_or_else(String::new, |message| escaped(&message.sent_at)),
        messages
            .last()
            .map_or_else(String::new, |message| escaped(&message.sent_at)),
        people.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(", "),
    )
}

/// The streams of a thread, by sender and id.
#[derive(Default)]
struct Streams(BTreeMap<(Option<String>, String), StreamAssembler>);

impl Streams {
    /// The whole text of the stream that this message ends, if it is known.
    fn whole(&mut self, message: &HistoryMessage) -> Option<String> {
        let frame = StreamFrame::parse(&message.payload.view()).ok()??;
        let is_end = matches!(frame.part, StreamPart::End { .. });
        let tells_whole = matches!(frame.part, StreamPart::End { text: Some(_), .. });
        let key = (message.from_account_id.clone(), frame.stream_id.clone());
        let stream = self.0.entry(key).or_default();
        stream.push(frame).ok()?;
        if is_end && !stream.end_here() {
            stream.do_without_start();
        }
        while stream.pop().is_some() {}
        let is_known = is_end && stream.is_complete() && (tells_whole || !stream.text().is_empty());
        is_known.then(|| stream.text().to_owned())
    }
}

fn section(message: &HistoryMessage, from: &str, to: &str, stream: Option<&str>) -> String {
    let mut section = format!("\n## {} → {}\n\n", escaped(from), escaped(to));
    let _ = write!(
        section,
        "{} · {} · {}",
        escaped(&message.sent_at),
        escaped(&message.kind),
        code(&message.message_id)
    );
    if let Some(parent) = &message.parent_message_id {
        let _ = write!(section, " · follows {}", code(parent));
    }
    let payload = message.payload.view();
    let is_text = payload.as_object().is_none_or(|object| object.unique().len() == 1);
    match stream {
        Some("") => section.push_str("\n\nThe whole text is empty."),
        Some(text) => quote(&mut section, text),
        None => {}
    }
    match extract_text(&payload).filter(|_| is_text) {
        Some(text) => quote(&mut section, &text),
        None => {
            // Markdown renderers without fenced blocks must find no HTML or images in it.
            let json = indented(&message.payload)
                .replace('<', "\\u003c")
                .replace("![", "\\u0021[");
            let fence = "`".repeat(longest_run(&json, '`').max(2) + 1);
            let _ = writeln!(section, "\n\n{fence}json\n{json}\n{fence}");
        }
    }
    section
}

/// A block quote, so that the text cannot forge a heading.
fn quote(section: &mut String, text: &str) {
    section.push_str("\n\n");
    for line in text.lines() {
        let _ = writeln!(section, "> {}", escaped(&unindented(line)));
    }
}

/// The text with Markdown and HTML escaped: texts of other agents must neither run nor load anything where the document is
/// shown.
fn escaped(text: &str) -> String {
    clean(text).chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '#' | '[' | ']' | '!' | '|' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
        out
    })
}

/// The line with its indentation as no-break spaces: in an indented code block, escapes would be shown literally.
fn unindented(line: &str) -> String {
    let text = line.trim_start_matches([' ', '\t']);
    let width: usize = line[..line.len() - text.len()]
        .chars()
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum();
    "\u{a0}".repeat(width) + text
}

/// An id between backticks.
fn code(text: &str) -> String {
    match is_inert(text) {
        true => format!("`{text}`"),
        false => escaped(text),
    }
}

fn longest_run(text: &str, of: char) -> usize {
    let runs = text.split(|c| c != of).map(str::len);
    runs.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::RawJson;

    use super::*;

    fn message(payload: &str) -> HistoryMessage {
        HistoryMessage {
            message_id: "m1".into(),
            sent_at: "2026-02-21T08:00:00Z".into(),
            kind: "direct".into(),
            parent_message_id: Some("m0".into()),
            payload: RawJson::parse(payload.to_owned()).unwrap(),
            ..HistoryMessage::default()
        }
    }

    #[test]
    fn texts_are_quoted_and_the_rest_is_code() {
        let text = section(&message(r##"{"text":"# one\n\ntwo"}"##), "@a_b", "@c", None);
        assert_eq!(
            text,
            "\n## @a\\_b → @c\n\n2026-02-21T08:00:00Z · direct · `m1` · follows `m0`\n\n> \\# one\n> \n> two\n"
        );
        let text = section(&message(r#"{"text":"x","n":1.50}"#), "@a", "@c", None);
        assert!(
            text.ends_with("\n\n```json\n{\n  \"text\": \"x\",\n  \"n\": 1.50\n}\n```\n"),
            "{text}"
        );
        let text = section(&message(r#"{"a":"```"}"#), "@a", "@c", None);
        assert!(text.contains("\n````json\n") && text.ends_with("\n````\n"), "{text}");
    }

    #[test]
    fn the_whole_text_of_a_stream_may_be_empty() {
        let mut streams = Streams::default();
        let mut whole = |frame: &str| streams.whole(&message(&format!(r#"{{"stream_id":"s",{frame}}}"#)));
        assert_eq!(whole(r#""type":"stream_start","seq":0"#), None);
        assert_eq!(whole(r#""type":"stream_delta","seq":1,"delta":"draft""#), None);
        let end = r#""type":"stream_end","seq":2,"text":"""#;
        assert_eq!(whole(end).as_deref(), Some(""));
        let text = section(&message("1"), "@a", "@b", Some(""));
        assert!(text.contains("`m0`\n\nThe whole text is empty.\n"), "{text}");
    }

    #[test]
    fn marks_are_escaped() {
        assert_eq!(escaped("*a* [b](c) <d>"), "\\*a\\* \\[b\\](c) &lt;d&gt;");
        assert_eq!((code("a-b"), code("a`b")), ("`a-b`".into(), "a\\`b".into()));
    }

    #[test]
    fn nothing_of_a_payload_lives() {
        for text in [
            "<script>alert(1)</script>",
            "\\\\<script>x</script>",
            "![x](http://evil/pixel.png)",
            "    <img src=http://evil/p.png>",
            "\t![x](http://evil/pixel.png)",
            "[x]: http://evil\\n![x]",
            "&lt;script&gt; &#60;b>",
            "```html\\n<script>\\n```",
        ] {
            for payload in [
                format!(r#"{{"text":"{}"}}"#, text.replace('\t', "\\t")),
                format!(r#"{{"a":["{}"]}}"#, text.replace('\t', "\\t")),
            ] {
                let section = section(&message(&payload), "@<b>", "<img src=x>", None);
                let (bare, image) = (section.contains('<'), section.contains("!["));
                assert!(!bare && !image, "{section}");
                assert!(
                    !section
                        .lines()
                        .any(|line| line.starts_with(">     ") || line.starts_with("> \t")),
                    "{section}"
                );
            }
        }
    }
}
