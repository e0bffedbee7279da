//! The Rust snippets of README.md and docs/RUST.md, each run as it is printed there, on a real server with a real registry.
#![allow(clippy::print_stdout, reason = "the snippets print")]

use agentnet::{AgentSdk, SdkError, Until, json};
use agentnet_testkit::eventually_true;

use crate::net::DEADLINE;
use crate::realm::{Handled, Realm, echo};

/// A snippet, by the name of its file: its text, and its function, which takes what the network of the test is reached by.
macro_rules! snippet {
    ($name:ident, $argument:ty) => {
        mod $name {
            include!(concat!("readme/snippets/", stringify!($name), ".rs"));

            pub(super) const TEXT: &str = include_str!(concat!("readme/snippets/", stringify!($name), ".rs"));

            pub(super) async fn runs(argument: $argument) {
                run(argument).await.unwrap();
            }
        }
    };
}

/// The bridge of docs/BUILD_AGENT_BRIDGE_IN_15_MINUTES.md.
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../examples/bridge.rs"]
mod bridge;

snippet!(agent, &str);
snippet!(send, &agentnet::AgentNode);
snippet!(sdk, &str);
snippet!(stream, &str);
snippet!(blobs, &str);
snippet!(list, &str);
snippet!(wrapper, &str);
snippet!(mailbox, &str);
snippet!(task, &str);

#[test]
fn the_pages_print_what_is_tested_here() {
    let pages = [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/RUST.md"),
    ];
    let printed: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("```rust\n").skip(1))
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let tested = [
        agent::TEXT,
        send::TEXT,
        sdk::TEXT,
        stream::TEXT,
        blobs::TEXT,
        list::TEXT,
        wrapper::TEXT,
        mailbox::TEXT,
        task::TEXT,
    ];
    for text in tested {
        assert!(printed.contains(&text), "no page prints\n{text}");
    }
    assert_eq!(printed.len(), tested.len(), "a snippet is not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_answers_until_it_is_stopped() {
    let realm = Realm::start().await;
    let url = realm.nats.url();
    let running = tokio::spawn(async move { agent::runs(&url).await });
    realm.until_sessions("agent_foo", 1).await;
    let asking = realm.agent("asking").start().await.unwrap();
    let reply = asking.request("@agent_foo", json!({ "text": "hello?" })).await.unwrap();
    assert_eq!(reply.payload().get(), r#"{"ok":true}"#);
    let found = asking.request_capability("chat", json!({})).await.unwrap();
    assert_eq!(found.from_agent, "agent_foo");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let _bot = echo(realm.agent("weather_bot"), "bot", &handled).start().await.unwrap();
    let node = realm.agent("sender").start().await.unwrap();
    send::runs(&node).await;
    eventually_true(DEADLINE, "all four are handled", async || handled.count() == 4)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_asks_and_tells() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let _peer = echo(realm.agent("mesh_agent_1"), "peer", &handled)
        .start()
        .await
        .unwrap();
    sdk::runs(&realm.nats.url()).await;
    // What is sent is handled after the send has ended.
    eventually_true(DEADLINE, "both are handled", async || handled.count() == 2)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stream() {
    let realm = Realm::start().await;
    stream::runs(&realm.nats.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_by_reference() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let _vision = echo(realm.agent("vision_agent"), "vision", &handled)
        .start()
        .await
        .unwrap();
    // The file that the snippet names; another one that is there is left alone.
    let chart = std::path::Path::new("/tmp/chart.png");
    let made = std::fs::File::create_new(chart).and_then(|mut file| std::io::Write::write_all(&mut file, b"\x89PNG"));
    assert!(made.is_ok() || chart.exists(), "{made:?}");
    blobs::runs(&realm.nats.url()).await;
    if made.is_ok() {
        std::fs::remove_file(chart).unwrap();
    }
    eventually_true(DEADLINE, "the reference is handled", async || handled.count() == 1)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_listed() {
    let realm = Realm::start().await;
    let _agent = realm.agent("listed").start().await.unwrap();
    list::runs(&realm.nats.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrapper_asks() {
    let realm = Realm::start().await;
    let handled = Handled::default();
    let _bot = echo(realm.agent("weather_bot"), "bot", &handled).start().await.unwrap();
    wrapper::runs(&realm.nats.url()).await;
    assert_eq!(handled.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait() {
    let realm = Realm::start().await;
    let offline = realm.agent("night_shift").start().await.unwrap();
    offline.close().await;
    mailbox::runs(&realm.nats.url()).await;
    let handled = Handled::default();
    let _shift = echo(realm.agent("night_shift"), "shift", &handled)
        .start()
        .await
        .unwrap();
    eventually_true(DEADLINE, "both are handled", async || handled.count() == 2)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done() {
    let realm = Realm::start().await;
    task::runs(&realm.nats.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_puts_a_program_on_the_network() {
    let realm = Realm::start().await;
    let url = realm.nats.url();
    let program = |words: &[&str]| bridge::Program(words.iter().map(ToString::to_string).collect());
    let shouter = bridge::bridge(&url, "shouter", program(&["tr", "a-z", "A-Z"]))
        .await
        .unwrap();
    let _broken = bridge::bridge(&url, "broken", program(&["false"])).await.unwrap();
    let handled = Handled::default();
    let alice = echo(realm.agent("alice"), "alice", &handled).start().await.unwrap();
    let sdk = AgentSdk::from(alice);

    let answer = sdk.ask_text("@shouter", "hello").thread("t1").await.unwrap();
    assert_eq!(answer.text.as_deref(), Some("HELLO"));
    // What was said before is shown to the program, once it is in the history.
    eventually_true(DEADLINE, "question and answer are stored", async || {
        sdk.thread("t1")
            .messages()
            .await
            .is_ok_and(|page| page.messages.len() == 2)
    })
    .await
    .unwrap();
    let again = sdk.ask_text("@shouter", "more").thread("t1").await.unwrap();
    assert_eq!(again.text.as_deref(), Some("HELLO\nHELLO\nMORE"));

    let failed = sdk.ask_text("@broken", "hello").await.unwrap_err();
    assert!(matches!(failed, SdkError::Handler(_)), "{failed:?}");
    let refused = sdk.ask_json("@shouter", json!({ "n": 1 })).await.unwrap_err();
    assert_eq!(refused.code(), Some("unsupported_payload"));
    // A plain message is answered by one, and the answer by none.
    sdk.send_text("@shouter", "psst").until(Until::Processed).await.unwrap();
    eventually_true(DEADLINE, "its message is handled", async || handled.count() == 1)
        .await
        .unwrap();
    shouter.close().await;
    assert_eq!(handled.count(), 1);
}
