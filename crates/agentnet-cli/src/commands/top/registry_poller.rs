//! What is asked of the registry, and when: what is on the screen, never twice at a time.

use std::time::Duration;

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::rpc::{
    HistoryMessage, ListRequest, MessageSearchFilters, MessageSearchRequest, MetricsRequest, ProfileRequest,
    SearchRequest, ThreadListRequest, ThreadMessagesRequest, ThreadStatusRequest,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::state::{Answer, PageFacts, State, why};
use super::ui::Ui;
use super::view::{Page, View};

/// How often it is asked how it is doing.
const METRICS: Duration = Duration::from_secs(5);
/// How often it is asked who is there; hellos and goodbyes tell the rest.
const ONLINE: Duration = Duration::from_secs(60);
/// The same, while somebody's hello is overdue.
const ONLINE_WHEN_LATE: Duration = Duration::from_secs(15);
/// How often it is asked for what is on the screen.
const SHOWN: Duration = Duration::from_secs(2);
/// Agents in one page of the list of those online: it is taken in at once, between two keys.
const PAGE: usize = 500;
/// Messages of a page.
const HISTORY: usize = 50;
/// AccountNames that are asked for at once.
const NAMES: usize = 5;

/// What is being asked.
pub(crate) struct RegistryPoller {
    registry: RegistryClient,
    answers: mpsc::Sender<Answer>,
    metrics: Slot<()>,
    online: Slot<u64>,
    shown: Slot<Question>,
    names: Slot<()>,
}

/// What is on the screen, as a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    /// A page.
    Page(Page),
    /// Threads with this in their id.
    Threads(String),
    /// Agents with this in their name.
    Agents(String),
}

/// One question at a time.
struct Slot<Q> {
    asked: Option<(Q, Duration)>,
    task: Option<JoinHandle<()>>,
}

impl<Q> Default for Slot<Q> {
    fn default() -> Self {
        Self {
            asked: None,
            task: None,
        }
    }
}

impl<Q: PartialEq> Slot<Q> {
    /// Whether the question is to be put now: at once where it is another than before, else after a while and when the
    /// answer to the last one is there.
    fn is_due(&self, question: &Q, every: Duration, now: Duration) -> bool {
        match &self.asked {
            Some((asked, at)) if asked == question => {
                now.saturating_sub(*at) >= every && self.task.as_ref().is_none_or(JoinHandle::is_finished)
            }
            _ => true,
        }
    }

    fn ask(&mut self, question: Q, now: Duration, work: impl Future<Output = ()> + Send + 'static) {
        self.stop();
        self.asked = Some((question, now));
        self.task = Some(tokio::spawn(work));
    }

    /// Nobody waits for the answer any more.
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.asked = None;
    }
}

impl RegistryPoller {
    /// Answers are sent to `answers`.
    pub(crate) fn new(registry: RegistryClient, answers: mpsc::Sender<Answer>) -> Self {
        Self {
            registry,
            answers,
            metrics: Slot::default(),
            online: Slot::default(),
            shown: Slot::default(),
            names: Slot::default(),
        }
    }

    /// Asks what is due. `connects` is the number of connections so far: after a new one, hellos may have been missed.
    pub(crate) fn ask(&mut self, state: &State, ui: &Ui, connects: u64, now: Duration) {
        let registry = || self.registry.clone();
        let answers = || self.answers.clone();
        if self.metrics.is_due(&(), METRICS, now) {
            self.metrics.ask((), now, metrics(registry(), answers()));
        }
        let every = if state.agents.any_late(now) {
            ONLINE_WHEN_LATE
        } else {
            ONLINE
        };
        if self.online.is_due(&connects, every, now) {
            self.online.ask(connects, now, online(registry(), answers(), now));
        }
        if !state.nameless.is_empty() && self.names.is_due(&(), SHOWN, now) {
            let nameless = state.nameless.iter().take(NAMES).cloned().collect();
            self.names.ask((), now, names(registry(), answers(), nameless));
        }
        match question(ui) {
            None => self.shown.stop(),
            Some(question) if self.shown.is_due(&question, SHOWN, now) => {
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

/// What the registry is asked for the screen.
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
    // Nobody listens any more once the command ends.
    let _ = answers.send(Answer::Metrics(answer)).await;
}

async fn online(registry: RegistryClient, answers: mpsc::Sender<Answer>, asked: Duration) {
    let mut request = ListRequest {
        limit: Some(PAGE),
        cursor: None,
    };
    loop {
        // What cannot be listed is known from its hellos; that the registry is silent is told by the other call.
        let Ok(page) = registry.call(&request).await else {
            return;
        };
        let answer = Answer::Online {
            agents: page.agents,
            first: request.cursor.is_none(),
            last: page.next_cursor.is_none(),
            asked,
        };
        if answers.send(answer).await.is_err() || page.next_cursor.is_none() {
            return;
        }
        request.cursor = page.next_cursor;
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
            limit: HISTORY / 2,
            cursor: None,
        };
        facts.history.extend(registry.call(&request).await?.messages);
    }
    let order = |message: &HistoryMessage| agentnet_protocol::Timestamp::parse(&message.sent_at);
    facts.history.sort_by_key(|message| std::cmp::Reverse(order(message)));
    // What it sent to itself is in both.
    facts.history.dedup_by(|one, other| one.message_id == other.message_id);
    Ok(())
}

/// The message itself, and after it what the last messages of its thread say to it.
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
    // A registry that does not know the filter gives any message.
    facts
        .history
        .extend(found.into_iter().filter(|message| message.message_id == id));
    let request = ThreadMessagesRequest {
        thread_id: thread_id.to_owned(),
        limit: HISTORY,
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
        limit: HISTORY,
        cursor: None,
    };
    facts.history = registry.call(&messages).await?.messages;
    Ok(())
}
