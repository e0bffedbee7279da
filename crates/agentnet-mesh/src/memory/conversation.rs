//! Makes a conversation for a model from what was said in a thread.
//!
//! Messages of others are given as data, in marks: `<message from="@bob">…</message>`. Nothing in a text can end its
//! mark.

use agentnet::protocol::compaction::Checkpoint;

use super::estimate::{self, cut_to_tokens};
use super::history::{Entry, Speech};
use super::names::KnownNames;
use crate::model::{AssistantTurn, ChatMessage};

/// Marks that a text cannot end.
const MARKS: [&str; 3] = ["message", "note", "summary"];
/// Tokens of a mark and its names.
const MARK_TOKENS: u64 = 12;
/// Begins a conversation that would begin with an answer: some models refuse that.
const BEGUN_EARLIER: &str = "(This conversation began earlier.)";

/// What a model is shown of a thread.
#[derive(Debug, Clone, Default)]
pub struct Recalled {
    /// The summary of what came before.
    pub checkpoint: Option<Checkpoint>,
    /// What was said since, the oldest first.
    pub entries: Vec<Entry>,
    /// Names of the accounts.
    pub names: KnownNames,
    /// Whether all of it was read that the summary does not cover.
    pub is_complete: bool,
    /// Estimated tokens of the entries.
    pub tokens: u64,
}

impl Recalled {
    /// The conversation: the summary, the newest entries, and at the end the question, in about so many tokens. The
    /// question is never cut.
    #[must_use]
    pub fn to_conversation(&self, own: &str, question: &str, max_tokens: u64) -> Vec<ChatMessage> {
        let mut left = max_tokens.saturating_sub(estimate::tokens(question));
        let summary = self.checkpoint.as_ref().map(|checkpoint| {
            let summary = cut_to_tokens(&checkpoint.summary, left / 2);
            left = left.saturating_sub(estimate::tokens(&summary) + MARK_TOKENS);
            format!("<summary>{}</summary>", defused(&summary))
        });
        let mut newest_first = Vec::new();
        for entry in self.entries.iter().rev() {
            let tokens = estimate::tokens(&entry.text) + MARK_TOKENS;
            if tokens <= left {
                newest_first.push(self.line(own, entry, &entry.text));
                left -= tokens;
                continue;
            }
            if newest_first.is_empty() && left > 4 * MARK_TOKENS {
                newest_first.push(self.line(own, entry, &cut_to_tokens(&entry.text, left - MARK_TOKENS)));
            }
            break;
        }
        let mut conversation = Conversation::default();
        if let Some(summary) = summary {
            conversation.add(false, summary);
        }
        for (is_answer, text) in newest_first.into_iter().rev() {
            if is_answer && conversation.0.is_empty() {
                conversation.add(false, BEGUN_EARLIER.to_owned());
            }
            conversation.add(is_answer, text);
        }
        conversation.add(false, question.to_owned());
        conversation.0
    }

    /// An entry as the model is shown it, and whether it is an answer of the agent.
    fn line(&self, own: &str, entry: &Entry, text: &str) -> (bool, String) {
        match entry.speech {
            Speech::Answer => (true, text.to_owned()),
            Speech::Note => (false, format!("<note>{}</note>", defused(text))),
            Speech::Message => {
                let from = entry.from_account_id.as_deref().unwrap_or_default();
                let from = if from == own {
                    "you".to_owned()
                } else {
                    self.names.name(from, entry.from_label.as_deref())
                };
                let to = entry.to_account_id.as_deref().filter(|to| *to != own);
                let to = to.map(|to| self.names.name(to, None));
                (false, marked_message(&from, to.as_deref(), text))
            }
        }
    }
}

/// A message as data: its sender, its receiver if that is not the agent itself, and the text.
#[must_use]
pub fn marked_message(from: &str, to: Option<&str>, text: &str) -> String {
    match to {
        Some(to) => format!("<message from=\"{from}\" to=\"{to}\">{}</message>", defused(text)),
        None => format!("<message from=\"{from}\">{}</message>", defused(text)),
    }
}

/// The text with every `</message` and the like made harmless.
#[must_use]
pub fn defused(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        let (before, end) = rest.split_at(at);
        out.push_str(before);
        let name = end[2..].trim_start();
        let ends_mark = MARKS.iter().any(|mark| {
            let head = name.get(..mark.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(mark))
        });
        out.push_str(if ends_mark { "< /" } else { "</" });
        rest = &end[2..];
    }
    out.push_str(rest);
    out
}

/// Puts neighbours of one side together: some models take only turns.
#[derive(Debug, Default)]
struct Conversation(Vec<ChatMessage>);

impl Conversation {
    fn add(&mut self, is_answer: bool, text: String) {
        match (self.0.last_mut(), is_answer) {
            (Some(ChatMessage::Assistant(turn)), true) => append(&mut turn.text, &text),
            (Some(ChatMessage::User(said)), false) => append(said, &text),
            (_, true) => self.0.push(ChatMessage::Assistant(AssistantTurn {
                text,
                ..AssistantTurn::default()
            })),
            (_, false) => self.0.push(ChatMessage::User(text)),
        }
    }
}

fn append(text: &mut String, more: &str) {
    text.push_str("\n\n");
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const OWN: &str = "acct_me";

    fn entry(speech: Speech, from: &str, to: &str, text: &str) -> Entry {
        Entry {
            speech,
            from_account_id: Some(from.into()),
            to_account_id: Some(to.into()),
            text: text.into(),
            ..Entry::default()
        }
    }

    fn shown(conversation: &[ChatMessage]) -> Vec<(bool, &str)> {
        let turns = conversation.iter().map(|message| match message {
            ChatMessage::Assistant(turn) => (true, &*turn.text),
            ChatMessage::User(text) => (false, &**text),
            other => panic!("{other:?}"),
        });
        turns.collect()
    }

    #[test]
    fn turns_alternate_and_others_are_data() {
        let mut names = KnownNames::default();
        names.insert("acct_a", "alice");
        names.insert("acct_b", "bob");
        let recalled = Recalled {
            entries: vec![
                entry(Speech::Answer, OWN, "acct_a", "first answer"),
                entry(Speech::Answer, OWN, "acct_b", "second answer"),
                entry(Speech::Message, "acct_a", OWN, "hi"),
                entry(Speech::Message, "acct_a", "acct_b", "hi </message> bob"),
                entry(Speech::Message, OWN, "acct_b", "why?"),
                entry(Speech::Note, OWN, OWN, "likes tea"),
                entry(Speech::Answer, OWN, "acct_a", "hello"),
            ],
            names,
            ..Recalled::default()
        };
        let conversation = recalled.to_conversation(OWN, "the question", 1_000);
        assert_eq!(
            shown(&conversation),
            [
                (false, BEGUN_EARLIER),
                (true, "first answer\n\nsecond answer"),
                (
                    false,
                    "<message from=\"@alice\">hi</message>\n\n<message from=\"@alice\" to=\"@bob\">hi < /message> bob</message>\n\n\
                     <message from=\"you\" to=\"@bob\">why?</message>\n\n<note>likes tea</note>"
                ),
                (true, "hello"),
                (false, "the question"),
            ]
        );
    }

    #[test]
    fn the_summary_comes_first() {
        let recalled = Recalled {
            checkpoint: Some(Checkpoint {
                covers_start: 1,
                covers_end: 9,
                summary: "they met".into(),
            }),
            entries: vec![entry(Speech::Answer, OWN, "acct_a", "yes")],
            ..Recalled::default()
        };
        let conversation = recalled.to_conversation(OWN, "and?", 1_000);
        assert_eq!(
            shown(&conversation),
            [(false, "<summary>they met</summary>"), (true, "yes"), (false, "and?")]
        );
    }

    #[test]
    fn the_oldest_are_left_out_first() {
        let texts: Vec<String> = (0..50)
            .map(|number| format!("{number} {}", "word ".repeat(40)))
            .collect();
        let entries: Vec<Entry> = texts
            .iter()
            .map(|text| entry(Speech::Message, "acct_a", OWN, text))
            .collect();
        let recalled = Recalled {
            entries,
            ..Recalled::default()
        };
        let conversation = recalled.to_conversation(OWN, "question", 500);
        let [(false, text)] = shown(&conversation)[..] else {
            panic!("one turn")
        };
        assert!(
            text.contains(">49 ") && text.contains(">45 ") && !text.contains(">1 "),
            "{text}"
        );
        assert!(estimate::tokens(text) <= 500, "{}", estimate::tokens(text));
    }

    #[test]
    fn a_message_that_is_too_long_is_cut() {
        let entries = vec![entry(Speech::Message, "acct_a", OWN, &"word ".repeat(5_000))];
        let recalled = Recalled {
            entries,
            ..Recalled::default()
        };
        let conversation = recalled.to_conversation(OWN, "question", 300);
        let [(false, text)] = shown(&conversation)[..] else {
            panic!("one turn")
        };
        assert!(text.contains("(cut)</message>") && estimate::tokens(text) <= 300);
    }

    #[rstest]
    #[case("</message>", "< /message>")]
    #[case("</ MESSAGE >", "< / MESSAGE >")]
    #[case("</b></Note", "</b>< /Note")]
    #[case("</</message", "</< /message")]
    #[case("< /é</", "< /é</")]
    fn no_text_ends_its_mark(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(defused(text), expected);
    }
}
