//! Requests to agents that are not there fail at once.

use std::time::Duration;

use agentnet_registry::RegistryConfig;
use agentnet_testkit::eventually;
use futures::StreamExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, DEADLINE, Network, message};

/// The first reply to a request, which is made again and again: a database that is slow for a moment makes a registry say
/// nothing rather than something wrong.
async fn request(net: &Network, account_id: &str, id: &str) -> Option<Value> {
    let body = message(id, "t_bounce").to_string();
    let look = async || {
        let reply = net
            .client
            .request(format!("account.{account_id}.inbox"), body.clone().into());
        match tokio::time::timeout(Duration::from_secs(2), reply).await {
            Ok(Ok(reply)) => Ok(serde_json::from_slice(&reply.payload).unwrap()),
            other => Err(format!("{other:?}")),
        }
    };
    eventually(DEADLINE, look).await.ok()
}

#[rstest]
#[tokio::test]
async fn a_request_to_an_absent_agent_gets_an_error_reply(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    for jetstream in [true, false] {
        let net = Network::on(backend, jetstream).await;
        let _registry = net.registry().await;
        let bob = net.register("bob").await;
        let account_id = bob["account_id"].as_str().unwrap();
        net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
            .await;
        assert_eq!(net.online().await, Vec::<String>::new());

        let reply = request(&net, account_id, "request").await.unwrap();
        assert_eq!(reply["kind"], "error", "{reply}");
        assert_eq!(reply["payload"]["error"], "recipient_offline");
        let detail = reply["payload"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("@bob is offline since 2"), "{detail}");
        assert_eq!(reply["payload"]["request_message_id"], "request");
        assert_eq!(
            (&reply["thread_id"], &reply["parent_message_id"]),
            (&json!("t_bounce"), &json!("request"))
        );
        assert_eq!(reply["to_account_id"], "acct_a");
        assert_eq!(reply["from_account_id"], "acct_registry_registry");
        assert_eq!(reply.get("from_session_tag"), None);
        // Request and error are in the history; a message without a reply subject is not a request.
        net.publish(&format!("account.{account_id}.inbox"), message("direct", "t_bounce"))
            .await;
        assert!(
            net.history("t_bounce", 3)
                .await
                .contains(&reply["message_id"].as_str().unwrap().to_owned())
        );
    }
}

#[rstest]
#[tokio::test]
async fn an_unknown_account_is_reported_once_all_agents_had_time_to_say_hello(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        agent_ttl: Duration::from_secs(1),
        ..net.config()
    };
    let _registry = net.registry_with(config).await;
    let reply = eventually(DEADLINE, async || {
        let reply = net
            .client
            .request("account.acct_nobody.inbox", message("r", "t").to_string().into());
        match tokio::time::timeout(Duration::from_millis(300), reply).await {
            Ok(Ok(reply)) => Ok(serde_json::from_slice::<Value>(&reply.payload).unwrap()),
            _ => Err("no reply"),
        }
    })
    .await
    .unwrap();
    assert_eq!(reply["payload"]["error"], "account_not_found");
}

#[rstest]
#[tokio::test]
async fn agents_that_are_there_answer_themselves(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    use futures::StreamExt as _;

    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let bob = net.register("bob").await;
    let account_id = bob["account_id"].as_str().unwrap().to_owned();
    let agent = agentnet_testkit::RawClient::connect(&net.nats.url()).await.unwrap();
    let mut inbox = agent.subscribe(format!("account.{account_id}.inbox")).await.unwrap();
    agent.request("nobody", "".into()).await.unwrap_err();
    tokio::spawn(async move {
        while let Some(request) = inbox.next().await {
            let reply = message("reply", "t").to_string();
            agent.publish(request.reply.unwrap(), reply.into()).await.unwrap();
        }
    });
    for number in 0..20 {
        let reply = request(&net, &account_id, &format!("r{number}")).await.unwrap();
        assert_eq!(reply["message_id"], "reply", "{reply}");
    }
}

/// Goodbye and request come to the registry in this order, but to two of its subscriptions.
#[rstest]
#[tokio::test]
async fn a_request_right_after_a_goodbye_is_refused(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const AGENTS: usize = 200;
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(net.register(&format!("agent_{number}")).await);
    }
    for (number, agent) in agents.iter().enumerate() {
        let goodbye = json!({ "session_tag": agent["session_tag"] }).to_string();
        net.client.publish("registry.goodbye", goodbye.into()).await.unwrap();
        let subject = format!("account.{}.inbox", agent["account_id"].as_str().unwrap());
        let request = net.client.request(subject, message("r", "t").to_string().into());
        let reply = tokio::time::timeout(DEADLINE, request).await;
        let reply = reply
            .unwrap_or_else(|_| panic!("request {number} got no answer"))
            .unwrap();
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(reply["payload"]["error"], "recipient_offline", "{reply}");
    }
}

/// The first receipt for a message to a subject that wants no reply.
async fn receipt(net: &Network, subject: &str, body: Value) -> Value {
    use futures::StreamExt as _;

    let mut receipts = net.client.subscribe("account.acct_a.receipts").await.unwrap();
    net.client
        .publish(subject.to_owned(), body.to_string().into())
        .await
        .unwrap();
    let receipt = tokio::time::timeout(DEADLINE, receipts.next()).await;
    let receipt = receipt.unwrap_or_else(|_| panic!("no receipt for {body}")).unwrap();
    serde_json::from_slice(&receipt.payload).unwrap()
}

#[tokio::test]
async fn a_message_that_no_agent_can_take_is_rejected_by_a_receipt() {
    let net = Network::new(true).await;
    let _registry = net.registry().await;
    let bob = net.register("bob").await;
    let inbox = format!("account.{}.inbox", bob["account_id"].as_str().unwrap());
    net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
        .await;
    assert_eq!(net.online().await, Vec::<String>::new());
    for (id, subject, code) in [
        ("m1", inbox.as_str(), "recipient_offline"),
        ("m2", "account.acct_nobody.inbox", "account_not_found"),
        ("m3", "agent.capability.nothing", "capability_unavailable"),
    ] {
        let receipt = receipt(&net, subject, message(id, "t_receipts")).await;
        assert_eq!(
            (&receipt["message_id"], &receipt["status"], &receipt["code"]),
            (&json!(id), &json!("rejected"), &json!(code)),
            "{receipt}"
        );
        assert_eq!(receipt["from_account_id"], "acct_registry_registry");
        assert_eq!(receipt["to_account_id"], "acct_a");
    }
    assert_eq!(net.history("t_receipts", 3).await.len(), 3);
}

#[tokio::test]
async fn a_capability_is_unavailable_while_no_live_session_has_it() {
    let net = Network::new(true).await;
    let _registry = net.registry().await;
    let ask = async |id: &str| {
        let body = message(id, "t").to_string().into();
        let reply = net.client.request("agent.capability.sum", body);
        let reply = tokio::time::timeout(Duration::from_millis(500), reply).await;
        reply.ok().map(|reply| {
            let reply: Value = serde_json::from_slice(&reply.unwrap().payload).unwrap();
            reply["payload"].clone()
        })
    };
    assert_eq!(ask("r1").await.unwrap()["error"], "capability_unavailable");
    let registered = net
        .ask("register", json!({"agent_id": "adder", "capabilities": ["sum"]}))
        .await;
    assert_eq!(ask("r2").await, None, "it is there, and says nothing");
    net.publish("registry.goodbye", json!({"session_tag": registered["session_tag"]}))
        .await;
    assert_eq!(net.online().await, Vec::<String>::new());
    let refused = ask("r3").await.unwrap();
    assert_eq!(refused["detail"], "no agent that is online has the capability sum");
}

/// A requester cannot direct an answer to a subject on which messages are taken.
#[tokio::test]
async fn no_answer_goes_to_subjects_on_which_messages_are_taken() {
    use futures::StreamExt as _;

    let net = Network::new(true).await;
    let _registry = net.registry().await;
    let mut forbidden = net.client.subscribe("account.acct_victim.inbox").await.unwrap();
    let mut receipts = net.client.subscribe("account.acct_a.receipts").await.unwrap();
    let body = message("m", "t").to_string().into();
    net.client
        .publish_with_reply("account.acct_nobody.inbox", "account.acct_victim.inbox", body)
        .await
        .unwrap();
    // As one without a reply subject.
    let receipt = tokio::time::timeout(DEADLINE, receipts.next()).await.unwrap().unwrap();
    let receipt: Value = serde_json::from_slice(&receipt.payload).unwrap();
    assert_eq!(receipt["code"], "account_not_found");
    net.client.request("nobody", "".into()).await.unwrap_err();
    let heard = futures::FutureExt::now_or_never(forbidden.next());
    assert!(heard.is_none(), "{heard:?}");
}

/// Headers that make the stream refuse a message do not keep it out of the history.
#[tokio::test]
async fn a_message_with_headers_for_the_server_is_recorded() {
    let net = Network::new(true).await;
    let sure = net.registry().await;
    let mut expected = 0;
    let mut hide = async |subject: &str| {
        for header in ["Nats-Expected-Stream", "Nats-Expected-Last-Sequence"] {
            expected += 1;
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(header, if header.ends_with("Stream") { "OTHER" } else { "999999" });
            let body = message(&format!("m{expected}"), "t_hidden").to_string().into();
            net.client
                .publish_with_headers(subject.to_owned(), headers, body)
                .await
                .unwrap();
        }
        expected += 1;
        let body = message(&format!("m{expected}"), "t_hidden").to_string();
        net.nats
            .publish_with_header_block(subject, "", b"NATS/1.0 404 No Messages\r\n\r\n", body.as_bytes())
            .await
            .unwrap();
        net.history("t_hidden", expected).await
    };
    hide("account.acct_b.inbox").await;
    hide("agent.capability.x").await;
    sure.shutdown().await;
    // One that does not know who is there looks too.
    let config = RegistryConfig {
        offline_replies: false,
        ..net.config()
    };
    let _unsure = net.registry_with(config).await;
    hide("account.acct_b.inbox").await;
}

/// Plain messages to an absent account take no room from requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_keeps_no_request_waiting() {
    let net = Network::new(true).await;
    let _registry = net.registry().await;
    let bob = net.register("bob").await;
    let inbox = format!("account.{}.inbox", bob["account_id"].as_str().unwrap());
    net.publish("registry.goodbye", json!({"session_tag": bob["session_tag"]}))
        .await;
    assert_eq!(net.online().await, Vec::<String>::new());
    let flood = message("flood", "t_flood").to_string();
    let mut replies = net.client.subscribe("my.replies").await.unwrap();
    for round in 0..10 {
        for _ in 0..2_000 {
            net.client.publish(inbox.clone(), flood.clone().into()).await.unwrap();
        }
        let request = message(&format!("request{round}"), "t_flood").to_string();
        net.client
            .publish_with_reply(inbox.clone(), "my.replies", request.into())
            .await
            .unwrap();
    }
    for _ in 0..10 {
        let reply = tokio::time::timeout(DEADLINE, replies.next()).await.unwrap().unwrap();
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(reply["payload"]["error"], "recipient_offline", "{reply}");
    }
}

/// Messages to accounts that are not there do not keep each other from being answered.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_burst_to_absent_accounts_is_answered(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const MESSAGES: usize = 5_000;
    const SENDERS: usize = 50;
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    // Some were there once.
    let mut gone = Vec::new();
    for number in 0..20 {
        let session = net.register(&format!("gone{number}")).await;
        net.publish("registry.goodbye", json!({"session_tag": session["session_tag"]}))
            .await;
        gone.push(session["account_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(net.online().await, Vec::<String>::new());
    let mut receipts = net.client.subscribe("account.*.receipts").await.unwrap();
    for number in 0..MESSAGES {
        let to = match number % 5 {
            0 => gone[number % gone.len()].clone(),
            _ => format!("acct_nobody{number}"),
        };
        let mut message = message(&format!("m{number}"), "t_burst");
        message["from_account_id"] = json!(format!("acct_sender{}", number % SENDERS));
        net.client
            .publish(format!("account.{to}.inbox"), message.to_string().into())
            .await
            .unwrap();
    }
    let mut codes = std::collections::BTreeMap::new();
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < MESSAGES {
        let Ok(receipt) = tokio::time::timeout(DEADLINE, receipts.next()).await else {
            panic!("{} of {MESSAGES} were answered: {codes:?}", answered.len());
        };
        let receipt: Value = serde_json::from_slice(&receipt.unwrap().payload).unwrap();
        *codes.entry(receipt["code"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        assert!(answered.insert(receipt["message_id"].to_string()), "twice: {receipt}");
    }
    let expected = [("account_not_found", 4_000), ("recipient_offline", 1_000)];
    assert_eq!(codes, expected.map(|(code, count)| (code.to_owned(), count)).into());
}

/// Whatever is asked of the store together with others: an account that has just registered, with another registry maybe, is
/// called neither unknown nor offline.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_account_is_absent_that_has_just_registered(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const ACCOUNTS: usize = 100;
    let net = Network::on(backend, true).await;
    let _one = net.registry().await;
    let config = RegistryConfig {
        server_id: "other".to_owned(),
        // It registers, and leaves the answers to the one that is sure.
        offline_replies: false,
        ..net.config()
    };
    let _other = net.registry_with(config).await;
    let mut receipts = net.client.subscribe("account.*.receipts").await.unwrap();
    let send = async |to: &str, id: &str, number: usize| {
        let mut message = message(id, "t_new");
        message["from_account_id"] = json!(format!("acct_sender{}", number % 20));
        net.client
            .publish(format!("account.{to}.inbox"), message.to_string().into())
            .await
            .unwrap();
    };
    for number in 0..ACCOUNTS {
        // Others ask for the same account before it is there.
        for flood in 0..20 {
            send(&format!("acct_new{number}"), &format!("before{number}_{flood}"), number).await;
        }
        let request =
            json!({"agent_id": "a", "account_id": format!("acct_new{number}"), "username": format!("new{number}")});
        let reply = net.ask("register", request).await;
        assert_eq!(reply.get("error"), None, "{reply}");
        send(&format!("acct_new{number}"), &format!("after{number}"), number).await;
        send(&format!("acct_nobody{number}"), &format!("end{number}"), number).await;
    }
    let mut ended = 0;
    while ended < ACCOUNTS {
        let Ok(receipt) = tokio::time::timeout(DEADLINE, receipts.next()).await else {
            panic!("{ended} of {ACCOUNTS}");
        };
        let receipt: Value = serde_json::from_slice(&receipt.unwrap().payload).unwrap();
        let id = receipt["message_id"].as_str().unwrap();
        assert!(
            !id.starts_with("after") || receipt["code"] != "account_not_found",
            "{receipt}"
        );
        ended += usize::from(id.starts_with("end"));
    }
}
