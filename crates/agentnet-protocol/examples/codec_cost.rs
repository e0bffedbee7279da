//! Measures reading and writing, in nanoseconds: `cargo run --release -p agentnet-protocol --example codec_cost`.
//!
//! A message with a payload of 500 bytes, as agents exchange it, and its receipt. Each line is the best of ten rounds.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "the result is what it prints")]

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use agentnet_protocol::compose::{Draft, Sender};
use agentnet_protocol::ids::uuid4_hex;
use agentnet_protocol::{Envelope, RawJson, Receipt, ReceiptStatus, Timestamp, expiry};

const CALLS: u32 = 20_000;

fn main() {
    let sender = Sender {
        agent_id: "planner".into(),
        account_id: "acct_01khzkcw3v04hmasw9nf6yy093".into(),
        session_tag: "registry_01KHZKCW3V04HMASW9NF6YY093".into(),
    };
    let draft = Draft {
        to_agent: "acct_01khzkcw3v04hmasw9nf6yy094".into(),
        to_account_id: Some("acct_01khzkcw3v04hmasw9nf6yy094".into()),
        payload: RawJson::parse(format!(r#"{{"text":"{}"}}"#, "x".repeat(489))).unwrap(),
        ..Draft::default()
    };
    let now = Timestamp::from(SystemTime::now());
    let id = || uuid4_hex(*b"0123456789abcdef");
    let message = draft.clone().compose(&sender, id().into(), now);
    let body = message.encode();
    let receipt = || {
        let (account_id, session_tag) = (&sender.account_id, &sender.session_tag);
        Receipt::for_message(&message, ReceiptStatus::Accepted, None, account_id, session_tag, now)
    };
    let receipt_body = receipt().encode();
    println!("message {} bytes, receipt {} bytes", body.len(), receipt_body.len());

    measure("compose a message", || draft.clone().compose(&sender, id().into(), now));
    measure("encode a message", || message.encode());
    measure("decode a message", || Envelope::decode(body.clone()).unwrap());
    measure("check its lifetime", || {
        let expires_at = message.expires_at.as_deref();
        expiry::check(&message.sent_at, message.ttl_ms, expires_at, now, 2_000).unwrap();
    });
    measure("compose and encode a receipt", || receipt().encode());
    measure("decode a receipt", || Receipt::decode(receipt_body.clone()).unwrap());
    measure("write a time", || now.to_string());
}

fn measure<T>(name: &str, mut call: impl FnMut() -> T) {
    let best = (0..10)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            began.elapsed() / CALLS
        })
        .min()
        .unwrap();
    println!("{name:32} {:>6} ns", best.as_nanos());
}
