//! The latest messages.

use std::collections::VecDeque;

use agentnet_protocol::preview::MAX_LENGTH;
use agentnet_protocol::{Envelope, RawJson, Timestamp};

use crate::account_names::without_account;
use crate::output::sanitize::{clean, preview};

/// Maximum number of messages that are kept.
pub(crate) const MAX_MESSAGES: usize = 2_000;
/// Maximum length of a payload that is parsed for its preview, in bytes. Of longer ones the beginning is shown.
const MAX_PREVIEWED_PAYLOAD: usize = 2_048;

/// The shown parts of a message.
#[derive(Debug, Clone)]
pub(crate) struct SeenMessage {
    /// The message id.
    pub(crate) id: Box<str>,
    pub(crate) at: Timestamp,
    /// The account id of the sender, or its own label, marked as such.
    pub(crate) from: Box<str>,
    /// The account id of the receiver, or `capability:<name>`.
    pub(crate) to: Box<str>,
    pub(crate) kind: Box<str>,
    pub(crate) thread: Box<str>,
    pub(crate) preview: Box<str>,
    sent_at: Box<str>,
}

impl SeenMessage {
    /// A message of the history.
    pub(crate) fn stored(at: Timestamp, from: &str, to: &str, [id, kind, thread]: [&str; 3], preview: &str) -> Self {
        let boxed = |text: &str| Box::from(&*clean(text));
        Self {
            id: Box::from(id),
            at,
            from: boxed(from),
            to: boxed(to),
            kind: boxed(kind),
            thread: boxed(thread),
            preview: boxed(preview),
            sent_at: Box::default(),
        }
    }

    /// A message that was seen at this time.
    pub(crate) fn of(envelope: &Envelope, thread: &str, at: Timestamp) -> Self {
        let boxed = |text: &str| Box::from(&*clean(text));
        let account = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(boxed);
        Self {
            id: Box::from(&*envelope.message_id),
            at,
            from: account(envelope.from_account_id.as_deref())
                .unwrap_or_else(|| without_account(&envelope.from_agent).into()),
            to: account(envelope.to_account_id.as_deref()).unwrap_or_else(|| boxed(&envelope.to_agent)),
            kind: boxed(&envelope.kind),
            thread: boxed(thread),
            preview: beginning(&envelope.payload),
            sent_at: boxed(&envelope.sent_at),
        }
    }
}

/// The preview of a payload, or the beginning of a long one.
fn beginning(payload: &RawJson) -> Box<str> {
    if payload.get().len() <= MAX_PREVIEWED_PAYLOAD {
        return preview(payload).into();
    }
    let start: String = payload.get().chars().take(MAX_LENGTH - 1).chain(['…']).collect();
    (&*clean(&start)).into()
}

/// The latest messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    ring: VecDeque<SeenMessage>,
    /// The messages at the time when the view was paused.
    paused: Option<VecDeque<SeenMessage>>,
}

impl Messages {
    /// Adds messages in the order in which they were sent: they come from several subscriptions.
    pub(crate) fn add(&mut self, mut passed: Vec<SeenMessage>) {
        passed.sort_by(|one, other| one.sent_at.cmp(&other.sent_at));
        let surplus = (self.ring.len() + passed.len()).saturating_sub(MAX_MESSAGES);
        self.ring.drain(..surplus.min(self.ring.len()));
        let skipped = passed.len().saturating_sub(MAX_MESSAGES);
        self.ring.extend(passed.into_iter().skip(skipped));
    }

    /// The messages to show, latest first.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &SeenMessage> {
        self.paused.as_ref().unwrap_or(&self.ring).iter().rev()
    }

    /// All messages, latest first, even if the view is paused.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &SeenMessage> {
        self.ring.iter().rev()
    }

    /// Pauses or resumes the view.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        match (paused, &self.paused) {
            (true, None) => self.paused = Some(self.ring.clone()),
            (true, Some(_)) => {}
            (false, _) => self.paused = None,
        }
    }

    /// Whether the view is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(sent_at: &str, payload: &str) -> SeenMessage {
        let envelope = Envelope {
            from_agent: "a\u{1b}".into(),
            to_agent: "capability:x".into(),
            kind: "direct".into(),
            sent_at: sent_at.into(),
            payload: RawJson::parse(payload.to_owned()).unwrap(),
            ..Envelope::default()
        };
        SeenMessage::of(&envelope, "t", Timestamp::from_micros(0))
    }

    fn previews(messages: &Messages) -> Vec<&str> {
        messages.shown().map(|message| &*message.preview).collect()
    }

    #[test]
    fn the_latest_are_kept_and_shown_first() {
        let mut messages = Messages::default();
        messages.add(vec![
            passed("2026-01-01T00:00:02Z", r#""two""#),
            passed("2026-01-01T00:00:01Z", r#""one""#),
        ]);
        assert_eq!(previews(&messages), ["two", "one"]);
        assert_eq!(&*messages.shown().next().unwrap().from, "a\u{fffd} (no account)");
        for _ in 0..3 {
            messages.add((0..MAX_MESSAGES - 1).map(|_| passed("", "1")).collect());
        }
        messages.add(vec![passed("", r#""last""#)]);
        assert_eq!(messages.shown().count(), MAX_MESSAGES);
        assert_eq!(previews(&messages)[0], "last");
        messages.add((0..MAX_MESSAGES + 5).map(|_| passed("", "2")).collect());
        assert_eq!(messages.shown().count(), MAX_MESSAGES);
    }

    #[test]
    fn a_stopped_view_stays_while_messages_pass() {
        let mut messages = Messages::default();
        messages.add(vec![passed("", r#""one""#)]);
        messages.set_paused(true);
        messages.add(vec![passed("", r#""two""#)]);
        messages.set_paused(true);
        assert_eq!(previews(&messages), ["one"]);
        messages.set_paused(false);
        assert_eq!(previews(&messages), ["two", "one"]);
    }

    #[test]
    fn of_long_payloads_the_beginning_is_shown() {
        let message = passed("", &format!(r#"{{"text":"{}"}}"#, "x".repeat(MAX_PREVIEWED_PAYLOAD)));
        assert!(message.preview.starts_with(r#"{"text":"xxx"#) && message.preview.ends_with('…'));
        assert_eq!(message.preview.chars().count(), MAX_LENGTH);
    }
}
