//! Appending messages.

use std::sync::Arc;

use agentnet_protocol::Timestamp;

use super::sample::{any_message, at, json, message, message_ids};
use crate::model::{Appended, Message, MessageQuery, NewMessage};
use crate::store::Store;

async fn only(store: &dyn Store, thread_id: &str) -> Message {
    let query = MessageQuery {
        thread_id: Some(thread_id.to_owned()),
        ..any_message()
    };
    let page = store.messages(&query).await.unwrap();
    assert_eq!(page.items.len(), 1, "{thread_id}");
    page.items.into_iter().next().unwrap()
}

fn stored(stored: usize, duplicates: usize) -> Appended {
    Appended {
        stored,
        duplicates,
        refused: vec![],
    }
}

/// Every field, set and unset, to the microsecond, in the years 1 and 9999 too.
pub async fn a_message_comes_back_as_it_was(store: Arc<dyn Store>) {
    let full = Message {
        parent_message_id: Some("parent".into()),
        from_session_tag: Some("tag".into()),
        kind: "request".into(),
        idempotency_key: Some("key".into()),
        trace_id: Some("trace".into()),
        sent_at: Timestamp::from_micros(1_780_000_000_123_456),
        received_at: Timestamp::from_micros(1_780_000_000_123_457),
        ttl_ms: Some("123456789012345678901234567890".into()),
        expires_at: Some("not-a-date".into()),
        auth_scheme: "dev-ed25519-v1".into(),
        issuer: Some("acct_a".into()),
        ..message("full", "t_full", 0).message
    };
    let bare = Message {
        from_account_id: None,
        to_account_id: None,
        to_agent: String::new(),
        schema_version: String::new(),
        payload: json("null"),
        sent_at: Timestamp::from_micros(-62_135_596_800_000_000),
        received_at: Timestamp::from_micros(253_402_300_799_999_999),
        ..message("bare", "t_bare", 0).message
    };
    let batch = [&full, &bare].map(|message| NewMessage {
        message: message.clone(),
        byte_count: 1,
        approx_tokens: 1,
        checkpoint_end: 0,
    });
    assert_eq!(store.append_messages(&batch).await.unwrap(), stored(2, 0));
    assert_eq!(only(&*store, "t_full").await, full);
    assert_eq!(only(&*store, "t_bare").await, bare);
}

/// No digit, escape, space or member order changes.
pub async fn payload_text_is_kept_byte_for_byte(store: Arc<dyn Store>) {
    let payloads = [
        r#"{"n":123456789012345678901234567890123456789012345678901234567890}"#,
        r#"{"z":1,"a":2.50,"a":1E+2,"m":-0.0,"i":-0}"#,
        r#""nul \u0000 lone \ud800 pair \ud83d\ude00 slash \/ upper \u00E9""#,
        r#"[NaN, Infinity, -Infinity, 1e400]"#,
        "{ \"spaced\" :\t[ 1 ,\n2 ] }",
        "\"\u{e9}\u{1f600}\u{7f}\u{2028}\"",
        "\"\"",
        "null",
        "false",
    ];
    let large = format!("\"{}\"", "x".repeat(300_000));
    let payloads: Vec<&str> = payloads.into_iter().chain([large.as_str()]).collect();
    let batch: Vec<NewMessage> = payloads
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let mut new = message(&format!("m{index}"), &format!("t{index}"), 0);
            new.message.payload = json(text);
            new
        })
        .collect();
    assert_eq!(store.append_messages(&batch).await.unwrap(), stored(payloads.len(), 0));
    for (index, text) in payloads.into_iter().enumerate() {
        assert_eq!(only(&*store, &format!("t{index}")).await.payload.get(), text);
    }
}

/// A NUL character is a character like any other: kept, compared, never an end.
pub async fn texts_may_hold_nul(store: Arc<dyn Store>) {
    let mut odd = message("m\0x", "t\0x", 1);
    odd.message.from_account_id = Some("acct\0a".into());
    odd.message.to_agent = "\0".into();
    odd.message.kind = "a\0".into();
    odd.message.idempotency_key = Some("k\0".into());
    let plain = [message("m", "t", 2), message("m\0y", "t", 3)];
    assert_eq!(
        store.append_messages(std::slice::from_ref(&odd)).await.unwrap(),
        stored(1, 0)
    );
    assert_eq!(store.append_messages(&plain).await.unwrap(), stored(2, 0));
    assert_eq!(only(&*store, "t\0x").await, odd.message);
    let from = MessageQuery {
        from_account_id: Some("acct\0a".into()),
        ..any_message()
    };
    assert_eq!(message_ids(&*store, &from).await, ["m\0x"]);
    assert_eq!(
        store.thread("t\0x", None).await.unwrap().unwrap().participants,
        ["acct\0a", "acct_b"]
    );
    assert_eq!(store.thread("t", None).await.unwrap().unwrap().message_count, 2);
}

/// Within a batch, across batches, and in another thread: the first stays, nothing is counted twice.
pub async fn the_first_of_two_with_one_id_is_kept(store: Arc<dyn Store>) {
    let first = message("m1", "t", 1);
    let mut second = message("m1", "t", 2);
    second.message.payload = json("2");
    second.checkpoint_end = 7;
    let batch = [first.clone(), second.clone(), message("m2", "t", 3), second.clone()];
    assert_eq!(store.append_messages(&batch).await.unwrap(), stored(2, 2));
    assert_eq!(store.append_messages(&batch).await.unwrap(), stored(0, 4));
    assert_eq!(message_ids(&*store, &any_message()).await, ["m2", "m1"]);
    let oldest = MessageQuery {
        to: Some(at(1)),
        ..any_message()
    };
    assert_eq!(store.messages(&oldest).await.unwrap().items, [first.message]);
    let thread = store.thread("t", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.approx_tokens),
        (2, 20, 6)
    );
    assert_eq!((thread.latest_checkpoint_end, thread.last_message_at), (0, Some(at(3))));
}

/// A repeated id stores nothing, yet its thread is created, or gets its participants and its time.
pub async fn a_repeated_id_still_creates_the_thread_it_names(store: Arc<dyn Store>) {
    store.append_messages(&[message("m", "first", 1)]).await.unwrap();
    let mut again = message("m", "second", 5);
    again.message.from_account_id = Some("acct_c".into());
    assert_eq!(store.append_messages(&[again.clone()]).await.unwrap(), stored(0, 1));
    let thread = store.thread("second", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.last_message_at),
        (0, 0, None)
    );
    assert_eq!((thread.created_at, thread.updated_at), (at(5), at(5)));
    assert_eq!(thread.created_by_account_id.as_deref(), Some("acct_c"));
    assert_eq!(thread.participants, ["acct_b", "acct_c"]);

    again.message.thread_id = "first".into();
    again.message.received_at = at(9);
    assert_eq!(store.append_messages(&[again]).await.unwrap(), stored(0, 1));
    let thread = store.thread("first", None).await.unwrap().unwrap();
    assert_eq!(
        (thread.message_count, thread.byte_count, thread.last_message_at),
        (1, 10, Some(at(1)))
    );
    assert_eq!(thread.updated_at, at(9));
    assert_eq!(thread.participants, ["acct_a", "acct_b", "acct_c"]);

    let second = MessageQuery {
        thread_id: Some("second".into()),
        ..any_message()
    };
    assert!(message_ids(&*store, &second).await.is_empty());
}

/// More messages and threads than fit in one statement.
pub async fn a_large_batch_is_stored_whole(store: Arc<dyn Store>) {
    let batch: Vec<NewMessage> = (0..3_000)
        .map(|index| message(&format!("m{index:04}"), &format!("t{}", index % 701), index))
        .collect();
    assert_eq!(store.append_messages(&batch).await.unwrap(), stored(3_000, 0));
    let all = MessageQuery {
        limit: 5_000,
        ..any_message()
    };
    let expected: Vec<String> = (0..3_000).rev().map(|index| format!("m{index:04}")).collect();
    assert_eq!(message_ids(&*store, &all).await, expected);
    assert_eq!(store.thread("t700", None).await.unwrap().unwrap().message_count, 4);
    assert_eq!(store.thread("t0", None).await.unwrap().unwrap().message_count, 5);
}

/// Every third is known already, in runs of every length: the new ones are counted, each once.
pub async fn known_messages_lie_among_new_ones(store: Arc<dyn Store>) {
    let number = |index: i64| message(&format!("m{index:04}"), &format!("t{}", index % 7), index);
    let known: Vec<NewMessage> = (0..1_000).filter(|index| index % 3 == 0).map(number).collect();
    assert_eq!(store.append_messages(&known).await.unwrap(), stored(334, 0));
    let all: Vec<NewMessage> = (0..1_000).rev().map(number).collect();
    assert_eq!(store.append_messages(&all).await.unwrap(), stored(666, 334));
    assert_eq!(store.append_messages(&all[..200]).await.unwrap(), stored(0, 200));
    let mut counted = 0;
    for thread in 0..7 {
        counted += store
            .thread(&format!("t{thread}"), None)
            .await
            .unwrap()
            .unwrap()
            .message_count;
    }
    assert_eq!(counted, 1_000);
}
