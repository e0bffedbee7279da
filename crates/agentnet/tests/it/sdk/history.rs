//! What the registry knows, through the SDK.

use agentnet::{AgentSdk, SdkError, TryStreamExt as _};
use agentnet_testkit::eventually_true;
use serde_json::json;

use crate::net::DEADLINE;
use crate::realm::Realm;
use crate::sdk::{sdk, shouter};

/// Sends 25 messages in the thread `long` and one in each of seven threads `short_…`, and waits until all are stored.
async fn fill_history(alice: &AgentSdk) {
    for number in 0..25 {
        alice
            .send_json("@bob", json!({ "n": number }))
            .thread("long")
            .await
            .unwrap();
    }
    for number in 0..7 {
        alice
            .send_text("@bob", "x")
            .thread(format!("short_{number}"))
            .await
            .unwrap();
    }
    eventually_true(DEADLINE, "all are stored", async || {
        let stored = alice
            .search_messages()
            .kind("direct")
            .stream()
            .try_collect::<Vec<_>>()
            .await;
        stored.is_ok_and(|messages| messages.len() == 32)
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_walked_to_their_end() {
    let realm = Realm::start().await;
    let bob = shouter(&realm, "bob").await;
    let alice = sdk(&realm, "alice").await;
    fill_history(&alice).await;

    let page = alice.thread_messages("long").limit(10).await.unwrap();
    assert_eq!(page.messages.len(), 10);
    let rest = alice
        .get_thread_messages("long")
        .limit(10)
        .cursor(page.next_cursor.unwrap());
    assert_eq!(rest.clone().await.unwrap().messages.len(), 10);
    assert_eq!(rest.stream().try_collect::<Vec<_>>().await.unwrap().len(), 15);
    let all: Vec<_> = alice
        .thread("long")
        .messages()
        .limit(4)
        .stream()
        .try_collect()
        .await
        .unwrap();
    let numbers: Vec<_> = all.iter().map(|message| message.payload.get().to_owned()).collect();
    let expected: Vec<_> = (0..25).rev().map(|number| format!(r#"{{"n":{number}}}"#)).collect();
    assert_eq!(numbers, expected, "newest first, each once");
    let none: Vec<_> = alice.thread_messages("unknown").stream().try_collect().await.unwrap();
    assert_eq!(none, vec![]);

    let threads = alice.list_threads().query("SHORT_").limit(3);
    assert_eq!(threads.clone().await.unwrap().results.len(), 3);
    assert_eq!(threads.stream().try_collect::<Vec<_>>().await.unwrap().len(), 7);
    let account = bob.account_id().unwrap();
    for query in [
        alice.list_threads().participant_username("bob"),
        alice.list_threads().participant_account(&account).limit_tokens(1, 2),
    ] {
        assert_eq!(query.stream().try_collect::<Vec<_>>().await.unwrap().len(), 8);
    }
    let from = all[4].sent_at.clone();
    let some = alice
        .search_messages()
        .thread("long")
        .from_ts(&from)
        .to_account(&account)
        .limit(2);
    assert_eq!(some.clone().stream().try_collect::<Vec<_>>().await.unwrap().len(), 5);
    let before = some.from_ts("2000-01-01T00:00:00Z").to_ts("2000-01-02T00:00:00Z");
    assert_eq!(before.await.unwrap().messages, vec![]);
    let sender = alice.node().account_id().unwrap();
    let first = alice.search_messages().from_account(sender).limit(1).await.unwrap();
    assert_eq!(first.messages.len(), 1);

    let status = alice.thread("long").status().await.unwrap();
    assert_eq!(
        (status.thread.thread_id.as_str(), status.thread.message_count),
        ("long", 25)
    );
    let error = alice.thread_status("unknown").await.unwrap_err();
    assert!(
        matches!(&error, SdkError::Registry(error) if error.is_not_found()),
        "{error:?}"
    );
    let mut broken = alice.thread_messages("long").cursor("?").stream();
    assert_eq!(broken.try_next().await.unwrap_err().to_string(), "cursor_invalid");
    assert_eq!(broken.try_next().await.unwrap(), None, "an error ends the walk");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_found() {
    let realm = Realm::start().await;
    let bob = shouter(&realm, "bob").await;
    let _loud = shouter(&realm, "loud_bob").await;
    let alice = sdk(&realm, "alice").await;
    let online: Vec<_> = alice
        .list_online()
        .await
        .unwrap()
        .into_iter()
        .filter_map(|agent| agent.username)
        .collect();
    assert_eq!(online, ["alice", "bob", "loud_bob"]);
    let account = bob.account_id().unwrap();
    for target in ["bob", "@bob", "username:bob", account.as_str()] {
        assert_eq!(alice.get_profile(target).await.unwrap().account_id, account, "{target}");
    }
    let error = alice.get_profile("@nobody").await.unwrap_err();
    assert!(matches!(&error, SdkError::Registry(error) if error.is_not_found()));
    let error = alice.get_profile("capability:shout").await.unwrap_err().to_string();
    assert!(error.starts_with("Routing target must be"), "{error}");

    bob.close().await;
    let shouting = alice.search_profiles("bob").capability("shout").limit(1);
    let all: Vec<_> = shouting.clone().stream().try_collect().await.unwrap();
    let names: Vec<_> = all.iter().map(|hit| (hit.username.as_str(), hit.online)).collect();
    assert_eq!(names, [("loud_bob", true), ("bob", false)]);
    assert_eq!(
        shouting
            .online_only()
            .stream()
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(alice.registry_metrics().await.unwrap().server_id, "registry");
}
