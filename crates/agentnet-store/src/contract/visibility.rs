//! The history as one account may see it: `MessageQuery::visible_to`, and what a forged thread id gives.

use std::sync::Arc;

use super::sample::{any_message, any_thread, at, end_of, message, message_ids, thread_ids};
use crate::model::{Message, MessageQuery, NewMessage, ThreadQuery};
use crate::store::Store;

pub(super) const ACCOUNTS: [&str; 4] = ["ann", "bob", "cid", "mallory"];

/// A message that this account has issued.
pub(super) fn issued(id: &str, thread: &str, from: &str, to: &str, seconds: i64) -> NewMessage {
    let mut new = message(id, thread, seconds);
    new.message.issuer = Some(from.into());
    new.message.from_account_id = Some(from.into());
    new.message.to_account_id = Some(to.into());
    new
}

/// As [`issued`], in token mode.
fn unproven(id: &str, thread: &str, from: &str, to: &str, seconds: i64) -> NewMessage {
    let mut new = issued(id, thread, from, to, seconds);
    new.message.issuer = None;
    new
}

pub(super) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Messages between the accounts in four threads, of two kinds: with and without an issuer, to nobody, to their sender, and with
/// a sender that the issuer is not. Some have the same time.
pub(super) fn history() -> Vec<NewMessage> {
    let mut batch = Vec::new();
    for number in 0..120_usize {
        let from = ACCOUNTS[number % 4];
        let to = ACCOUNTS[number / 4 % 4];
        let seconds = i64::try_from(number / 3).unwrap();
        let mut new = issued(
            &format!("m{:03}", number * 7 % 120),
            &format!("t{}", number / 16 % 4),
            from,
            to,
            seconds,
        );
        let message = &mut new.message;
        message.kind = ["direct", "request"][number % 2].into();
        match number % 11 {
            3 | 7 => message.issuer = None,
            5 => message.to_account_id = None,
            9 => message.from_account_id = some(ACCOUNTS[(number + 1) % 4]),
            10 => message.from_account_id = None,
            _ => {}
        }
        batch.push(new);
    }
    batch
}

pub(super) fn is_visible(message: &Message, account: &str) -> bool {
    let is_sender = message.issuer.as_deref() == Some(account) && message.from_account_id.as_deref() == Some(account);
    is_sender || message.to_account_id.as_deref() == Some(account)
}

fn matches(query: &MessageQuery, message: &Message) -> bool {
    let equal = |wanted: &Option<String>, value: Option<&str>| wanted.is_none() || wanted.as_deref() == value;
    query
        .visible_to
        .as_deref()
        .is_none_or(|account| is_visible(message, account))
        && equal(&query.message_id, Some(&message.message_id))
        && equal(&query.thread_id, Some(&message.thread_id))
        && equal(&query.from_account_id, message.from_account_id.as_deref())
        && equal(&query.to_account_id, message.to_account_id.as_deref())
        && equal(&query.kind, Some(&message.kind))
        && query.from.is_none_or(|from| message.sent_at >= from)
        && query.to.is_none_or(|to| message.sent_at <= to)
}

/// Every combination of filters, for every account.
fn queries() -> Vec<MessageQuery> {
    let ids = [None, some("ann"), some("bob"), some("mallory")];
    let mut queries = Vec::new();
    for visible_to in [None, some("ann"), some("mallory"), some("nobody")] {
        for from_account_id in &ids {
            for to_account_id in &ids {
                for (thread_id, kind, seconds) in [
                    (None, None, None),
                    (None, some("direct"), None),
                    (some("t1"), None, None),
                    (some("t1"), some("request"), Some((5, 30))),
                    (None, None, Some((5, 30))),
                ] {
                    queries.push(MessageQuery {
                        thread_id,
                        from_account_id: from_account_id.clone(),
                        to_account_id: to_account_id.clone(),
                        kind,
                        from: seconds.map(|(from, _)| at(from)),
                        to: seconds.map(|(_, to)| at(to)),
                        visible_to: visible_to.clone(),
                        ..any_message()
                    });
                }
            }
        }
    }
    queries
}

/// All pages of a query.
async fn walk(store: &dyn Store, query: &MessageQuery) -> Vec<Message> {
    let mut query = query.clone();
    let mut walked = Vec::new();
    loop {
        let page = store.messages(&query).await.unwrap();
        query.before = end_of(&page);
        walked.extend(page.items);
        if !page.more {
            return walked;
        }
        assert_eq!(walked.len() % query.limit, 0, "{query:?}");
    }
}

/// Filters, bounds and cursors go by what the account has issued or received, and nothing else is there.
pub async fn messages_are_seen_by_sender_and_receiver(store: Arc<dyn Store>) {
    let batch = history();
    store.append_messages(&batch).await.unwrap();
    for query in queries() {
        let mut expected: Vec<&Message> = batch.iter().map(|new| &new.message).collect();
        expected.retain(|message| matches(&query, message));
        expected.sort_by(|a, b| (b.sent_at, &b.message_id).cmp(&(a.sent_at, &a.message_id)));
        for limit in [100, 7] {
            let query = MessageQuery { limit, ..query.clone() };
            let walked = walk(&*store, &query).await;
            assert_eq!(walked.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    }
    for new in batch.iter().step_by(13) {
        for account in ACCOUNTS {
            let query = MessageQuery {
                message_id: Some(new.message.message_id.clone()),
                visible_to: some(account),
                ..any_message()
            };
            let found = walk(&*store, &query).await;
            assert_eq!(found.len(), usize::from(is_visible(&new.message, account)), "{query:?}");
        }
    }
}

/// A message with the id of another's thread makes its sender a participant of it, and shows nothing of it.
pub async fn a_thread_id_gives_no_sight_of_the_thread(store: Arc<dyn Store>) {
    store
        .append_messages(&[
            issued("1", "Secret Ä", "ann", "bob", 1),
            issued("2", "Secret Ä", "bob", "ann", 2),
        ])
        .await
        .unwrap();
    let all = store.thread("Secret Ä", Some("ann")).await.unwrap();
    assert_eq!(store.thread("Secret Ä", None).await.unwrap(), all);
    let list = |account: &str, text: &str| ThreadQuery {
        text: text.into(),
        visible_to: some(account),
        ..any_thread()
    };
    let messages = |account: &str| MessageQuery {
        thread_id: some("Secret Ä"),
        visible_to: some(account),
        ..any_message()
    };
    assert_eq!(store.thread("Secret Ä", Some("mallory")).await.unwrap(), None);
    assert!(thread_ids(&*store, &list("mallory", "")).await.is_empty());

    // To somebody else, to itself, and a message that is known: with the thread of others, and from her to herself.
    store
        .append_messages(&[
            issued("3", "Secret Ä", "mallory", "cid", 3),
            issued("4", "Secret Ä", "mallory", "mallory", 4),
            issued("1", "Secret Ä", "mallory", "mallory", 5),
            issued("1", "other", "mallory", "mallory", 5),
            // A sender that she is not: refused before it is stored, and of no use if it were.
            {
                let mut forged = issued("5", "Secret Ä", "ann", "bob", 6);
                forged.message.issuer = some("mallory");
                forged
            },
        ])
        .await
        .unwrap();
    assert_eq!(message_ids(&*store, &messages("mallory")).await, ["4", "3"]);
    let hers = store.thread("Secret Ä", Some("mallory")).await.unwrap().unwrap();
    assert_eq!(
        (hers.message_count, hers.participants, hers.created_by_account_id),
        (2, vec!["cid".to_owned(), "mallory".to_owned()], some("mallory"))
    );
    assert_eq!((hers.created_at, hers.last_message_at), (at(3), Some(at(4))));
    assert_eq!(thread_ids(&*store, &list("mallory", "")).await, ["Secret Ä"]);
    for participant in ["ann", "bob"] {
        let query = ThreadQuery {
            participant: some(participant),
            ..list("mallory", "")
        };
        assert!(thread_ids(&*store, &query).await.is_empty());
    }
    // Nor do the others see anything of hers, but who received it.
    assert_eq!(store.thread("Secret Ä", Some("ann")).await.unwrap(), all);
    assert_eq!(message_ids(&*store, &messages("ann")).await, ["2", "1"]);
    assert_eq!(message_ids(&*store, &messages("cid")).await, ["3"]);
    assert_eq!(store.thread("Secret Ä", None).await.unwrap().unwrap().message_count, 5);

    for (text, expected) in [("ä", 1), ("SECRET", 1), ("%", 0), ("other", 0)] {
        assert_eq!(thread_ids(&*store, &list("ann", text)).await.len(), expected, "{text}");
    }
}

/// What came in token mode is seen by its receiver, as messages alone: its sender is not proven.
pub async fn messages_without_an_issuer_are_seen_by_their_receiver(store: Arc<dyn Store>) {
    store
        .append_messages(&[unproven("1", "t", "ann", "bob", 1), issued("2", "t", "ann", "bob", 2)])
        .await
        .unwrap();
    let seen_by = |account: &str| MessageQuery {
        visible_to: some(account),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &seen_by("ann")).await, ["2"]);
    assert_eq!(message_ids(&*store, &seen_by("bob")).await, ["2", "1"]);
    assert_eq!(message_ids(&*store, &any_message()).await, ["2", "1"]);
    for account in ["ann", "bob"] {
        let thread = store.thread("t", Some(account)).await.unwrap().unwrap();
        assert_eq!(thread.message_count, 1);
    }
    assert_eq!(store.thread("t", None).await.unwrap().unwrap().message_count, 2);
}
