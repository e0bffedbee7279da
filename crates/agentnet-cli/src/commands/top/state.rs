//! The state of `top`, and how messages and answers change it. No I/O, no clock.

use std::collections::VecDeque;
use std::time::Duration;

use agentnet::RegistryError;
use agentnet_protocol::envelope::kind;
use agentnet_protocol::json::Object;
use agentnet_protocol::limits::MAX_NAME_BYTES;
use agentnet_protocol::rpc::{
    AccountHit, Goodbye, HistoryMessage, MetricsReply, Profile, ThreadStatusReply, ThreadSummary,
};
use agentnet_protocol::subject::Subject;
use agentnet_protocol::{AgentCounters, AgentInfo, Envelope, Receipt, ReceiptStatus, Timestamp};

use super::agents::{Agents, Hello};
use super::mailboxes::{MailCounts, Mailboxes};
use super::messages::{Messages, SeenMessage};
use super::rate::Rate;
use super::tasks::{OpenTasks, Tasks};
use super::threads::ThreadTable;
use super::view::Page;
use crate::commands::watch::{mailbox_account, task_account};
use crate::output::sanitize::clean;

/// Maximum number of accounts that wait for a lookup of their name.
const MAX_NAMELESS: usize = 64;
/// Maximum number of receipts that are kept, and of characters of a code.
const MAX_RECEIPTS: usize = 4_000;
const MAX_CODE_LEN: usize = 64;

/// The known state of the network.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) agents: Agents,
    pub(crate) messages: Messages,
    pub(crate) threads: ThreadTable,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) tasks: Tasks,
    pub(crate) link: Link,
    pub(crate) registry: RegistryStatus,
    pub(crate) passing: Rate,
    pub(crate) failing: Rate,
    pub(crate) page: Option<PageFacts>,
    /// Accounts whose names are to be looked up.
    pub(crate) nameless: Vec<String>,
    /// The latest receipts, oldest first.
    pub(crate) receipts: VecDeque<SeenReceipt>,
    /// Messages since the last [`State::settle`].
    fresh: Vec<SeenMessage>,
}

/// A receipt: its message, its sender, its time, its status and code.
#[derive(Debug)]
pub(crate) struct SeenReceipt {
    pub(crate) message_id: Box<str>,
    pub(crate) by: Box<str>,
    pub(crate) at: Timestamp,
    pub(crate) what: Box<str>,
}

/// State of the connection to NATS.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The address, without the token.
    pub(crate) url: String,
    pub(crate) lost: bool,
    /// Number of messages that came too fast and were dropped.
    pub(crate) dropped: u64,
}

/// The registry's last answer.
#[derive(Debug, Default)]
pub(crate) enum RegistryStatus {
    #[default]
    Unasked,
    Answers(Box<MetricsReply>),
    /// Why it does not answer.
    Silent(String),
}

/// The registry's answers for the open page.
#[derive(Debug)]
pub(crate) struct PageFacts {
    pub(crate) page: Page,
    pub(crate) profile: Option<Profile>,
    pub(crate) status: Option<ThreadStatusReply>,
    /// The latest messages, latest first.
    pub(crate) history: Vec<HistoryMessage>,
    /// Why there is no answer.
    pub(crate) problem: Option<String>,
}

/// An answer of the registry.
#[derive(Debug)]
pub(crate) enum Answer {
    Metrics(Result<Box<MetricsReply>, RegistryError>),
    /// A page of the list of online agents, requested at the time `asked`.
    Online {
        agents: Vec<AgentInfo>,
        first: bool,
        last: bool,
        asked: Duration,
    },
    Found(Vec<AccountHit>),
    Threads(Vec<ThreadSummary>),
    Page(Box<PageFacts>),
    /// The username of an account; `None` if there is none.
    Name(String, Option<String>),
    /// The counts of the mailbox of an account; of all without one.
    Mailbox(Option<String>, MailCounts),
    /// The tasks that are open.
    Tasks(OpenTasks),
}

impl State {
    /// Applies a message of a subscription.
    pub(crate) fn apply(&mut self, message: &async_nats::Message, at: Timestamp, now: Duration) {
        match Subject::parse(&message.subject) {
            Some(Subject::Registry { name: "hello", .. }) => self.hello(&message.payload, now),
            Some(Subject::Registry { name: "goodbye", .. }) => self.goodbye(&message.payload, now),
            Some(Subject::Receipts { .. }) => self.receipt(message.payload.clone(), at, now),
            Some(Subject::Inbox { .. } | Subject::Capability { .. } | Subject::Reply) => {
                self.message(message.payload.clone(), at, now);
            }
            _ => self.account_event(&message.subject),
        }
    }

    fn account_event(&mut self, subject: &str) {
        if task_account(subject).is_some() {
            self.tasks.event();
        } else if let Some(account_id) = mailbox_account(subject) {
            self.mailboxes.event(account_id);
            self.queue_lookups([account_id]);
        }
    }

    fn hello(&mut self, body: &[u8], now: Duration) {
        let Ok(Some(hello)) = Object::parse_body(body) else {
            return;
        };
        let text = |name| hello.get(name).text();
        let hello = Hello {
            tag: &text("session_tag"),
            account_id: &text("account_id"),
            username: &text("username"),
            agent_id: &text("agent_id"),
            name: &text("name"),
            counters: AgentCounters::of(&hello),
        };
        self.agents.hello(&hello, now);
    }

    fn goodbye(&mut self, body: &[u8], now: Duration) {
        if let Ok(Some(goodbye)) = Object::parse_body(body) {
            self.agents.goodbye(&Goodbye::decode(&goodbye).session_tag, now);
        }
    }

    fn receipt(&mut self, body: bytes::Bytes, at: Timestamp, now: Duration) {
        let Ok(receipt) = Receipt::decode(body) else { return };
        let status = receipt.status();
        if status == ReceiptStatus::Rejected {
            self.failing.add(1, now);
        }
        let text = |text: &Option<agentnet_protocol::Text>| text.clone().unwrap_or_default();
        if receipt.message_id.len() <= MAX_NAME_BYTES {
            if self.receipts.len() == MAX_RECEIPTS {
                self.receipts.pop_front();
            }
            let code = text(&receipt.code);
            let what = format!(
                "{} {}",
                status.as_str(),
                code.chars().take(MAX_CODE_LEN).collect::<String>()
            );
            let by = text(&receipt.from_account_id);
            self.receipts.push_back(SeenReceipt {
                message_id: Box::from(&*receipt.message_id),
                by: by.chars().take(MAX_NAME_BYTES).collect::<String>().into(),
                at,
                what: clean(what.trim()).into(),
            });
        }
        self.agents.receipt(
            &text(&receipt.from_account_id),
            &text(&receipt.from_session_tag),
            status,
            &text(&receipt.code),
        );
    }

    fn message(&mut self, body: bytes::Bytes, at: Timestamp, now: Duration) {
        let Ok(envelope) = Envelope::decode(body) else { return };
        // A message without an id is not of this network: the registry ignores it too.
        if envelope.message_id.is_empty() {
            return;
        }
        self.passing.add(1, now);
        let from = envelope.from_account_id.as_deref().unwrap_or_default();
        // An error reply of the registry for an absent receiver. There is no receipt for it that would be counted.
        if envelope.kind == kind::ERROR && self.agents.get(from).is_none() {
            self.failing.add(1, now);
        }
        let to = envelope.to_account_id.as_deref().unwrap_or_default();
        self.queue_lookups([from, to]);
        self.agents.sent(from, now);
        self.agents.received(to, now);
        let made_up;
        let thread = match envelope.thread_id.as_deref().map(agentnet_protocol::json::trim) {
            Some(thread) if !thread.is_empty() => thread,
            _ => {
                made_up = format!("thread_{}", envelope.trace_or_message_id().to_lowercase());
                &made_up
            }
        };
        self.threads
            .passed(thread, [from, to], envelope.payload.get().len(), at, now);
        self.fresh.push(SeenMessage::of(&envelope, thread, at));
    }

    /// Sorts the messages that were applied since the last call.
    pub(crate) fn settle(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.messages.add(fresh);
    }

    /// Applies an answer of the registry.
    pub(crate) fn answer(&mut self, answer: Answer, at: Timestamp, now: Duration) {
        match answer {
            Answer::Metrics(Ok(metrics)) => self.registry = RegistryStatus::Answers(metrics),
            Answer::Metrics(Err(error)) => self.registry = RegistryStatus::Silent(why(&error)),
            Answer::Online {
                agents,
                first,
                last,
                asked,
            } => {
                if first {
                    self.agents.list_begins();
                }
                for agent in &agents {
                    let ago = agent.last_seen.as_deref().and_then(Timestamp::parse).map_or(0, |seen| {
                        u64::try_from(at.micros_since(seen).max(0)).unwrap_or(u64::MAX)
                    });
                    self.agents
                        .listed(agent, now.saturating_sub(Duration::from_micros(ago)));
                }
                if last {
                    self.agents.list_ends(asked);
                }
            }
            Answer::Found(hits) => {
                for hit in hits {
                    self.agents.learn(&hit.account_id, &hit.username, &hit.display_name);
                }
            }
            Answer::Threads(threads) => {
                for thread in &threads {
                    self.threads.apply_summary(thread, now);
                    self.queue_lookups(&thread.participants);
                }
            }
            Answer::Page(facts) => {
                if let Some(status) = &facts.status {
                    self.threads.apply_summary(&status.thread, now);
                    self.queue_lookups(&status.thread.participants);
                }
                if let Some(profile) = &facts.profile {
                    self.agents
                        .learn(&profile.account_id, &profile.username, &profile.display_name);
                }
                let parties = facts
                    .history
                    .iter()
                    .flat_map(|message| [&message.from_account_id, &message.to_account_id]);
                self.queue_lookups(parties.flatten());
                self.page = Some(*facts);
            }
            Answer::Name(account_id, username) => {
                self.agents
                    .learn(&account_id, username.as_deref().unwrap_or_default(), "");
                self.nameless.retain(|nameless| *nameless != account_id);
            }
            Answer::Mailbox(account_id, counts) => self.mailboxes.counted(account_id.as_deref(), counts, now),
            Answer::Tasks(open) => {
                self.queue_lookups(open.accounts());
                self.tasks.counted(open);
            }
        }
    }

    /// Adds unknown accounts to the names to look up.
    fn queue_lookups(&mut self, account_ids: impl IntoIterator<Item = impl AsRef<str>>) {
        for id in account_ids {
            let id = id.as_ref();
            let nameless =
                !id.is_empty() && self.agents.get(id).is_none() && !self.nameless.iter().any(|known| known == id);
            if nameless && self.nameless.len() < MAX_NAMELESS {
                self.nameless.push(id.to_owned());
            }
        }
    }

    /// A sender or receiver for people: `@name`, a shortened account id, or the text itself.
    pub(crate) fn name(&self, party: &str) -> String {
        match self.agents.get(party) {
            Some(agent) if !agent.username.is_empty() => format!("@{}", agent.username),
            _ if party.is_empty() => "—".to_owned(),
            // A sender without an account has a marked label, which is not an id.
            _ if party.starts_with("acct_") && !party.contains(' ') => crate::account_names::short_id(party),
            _ => clean(party).into_owned(),
        }
    }

    /// Drops expired sessions. Called once a second.
    pub(crate) fn sweep(&mut self, now: Duration) {
        if !matches!(self.registry, RegistryStatus::Answers(_)) {
            self.agents.expire(now);
        }
    }
}

/// Why the registry does not answer.
pub(crate) fn why(error: &RegistryError) -> String {
    match error {
        RegistryError::NoRegistry { .. } => "no registry answers".to_owned(),
        RegistryError::Timeout { .. } => "the registry does not answer in time".to_owned(),
        RegistryError::Connection { .. } => "the registry cannot be reached".to_owned(),
        other => clean(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
