//! The adapter.

use std::time::Duration;

use agentnet::{AgentWrapper, SdkError, Until};
use agentnet_testkit::Captured;
use serde_json::{Value, json};

use crate::net::{DEADLINE, generous, parse};
use crate::realm::Realm;
use crate::sdk::shouter;

async fn connected(realm: &Realm) -> AgentWrapper {
    let wrapper = AgentWrapper::builder("demo_worker")
        .name("Demo Worker")
        .username("demo_worker");
    let wrapper = wrapper
        .nats_url(realm.nats.url())
        .ignore_environment()
        .limits(generous)
        .build()
        .unwrap();
    wrapper.connect().await.unwrap();
    wrapper
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_exactly_one_target() {
    let realm = Realm::start().await;
    let bob = shouter(&realm, "bob").await;
    let wrapper = connected(&realm).await;
    let account = bob.account_id().unwrap();
    assert_eq!(wrapper.resolve_username("@bob").await.unwrap(), account);
    let wire = realm.capture("account.*.inbox").await;
    let question = || wrapper.request(json!({ "text": "hi" })).timeout(DEADLINE);
    for request in [
        question().to_account_id(&account),
        question().to_username("bob"),
        question().to_capability("shout"),
    ] {
        let reply = request.thread("t1").await.unwrap();
        assert_eq!(
            (reply.text().as_deref(), reply.thread_id.as_deref()),
            (Some("HI"), Some("t1"))
        );
    }
    let sent = wrapper.send(json!(1)).to_username("@bob").until(Until::Processed);
    sent.receipt_timeout(DEADLINE).retry_attempts(0).await.unwrap();
    wrapper
        .send(json!(1))
        .to_account_id(&account)
        .without_ack()
        .await
        .unwrap();

    let text = "Provide exactly one target: to_account_id, to_username, or to_capability.";
    let none = wrapper.send(json!(1)).await.unwrap_err();
    assert_eq!(none.to_string(), text);
    let two = wrapper
        .request(json!(1))
        .to_username("bob")
        .to_capability("shout")
        .await
        .unwrap_err();
    assert_eq!(two.to_string(), text);

    let failed = wrapper
        .request(json!({ "text": "fail" }))
        .to_username("bob")
        .await
        .unwrap_err();
    assert!(matches!(failed, SdkError::Handler(_)), "{failed:?}");
    // The server hears one connection in order: whatever the refused calls sent came before this.
    let last = |seen: &Captured| parse(&seen.payload)["payload"] == json!({ "text": "fail" });
    wire.wait_for(last, DEADLINE).await.unwrap();
    let inboxes = wire.messages();
    assert_eq!(inboxes.len(), 5, "two by id, two sent, and the last: {inboxes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_connects_receives_replies_looks_and_closes() {
    let realm = Realm::start().await;
    let worker = AgentWrapper::builder("worker")
        .nats_url(realm.nats.url())
        .ignore_environment();
    let worker = worker.limits(generous).build().unwrap();
    let inner = worker.clone();
    worker.receive(move |message, _| {
        let worker = inner.clone();
        async move {
            worker.reply(&message, json!({ "ok": true })).await?;
            Ok(())
        }
    });
    assert_eq!(worker.account_id(), None);
    worker.connect().await.unwrap();
    assert_eq!(worker.username().as_deref(), Some("worker"));
    assert!(worker.session_tag().is_some_and(|tag| tag.starts_with("registry_")));

    let client = connected(&realm).await;
    let reply = client
        .request(json!({}))
        .to_username("worker")
        .timeout(DEADLINE)
        .await
        .unwrap();
    assert_eq!(reply.json::<Value>().unwrap(), json!({ "ok": true }));
    let profile = client.get_profile("@worker").await.unwrap();
    assert_eq!(Some(&profile.account_id), worker.account_id().as_ref());
    assert_eq!(
        client
            .search_profiles("work")
            .online_only()
            .await
            .unwrap()
            .results
            .len(),
        2
    );
    agentnet_testkit::eventually_true(DEADLINE, "both messages are stored", async || {
        let found = client.search_messages().await;
        found.is_ok_and(|found| found.messages.len() == 2)
    })
    .await
    .unwrap();
    let threads = client.list_threads().await.unwrap().results;
    assert_eq!(
        client
            .get_thread_messages(&threads[0].thread_id)
            .await
            .unwrap()
            .messages
            .len(),
        2
    );
    assert!(client.registry_metrics().await.unwrap().store_enabled);
    worker.close().await;
    let gone = client
        .request(json!({}))
        .to_username("worker")
        .timeout(Duration::from_secs(5))
        .await;
    assert_eq!(gone.unwrap_err().code(), Some("recipient_offline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_blobs_and_sends_references_to_one_target() {
    let realm = Realm::start().await;
    let bob = shouter(&realm, "bob").await;
    let wrapper = connected(&realm).await;
    let blob = wrapper.put_blob_bytes("réd".as_bytes().to_vec()).await.unwrap();
    assert_eq!(wrapper.get_blob_text(&blob).await.unwrap(), "réd");
    assert_eq!(wrapper.get_blob_bytes(&blob).await.unwrap(), "réd".as_bytes());
    assert_eq!(wrapper.head_blob(&blob).await.unwrap().as_ref(), Some(&blob));
    let wire = realm.capture("account.*.inbox").await;
    wrapper
        .send_blob_ref(&blob)
        .to_account_id(bob.account_id().unwrap())
        .await
        .unwrap();
    let sent = wire.wait_for(|_| true, DEADLINE).await.unwrap();
    assert_eq!(parse(&sent.payload)["payload"]["type"], "blob_ref");
    assert!(wrapper.delete_blob(&blob).await.unwrap());
    assert_eq!(wrapper.head_blob(&blob).await.unwrap(), None);
}
