//! What the registry counts of mailboxes.

use std::collections::BTreeMap;

use agentnet_store::model::MailboxCounts;
use parking_lot::Mutex;

use super::Counter;

/// Codes that have a count of their own: a session chooses the code of a message that it cannot handle.
const CODES: [&str; 18] = [
    "busy",
    "duplicate",
    "expired",
    "handler_error",
    "mailbox_expired",
    "mailbox_too_large",
    "message_invalid",
    "missing_ttl",
    "not_acknowledged",
    "payload_too_large",
    "rate_limited",
    "recipient_offline",
    "schema_version_invalid",
    "service_degraded",
    "shutting_down",
    "timeout",
    "unconfirmed",
    "unsupported_schema_version",
];
/// All codes of signatures.
const AUTH: &str = "auth";
const OTHER: &str = "other";

/// Counters of mailboxes.
#[derive(Debug, Default)]
pub(crate) struct MailboxMetrics {
    /// Messages that were delivered.
    pub(crate) delivered: Counter,
    /// Messages that were given up, by code.
    dead: Mutex<BTreeMap<&'static str, u64>>,
    /// What the store said last.
    counts: Mutex<MailboxCounts>,
}

impl MailboxMetrics {
    /// A message was given up.
    pub(crate) fn died(&self, code: &str) {
        *self.dead.lock().entry(label(code)).or_default() += 1;
    }

    /// Messages that were given up, by code.
    pub(crate) fn dead(&self) -> BTreeMap<&'static str, u64> {
        self.dead.lock().clone()
    }

    /// How full the mailboxes are now.
    pub(crate) fn set_counts(&self, counts: MailboxCounts) {
        *self.counts.lock() = counts;
    }

    /// How full the mailboxes were when the store was asked last.
    pub(crate) fn counts(&self) -> MailboxCounts {
        *self.counts.lock()
    }
}

fn label(code: &str) -> &'static str {
    match CODES.iter().find(|known| **known == code) {
        Some(known) => known,
        None if code.starts_with("auth_") => AUTH,
        None => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_sessions_make_up_are_counted_together() {
        let metrics = MailboxMetrics::default();
        for code in [
            "handler_error",
            "auth_missing",
            "auth_claims_mismatch",
            "x1",
            "x2",
            "x3",
        ] {
            metrics.died(code);
        }
        assert_eq!(
            metrics.dead(),
            BTreeMap::from([("auth", 2), ("handler_error", 1), ("other", 3)])
        );
    }
}
