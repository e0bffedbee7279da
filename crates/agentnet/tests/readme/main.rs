//! The Rust snippets of the README, each run as it is printed there, on a real server with a real registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

// Each test crate uses its own part of these.
#[allow(dead_code)]
#[path = "../net/mod.rs"]
mod net;
#[allow(dead_code)]
#[path = "../sessions/realm.rs"]
mod realm;

use agentnet::json;
use agentnet_testkit::eventually_true;
use net::DEADLINE;
use realm::{Handled, Realm, echo};

/// A snippet, by the name of its file: its text, and its function, which takes what the network of the test is reached by.
macro_rules! snippet {
    ($name:ident, $argument:ty) => {
        mod $name {
            include!(concat!("snippets/", stringify!($name), ".rs"));

            pub(super) const TEXT: &str = include_str!(concat!("snippets/", stringify!($name), ".rs"));

            pub(super) async fn runs(argument: $argument) {
                run(argument).await.unwrap();
            }
        }
    };
}

snippet!(agent, &str);
snippet!(send, &agentnet::AgentNode);
snippet!(sdk, &str);
snippet!(list, &str);
snippet!(wrapper, &str);

#[test]
fn the_readme_prints_what_is_tested_here() {
    let readme = include_str!("../../../../README.md");
    let printed: Vec<&str> = readme
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let tested = [agent::TEXT, send::TEXT, sdk::TEXT, list::TEXT, wrapper::TEXT];
    for text in tested {
        assert!(printed.contains(&text), "the README does not print\n{text}");
    }
    assert_eq!(printed.len(), tested.len(), "a snippet of the README is not run");
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
    assert_eq!(handled.count(), 2);
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
