//! Data for the cases: ordinary values, of which a case changes what it is about.

use agentnet_protocol::mailbox::{MailboxAck, MailboxOutcome};
use agentnet_protocol::signing_scope::SigningScope;
use agentnet_protocol::{RawJson, Timestamp};

use crate::model::{
    Account, AccountClaim, AccountQuery, DesiredName, Enrolled, Invited, LeaseEnd, LeaseQuery, MailboxLimits,
    MailboxQuery, Member, MemberQuery, Message, MessageQuery, NewInvite, NewMember, NewMessage, NewQueued, Page,
    Position, Session, Thread, ThreadQuery,
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
            issuer: None,
        },
        byte_count: 10,
        approx_tokens: 3,
        checkpoint_end: 0,
    }
}

/// A message of 10 bytes from this sender, put into the mailbox of this account at the fixed moment; it lives for 1,000 seconds.
#[must_use]
pub fn queued(message_id: &str, from_account_id: &str, account_id: &str) -> NewQueued {
    let mut new = message(message_id, &format!("t_{account_id}"), 0);
    new.message.from_account_id = Some(from_account_id.to_owned());
    new.message.to_account_id = Some(account_id.to_owned());
    NewQueued {
        message: new,
        account_id: account_id.to_owned(),
        from_account_id: from_account_id.to_owned(),
        body: r#"{"b": 1.0}"#.to_owned(),
        ack: MailboxAck::Accepted,
        queued_at: at(0),
        expires_at: at(1_000),
    }
}

/// Limits that no case reaches by accident.
#[must_use]
pub fn roomy() -> MailboxLimits {
    MailboxLimits {
        max_messages: 10_000,
        max_bytes: 1 << 30,
        sender_max_messages: 10_000,
        total_bytes: 1 << 40,
    }
}

/// A lease of the session `tag` at this second, for 10 seconds; the token names the second.
#[must_use]
pub fn lease(account_id: &str, seconds: i64) -> LeaseQuery {
    LeaseQuery {
        account_id: account_id.to_owned(),
        session_tag: "tag".into(),
        token: format!("token{seconds}"),
        max: 100,
        max_bytes: 1 << 20,
        exclusive: false,
        pushing: None,
        now: at(seconds),
        until: at(seconds + 10),
        max_attempts: 3,
    }
}

/// The end of a lease; a retry may be made at once.
#[must_use]
pub fn end(lease: &str, outcome: MailboxOutcome) -> LeaseEnd {
    LeaseEnd {
        lease: lease.to_owned(),
        outcome,
        available_at: at(0),
        free: false,
        code: None,
        detail: None,
    }
}

/// All messages of a mailbox, up to 10,000.
#[must_use]
pub fn mailbox(account_id: &str) -> MailboxQuery {
    MailboxQuery {
        account_id: account_id.to_owned(),
        limit: 10_000,
        ..MailboxQuery::default()
    }
}

/// Leases messages as the query says; returns their ids.
pub async fn leased_ids(store: &dyn Store, query: &LeaseQuery) -> Vec<String> {
    let leased = store.lease_messages(query).await.unwrap();
    leased.messages.into_iter().map(|message| message.message_id).collect()
}

/// An agent of this name to invite at the fixed moment; a new account's id is `acct_new_` and the name.
#[must_use]
pub fn new_member(username: &str) -> NewMember {
    NewMember {
        new_account_id: format!("acct_new_{username}"),
        username: username.to_owned(),
        role: "agent".into(),
        capabilities: Vec::new(),
        may_send_to: None,
        at: at(0),
    }
}

/// An invite that can be used for 100 seconds.
#[must_use]
pub fn new_invite(invite_id: &str) -> NewInvite {
    NewInvite {
        invite_id: invite_id.to_owned(),
        secret: vec![0, 1, 255],
        join_nkey: format!("join key of {invite_id}"),
        expires_at: at(100),
    }
}

/// Invites a member.
pub async fn invite_to(store: &dyn Store, member: &NewMember, invite_id: &str) -> Member {
    match store.invite_member(member, &new_invite(invite_id)).await.unwrap() {
        Invited::Invited(member) => member,
        Invited::Taken => panic!("{} is taken", member.username),
    }
}

/// Invites an agent of this name.
pub async fn invited(store: &dyn Store, username: &str, invite_id: &str) -> Member {
    invite_to(store, &new_member(username), invite_id).await
}

/// Uses an invite after a second; the message key is `key of ` and the nkey.
pub async fn enrol(store: &dyn Store, invite_id: &str, account_id: &str, nkey: &str) {
    let key = format!("key of {nkey}");
    let enrolled = store.use_invite(invite_id, account_id, nkey, &key, at(1)).await;
    assert!(matches!(enrolled, Ok(Enrolled::Enrolled(_))), "{enrolled:?}");
}

/// All members, up to 100.
#[must_use]
pub fn any_member() -> MemberQuery {
    MemberQuery {
        limit: 100,
        ..MemberQuery::default()
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
