//! Every subject and queue group of the network, built and parsed in one place (PROTOCOL.md section 2).

mod issued;

pub use issued::{
    ALL_ISSUED_CAPABILITIES, ALL_ISSUED_INBOXES, ALL_ISSUED_MAILBOXES, ALL_ISSUED_RECEIPTS, JOIN_INBOX_PREFIX,
    REGISTRY_INBOX_PREFIX, connection_inbox_prefix, control, issued, join_inbox_prefix, mailbox, may_reply_to_invite,
    may_reply_to_issuer, may_reply_to_requester, observer_group, registry_inbox_prefix, split_issuer,
};

use crate::ids::valid_account_id;

/// Prefix of the registry's subjects: `registry.<name>`.
pub const REGISTRY_PREFIX: &str = "registry.";
/// All inboxes, for a tap.
pub const ALL_INBOXES: &str = "account.*.inbox";
/// All capability subjects, for a tap.
pub const ALL_CAPABILITIES: &str = "agent.capability.*";
/// Replies to requests of clients that use NATS' own inbox prefix.
pub const ALL_NATS_REPLIES: &str = "_INBOX.>";
/// Prefix of the reply subjects that our registry offers to its agents (`reply_prefix`); captured by the history.
pub const REPLY_PREFIX: &str = "agentnet.reply";
/// All of those, for a tap.
pub const ALL_REPLIES: &str = "agentnet.reply.>";
/// Inbox prefix of the connections of SDK and registry; neither captured nor tapped.
pub const CONNECTION_INBOX_PREFIX: &str = "_AGENTNET";
/// Queue group of all registry replicas.
pub const REGISTRY_GROUP: &str = "agentnet-registry";

/// Account ids with this prefix belong to registries: under signed identity no other program can have one (section 13.7).
pub const REGISTRY_ACCOUNT_PREFIX: &str = "acct_registry_";

/// The account that a registry speaks as.
#[must_use]
pub fn registry_account(server_id: &str) -> String {
    format!("{REGISTRY_ACCOUNT_PREFIX}{server_id}")
}

/// `account.<account_id>.inbox`.
#[must_use]
pub fn inbox(account_id: &str) -> String {
    format!("account.{account_id}.inbox")
}

/// `account.<account_id>.receipts`.
#[must_use]
pub fn receipts(account_id: &str) -> String {
    format!("account.{account_id}.receipts")
}

/// `agent.capability.<capability>`.
#[must_use]
pub fn capability(capability: &str) -> String {
    format!("agent.capability.{capability}")
}

/// Queue group that all sessions of an account share for its inbox.
#[must_use]
pub fn inbox_group(account_id: &str) -> String {
    format!("agentnet-account-{account_id}")
}

/// Queue group that all agents with a capability share.
#[must_use]
pub fn capability_group(capability: &str) -> String {
    format!("agentnet-capability-{capability}")
}

/// `<prefix>.<account_id>.<token>`: where the reply to one request goes.
#[must_use]
pub fn reply(prefix: &str, account_id: &str, token: &str) -> String {
    format!("{prefix}.{account_id}.{token}")
}

/// Subjects of events that concern one account: `agentnet.events.<account_id>.<kind>` (section 21.6). Never in the history.
pub const EVENTS_PREFIX: &str = "agentnet.events.";
/// The mailbox events of all accounts.
pub const ALL_MAILBOX_EVENTS: &str = "agentnet.events.*.mailbox";

/// `agentnet.events.<account_id>.mailbox`: what happens to messages in this account's mailbox.
#[must_use]
pub fn mailbox_events(account_id: &str) -> String {
    format!("{EVENTS_PREFIX}{account_id}.mailbox")
}

/// The task events of all accounts.
pub const ALL_TASK_EVENTS: &str = "agentnet.events.*.task";

/// `agentnet.events.<account_id>.task`: what happens to tasks that this account asked for or does (section 22.5).
#[must_use]
pub fn task_events(account_id: &str) -> String {
    format!("{EVENTS_PREFIX}{account_id}.task")
}

/// `agentnet.events.<account_id>.credential`: the account's permissions have changed (section 23.8).
#[must_use]
pub fn credential_events(account_id: &str) -> String {
    format!("{EVENTS_PREFIX}{account_id}.credential")
}

/// The longest text that is put into a subject: NATS servers end a connection that names a subject of more than 4,096 bytes.
pub const MAX_ROUTABLE_BYTES: usize = 1024;

/// Whether messages can be routed by this capability (section 0.5): not empty, no white space, `.`, `*` or `>`, and at most
/// [`MAX_ROUTABLE_BYTES`].
#[must_use]
pub fn routable_capability(capability: &str) -> bool {
    is_token(capability)
}

/// Whether an account id can stand in a subject without changing its shape.
#[must_use]
pub fn routable_account(account_id: &str) -> bool {
    is_token(account_id)
}

/// Whether the text is one token of a subject, and not a wildcard.
fn is_token(text: &str) -> bool {
    (1..=MAX_ROUTABLE_BYTES).contains(&text.len())
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>'))
}

/// Whether a JSON `reply_to` member names a reply subject of this network (section 0.7): below `_INBOX.` or below our own
/// reply prefix, never an inbox, receipts or registry subject.
#[must_use]
pub fn is_reply_subject(subject: &str) -> bool {
    let below = |prefix: &str| {
        subject
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
    };
    (below("_INBOX") || below(REPLY_PREFIX))
        && !subject
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>'))
        && !subject.split('.').any(str::is_empty)
}

/// Whether an answer or a reply may be published to this NATS reply subject (section 0.11). Not to a subject of the server
/// itself (`$JS.API.…`, `$SYS.…`) and not to one on which agents or registries take messages: the sender that chooses the reply
/// subject of a request would publish there with the rights of who answers.
#[must_use]
pub fn may_reply_to(subject: &str) -> bool {
    const REFUSED: [&str; 5] = ["account.", "agent.", "registry.", "agentnet.registry.", EVENTS_PREFIX];
    !subject.starts_with('$') && !REFUSED.iter().any(|prefix| subject.starts_with(prefix))
}

/// Whether a header steers the server (`Nats-Expected-Stream`, `Nats-Rollup`, `Nats-TTL`, …): with some of them a message is
/// delivered and yet kept out of the history, so no message of this network has one (section 12).
#[must_use]
pub fn is_server_header(name: &str) -> bool {
    name.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("nats-"))
}

/// What a subject of this network is for. The *issuer* is the account in the last token (section 23.1); token mode has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An account's inbox.
    Inbox {
        /// Account id of the inbox's owner.
        account_id: &'a str,
        /// Account of the sender, in secure mode.
        issuer: Option<&'a str>,
    },
    /// An account's delivery receipts.
    Receipts {
        /// Account id that the receipts are sent to.
        account_id: &'a str,
        /// The receiver of the message.
        issuer: Option<&'a str>,
    },
    /// Any one agent with this capability.
    Capability {
        /// Name of the capability.
        capability: &'a str,
        /// Account of the sender, in secure mode.
        issuer: Option<&'a str>,
    },
    /// Messages of an account's mailbox, delivered by a registry.
    Mailbox {
        /// Account id of the mailbox's owner.
        account_id: &'a str,
        /// The registry's account.
        issuer: &'a str,
    },
    /// Cancellations of streams that an account sends.
    Control {
        /// Account id of the stream's sender.
        account_id: &'a str,
        /// Account of the reader that cancels.
        issuer: &'a str,
    },
    /// A registry RPC or presence subject.
    Registry {
        /// The part behind `registry.`.
        name: &'a str,
        /// Account of the caller, in secure mode.
        issuer: Option<&'a str>,
    },
    /// A reply to a request. Its number of tokens differs, so [`split_issuer`] reads the issuer.
    Reply,
}

impl<'a> Subject<'a> {
    /// Reads a concrete subject, with or without an issuer; `None` if it is none of this network's, or has an issuer and a
    /// wildcard in it.
    #[must_use]
    pub fn parse(subject: &'a str) -> Option<Self> {
        if is_reply_subject(subject) {
            return Some(Self::Reply);
        }
        let mut tokens = subject.split('.');
        let (first, second) = (tokens.next()?, tokens.next()?);
        // The third token of `registry.<name>` is the issuer already.
        let third = if first == "registry" {
            None
        } else {
            Some(tokens.next()?)
        };
        let issuer = tokens.next();
        // A broker lets a client publish `account.*.inbox.<own>` literally: it reaches taps, and no inbox.
        let is_whole = tokens.next().is_none()
            && issuer.is_none_or(|issuer| [Some(second), third, Some(issuer)].into_iter().flatten().all(is_token));
        if !is_whole {
            return None;
        }
        Some(match (first, second, third, issuer) {
            ("registry", name, None, issuer) if !name.is_empty() => Self::Registry { name, issuer },
            ("account", account_id, Some("inbox"), issuer) => Self::Inbox { account_id, issuer },
            ("account", account_id, Some("receipts"), issuer) => Self::Receipts { account_id, issuer },
            ("account", account_id, Some("mailbox"), Some(issuer)) => Self::Mailbox { account_id, issuer },
            ("account", account_id, Some("control"), Some(issuer)) => Self::Control { account_id, issuer },
            ("agent", "capability", Some(capability), issuer) => Self::Capability { capability, issuer },
            _ => return None,
        })
    }
}

/// The reply prefix to use for requests of this account: the offered one where the account id fits into a subject.
#[must_use]
pub fn usable_reply_prefix<'a>(offered: Option<&'a str>, account_id: &str) -> Option<&'a str> {
    offered.filter(|prefix| !prefix.is_empty() && valid_account_id(account_id))
}

#[cfg(test)]
mod tests;
