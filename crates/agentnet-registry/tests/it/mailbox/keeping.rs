//! Messages are kept: at once for an account that is known to be offline, else at its sender's request.

use agentnet_registry::RegistryConfig;
use rstest::rstest;
use serde_json::{Value, json};

use crate::mailbox::client::{Session, ask, ids, letter, list, put, registry, send, until_counts};
use crate::support::heard::Heard;
use crate::support::{Backend, Network};

#[rstest]
#[tokio::test]
async fn a_message_for_an_offline_agent_waits_for_it(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let alice = Session::join(&net, "alice", true).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, &alice.account_id).await;
    let events = Heard::events(&net, &bob.account_id, "mailbox").await;
    let own_events = Heard::events(&net, &alice.account_id, "mailbox").await;
    let message = letter("m1", &alice.account_id, &bob.account_id);
    send(&net, &message).await;
    let receipt = receipts.with(&[("message_id", "m1")]).await;
    assert_eq!(receipt["status"], "queued", "{receipt}");
    assert_eq!(receipt["from_account_id"], "acct_registry_registry");
    assert_eq!(receipt["to_account_id"], json!(alice.account_id));
    assert_eq!(receipt["thread_id"], "t_m1");
    let detail = receipt["detail"].as_str().unwrap();
    assert!(detail.starts_with("@bob is offline since "), "{detail}");
    assert!(detail.contains("; the message is kept until "), "{detail}");
    assert_eq!(net.history("t_m1", 1).await, ["m1"], "once, however it was recorded");
    until_counts(&net, &bob.account_id, [1, 0, 0]).await;

    let bob = Session::join(&net, "bob", true).await;
    let leased = bob.lease(&net, json!({})).await;
    assert_eq!(
        (&leased["remaining"], ids(leased["messages"].as_array().unwrap())),
        (&json!(0), vec!["m1"])
    );
    let leased = &leased["messages"][0];
    assert_eq!((&leased["attempt"], &leased["envelope"]), (&json!(1), &message));
    assert_eq!(bob.ack(&net, leased, json!({"outcome": "done"})).await["acked"], 1);
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
    for events in [events, own_events] {
        let delivered = events.with(&[("event", "delivered")]).await;
        assert_eq!(
            (&delivered["message_id"], &delivered["attempt"]),
            (&json!("m1"), &json!(1))
        );
        assert_eq!(delivered["from_account_id"], json!(alice.account_id));
        assert_eq!(events.texts("event"), ["queued", "delivered"]);
    }
    let again = bob.ack(&net, leased, json!({"outcome": "done"})).await;
    assert_eq!(
        (&again["acked"], &again["lost"]),
        (&json!(0), &json!([leased["lease"]]))
    );
    let done = list(&net, &bob.account_id, "done").await;
    assert_eq!((ids(&done), &done[0]["preview"]), (vec!["m1"], &json!("")));
}

#[rstest]
#[tokio::test]
async fn a_sender_asks_a_registry_to_keep_a_message(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::join(&net, "bob", true).await;
    let message = letter("m1", "acct_a", &bob.account_id);
    // Whether it is online or not: the sender knows that it did not take the message.
    let reply = put(&net, &message).await;
    assert_eq!(
        (&reply["state"], &reply["position"]),
        (&json!("queued"), &json!(0)),
        "{reply}"
    );
    let second = put(&net, &letter("m2", "acct_a", &bob.account_id)).await;
    assert_eq!(
        (&second["state"], &second["position"]),
        (&json!("queued"), &json!(1)),
        "{second}"
    );
    let again = put(&net, &message).await;
    assert_eq!(
        (&again["state"], again.get("position")),
        (&json!("queued"), None),
        "{again}"
    );
    assert_eq!(
        (&again["queued_at"], &again["expires_at"]),
        (&reply["queued_at"], &reply["expires_at"])
    );
    assert_eq!(net.history("t_m1", 1).await, ["m1"], "it was never published");

    let direct = async |id: &str| {
        let envelope = letter(id, "acct_a", &bob.account_id);
        ask(&net, "mailbox_put", json!({"envelope": envelope, "direct": true})).await
    };
    assert_eq!(
        direct("m3").await["state"],
        "queued",
        "it does not overtake those that wait"
    );
    let leased = bob.lease(&net, json!({"max": 10})).await;
    assert_eq!(ids(leased["messages"].as_array().unwrap()), ["m1", "m2", "m3"]);
    assert_eq!(
        direct("m4").await["state"],
        "queued",
        "those before it are not delivered yet"
    );
    for message in leased["messages"].as_array().unwrap() {
        bob.ack(&net, message, json!({"outcome": "done"})).await;
    }
    for message in bob.lease_some(&net, json!({})).await {
        bob.ack(&net, &message, json!({"outcome": "done"})).await;
    }
    let live = direct("m5").await;
    assert_eq!(
        (&live["state"], live.get("queued_at")),
        (&json!("live"), None),
        "{live}"
    );
    bob.leave(&net).await;
    assert_eq!(direct("m5").await["state"], "queued");
    assert_eq!(put(&net, &message).await["state"], "delivered");
}

/// Many senders at once, and a receiver that is offline: every message is kept once, each sender's in its order.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_the_order_in_which_they_were_published(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const SENDERS: usize = 5;
    const MESSAGES: usize = 60;
    let net = Network::on(backend, true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::on(&net, "account.*.receipts").await;
    for number in 0..MESSAGES {
        for sender in 0..SENDERS {
            let message = letter(
                &format!("{sender}_{number:03}"),
                &format!("acct_s{sender}"),
                &bob.account_id,
            );
            let subject = format!("account.{}.inbox", bob.account_id);
            net.client.publish(subject, message.to_string().into()).await.unwrap();
        }
    }
    until_counts(&net, &bob.account_id, [(SENDERS * MESSAGES) as i64, 0, 0]).await;
    receipts.with(&[("message_id", "4_059"), ("status", "queued")]).await;
    let bob = Session::join(&net, "bob", true).await;
    let mut taken: Vec<String> = Vec::new();
    while taken.len() < SENDERS * MESSAGES {
        let messages = bob.lease_some(&net, json!({"max": 100})).await;
        taken.extend(ids(&messages).into_iter().map(str::to_owned));
        let acks: Vec<Value> = messages
            .iter()
            .map(|message| json!({"lease": message["lease"], "outcome": "done"}))
            .collect();
        let reply = ask(&net, "mailbox_ack", bob.request(json!({"acks": acks}))).await;
        assert_eq!(reply["acked"], json!(messages.len()), "{reply}");
    }
    for sender in 0..SENDERS {
        let of_one: Vec<&String> = taken
            .iter()
            .filter(|id| id.starts_with(&format!("{sender}_")))
            .collect();
        assert!(of_one.is_sorted(), "{of_one:?}");
        assert_eq!(of_one.len(), MESSAGES);
    }
}

/// Nothing changes for messages that do not ask, and for requests.
#[tokio::test]
async fn who_does_not_ask_hears_that_the_receiver_is_offline() {
    let net = Network::new(true).await;
    let _registry = registry(&net).await;
    let bob = Session::absent(&net, "bob").await;
    let receipts = Heard::receipts(&net, "acct_a").await;
    for (id, member) in [("m1", json!(null)), ("m2", json!(false)), ("m3", json!("true"))] {
        let mut message = letter(id, "acct_a", &bob.account_id);
        message["mailbox"] = member;
        send(&net, &message).await;
        let receipt = receipts.with(&[("message_id", id)]).await;
        assert_eq!(
            (&receipt["status"], &receipt["code"]),
            (&json!("rejected"), &json!("recipient_offline"))
        );
    }
    let request = letter("m4", "acct_a", &bob.account_id).to_string();
    let reply = net
        .client
        .request(format!("account.{}.inbox", bob.account_id), request.into())
        .await
        .unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert_eq!(reply["payload"]["error"], "recipient_offline", "{reply}");
    until_counts(&net, &bob.account_id, [0, 0, 0]).await;
}

/// What one registry keeps, every other one knows, and requests that wait at another one are woken.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn registries_on_one_database_share_the_mailboxes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let named = |server_id: &str| RegistryConfig {
        server_id: server_id.to_owned(),
        ..crate::mailbox::client::config(&net)
    };
    let _one = net.registry_with(named("r1")).await;
    let _two = net.registry_with(named("r2")).await;
    let bob = Session::join(&net, "bob", true).await;
    for round in 0..20 {
        let id = format!("m{round}");
        let waiting = bob.lease(&net, json!({"wait_ms": 25_000}));
        let putting = async {
            let reply = put(&net, &letter(&id, "acct_a", &bob.account_id)).await;
            assert_eq!(reply["state"], "queued", "{reply}");
        };
        let (leased, ()) = tokio::join!(waiting, putting);
        let messages = leased["messages"].as_array().unwrap();
        assert_eq!(ids(messages), [id.as_str()]);
        assert_eq!(
            bob.ack(&net, &messages[0], json!({"outcome": "done"})).await["acked"],
            1
        );
    }
}
