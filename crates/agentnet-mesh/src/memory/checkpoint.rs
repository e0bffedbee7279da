//! Checkpoints: which messages the next one covers, its message, and a summary without a model (PROTOCOL.md section 9).

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use agentnet::protocol::compaction::CHECKPOINT_TYPE;

use super::estimate::cut;
use super::history::Entry;

/// Version of the payload's form.
const SUMMARY_VERSION: &str = "v1";
/// Messages that a summary without a model quotes.
const EXTRACT_MESSAGES: usize = 12;
/// Characters of each.
const EXTRACT_CHARS: usize = 180;
/// Characters of the summary before that is kept.
const EXTRACT_EARLIER_CHARS: usize = 2_000;

/// The messages that a checkpoint covers, counted from the thread's first one, which is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// The first covered one.
    pub start: u64,
    /// The last covered one.
    pub end: u64,
}

impl Coverage {
    /// What the next checkpoint covers; `None` where nothing is left to cover.
    #[must_use]
    pub fn next(latest_checkpoint_end: u64, message_count: u64, keep_tail: u64) -> Option<Self> {
        let start = latest_checkpoint_end + 1;
        let end = message_count.saturating_sub(keep_tail);
        (end >= start).then_some(Self { start, end })
    }

    /// The same without the messages from this number on.
    #[must_use]
    pub fn before(self, number: u64) -> Option<Self> {
        let end = self.end.min(number.saturating_sub(1));
        (end >= self.start).then_some(Self { end, ..self })
    }

    /// Whether the message with this number is covered.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        (self.start..=self.end).contains(&number)
    }

    /// The payload of the checkpoint.
    #[must_use]
    pub fn to_payload(&self, keep_tail: u64, summary: &str, generated_at: &str, generated_by: &str) -> Value {
        json!({
            "type": CHECKPOINT_TYPE,
            "summary_version": SUMMARY_VERSION,
            "covers_start": self.start,
            "covers_end": self.end,
            "keep_tail_messages": keep_tail,
            "summary": summary,
            "generated_at": generated_at,
            "generated_by": generated_by,
        })
    }

    /// The idempotency key of the checkpoint's message.
    #[must_use]
    pub fn idempotency_key(&self, thread_id: &str) -> String {
        format!("checkpoint:{thread_id}:{}", self.end)
    }

    /// The id of the checkpoint's message. It follows from what is covered: of two agents that write the same
    /// checkpoint at the same time, the history keeps one.
    #[must_use]
    pub fn message_id(&self, thread_id: &str) -> String {
        let digest = Sha256::digest(self.idempotency_key(thread_id));
        let digits: Vec<String> = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("checkpoint_{}", digits.concat())
    }
}

/// A summary that needs no model: the summary before, and the beginnings of the last messages that are covered.
#[must_use]
pub fn extract(earlier: Option<&str>, covered: &[(String, &Entry)]) -> String {
    let mut lines = Vec::new();
    if let Some(earlier) = earlier {
        lines.push(cut(earlier, EXTRACT_EARLIER_CHARS));
    }
    let quoted = &covered[covered.len().saturating_sub(EXTRACT_MESSAGES)..];
    if quoted.len() < covered.len() {
        lines.push(format!("({} earlier messages)", covered.len() - quoted.len()));
    }
    lines.extend(quoted.iter().map(|(name, entry)| {
        let words: Vec<&str> = entry.text.split_whitespace().collect();
        format!("{name}: {}", cut(&words.join(" "), EXTRACT_CHARS))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::sixty(0, 60, 24, Some((1, 36)))]
    #[case::again(36, 100, 24, Some((37, 76)))]
    #[case::short(0, 24, 24, None)]
    #[case::one_more(0, 25, 24, Some((1, 1)))]
    #[case::covered(40, 60, 24, None)]
    #[case::no_tail(3, 4, 0, Some((4, 4)))]
    fn the_next_checkpoint_leaves_the_tail(
        #[case] latest: u64,
        #[case] count: u64,
        #[case] tail: u64,
        #[case] expected: Option<(u64, u64)>,
    ) {
        let coverage = Coverage::next(latest, count, tail);
        assert_eq!(coverage.map(|coverage| (coverage.start, coverage.end)), expected);
    }

    #[rstest]
    #[case::after(40, Some(36))]
    #[case::inside(10, Some(9))]
    #[case::at_the_start(1, None)]
    fn coverage_ends_before_a_message(#[case] number: u64, #[case] end: Option<u64>) {
        let coverage = Coverage { start: 1, end: 36 }.before(number);
        assert_eq!(coverage.map(|coverage| coverage.end), end);
    }

    #[test]
    fn the_payload_is_that_of_the_python_implementation() {
        let payload = Coverage { start: 1, end: 36 }.to_payload(24, "all", "2026-11-30T00:00:00Z", "agent");
        let expected = r#"{"type":"checkpoint","summary_version":"v1","covers_start":1,"covers_end":36,"keep_tail_messages":24,"summary":"all","generated_at":"2026-11-30T00:00:00Z","generated_by":"agent"}"#;
        assert_eq!(payload.to_string(), expected);
    }

    #[test]
    fn the_same_checkpoint_has_the_same_id() {
        let coverage = Coverage { start: 1, end: 36 };
        let other_start = Coverage { start: 2, end: 36 };
        assert_eq!(coverage.idempotency_key("t"), "checkpoint:t:36");
        assert_eq!(coverage.message_id("t"), other_start.message_id("t"));
        assert_ne!(coverage.message_id("t"), coverage.message_id("u"));
        assert_ne!(coverage.message_id("t"), Coverage { start: 1, end: 37 }.message_id("t"));
        assert_eq!(coverage.message_id("t").len(), "checkpoint_".len() + 32);
    }

    #[test]
    fn an_extract_quotes_the_last_messages() {
        let entries: Vec<Entry> = (0..20)
            .map(|number| Entry {
                text: format!("text {number}\n{}", "x".repeat(300)),
                ..Entry::default()
            })
            .collect();
        let covered: Vec<(String, &Entry)> = entries.iter().map(|entry| ("@bob".to_owned(), entry)).collect();
        let summary = extract(Some("earlier"), &covered);
        let lines: Vec<&str> = summary.lines().collect();
        assert_eq!(lines.len(), 14);
        assert_eq!(lines[..2], ["earlier", "(8 earlier messages)"]);
        assert!(lines[2].starts_with("@bob: text 8 xxx") && lines[2].chars().count() == 186);
    }
}
