//! Polls the registry for what the screen shows, with one request of each kind at a time.

use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{
    HistoryMessage, ListRequest, MessageSearchFilters, MessageSearchRequest, MetricsRequest, ProfileRequest,
    SearchRequest, ThreadListRequest, ThreadMessagesRequest, ThreadStatusRequest,
};
use tokio::sync::mpsc;

use super::mailbox_poller::MailboxPoller;
use super::poll_slot::PollSlot;
use super::state::{Answer, PageFacts, State, why};
use super::task_poller::TaskPoller;
use super::ui::Ui;
use super::view::{Page, View};

/// Poll interval of the registry's metrics.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// Poll interval of the list of online agents. Hellos and goodbyes keep it up to date in between.
const ONLINE_INTERVAL: Duration = Duration::from_secs(60);
/// Poll interval of that list while a hello is overdue.
const ONLINE_INTERVAL_WHEN_LATE: Duration = Duration::from_secs(15);
/// Poll interval of the open view or page.
const VIEW_INTERVAL: Duration = Duration::from_secs(2);
/// Page size of the list of online agents. A page is processed at once, between two keys.
const ONLINE_PAGE_SIZE: usize = 500;
/// Number of messages on a page.
const HISTORY_LIMIT: usize = 50;
/// Number of names that one task looks up.
const NAMES_PER_REQUEST: usize = 5;

/// The running requests.
pub(crate) struct RegistryPoller {
    registry: RegistryClient,
    answers: mpsc::Sender<Answer>,
    metrics: PollSlot<()>,
    online: PollSlot<u64>,
    shown: PollSlot<Question>,
    names: PollSlot<()>,
    mailboxes: MailboxPoller,
    tasks: TaskPoller,
}

/// The request for the content of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    /// Details of one agent, thread or message.
    Page(Page),
    /// Threads with this in their id.
    Threads(String),
    /// Agents with this in their name.
    Agents(String),
}

impl RegistryPoller {
    /// Sends answers to the channel `answers`.
    pub(crate) fn new(registry: RegistryClient, answers: mpsc::Sender<Answer>) -> Self {
        Self {
            mailboxes: MailboxPoller::new(registry.clone(), answers.clone()),
            tasks: TaskPoller::new(registry.clone(), answers.clone()),
            registry,
            answers,
            metrics: PollSlot::default(),
            online: PollSlot::default(),
            shown: PollSlot::default(),
            names: PollSlot::default(),
        }
    }

    /// Sends the requests that are due. `connects` is the number of connections so far: after a reconnection, hellos may have
    /// been missed.
    pub(crate) fn ask(&mut self, state: &mut State, ui: &Ui, connects: u64, now: Duration) {
        self.mailboxes.ask(state, ui, connects, now);
        self.tasks.ask(state, connects, now);
        let registry = || self.registry.clone();
        let answers = || self.answers.clone();
        if self.metrics.is_due(&(), METRICS_INTERVAL, now) {
            self.metrics.ask((), now, metrics(registry(), answers()));
        }
        let every = if state.agents.any_late(now) {
            ONLINE_INTERVAL_WHEN_LATE
        } else {
            ONLINE_INTERVAL
        };
        if self.online.is_due(&connects, every, now) {
            self.online.ask(connects, now, online(registry(), answers(), now));
        }
        if !state.nameless.is_empty() && self.names.is_due(&(), VIEW_INTERVAL, now) {
            let nameless = state.nameless.iter().take(NAMES_PER_REQUEST).cloned().collect();
            self.names.ask((), now, names(registry(), answers(), nameless));
        }
        match question(ui) {
            None => self.shown.stop(),
            Some(question) if self.shown.is_due(&question, VIEW_INTERVAL, now) => {
                let (registry, answers) = (registry(), answers());
                match question.clone() {
                    Question::Page(page) => self.shown.ask(question, now, page_facts(registry, answers, page)),
                    Question::Threads(query) => self.shown.ask(question, now, threads(registry, answers, query)),
                    Question::Agents(query) => self.shown.ask(question, now, agents(registry, answers, query)),
                }
            }
            Some(_) => {}
        }
    }
}

impl Drop for RegistryPoller {
    fn drop(&mut self) {
        self.metrics.stop();
        self.online.stop();
        self.shown.stop();
        self.names.stop();
    }
}

/// The request for the content of the screen.
fn question(ui: &Ui) -> Option<Question> {
    let filter = ui.filter().trim().to_owned();
    Some(match (&ui.page, ui.view) {
        (Some(page), _) => Question::Page(page.clone()),
        (None, View::Threads) => Question::Threads(filter),
        (None, View::Agents) if !filter.is_empty() => Question::Agents(filter),
        _ => return None,
    })
}

async fn metrics(registry: RegistryClient, answers: mpsc::Sender<Answer>) {
    let answer = registry.call(&MetricsRequest).await.map(Box::new);
    // Fails only when the command ends.
    let _ = answers.send(Answer::Metrics(answer)).await;
}

async fn online(registry: RegistryClient, answers: mpsc::Sender<Answer>, asked: Duration) {
    let mut request = ListRequest {
        limit: Some(ONLINE_PAGE_SIZE),
        cursor: None,
    };
    let mut pages = PageWalk::default();
    loop {
        // Agents are known from their hellos too. The metrics request reports that the registry does not answer.
        let Ok(page) = registry.call(&request).await else {
            return;
        };
        let Ok(next_cursor) = pages.follow(page.next_cursor, page.agents.len()) else {
            return;
        };
        let answer = Answer::Online {
            agents: page.agents,
            first: request.cursor.is_none(),
            last: next_cursor.is_none(),
            asked,
        };
        if answers.send(answer).await.is_err() || next_cursor.is_none() {
            return;
        }
        request.cursor = next_cursor;
    }
}

async fn names(registry: RegistryClient, answers: mpsc::Sender<Answer>, account_ids: Vec<String>) {
    for id in account_ids {
        let name = match registry.call(&profile_request(&id)).await {
            Ok(reply) => Some(reply.profile.username),
            Err(RegistryError::Refused(_)) => None,
            Err(_) => return,
        };
        let _ = answers.send(Answer::Name(id, name)).await;
    }
}

async fn threads(registry: RegistryClient, answers: mpsc::Sender<Answer>, query: String) {
    let request = ThreadListRequest {
        query,
        limit: 100,
        ..ThreadListRequest::default()
    };
    if let Ok(reply) = registry.call(&request).await {
        let _ = answers.send(Answer::Threads(reply.results)).await;
    }
}

async fn agents(registry: RegistryClient, answers: mpsc::Sender<Answer>, query: String) {
    let request = SearchRequest {
        query,
        limit: 50,
        ..SearchRequest::default()
    };
    if let Ok(reply) = registry.call(&request).await {
        let _ = answers.send(Answer::Found(reply.results)).await;
    }
}

fn profile_request(account_id: &str) -> ProfileRequest {
    ProfileRequest {
        account_id: Some(account_id.to_owned()),
        username: None,
    }
}

async fn page_facts(registry: RegistryClient, answers: mpsc::Sender<Answer>, page: Page) {
    let mut facts = PageFacts {
        page: page.clone(),
        profile: None,
        status: None,
        history: Vec::new(),
        problem: None,
    };
    let filled = match &page {
        Page::Agent(account_id) => agent_facts(&registry, account_id, &mut facts).await,
        Page::Message { id, thread } => message_facts(&registry, id, thread, &mut facts).await,
        Page::Thread(thread_id) => thread_facts(&registry, thread_id, &mut facts).await,
    };
    facts.problem = filled.err().map(|error| match error {
        RegistryError::Refused(code) if code == "not_found" => "the registry does not know it".to_owned(),
        error => why(&error),
    });
    let _ = answers.send(Answer::Page(Box::new(facts))).await;
}

async fn agent_facts(registry: &RegistryClient, account_id: &str, facts: &mut PageFacts) -> Result<(), RegistryError> {
    facts.profile = Some(registry.call(&profile_request(account_id)).await?.profile);
    let id = || Some(account_id.to_owned());
    for (from_account_id, to_account_id) in [(id(), None), (None, id())] {
        let request = MessageSearchRequest {
            filters: MessageSearchFilters {
                from_account_id,
                to_account_id,
                ..MessageSearchFilters::default()
            },
            limit: HISTORY_LIMIT / 2,
            cursor: None,
        };
        facts.history.extend(registry.call(&request).await?.messages);
    }
    let order = |message: &HistoryMessage| agentnet_protocol::Timestamp::parse(&message.sent_at);
    facts.history.sort_by_key(|message| std::cmp::Reverse(order(message)));
    // Messages to itself are in both.
    facts.history.dedup_by(|one, other| one.message_id == other.message_id);
    Ok(())
}

/// The message, and the latest messages of its thread that follow it.
async fn message_facts(
    registry: &RegistryClient,
    id: &str,
    thread_id: &str,
    facts: &mut PageFacts,
) -> Result<(), RegistryError> {
    let filters = MessageSearchFilters {
        message_id: Some(id.to_owned()),
        ..MessageSearchFilters::default()
    };
    let request = MessageSearchRequest {
        filters,
        limit: 1,
        cursor: None,
    };
    let found = registry.call(&request).await?.messages;
    // An old registry that does not know the filter returns any message.
    facts
        .history
        .extend(found.into_iter().filter(|message| message.message_id == id));
    let request = ThreadMessagesRequest {
        thread_id: thread_id.to_owned(),
        limit: HISTORY_LIMIT,
        cursor: None,
    };
    let thread = registry.call(&request).await?.messages;
    let follows = |message: &HistoryMessage| message.parent_message_id.as_deref() == Some(id);
    facts.history.extend(thread.into_iter().rev().filter(follows));
    Ok(())
}

async fn thread_facts(registry: &RegistryClient, thread_id: &str, facts: &mut PageFacts) -> Result<(), RegistryError> {
    let status = ThreadStatusRequest {
        thread_id: thread_id.to_owned(),
        ..ThreadStatusRequest::default()
    };
    facts.status = Some(registry.call(&status).await?);
    let messages = ThreadMessagesRequest {
        thread_id: thread_id.to_owned(),
        limit: HISTORY_LIMIT,
        cursor: None,
    };
    facts.history = registry.call(&messages).await?.messages;
    Ok(())
}
