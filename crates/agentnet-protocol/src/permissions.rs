//! What a credential may publish and subscribe to (PROTOCOL.md section 23.2).
//!
//! One pure function, used by every authority. Nothing here grants `allow_responses`: with it a client chooses what it may
//! publish. Agents get no subject of JetStream: its requests let the server publish bytes of the client's choice anywhere.

use std::fmt;

use crate::ids::valid_account_id;
use crate::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES};
pub use crate::member::Role;
use crate::subject::{
    ALL_ISSUED_CAPABILITIES, ALL_ISSUED_INBOXES, ALL_ISSUED_MAILBOXES, ALL_ISSUED_RECEIPTS, ALL_REPLIES,
    CONNECTION_INBOX_PREFIX, EVENTS_PREFIX, JOIN_INBOX_PREFIX, REGISTRY_ACCOUNT_PREFIX, REPLY_PREFIX, capability,
    capability_group, connection_inbox_prefix, control, inbox, inbox_group, issued, join_inbox_prefix, mailbox,
    observer_group, receipts, registry_inbox_prefix, routable_capability,
};

/// In [`Grant::may_send_to`], what stands before the name of a capability.
pub const CAPABILITY_PREFIX: &str = "capability:";
/// What a registry may ask JetStream for: its stream and its consumer, never to purge or delete a stream. `MSG.GET` and
/// `MSG.DELETE` take single messages out that no client can read (section 8.1).
const REGISTRY_JETSTREAM: [&str; 15] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.CREATE.AGENTNET_HISTORY",
    "$JS.API.STREAM.UPDATE.AGENTNET_HISTORY",
    "$JS.API.STREAM.INFO.AGENTNET_HISTORY",
    "$JS.API.STREAM.MSG.GET.AGENTNET_HISTORY",
    "$JS.API.STREAM.MSG.DELETE.AGENTNET_HISTORY",
    "$JS.API.CONSUMER.CREATE.AGENTNET_HISTORY.agentnet-registry",
    "$JS.API.CONSUMER.CREATE.AGENTNET_HISTORY.agentnet-registry.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.AGENTNET_HISTORY.agentnet-registry",
    "$JS.API.CONSUMER.DURABLE.CREATE.AGENTNET_HISTORY.agentnet-registry.>",
    "$JS.API.CONSUMER.INFO.AGENTNET_HISTORY.agentnet-registry",
    "$JS.API.CONSUMER.INFO.AGENTNET_HISTORY.agentnet-registry.>",
    "$JS.API.CONSUMER.MSG.NEXT.AGENTNET_HISTORY.agentnet-registry",
    "$JS.API.CONSUMER.MSG.NEXT.AGENTNET_HISTORY.agentnet-registry.>",
    "$JS.ACK.AGENTNET_HISTORY.agentnet-registry.>",
];
/// What a registry may do with the objects of agents (section 23.13): store, read and take out single messages, never purge.
const REGISTRY_BLOBS: [&str; 7] = [
    "$O.agentnet_blobs.C.*",
    "$O.agentnet_blobs.M.*",
    "$JS.API.STREAM.CREATE.OBJ_agentnet_blobs",
    "$JS.API.STREAM.INFO.OBJ_agentnet_blobs",
    "$JS.API.STREAM.MSG.GET.OBJ_agentnet_blobs",
    "$JS.API.STREAM.MSG.DELETE.OBJ_agentnet_blobs",
    "$JS.API.DIRECT.GET.OBJ_agentnet_blobs",
];
/// The stream's leader has changed.
const LEADER_ELECTED: &str = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.AGENTNET_HISTORY";

/// Whose permissions are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    /// What the credential is for.
    pub role: Role,
    /// The account of the credential; for [`Role::Join`] the invite id.
    pub account_id: &'a str,
    /// Capabilities that an agent or operator may serve.
    pub capabilities: &'a [String],
    /// Where an agent or operator may send to: account ids, and `capability:<name>`. `None`: everybody.
    pub may_send_to: Option<&'a [String]>,
}

/// The lists of a NATS user. An entry `subject queue` allows the subscription in this queue group only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Subjects that may be published.
    pub publish: Vec<String>,
    /// Subjects that may be subscribed to.
    pub subscribe: Vec<String>,
}

/// A value that must not stand in a permission, where it could be a wildcard or end a text of the server's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionError {
    /// No account id, or invite id: 1 to 128 of `A-Z a-z 0-9 _ -`.
    AccountId(String),
    /// The account id of a registry in another role, or of another in the role of a registry.
    RegistryAccountId(String),
    /// No capability that messages can be routed by, or one with quotes, `\`, `{`, `}` or `$`.
    Capability(String),
    /// More capabilities than an account can have.
    TooManyCapabilities(usize),
}

impl fmt::Display for PermissionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountId(id) => write!(out, "no permissions for the id {}", shown(id)),
            Self::RegistryAccountId(id) => {
                write!(
                    out,
                    "account ids of registries, and only those, begin with {REGISTRY_ACCOUNT_PREFIX}: {}",
                    shown(id)
                )
            }
            Self::Capability(name) => write!(out, "no permissions for the capability {}", shown(name)),
            Self::TooManyCapabilities(count) => {
                write!(out, "{count} capabilities; at most {MAX_CAPABILITIES} are allowed")
            }
        }
    }
}

impl std::error::Error for PermissionError {}

/// A bad value, quoted, escaped and of bounded length.
fn shown(value: &str) -> String {
    format!("{:?}", value.chars().take(128).collect::<String>())
}

/// Whether a capability can stand in a permission.
#[must_use]
pub fn grantable_capability(name: &str) -> bool {
    routable_capability(name)
        && name.len() <= MAX_CAPABILITY_BYTES
        && !name.contains(['"', '\'', '`', '\\', '{', '}', '$'])
}

/// The permissions of a credential.
///
/// # Errors
/// [`PermissionError`] for the first value that must not stand in a permission.
pub fn permissions(grant: &Grant<'_>) -> Result<Permissions, PermissionError> {
    check(grant)?;
    let own = grant.account_id;
    let mut lists = Permissions::default();
    match grant.role {
        Role::Agent => agent(grant, &mut lists),
        Role::Observer => {
            caller(own, &mut lists);
            taps(own, &mut lists);
        }
        Role::Operator => {
            agent(grant, &mut lists);
            lists.publish.push(issued("agentnet.registry.health.*", own));
            taps(own, &mut lists);
        }
        Role::Registry => registry(own, &mut lists),
        Role::Join => {
            lists.publish.push(issued("registry.enroll", own));
            lists.subscribe.push(below(&join_inbox_prefix(own)));
        }
        Role::Renew => {
            lists.publish.push(issued("registry.renew", own));
            // Not below the inboxes of the account: whoever had it before must not hear the answers to its next member.
            lists.subscribe.push(below(&join_inbox_prefix(own)));
        }
    }
    Ok(lists)
}

fn check(grant: &Grant<'_>) -> Result<(), PermissionError> {
    check_id(grant.account_id)?;
    if grant.account_id.starts_with(REGISTRY_ACCOUNT_PREFIX) != (grant.role == Role::Registry) {
        return Err(PermissionError::RegistryAccountId(grant.account_id.to_owned()));
    }
    if grant.capabilities.len() > MAX_CAPABILITIES {
        return Err(PermissionError::TooManyCapabilities(grant.capabilities.len()));
    }
    grant.capabilities.iter().try_for_each(|name| check_capability(name))?;
    grant
        .may_send_to
        .into_iter()
        .flatten()
        .try_for_each(|target| match target.strip_prefix(CAPABILITY_PREFIX) {
            Some(name) => check_capability(name),
            None => check_id(target),
        })
}

fn check_id(id: &str) -> Result<(), PermissionError> {
    if valid_account_id(id) {
        Ok(())
    } else {
        Err(PermissionError::AccountId(id.to_owned()))
    }
}

fn check_capability(name: &str) -> Result<(), PermissionError> {
    if grantable_capability(name) {
        Ok(())
    } else {
        Err(PermissionError::Capability(name.to_owned()))
    }
}

fn below(prefix: &str) -> String {
    format!("{prefix}.>")
}

fn in_group(subject: &str, group: &str) -> String {
    format!("{subject} {group}")
}

/// Requests to registries, and their answers.
fn caller(own: &str, lists: &mut Permissions) {
    let answers = below(&connection_inbox_prefix(own));
    // A session publishes to its own inbox to learn when the server has handled its subscriptions.
    lists.publish.extend([issued("registry.*", own), answers.clone()]);
    lists.subscribe.push(answers);
}

fn agent(grant: &Grant<'_>, lists: &mut Permissions) {
    let own = grant.account_id;
    send(grant, lists);
    lists.publish.extend([
        issued(&receipts("*"), own),
        issued(&control("*"), own),
        // Requester, token of its session, number.
        issued(&format!("{REPLY_PREFIX}.*.*.*"), own),
    ]);
    caller(own, lists);
    let (group, replies) = (inbox_group(own), below(&format!("{REPLY_PREFIX}.{own}")));
    lists.subscribe.extend([
        in_group(&issued(&inbox(own), "*"), &group),
        in_group(&issued(&mailbox(own), "*"), &group),
        issued(&receipts(own), "*"),
        issued(&control(own), "*"),
        replies.clone(),
        // Where an entry names a queue group, no other may be used: in the registries' group an agent would keep its replies
        // out of the history.
        in_group(&replies, &group),
        below(&format!("{EVENTS_PREFIX}{own}")),
    ]);
    lists.subscribe.extend(
        grant
            .capabilities
            .iter()
            .map(|name| in_group(&issued(&capability(name), "*"), &capability_group(name))),
    );
}

/// Messages to accounts and capabilities.
fn send(grant: &Grant<'_>, lists: &mut Permissions) {
    let own = grant.account_id;
    match grant.may_send_to {
        None => lists
            .publish
            .extend([issued(&inbox("*"), own), issued(&capability("*"), own)]),
        Some(targets) => {
            lists.publish.extend(
                targets
                    .iter()
                    .map(|target| match target.strip_prefix(CAPABILITY_PREFIX) {
                        Some(name) => issued(&capability(name), own),
                        None => issued(&inbox(target), own),
                    }),
            );
        }
    }
}

/// Everything that agents and registries publish, to read along.
fn taps(own: &str, lists: &mut Permissions) {
    let group = observer_group(own);
    let events = below(EVENTS_PREFIX.trim_end_matches('.'));
    for subject in [
        ALL_ISSUED_INBOXES,
        ALL_ISSUED_MAILBOXES,
        ALL_ISSUED_RECEIPTS,
        ALL_ISSUED_CAPABILITIES,
        ALL_REPLIES,
        "registry.hello.*",
        "registry.goodbye.*",
        &events,
    ] {
        // With a queue group of its own, no other may be used: an observer takes no message from its receiver.
        lists.subscribe.extend([subject.to_owned(), in_group(subject, &group)]);
    }
}

fn registry(own: &str, lists: &mut Permissions) {
    lists.publish.extend([
        below(CONNECTION_INBOX_PREFIX),
        below(JOIN_INBOX_PREFIX),
        issued(&format!("{REPLY_PREFIX}.*.*.*"), own),
        issued(&receipts("*"), own),
        issued(&mailbox("*"), own),
        format!("{EVENTS_PREFIX}*.*"),
        "agentnet.registry.>".to_owned(),
        // A round trip: what a connection says to itself comes back when the server has handled everything before.
        below(&registry_inbox_prefix(own)),
    ]);
    lists.publish.extend(REGISTRY_JETSTREAM.map(str::to_owned));
    lists.publish.extend(REGISTRY_BLOBS.map(str::to_owned));
    lists.subscribe.extend([
        "registry.*.*".to_owned(),
        ALL_ISSUED_INBOXES.to_owned(),
        ALL_ISSUED_CAPABILITIES.to_owned(),
        ALL_ISSUED_RECEIPTS.to_owned(),
        ALL_REPLIES.to_owned(),
        format!("{EVENTS_PREFIX}*.*"),
        "agentnet.registry.>".to_owned(),
        LEADER_ELECTED.to_owned(),
        below(&registry_inbox_prefix(own)),
    ]);
}

#[cfg(test)]
mod tests;
