//! Subjects of observed messages: in secure mode each ends in the account of who published it (PROTOCOL.md section 23.1).

use agentnet_protocol::subject::{ALL_NATS_REPLIES, Subject, issued, split_issuer};

/// Tokens of `agentnet.reply.<requester>.<ULID>.<n>.<from>`.
const ISSUED_REPLY_TOKENS: usize = 6;

/// The form of a subject, which may hold wildcards, that the network has: unchanged without an issuer.
pub(crate) fn tap(subject: &str, issuer: Option<&str>) -> String {
    match issuer {
        Some(_) if is_issued_with_one_token(subject) => issued(subject, "*"),
        _ => subject.to_owned(),
    }
}

/// As [`tap`], for the subjects of a command: without replies of NATS clients, which only registries and their callers have.
pub(crate) fn taps(subjects: impl IntoIterator<Item = String>, issuer: Option<&str>) -> Vec<String> {
    let is_there = |subject: &String| issuer.is_none() || subject != ALL_NATS_REPLIES;
    let subjects = subjects.into_iter().filter(is_there);
    subjects.map(|subject| tap(&subject, issuer)).collect()
}

/// Who published a message between agents, by its subject in secure mode.
pub(crate) fn issuer(subject: &str) -> Option<&str> {
    match Subject::parse(subject)? {
        Subject::Inbox { issuer, .. } | Subject::Capability { issuer, .. } => issuer,
        Subject::Reply if subject.split('.').count() == ISSUED_REPLY_TOKENS => Some(split_issuer(subject)?.1),
        _ => None,
    }
}

/// Whether it is a subject of token mode that gets one more token in secure mode.
fn is_issued_with_one_token(subject: &str) -> bool {
    let parts: Vec<&str> = subject.split('.').collect();
    matches!(
        parts.as_slice(),
        ["account", _, "inbox" | "receipts"] | ["agent", "capability", _] | ["registry", "hello" | "goodbye"]
    ) && parts.last() != Some(&">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_token_says_who_published() {
        for (subject, expected) in [
            ("account.b.inbox", None),
            ("account.b.inbox.a", Some("a")),
            ("agent.capability.chat.a", Some("a")),
            ("agentnet.reply.b.01J.1", None),
            ("agentnet.reply.b.01J.1.a", Some("a")),
            ("_INBOX.x.y", None),
        ] {
            assert_eq!(issuer(subject), expected, "{subject}");
        }
    }

    #[test]
    fn subjects_get_the_token_of_the_issuer_where_there_is_one() {
        for (subject, expected) in [
            ("account.*.inbox", "account.*.inbox.*"),
            ("account.acct_1.receipts", "account.acct_1.receipts.*"),
            ("account.*.inbox.*", "account.*.inbox.*"),
            ("agent.capability.chat", "agent.capability.chat.*"),
            ("agent.capability.>", "agent.capability.>"),
            ("registry.hello", "registry.hello.*"),
            ("agentnet.reply.>", "agentnet.reply.>"),
            ("agentnet.events.*.mailbox", "agentnet.events.*.mailbox"),
            (">", ">"),
        ] {
            assert_eq!(tap(subject, Some("acct_me")), expected);
            assert_eq!(tap(subject, None), subject);
        }
        let both = ["account.*.inbox", ALL_NATS_REPLIES].map(str::to_owned);
        assert_eq!(taps(both.clone(), Some("acct_me")), ["account.*.inbox.*"]);
        assert_eq!(taps(both.clone(), None), both);
    }
}
