//! The subjects to subscribe to for a filter.

use agentnet_protocol::envelope::kind;
use agentnet_protocol::subject::{ALL_CAPABILITIES, ALL_INBOXES, ALL_NATS_REPLIES, ALL_REPLIES, capability};

use super::filter::Filter;
use crate::connection::taps::{tap, taps};

/// All messages between agents.
pub(super) const ALL_MESSAGES: [&str; 4] = [ALL_INBOXES, ALL_CAPABILITIES, ALL_REPLIES, ALL_NATS_REPLIES];

/// The subjects to watch if none is given: the inboxes, and all others with messages that can match the filter.
pub(super) fn default_subjects(filter: &Filter) -> Vec<String> {
    if let Some(name) = filter.capability() {
        return vec![capability(name)];
    }
    let mut subjects = vec![ALL_INBOXES.to_owned()];
    subjects.extend(matching(filter).into_iter().filter(|subject| subject != ALL_INBOXES));
    subjects
}

/// The subjects of messages that can match the filter.
fn matching(filter: &Filter) -> Vec<String> {
    if let Some(name) = filter.capability() {
        return vec![capability(name)];
    }
    let subjects: &[&str] = match filter.kind() {
        Some(kind::REPLY | kind::ERROR) => &[ALL_REPLIES, ALL_NATS_REPLIES],
        Some(kind::STREAM) => &[ALL_INBOXES, ALL_REPLIES, ALL_NATS_REPLIES],
        Some(_) => &[ALL_INBOXES, ALL_CAPABILITIES],
        None => &ALL_MESSAGES,
    };
    // Messages to a capability have no agent as the receiver.
    let for_anybody = filter.to().is_none();
    let subjects = subjects
        .iter()
        .filter(|subject| for_anybody || **subject != ALL_CAPABILITIES);
    subjects.map(|subject| (*subject).to_owned()).collect()
}

/// The note for a given subject without messages that can match the filter.
pub(super) fn mismatch_note(subject: &str, filter: &Filter, issuer: Option<&str>) -> Option<String> {
    let (places, subject) = (taps(matching(filter), issuer), &tap(subject, issuer));
    if filter.is_empty() || places.iter().any(|place| overlap(place, subject)) {
        return None;
    }
    Some(format!(
        "note: nothing that these filters take passes on {subject}, but on {}; leave --subject out to listen there",
        places.join(" or ")
    ))
}

/// Whether some subject matches both patterns.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(to: Option<&str>, kind: Option<&str>) -> Filter {
        Filter::of(to, kind)
    }

    #[test]
    fn the_subjects_follow_the_filters() {
        let replies = ["account.*.inbox", "agentnet.reply.>", "_INBOX.>"].as_slice();
        let both = ["account.*.inbox", "agent.capability.*"].as_slice();
        let inboxes = ["account.*.inbox"].as_slice();
        for (to, kind, expected) in [
            (None, None, ALL_MESSAGES.as_slice()),
            (Some("@bob"), None, replies),
            (None, Some("reply"), replies),
            (None, Some("error"), replies),
            (Some("@bob"), Some("stream"), replies),
            (None, Some("request"), both),
            (None, Some("greeting"), both),
            (Some("@bob"), Some("request"), inboxes),
            (Some("capability:weather"), None, &["agent.capability.weather"]),
            (
                Some(" Capability: weather "),
                Some("request"),
                &["agent.capability.weather"],
            ),
        ] {
            assert_eq!(default_subjects(&filter(to, kind)), expected, "{to:?} {kind:?}");
        }
    }

    #[test]
    fn a_subject_without_what_is_wanted_is_told() {
        for (subject, to, kind, told) in [
            ("account.*.inbox", None, Some("reply"), true),
            ("account.>", None, Some("reply"), true),
            ("account.*.inbox", None, Some("stream"), false),
            ("_INBOX.abc.*", None, Some("error"), false),
            (">", None, Some("error"), false),
            ("agentnet.reply.>", None, Some("request"), true),
            ("agent.capability.*", Some("@bob"), None, true),
            ("agent.capability.*", Some("capability:weather"), None, false),
            ("agent.capability.chat", Some("capability:weather"), None, true),
            ("registry.hello", Some("@bob"), None, true),
            ("registry.hello", None, None, false),
        ] {
            let said = mismatch_note(subject, &filter(to, kind), None);
            assert_eq!(said.is_some(), told, "{subject} {to:?} {kind:?}: {said:?}");
        }
    }

    #[test]
    fn patterns_overlap_where_a_subject_is_of_both() {
        for (one, other, both) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "*.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.b", "a.b.c", false),
            (">", "a", true),
            ("account.*.receipts", "account.>", true),
            ("account.*.receipts", "account.*.inbox", false),
        ] {
            assert_eq!(
                (overlap(one, other), overlap(other, one)),
                (both, both),
                "{one} {other}"
            );
        }
    }
}
