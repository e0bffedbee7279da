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
mod tests;
