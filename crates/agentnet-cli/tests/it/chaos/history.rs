//! The history at the end, as a client reads it and as the database holds it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use agentnet::RegistryClient;
use agentnet::protocol::rpc::{
    HistoryMessage, MessageSearchFilters, MessageSearchRequest, ThreadListRequest, ThreadMessagesRequest,
    ThreadStatusRequest, ThreadSummary,
};
use agentnet_store::model::{MessageQuery, Position};

use crate::chaos::ledger::{Ledger, Name};
use crate::chaos::senders::Parties;

/// Number of problems of one kind that are listed.
const MAX_LISTED: usize = 20;

/// Everything in it.
pub(crate) struct History {
    /// The messages of each thread, newest first.
    pub(crate) threads: BTreeMap<String, (ThreadSummary, Vec<HistoryMessage>)>,
    /// Message ids as a search over everything gives them.
    found: Vec<String>,
}

pub(crate) async fn read(client: &RegistryClient) -> History {
    let mut threads = BTreeMap::new();
    let mut list = ThreadListRequest::default();
    loop {
        let page = client.call(&list).await.unwrap();
        for listed in page.results {
            let messages = thread_messages(client, &listed.thread_id).await;
            let status = ThreadStatusRequest {
                thread_id: listed.thread_id.clone(),
                ..ThreadStatusRequest::default()
            };
            let status = client.call(&status).await.unwrap().thread;
            assert_eq!(status, listed, "thread_status and thread_list agree");
            threads.insert(listed.thread_id, (status, messages));
        }
        match page.next_cursor {
            Some(cursor) => list.cursor = Some(cursor),
            None => break,
        }
    }
    History {
        threads,
        found: search(client).await,
    }
}

async fn thread_messages(client: &RegistryClient, thread_id: &str) -> Vec<HistoryMessage> {
    let mut messages = Vec::new();
    let mut request = ThreadMessagesRequest {
        thread_id: thread_id.to_owned(),
        limit: 200,
        cursor: None,
    };
    loop {
        let page = client.call(&request).await.unwrap();
        messages.extend(page.messages);
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return messages,
        }
    }
}

async fn search(client: &RegistryClient) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = MessageSearchRequest {
        filters: MessageSearchFilters::default(),
        limit: 200,
        cursor: None,
    };
    loop {
        let page = client.call(&request).await.unwrap();
        found.extend(page.messages.into_iter().map(|message| message.message_id));
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return found,
        }
    }
}

impl History {
    pub(crate) fn messages(&self) -> impl Iterator<Item = &HistoryMessage> {
        self.threads.values().flat_map(|(_, messages)| messages)
    }

    /// How often each message is in it, by id.
    pub(crate) fn times(&self) -> HashMap<&str, usize> {
        let mut times = HashMap::new();
        for message in self.messages() {
            *times.entry(message.message_id.as_str()).or_default() += 1;
        }
        times
    }

    /// What is wrong with it.
    pub(crate) fn check(&self, ledger: &Ledger, parties: &Parties) -> Vec<String> {
        let mut problems = Vec::new();
        let times = self.times();
        let lost = ledger.tries.iter().filter(|one| one.succeeded() && !ledger.apart(one));
        let lost = lost.filter(|one| times.get(one.message_id().unwrap_or_default()) != Some(&1));
        tell(
            &mut problems,
            "not exactly once in the history",
            lost.map(|one| ledger.describe(one)),
        );

        let tried: HashMap<Name, Option<&str>> = ledger.tries.iter().map(|one| (one.name, one.message_id())).collect();
        let mut names = HashSet::new();
        let strange = self.messages().filter_map(|message| {
            let problem = self::strange(message, &tried, parties).or_else(|| {
                let again = !names.insert(Name::of(message.payload.get()));
                again.then(|| "it is there under two ids".to_owned())
            })?;
            Some(format!("{problem}: {message:?}"))
        });
        tell(&mut problems, "wrong in the history", strange);

        for (summary, messages) in self.threads.values() {
            problems.extend(counters(summary, messages, parties));
        }
        let found: HashSet<&str> = self.found.iter().map(String::as_str).collect();
        if found.len() != self.found.len() || found != times.keys().copied().collect() {
            problems.push(format!(
                "message_search gives {} messages, {} of them different; the threads hold {}",
                self.found.len(),
                found.len(),
                times.len()
            ));
        }
        problems
    }
}

/// Adds the first problems, and how many there are.
fn tell(problems: &mut Vec<String>, what: &str, found: impl Iterator<Item = String>) {
    let found: Vec<String> = found.collect();
    if found.len() > MAX_LISTED {
        problems.push(format!("{} messages are {what}; the first {MAX_LISTED}:", found.len()));
    }
    problems.extend(found.into_iter().take(MAX_LISTED).map(|one| format!("{what}: {one}")));
}

/// What is wrong with a row.
fn strange(message: &HistoryMessage, tried: &HashMap<Name, Option<&str>>, parties: &Parties) -> Option<String> {
    let Some(name) = Name::of(message.payload.get()) else {
        return Some("the payload is not what a sender sent".to_owned());
    };
    let Some(id) = tried.get(&name) else {
        return Some("nobody sent it".to_owned());
    };
    if id.is_some_and(|id| id != message.message_id) {
        return Some(format!("its sender knows it as {id:?}"));
    }
    if message.thread_id != name.thread() {
        return Some(format!("it was sent to thread {}", name.thread()));
    }
    let accounts = (message.from_account_id.as_deref(), message.to_account_id.as_deref());
    let right = (
        Some(parties.senders[name.sender].as_str()),
        Some(parties.receiver.as_str()),
    );
    (accounts != right).then(|| format!("it is from {right:?} to {accounts:?}"))
}

/// Whether a thread's counters are those of its rows.
fn counters(summary: &ThreadSummary, messages: &[HistoryMessage], parties: &Parties) -> Option<String> {
    let mut bytes = 0;
    let mut tokens = 0;
    let mut participants = BTreeSet::from([parties.receiver.clone()]);
    for name in messages.iter().filter_map(|message| Name::of(message.payload.get())) {
        let length = i64::try_from(name.payload().len()).unwrap();
        bytes += length;
        tokens += (length + 3) / 4;
        participants.insert(parties.senders[name.sender].clone());
    }
    let told: BTreeSet<String> = summary.participants.iter().cloned().collect();
    let counted = (summary.message_count, summary.byte_count, summary.approx_tokens, told);
    let right = (i64::try_from(messages.len()).unwrap(), bytes, tokens, participants);
    let last = messages.iter().map(|message| message.sent_at.as_str()).max();
    if counted == right && summary.latest_checkpoint_end == 0 && summary.last_message_at.as_deref() == last {
        return None;
    }
    Some(format!(
        "thread {}: the counters are {counted:?}, last message at {:?}; the rows give {right:?}, {last:?}",
        summary.thread_id, summary.last_message_at
    ))
}

/// Whether the database holds the same rows and counters.
pub(crate) async fn check_database(url: &str, history: &History) -> Vec<String> {
    let store = agentnet_store::open(url, &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let mut problems = Vec::new();
    let mut query = MessageQuery {
        limit: 1000,
        ..MessageQuery::default()
    };
    let mut rows: HashMap<String, usize> = HashMap::new();
    loop {
        let page = store.messages(&query).await.unwrap();
        query.before = page.items.last().map(|last| Position {
            at: last.sent_at,
            id: last.message_id.clone(),
        });
        for message in page.items {
            *rows.entry(message.message_id).or_default() += 1;
        }
        if !page.more {
            break;
        }
    }
    let read: HashMap<String, usize> = history.times().into_iter().map(|(id, n)| (id.to_owned(), n)).collect();
    if rows != read {
        let only = |left: &HashMap<String, usize>, right: &HashMap<String, usize>| {
            let mut ids: Vec<String> = left
                .keys()
                .filter(|id| left.get(*id) != right.get(*id))
                .cloned()
                .collect();
            ids.truncate(MAX_LISTED);
            ids
        };
        problems.push(format!(
            "the database holds {} messages, the registries read {}; only there {:?}, only here {:?}",
            rows.len(),
            read.len(),
            only(&rows, &read),
            only(&read, &rows)
        ));
    }
    for (summary, _) in history.threads.values() {
        let thread = store
            .thread(&summary.thread_id, None)
            .await
            .unwrap()
            .expect("it was listed");
        let stored = (thread.message_count, thread.byte_count, thread.approx_tokens);
        let told = (summary.message_count, summary.byte_count, summary.approx_tokens);
        if stored != told {
            problems.push(format!(
                "thread {}: {stored:?} in the database, {told:?} by RPC",
                thread.thread_id
            ));
        }
    }
    store.close().await;
    problems
}
