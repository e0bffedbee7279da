//! Subjects of the secure mode: their last token is the account that published (PROTOCOL.md section 23.1).
//!
//! An account's permissions let it publish only subjects that end in its own id, so the broker proves the sender.

use super::{CONNECTION_INBOX_PREFIX, REPLY_PREFIX, is_token};

/// All inboxes of the secure mode, for a tap.
pub const ALL_ISSUED_INBOXES: &str = "account.*.inbox.*";
/// All receipts of the secure mode, for a tap.
pub const ALL_ISSUED_RECEIPTS: &str = "account.*.receipts.*";
/// All deliveries from mailboxes, for a tap.
pub const ALL_ISSUED_MAILBOXES: &str = "account.*.mailbox.*";
/// All capability subjects of the secure mode, for a tap.
pub const ALL_ISSUED_CAPABILITIES: &str = "agent.capability.*.*";
/// Prefix of a registry's own inboxes: apart from [`CONNECTION_INBOX_PREFIX`], below which registries publish answers.
pub const REGISTRY_INBOX_PREFIX: &str = "_AGENTNET_R";
/// Prefix of the inboxes of those that join.
pub const JOIN_INBOX_PREFIX: &str = "_INBOX_join";

/// `<subject>.<issuer>`.
#[must_use]
pub fn issued(subject: &str, issuer: &str) -> String {
    format!("{subject}.{issuer}")
}

/// What stands before the last token, and the last token: the issuer. `None` if there is no dot, or nothing on one side of it.
#[must_use]
pub fn split_issuer(subject: &str) -> Option<(&str, &str)> {
    subject
        .rsplit_once('.')
        .filter(|(before, issuer)| !before.is_empty() && !issuer.is_empty())
}

/// `account.<account_id>.control`: where the reader of a stream cancels it; the account is that of the stream's sender.
#[must_use]
pub fn control(account_id: &str) -> String {
    format!("account.{account_id}.control")
}

/// `account.<account_id>.mailbox`: where registries deliver the messages of an account's mailbox.
#[must_use]
pub fn mailbox(account_id: &str) -> String {
    format!("account.{account_id}.mailbox")
}

/// `_AGENTNET.<account_id>`: prefix of the inboxes of an account's connections.
#[must_use]
pub fn connection_inbox_prefix(account_id: &str) -> String {
    format!("{CONNECTION_INBOX_PREFIX}.{account_id}")
}

/// `_AGENTNET_R.<account_id>`: prefix of the inboxes of a registry's connection.
#[must_use]
pub fn registry_inbox_prefix(account_id: &str) -> String {
    format!("{REGISTRY_INBOX_PREFIX}.{account_id}")
}

/// `_INBOX_join.<invite_id>`: prefix of the inboxes of a connection that uses an invite.
#[must_use]
pub fn join_inbox_prefix(invite_id: &str) -> String {
    format!("{JOIN_INBOX_PREFIX}.{invite_id}")
}

/// The only queue group that an observer may use: in a group of others it would take their messages from them.
#[must_use]
pub fn observer_group(account_id: &str) -> String {
    format!("agentnet-observer-{account_id}")
}

/// Whether a registry may answer on this reply subject: only below the inbox prefix of the account that asks. The broker
/// does not check reply subjects, so a caller could else have the registry publish where it may not itself.
#[must_use]
pub fn may_reply_to_issuer(reply: &str, issuer: &str) -> bool {
    is_below(reply, CONNECTION_INBOX_PREFIX, issuer)
}

/// As [`may_reply_to_issuer`], for the answer to an enrolment.
#[must_use]
pub fn may_reply_to_invite(reply: &str, invite_id: &str) -> bool {
    is_below(reply, JOIN_INBOX_PREFIX, invite_id)
}

/// Whether an agent may answer a message of this issuer on this reply subject: `agentnet.reply.<issuer>.<token>.<n>`. On a
/// reply subject of another account, the answer would look like one to a request of that account.
#[must_use]
pub fn may_reply_to_requester(reply: &str, issuer: &str) -> bool {
    is_token(issuer) && tokens_below(reply, REPLY_PREFIX, issuer) == Some(2)
}

/// Whether the subject is `<prefix>.<owner>.` and at least one more token, without wildcards.
fn is_below(subject: &str, prefix: &str, owner: &str) -> bool {
    is_token(owner) && tokens_below(subject, prefix, owner).is_some()
}

/// How many tokens stand behind `<prefix>.<owner>.`; `None` if the subject begins otherwise, or has a wildcard there.
fn tokens_below(subject: &str, prefix: &str, owner: &str) -> Option<usize> {
    let mut rest = subject;
    for part in [prefix, ".", owner, "."] {
        rest = rest.strip_prefix(part)?;
    }
    rest.split('.').all(is_token).then(|| rest.split('.').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_only_below_the_prefix_of_the_caller() {
        for reply in ["_AGENTNET.acct_1.x", "_AGENTNET.acct_1.x.1"] {
            assert!(may_reply_to_issuer(reply, "acct_1"), "{reply}");
        }
        for reply in [
            "",
            "_AGENTNET.acct_1",
            "_AGENTNET.acct_1.",
            "_AGENTNET.acct_1..x",
            "_AGENTNET.acct_1.*",
            "_AGENTNET.acct_1.x y",
            "_AGENTNET.acct_12.x",
            "_AGENTNET.acct_2.x",
            "_AGENTNETx.acct_1.x",
            "_INBOX_join.acct_1.x",
            "$JS.API.STREAM.PURGE.AGENTNET_HISTORY",
        ] {
            assert!(!may_reply_to_issuer(reply, "acct_1"), "{reply}");
        }
        for issuer in ["", "*", ">", "acct_1.x"] {
            assert!(
                !may_reply_to_issuer(&format!("_AGENTNET.{issuer}.x.1"), issuer),
                "{issuer}"
            );
        }
        assert!(may_reply_to_invite("_INBOX_join.inv_1.x.1", "inv_1"));
        assert!(!may_reply_to_invite("_AGENTNET.inv_1.x.1", "inv_1"));
        assert!(!may_reply_to_invite("_INBOX_join.inv_2.x.1", "inv_1"));
    }

    #[test]
    fn an_agent_answers_only_on_reply_subjects_of_the_sender() {
        assert!(may_reply_to_requester("agentnet.reply.acct_1.01ABC.0", "acct_1"));
        for reply in [
            "agentnet.reply.acct_2.01ABC.0",
            "agentnet.reply.acct_1.01ABC",
            "agentnet.reply.acct_1.01ABC.0.acct_2",
            "agentnet.reply.acct_1.01ABC.*",
            "agentnet.reply.acct_1",
            "_INBOX.acct_1.01ABC.0",
            "_AGENTNET.acct_1.01ABC.0",
            "registry.hello",
            "",
        ] {
            assert!(!may_reply_to_requester(reply, "acct_1"), "{reply}");
        }
        assert!(!may_reply_to_requester("agentnet.reply.*.01ABC.0", "*"));
    }
}
