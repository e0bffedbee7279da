//! Data for the cases: ordinary values, of which a case changes what it is about.

use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{RawJson, Timestamp};

use crate::model::{
    Account, AccountClaim, AccountQuery, DesiredName, Message, MessageQuery, NewMessage, Page, Position, Session,
    Thread, ThreadQuery,
};
use crate::store::Store;

/// So many seconds after a fixed moment of 2026.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + seconds * 1_000_000)
}

/// JSON from its text.
#[must_use]
pub fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).expect("the case holds valid JSON")
}

/// An object of so many bytes, at least 8.
#[must_use]
pub fn metadata_of(bytes: usize) -> RawJson {
    json(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8)))
}

/// Owned texts.
#[must_use]
pub fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// A claim of this name without an account id; `new_account_id` is `acct_new_` and the name.
#[must_use]
pub fn claim(name: DesiredName) -> AccountClaim {
    let (DesiredName::Requested(text) | DesiredName::Derived(text) | DesiredName::Generated(text)) = &name;
    AccountClaim {
        account_id: None,
        new_account_id: format!("acct_new_{text}"),
        display_name: format!("Agent {text}"),
        capabilities: texts(&["chat"]),
        metadata: RawJson::empty_object(),
        agent_id: text.clone(),
        public_key: None,
        signs: SigningScope::default(),
        at: at(0),
        name,
    }
}

/// A claim of this requested name.
#[must_use]
pub fn requested(name: &str) -> AccountClaim {
    claim(DesiredName::Requested(name.to_owned()))
}

/// An online session with this tag.
#[must_use]
pub fn session(session_tag: &str) -> Session {
    Session {
        session_tag: session_tag.to_owned(),
        agent_id: "worker".into(),
        account_id: Some("acct_1".into()),
        username: Some("worker".into()),
        server_id: "registry".into(),
        connected_at: at(0),
        disconnected_at: None,
        last_seen: at(10),
        online: true,
        name: "Worker".into(),
        capabilities: texts(&["sum"]),
        metadata: json(r#"{"zone": "eu"}"#),
        signs: SigningScope::default(),
    }
}

/// A message from `acct_a` to `acct_b` in this thread, sent and received so many seconds after the fixed moment. It counts
/// 10 bytes and 3 tokens.
#[must_use]
pub fn message(message_id: &str, thread_id: &str, seconds: i64) -> NewMessage {
    NewMessage {
        message: Message {
            message_id: message_id.to_owned(),
            thread_id: thread_id.to_owned(),
            parent_message_id: None,
            from_agent: "alice".into(),
            from_account_id: Some("acct_a".into()),
            from_session_tag: None,
            to_account_id: Some("acct_b".into()),
            to_agent: "acct_b".into(),
            kind: "direct".into(),
            schema_version: "1.1".into(),
            idempotency_key: None,
            payload: json(r#"{"text":"hi"}"#),
            trace_id: None,
            sent_at: at(seconds),
            received_at: at(seconds),
            ttl_ms: None,
            expires_at: None,
            auth_scheme: String::new(),
        },
        byte_count: 10,
        approx_tokens: 3,
        checkpoint_end: 0,
    }
}

/// All accounts, up to 100.
#[must_use]
pub fn any_account() -> AccountQuery {
    AccountQuery {
        limit: 100,
        ..AccountQuery::default()
    }
}

/// All messages, up to 100.
#[must_use]
pub fn any_message() -> MessageQuery {
    MessageQuery {
        limit: 100,
        ..MessageQuery::default()
    }
}

/// All threads, up to 100.
#[must_use]
pub fn any_thread() -> ThreadQuery {
    ThreadQuery {
        limit: 100,
        ..ThreadQuery::default()
    }
}

/// The usernames of the accounts that match.
pub async fn usernames(store: &dyn Store, query: &AccountQuery) -> Vec<String> {
    store
        .accounts(query)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|account: Account| account.username)
        .collect()
}

/// The ids of the messages that match.
pub async fn message_ids(store: &dyn Store, query: &MessageQuery) -> Vec<String> {
    store
        .messages(query)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|message| message.message_id)
        .collect()
}

/// The ids of the threads that match.
pub async fn thread_ids(store: &dyn Store, query: &ThreadQuery) -> Vec<String> {
    store
        .threads(query)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|thread| thread.thread_id)
        .collect()
}

/// Where a page of messages ends.
#[must_use]
pub fn end_of(page: &Page<Message>) -> Option<Position> {
    page.items.last().map(|last| Position {
        at: last.sent_at,
        id: last.message_id.clone(),
    })
}

/// Where a page of threads ends.
#[must_use]
pub fn end_of_threads(page: &Page<Thread>) -> Option<Position> {
    page.items.last().map(|last| Position {
        at: last.last_message_at.unwrap_or(last.updated_at),
        id: last.thread_id.clone(),
    })
}
