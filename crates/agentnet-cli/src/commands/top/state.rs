//! Everything that `top` knows, and what each thing that it hears changes. No I/O, no clock.

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
use super::messages::{Messages, SeenMessage};
use super::rate::Rate;
use super::threads::ThreadTable;
use super::view::Page;
use crate::output::sanitize::clean;

/// Accounts without a name that are remembered until the registry was asked for it.
const MOST_NAMELESS: usize = 64;
/// Receipts that are kept, and characters of a code.
const MOST_RECEIPTS: usize = 4_000;
const LONGEST_CODE: usize = 64;

/// What is known of the network.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) agents: Agents,
    pub(crate) messages: Messages,
    pub(crate) threads: ThreadTable,
    pub(crate) link: Link,
    pub(crate) registry: RegistryStatus,
    pub(crate) passing: Rate,
    pub(crate) failing: Rate,
    pub(crate) page: Option<PageFacts>,
    /// Accounts that are shown and have no name yet.
    pub(crate) nameless: Vec<String>,
    /// The receipts that passed last, oldest first.
    pub(crate) receipts: VecDeque<Told>,
    /// What passed since the last [`State::settle`].
    fresh: Vec<SeenMessage>,
}

/// A receipt: of which message, by whom, when, and what it says.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) message_id: Box<str>,
    pub(crate) by: Box<str>,
    pub(crate) at: Timestamp,
    pub(crate) what: Box<str>,
}

/// The connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Where to, without the token.
    pub(crate) url: String,
    pub(crate) lost: bool,
    /// Messages that came too fast to be counted.
    pub(crate) dropped: u64,
}

/// The registry, as it was when it was asked last.
#[derive(Debug, Default)]
pub(crate) enum RegistryStatus {
    #[default]
    Unasked,
    Answers(Box<MetricsReply>),
    /// It does not answer, and why.
    Silent(String),
}

/// What the registry says of the page that is open.
#[derive(Debug)]
pub(crate) struct PageFacts {
    pub(crate) page: Page,
    pub(crate) profile: Option<Profile>,
    pub(crate) status: Option<ThreadStatusReply>,
    /// The last messages, latest first.
    pub(crate) history: Vec<HistoryMessage>,
    /// Why there is nothing to tell.
    pub(crate) problem: Option<String>,
}

/// What the registry answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Metrics(Result<Box<MetricsReply>, RegistryError>),
    /// A page of the list of those who are online, asked for at this time.
    Online {
        agents: Vec<AgentInfo>,
        first: bool,
        last: bool,
        asked: Duration,
    },
    Found(Vec<AccountHit>),
    Threads(Vec<ThreadSummary>),
    Page(Box<PageFacts>),
    /// The username of an account; none if the registry knows none.
    Name(String, Option<String>),
}

impl State {
    /// What is heard on a subject.
    pub(crate) fn hear(&mut self, message: &async_nats::Message, at: Timestamp, now: Duration) {
        match Subject::parse(&message.subject) {
            Some(Subject::Registry { name: "hello" }) => self.hello(&message.payload, now),
            Some(Subject::Registry { name: "goodbye" }) => self.goodbye(&message.payload, now),
            Some(Subject::Receipts { .. }) => self.receipt(message.payload.clone(), at, now),
            Some(Subject::Inbox { .. } | Subject::Capability { .. } | Subject::Reply) => {
                self.message(message.payload.clone(), at, now);
            }
            _ => {}
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
            if self.receipts.len() == MOST_RECEIPTS {
                self.receipts.pop_front();
            }
            let code = text(&receipt.code);
            let what = format!(
                "{} {}",
                status.as_str(),
                code.chars().take(LONGEST_CODE).collect::<String>()
            );
            let by = text(&receipt.from_account_id);
            self.receipts.push_back(Told {
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
        // What has no id is none of the network's messages: the registry passes it over too.
        if envelope.message_id.is_empty() {
            return;
        }
        self.passing.add(1, now);
        let from = envelope.from_account_id.as_deref().unwrap_or_default();
        // The registry answers for those who are absent; it issues no receipts that would be counted.
        if envelope.kind == kind::ERROR && self.agents.get(from).is_none() {
            self.failing.add(1, now);
        }
        let to = envelope.to_account_id.as_deref().unwrap_or_default();
        self.wonder([from, to]);
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

    /// Called when everything that came was heard: puts the messages in order.
    pub(crate) fn settle(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.messages.add(fresh);
    }

    /// Takes in what the registry answered.
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
                    self.threads.told(thread, now);
                    self.wonder(&thread.participants);
                }
            }
            Answer::Page(facts) => {
                if let Some(status) = &facts.status {
                    self.threads.told(&status.thread, now);
                    self.wonder(&status.thread.participants);
                }
                if let Some(profile) = &facts.profile {
                    self.agents
                        .learn(&profile.account_id, &profile.username, &profile.display_name);
                }
                let parties = facts
                    .history
                    .iter()
                    .flat_map(|message| [&message.from_account_id, &message.to_account_id]);
                self.wonder(parties.flatten());
                self.page = Some(*facts);
            }
            Answer::Name(account_id, username) => {
                self.agents
                    .learn(&account_id, username.as_deref().unwrap_or_default(), "");
                self.nameless.retain(|nameless| *nameless != account_id);
            }
        }
    }

    /// Remembers accounts that nobody has named.
    fn wonder(&mut self, account_ids: impl IntoIterator<Item = impl AsRef<str>>) {
        for id in account_ids {
            let id = id.as_ref();
            let nameless =
                !id.is_empty() && self.agents.get(id).is_none() && !self.nameless.iter().any(|known| known == id);
            if nameless && self.nameless.len() < MOST_NAMELESS {
                self.nameless.push(id.to_owned());
            }
        }
    }

    /// Who is meant, for people: `@name`, the beginning of an account id, or what it is.
    pub(crate) fn name(&self, party: &str) -> String {
        match self.agents.get(party) {
            Some(agent) if !agent.username.is_empty() => format!("@{}", agent.username),
            _ if party.is_empty() => "—".to_owned(),
            // What has no account is marked, and is not an id.
            _ if party.starts_with("acct_") && !party.contains(' ') => crate::account_names::short_id(party),
            _ => clean(party).into_owned(),
        }
    }

    /// Forgets what has gone, once a second or so.
    pub(crate) fn sweep(&mut self, now: Duration) {
        if !matches!(self.registry, RegistryStatus::Answers(_)) {
            self.agents.expire(now);
        }
    }
}

/// Why the registry does not answer, in a few words.
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
