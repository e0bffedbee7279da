//! Secure mode: the broker proves who published each message, by the last token of its subject (PROTOCOL.md section 23.1).

use std::sync::Arc;

use agentnet_protocol::subject;

/// The account that a connection publishes as in secure mode; without one, the subjects are those of section 2.
#[derive(Debug, Clone, Default)]
pub struct Issuer(Option<Arc<str>>);

impl Issuer {
    /// In secure mode with the own account; `None` without it.
    #[must_use]
    pub fn new(account_id: Option<&str>) -> Self {
        Self(account_id.map(Arc::from))
    }

    /// The own account, in secure mode.
    #[must_use]
    pub fn account_id(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Where something for this subject is published.
    #[must_use]
    pub fn publish_subject(&self, subject: impl Into<String>) -> String {
        let subject = subject.into();
        match &self.0 {
            Some(own) => subject::issued(&subject, own),
            None => subject,
        }
    }

    /// What to subscribe to for a subject: in secure mode, that of every issuer.
    #[must_use]
    pub fn subscribe_subject(&self, subject: String) -> String {
        match &self.0 {
            Some(_) => subject::issued(&subject, "*"),
            None => subject,
        }
    }

    /// Whether the message that came on a subject may name this account as its sender. Without secure mode, each may.
    #[must_use]
    pub fn vouches_for(&self, subject: &str, account_id: Option<&str>) -> bool {
        self.0.is_none() || subject::split_issuer(subject).is_some_and(|(_, issuer)| Some(issuer) == account_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_carry_the_issuer_in_secure_mode_only() {
        let plain = Issuer::default();
        assert_eq!(plain.publish_subject("account.b.inbox"), "account.b.inbox");
        assert_eq!(plain.subscribe_subject("account.a.inbox".into()), "account.a.inbox");
        assert!(plain.vouches_for("account.a.inbox", Some("b")));

        let secure = Issuer::new(Some("a"));
        assert_eq!(secure.publish_subject("account.b.inbox"), "account.b.inbox.a");
        assert_eq!(secure.subscribe_subject("account.a.inbox".into()), "account.a.inbox.*");
        assert!(secure.vouches_for("account.a.inbox.b", Some("b")));
        for claimed in [Some("c"), Some(""), None] {
            assert!(!secure.vouches_for("account.a.inbox.b", claimed), "{claimed:?}");
        }
    }
}
