//! The check of the mailboxes. No I/O: tables of cases test it.

use std::time::Duration;

use agentnet::RegistryError;
use agentnet_protocol::Timestamp;
use agentnet_protocol::mailbox::{code, code_of};
use agentnet_protocol::rpc::MailboxStatusReply;

use super::report::{Finding, counted};

/// A share of the limit in percent above which the mailboxes are nearly full.
const NEARLY_FULL_PERCENT: i64 = 80;
/// A message that waits longer gets a warning: its receiver may not come back.
const LONG_WAIT: Duration = Duration::from_secs(24 * 3600);

/// All mailboxes together, as the registry counts them.
pub(super) fn mailboxes(asked: Result<MailboxStatusReply, RegistryError>, now: Timestamp) -> Finding {
    let status = match asked {
        Ok(status) => status,
        Err(RegistryError::NoRegistry { .. }) => {
            return Finding::skip("the registry keeps no messages: it is of an older version");
        }
        Err(RegistryError::Refused(text)) if code_of(&text) == code::DISABLED => {
            return Finding::skip("the registry keeps no messages (AGENTNET_MAILBOX=false)");
        }
        Err(error) => return Finding::skip(format!("its state is not known: {error}")),
    };
    let waiting = status.queued.saturating_add(status.leased);
    let seen = format!(
        "{} {}, {} {} dead",
        counted(waiting, "message"),
        if waiting == 1 { "waits" } else { "wait" },
        status.dead,
        if status.dead == 1 { "is" } else { "are" },
    );
    Finding::worst(
        Finding::pass(seen.clone()),
        [full(&status), dead(&status, &seen), old(&status, &seen, now)],
    )
}

fn full(status: &MailboxStatusReply) -> Option<Finding> {
    let (used, limit) = (status.bytes, status.limit_bytes);
    let is_full = limit > 0 && i128::from(used) * 100 > i128::from(limit) * i128::from(NEARLY_FULL_PERCENT);
    is_full.then(|| {
        Finding::warn(
            format!(
                "the mailboxes are nearly full: {used} of {limit} bytes; then messages are refused with {}",
                code::FULL
            ),
            "start the agents whose messages wait, drop messages with `agentnet mailbox drop`, or raise \
             AGENTNET_MAILBOX_TOTAL_BYTES",
        )
    })
}

fn dead(status: &MailboxStatusReply, seen: &str) -> Option<Finding> {
    (status.dead > 0).then(|| {
        Finding::warn(
            format!("{seen}: they could not be delivered"),
            "`agentnet mailbox list --username NAME --state dead` shows why; `agentnet mailbox requeue` delivers them again, \
             `agentnet mailbox drop` deletes them",
        )
    })
}

fn old(status: &MailboxStatusReply, seen: &str, now: Timestamp) -> Option<Finding> {
    let since = status.oldest_queued_at.as_deref().and_then(Timestamp::parse)?;
    let waited = u64::try_from(now.micros_since(since)).map(Duration::from_micros).ok()?;
    (waited > LONG_WAIT).then(|| {
        Finding::warn(
            format!("{seen}, the oldest for {}", counted(waited.as_secs() / 3600, "hour")),
            "its receiver may not come back: start it, or drop the message with `agentnet mailbox drop`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict::{Pass, Skip, Warn};
    use super::*;

    const NOW: &str = "2026-02-21T08:00:00Z";

    fn judged(status: MailboxStatusReply) -> Finding {
        mailboxes(Ok(status), Timestamp::parse(NOW).unwrap())
    }

    fn status() -> MailboxStatusReply {
        MailboxStatusReply {
            limit_bytes: 1_000,
            ..MailboxStatusReply::default()
        }
    }

    #[test]
    fn mailboxes_are_empty_or_in_use() {
        assert_eq!(judged(status()), Finding::pass("0 messages wait, 0 are dead"));
        let used = MailboxStatusReply {
            leased: 1,
            bytes: 800,
            oldest_queued_at: Some("2026-02-20T08:00:00Z".into()),
            ..status()
        };
        assert_eq!(judged(used), Finding::pass("1 message waits, 0 are dead"));
    }

    #[test]
    fn fullness_dead_messages_and_old_ones_are_told() {
        for (changed, part) in [
            (
                MailboxStatusReply { bytes: 801, ..status() },
                "nearly full: 801 of 1000 bytes",
            ),
            (
                MailboxStatusReply { dead: 1, ..status() },
                "0 messages wait, 1 is dead: they could not",
            ),
            (
                MailboxStatusReply {
                    queued: 2,
                    oldest_queued_at: Some("2026-02-20T07:59:59Z".into()),
                    ..status()
                },
                "2 messages wait, 0 are dead, the oldest for 24 hours",
            ),
        ] {
            let finding = judged(changed);
            assert_eq!(finding.verdict, Warn, "{finding:?}");
            assert!(finding.seen.contains(part), "{finding:?}");
            assert!(finding.advice.is_some());
        }
        let unlimited = MailboxStatusReply {
            bytes: i64::MAX,
            limit_bytes: 0,
            ..status()
        };
        assert_eq!(judged(unlimited).verdict, Pass);
    }

    #[test]
    fn registries_without_mailboxes_are_not_at_fault() {
        let rpc = "mailbox_status";
        for error in [
            RegistryError::NoRegistry { rpc },
            RegistryError::Refused("mailbox_disabled: this registry keeps no messages".into()),
            RegistryError::Timeout {
                rpc,
                timeout: Duration::from_secs(2),
            },
        ] {
            let finding = mailboxes(Err(error), Timestamp::parse(NOW).unwrap());
            assert_eq!(finding.verdict, Skip, "{finding:?}");
        }
    }
}
