//! Sample messages in the form that the registry passes to the store.

use agentnet_protocol::{RawJson, Timestamp};
use agentnet_store::model::{Message, NewMessage};

use crate::Failure;

/// Time of the first message, in microseconds since 1970.
pub(crate) const FIRST: i64 = 1_780_000_000_000_000;
/// Messages per thread.
const THREAD: u64 = 20;
const ACCOUNTS: u64 = 1_000;

/// Numbered messages with random-looking ids, like those on the wire.
pub(crate) fn messages(numbers: std::ops::Range<u64>, bytes: usize) -> Result<Vec<NewMessage>, Failure> {
    numbers.map(|number| message(number, bytes)).collect()
}

fn message(number: u64, bytes: usize) -> Result<NewMessage, Failure> {
    let at = Timestamp::from_micros(FIRST + i64::try_from(number)? * 500);
    let account = |number: u64| format!("acct_01k0000000000000000000{:04}", number % ACCOUNTS);
    let frame = r#"{"text":""}"#.len();
    let text = format!("{number} {}", "x".repeat(bytes.saturating_sub(frame + 8)));
    let message_id = id(number);
    // In each thread two agents alternate.
    let pair = number / THREAD * 7919;
    let (from, to) = (pair + number % 2, pair + (number + 1) % 2);
    Ok(NewMessage {
        message: Message {
            thread_id: format!("thread_{}", number / THREAD),
            parent_message_id: None,
            from_agent: "bench_sender".into(),
            from_account_id: Some(account(from)),
            from_session_tag: Some("registry_01K00000000000000000000000".into()),
            to_agent: account(to),
            to_account_id: Some(account(to)),
            kind: "direct".into(),
            schema_version: "1.1".into(),
            idempotency_key: Some(message_id.clone()),
            payload: RawJson::parse(format!(r#"{{"text":"{text}"}}"#))?,
            trace_id: Some(message_id.clone()),
            message_id,
            sent_at: at,
            received_at: at,
            ttl_ms: Some("30000".into()),
            expires_at: None,
            auth_scheme: String::new(),
            issuer: None,
        },
        byte_count: i64::try_from(bytes)?,
        approx_tokens: i64::try_from(bytes / 4)?,
        checkpoint_end: 0,
    })
}

/// 32 hexadecimal digits; consecutive numbers give unrelated ids.
fn id(number: u64) -> String {
    let mixed = |seed: u64| {
        let mut state = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^ (state >> 27)
    };
    format!("{:016x}{:016x}", mixed(1), mixed(1 << 40))
}
