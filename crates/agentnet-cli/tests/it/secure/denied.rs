//! What an agent may not do.

use std::sync::Arc;

use agentnet_nats::NatsUrl;
use agentnet_testkit::eventually_true;
use async_nats::{Event, ServerError};
use parking_lot::Mutex;

use super::{Network, request};
use crate::harness::{WAIT_TIMEOUT, agentnet, line, until};

#[tokio::test]
async fn an_agent_decides_about_nobody() {
    let network = Network::start().await;
    network.add("alice").await;
    let alice = network.member("alice");
    for words in [
        "members",
        "invite eve",
        "revoke operator",
        "grant alice --capability root",
    ] {
        line(&alice, words).await.fails(2, &["forbidden"]);
    }
    network.add("olga --role observer").await;
    line(&network.member("olga"), "members").await.ok();
    line(&network.member("olga"), "invite eve")
        .await
        .fails(2, &["forbidden"]);
}

#[tokio::test]
async fn an_agent_reads_its_own_messages_only() {
    let network = Network::start().await;
    for name in ["alice", "bob", "eve"] {
        network.add(name).await;
    }
    let _bob = network.echo("--username bob").await;
    let said = ["request", "--to-username", "bob", "--thread-id", "private", "1"];
    agentnet(&network.member("alice"), said).await.ok();
    let both = |page: &serde_json::Value| page["messages"].as_array().is_some_and(|messages| messages.len() == 2);
    for url in [network.member("alice"), network.member("bob"), network.operator()] {
        until(&url, "thread-messages --thread-id private", both).await;
    }
    let eve = network.member("eve");
    let unseen = line(&eve, "thread-status --thread-id private").await;
    let absent = line(&eve, "thread-status --thread-id absent").await;
    assert_eq!(unseen.code, absent.code);
    assert_eq!(unseen.stderr.replace("private", "absent"), absent.stderr);
    // Taking part does not open what was said before.
    network
        .line("send --as eve --to-username bob --thread-id private --no-ack 2")
        .await
        .ok();
    until(&eve, "thread-messages --thread-id private", |page| {
        page["messages"].as_array().is_some_and(|messages| !messages.is_empty())
    })
    .await;
    let page = line(&eve, "message-search --thread-id private --json").await.json();
    for message in page["messages"].as_array().unwrap() {
        assert_ne!(message["payload"], 1, "{page}");
    }
}

#[tokio::test]
async fn an_agent_speaks_as_itself_only() {
    let network = Network::start().await;
    network.add("alice").await;
    network.add("bob").await;
    let as_bob = ["send", "--as", "bob", "--to-username", "alice", "1"];
    agentnet(&network.member("alice"), as_bob)
        .await
        .fails(2, &["forbidden", "@alice"]);
    // Without a name, the command speaks as its credential.
    let _bob = network.echo("--username bob").await;
    request(&network.operator(), "bob").await.ok();
}

#[tokio::test]
async fn commands_say_which_role_they_need() {
    let network = Network::start().await;
    network.add("alice").await;
    let alice = network.member("alice");
    for words in ["watch --max-messages 1", "top --once"] {
        line(&alice, words).await.fails(2, &["forbidden", "--role observer"]);
    }
    let report = line(&alice, "doctor").await;
    assert!(report.stdout.contains("only operators may ask"), "{report:?}");
    assert!(!report.stdout.contains("\nfail "), "{report:?}");
    let report = line(&network.operator(), "doctor").await.ok();
    assert!(
        report.contains("registries alone have rights in JetStream") && !report.contains("\nfail "),
        "{report}"
    );
    line(&network.operator(), "top --once").await.ok();
}

/// A client with a member's credential, and what the server has refused it.
async fn raw(url: &str) -> (async_nats::Client, Arc<Mutex<Vec<String>>>) {
    let url = NatsUrl::parse(url).unwrap();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let options = || {
        let refused = Arc::clone(&refused);
        agentnet_nats::options(&url, "raw").event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(text)) = event {
                refused.lock().push(text);
            }
            std::future::ready(())
        })
    };
    (agentnet_nats::dial(&url, options).await.unwrap(), refused)
}

#[tokio::test]
async fn the_server_refuses_subjects_of_others() {
    let network = Network::start().await;
    let alice = network.add("alice").await;
    let bob = network.add("bob").await;
    let (client, refused) = raw(&network.member("alice")).await;
    let publish = [
        format!("account.{bob}.inbox.{bob}"),
        format!("account.{bob}.inbox"),
        format!("account.{bob}.receipts.{bob}"),
        format!("registry.hello.{bob}"),
        format!("_AGENTNET.{bob}.x"),
        "agentnet.registry.announce".to_owned(),
        "$JS.API.STREAM.PURGE.AGENTNET_HISTORY".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
    ];
    let subscribe = [
        format!("account.{bob}.inbox.*"),
        format!("account.{alice}.inbox.*"),
        format!("_AGENTNET.{bob}.>"),
        "account.*.inbox.*".to_owned(),
        "registry.*.*".to_owned(),
        ">".to_owned(),
    ];
    let mut held = Vec::new();
    for subject in &publish {
        client.publish(subject.clone(), "x".into()).await.unwrap();
    }
    for subject in &subscribe {
        held.push(client.subscribe(subject.clone()).await.unwrap());
    }
    client.flush().await.unwrap();
    // The server answers in order: behind its refusal of the last one comes none of the others.
    client.publish("registry.last", "x".into()).await.unwrap();
    client.flush().await.unwrap();
    let last_is_refused = async || {
        refused
            .lock()
            .iter()
            .any(|text: &String| text.contains("\"registry.last\""))
    };
    eventually_true(WAIT_TIMEOUT, "the last one is refused", last_is_refused)
        .await
        .unwrap();
    let texts = refused.lock().clone();
    for subject in publish.iter().chain(&subscribe) {
        let quoted = format!("\"{subject}\"");
        assert!(
            texts.iter().any(|text| text.contains(&quoted)),
            "{subject} is not in {texts:?}"
        );
    }
    assert_eq!(texts.len(), publish.len() + subscribe.len() + 1, "{texts:?}");
}
