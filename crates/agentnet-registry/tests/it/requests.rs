//! Requests of every kind, good and bad, against a real nats-server.

use agentnet_registry::{Registry, RegistryConfig, StartError};
use agentnet_testkit::{NatsServer, eventually};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Backend, DEADLINE, Network, RPCS, TOKEN, message};

#[rstest]
#[tokio::test]
async fn malformed_requests_are_answered_at_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let _registry = net.registry().await;
    let deep = "[".repeat(2000);
    let bad: [&[u8]; 7] = [
        b"{bad",
        b"\xff\xfe",
        b"{\"limit\":1e400,",
        deep.as_bytes(),
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\x01\"}",
    ];
    for rpc in RPCS {
        for body in bad {
            let reply: Value = serde_json::from_str(&net.ask_raw(rpc, body).await).unwrap();
            let body = String::from_utf8_lossy(body);
            match rpc {
                // These two never look at the body.
                "list" | "metrics" => assert!(reply["generated_at"].is_string(), "{rpc} {body}"),
                _ => assert!(!reply["error"].as_str().unwrap().is_empty(), "{rpc} {body}: {reply}"),
            }
        }
    }
    for (rpc, body) in [
        ("thread_status", r#"{"thread_id":"t","soft_limit_tokens":1e400}"#),
        ("search", r#"{"limit":1e400}"#),
        ("thread_messages", r#"{"thread_id":"t","limit":-1e400}"#),
        ("register", r#"{"agent_id":"a","capabilities":5}"#),
        ("message_search", r#"{"limit":1e999}"#),
    ] {
        let reply: Value = serde_json::from_str(&net.ask_raw(rpc, body).await).unwrap();
        assert!(reply["error"].is_string(), "{rpc} {body}: {reply}");
    }
    for (rpc, request, error) in [
        (
            "thread_messages",
            json!({"thread_id": "t", "cursor": "garbage"}),
            "cursor_invalid",
        ),
        ("message_search", json!({"cursor": "garbage"}), "cursor_invalid"),
        ("thread_list", json!({"cursor": "garbage"}), "cursor_invalid"),
        ("search", json!({"cursor": "garbage"}), "cursor_invalid"),
        ("list", json!({"cursor": "garbage"}), "cursor_invalid"),
        (
            "message_search",
            json!({"from_ts": "bad", "to_ts": "bad"}),
            "from_ts_invalid",
        ),
        ("message_search", json!({"to_ts": "bad"}), "to_ts_invalid"),
        (
            "profile",
            json!({"username": "@"}),
            "account_id or username is required",
        ),
        ("profile", json!({"account_id": "acct_none"}), "not_found"),
        ("resolve_key", json!({"account_id": "acct_none"}), "not_found"),
        ("thread_status", json!({"thread_id": "none"}), "not_found"),
    ] {
        assert_eq!(
            net.ask(rpc, request.clone()).await,
            json!({"error": error}),
            "{rpc} {request}"
        );
    }
}

#[rstest]
#[tokio::test]
async fn garbage_on_every_subject_does_no_harm(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let _registry = net.registry().await;
    net.register("alice").await;
    let subjects = [
        "registry.hello",
        "registry.goodbye",
        "agentnet.registry.announce",
        "account.x.inbox",
        "agent.capability.y",
        "agentnet.reply.x.1",
        "_INBOX.x.1",
    ];
    let bodies: [&[u8]; 12] = [
        b"",
        b"[]",
        b"{bad",
        b"\xff",
        b"null",
        b"{}",
        b"{\"message_id\":\"\"}",
        b"{\"message_id\":\"m\",\"ttl_ms\":1e400}",
        b"{\"session_tag\":5}",
        b"{\"session_tag\":\"t\",\"agent_id\":\"a\",\"capabilities\":true}",
        b"{\"session_tag\":\"t\"}",
        b"{\"session_tag\":{\"a\":[1]},\"agent_id\":[]}",
    ];
    for subject in subjects {
        for body in bodies {
            net.client.publish(subject, body.to_vec().into()).await.unwrap();
        }
    }
    net.publish("account.x.inbox", message("good", "t")).await;
    assert_eq!(net.history("t", 1).await, ["good"]);
    assert_eq!(net.online().await, ["alice_agent"]);
    // It is counted when it can be seen already.
    let metrics = eventually(DEADLINE, async || {
        let metrics = net.ask("metrics", json!({})).await;
        let written = metrics["latency_ms"]["db.persist_batch"]["count"].as_i64();
        match metrics["capture"]["stored"] == 1 && written > Some(0) {
            true => Ok(metrics),
            false => Err(metrics),
        }
    })
    .await
    .unwrap();
    assert_eq!(metrics["capture"]["refused"], 0);
    assert!(metrics["handlers"]["hello"]["errors"].as_i64().unwrap() > 0);
    assert_eq!(metrics["db_write_queue"]["batch_size"], 64);
}

/// The ids of all items of a list, page by page. No reply may be longer than `max` bytes.
async fn all_pages(net: &Network, max: usize, rpc: &str, mut request: Value, items: &str, id: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..100 {
        let text = net.ask_raw(rpc, request.to_string()).await;
        assert!(text.len() <= max, "{rpc}: {}", text.len());
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply.get("error"), None, "{rpc}: {reply}");
        seen.extend(
            reply[items]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[id].as_str().unwrap().to_owned()),
        );
        let next = &reply["next_cursor"];
        if !next.is_string() {
            break;
        }
        request["cursor"] = next.clone();
    }
    seen
}

#[rstest]
#[tokio::test]
async fn replies_are_cut_to_what_the_server_takes(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const MAX: usize = 4096;
    let nats = NatsServer::builder()
        .token(TOKEN)
        .jetstream(true)
        .max_payload(MAX)
        .start()
        .await
        .unwrap();
    let net = Network::with(backend, nats).await;
    let _registry = net.registry().await;
    let mut accounts = Vec::new();
    for number in 0..40 {
        let request = json!({"agent_id": format!("agent{number:02}"), "metadata": {"text": "x".repeat(150)}});
        accounts.push(net.ask("register", request).await["account_id"].clone());
        let mut message = message(&format!("m{number:02}"), &format!("t{}", number % 20));
        message["payload"] = json!({"text": "é".repeat(100)});
        message["sent_at"] = json!(format!("2026-02-21T08:00:{number:02}Z"));
        net.publish("account.acct_b.inbox", message).await;
    }
    // 1900 bytes on the wire, 5700 as escaped ASCII: such a payload fits into no reply.
    let mut large = message("large", "t_large");
    large["payload"] = json!("é".repeat(950));
    net.publish("account.acct_b.inbox", &large).await;
    net.history("t_large", 1).await;

    let pages = async |rpc, request, items, id| all_pages(&net, MAX, rpc, request, items, id).await;
    let agents: Vec<String> = (0..40).map(|number| format!("agent{number:02}")).collect();
    assert_eq!(pages("list", json!({}), "agents", "agent_id").await, agents);
    assert_eq!(pages("list", json!({"limit": 3}), "agents", "agent_id").await, agents);
    assert_eq!(
        pages("search", json!({"limit": 100}), "results", "username").await,
        agents
    );
    assert_eq!(
        pages("search", json!({"limit": 7}), "results", "username").await,
        agents
    );
    let mut messages: Vec<String> = (0..40).map(|number| format!("m{number:02}")).rev().collect();
    messages.push("large".into());
    assert_eq!(
        pages("message_search", json!({"limit": 200}), "messages", "message_id").await,
        messages
    );
    assert_eq!(
        pages("thread_messages", json!({"thread_id": "t3"}), "messages", "message_id").await,
        ["m23", "m03"]
    );
    let mut threads: Vec<String> = (0..20).rev().map(|number| format!("t{number}")).collect();
    threads.push("t_large".into());
    assert_eq!(
        pages("thread_list", json!({"limit": 100}), "results", "thread_id").await,
        threads
    );

    let shown = net.ask("thread_messages", json!({"thread_id": "t_large"})).await["messages"][0].clone();
    assert_eq!(
        (&shown["payload"], &shown["metadata"]["payload_omitted"]),
        (&Value::Null, &json!(true))
    );
}

#[rstest]
#[tokio::test]
async fn online_accounts_are_found_first_then_the_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, false).await;
    let _registry = net.registry().await;
    for (username, sessions) in [("dora", 1), ("carl", 2), ("bert", 0), ("adam", 0), ("emil", 1)] {
        for _ in 0..sessions.max(1) {
            let request = json!({"agent_id": "x", "name": "N", "username": username, "capabilities": ["Sum"]});
            let reply = net.ask("register", request).await;
            if sessions == 0 {
                net.publish("registry.goodbye", json!({"session_tag": reply["session_tag"]}))
                    .await;
            }
        }
    }
    let names = async |request: Value| {
        let reply = net.ask("search", request).await;
        let results = reply["results"].as_array().unwrap().clone();
        let names: Vec<String> = results
            .iter()
            .map(|hit| hit["username"].as_str().unwrap().to_owned())
            .collect();
        (names.join(" "), reply["next_cursor"].clone())
    };
    assert_eq!(names(json!({})).await.0, "carl dora emil adam bert");
    assert_eq!(names(json!({"online_only": true})).await.0, "carl dora emil");
    assert_eq!(names(json!({"capability": "sUM", "query": "E"})).await.0, "emil bert");
    assert_eq!(names(json!({"query": "%"})).await.0, "");
    let (first, cursor) = names(json!({"limit": 2})).await;
    let (second, cursor) = names(json!({"limit": 2, "cursor": cursor})).await;
    let (third, end) = names(json!({"limit": 2, "cursor": cursor})).await;
    assert_eq!([first.as_str(), &second, &third], ["carl dora", "emil adam", "bert"]);
    assert_eq!(end, Value::Null);
}

/// A command that speaks for an agent in passing says nothing about it.
#[rstest]
#[tokio::test]
async fn a_registration_that_keeps_the_profile_changes_nothing_of_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, false).await;
    let _registry = net.registry().await;
    let profile = async |username: &str| {
        let reply = net.ask("profile", json!({"username": username})).await;
        let profile = &reply["profile"];
        json!([profile["display_name"], profile["capabilities"], profile["metadata"]])
    };
    let request = json!({"agent_id": "alice_agent", "name": "Alice", "username": "alice", "capabilities": ["Chat"],
                         "metadata": {"team": "ops"}});
    let alice = net.ask("register", request).await;
    let own = json!(["Alice", ["Chat"], {"team": "ops"}]);
    assert_eq!(profile("alice").await, own);

    let passing = |keep: Value, by: &str, who: &Value| {
        let mut request = json!({"agent_id": "cli", "name": "CLI", "capabilities": ["cli"], "metadata": {"cli": 1}});
        request["keep_profile"] = keep;
        request[by] = who.clone();
        request
    };
    for (by, who) in [
        ("username", json!("alice")),
        ("account_id", alice["account_id"].clone()),
    ] {
        let reply = net.ask("register", passing(json!(true), by, &who)).await;
        assert_eq!(
            (&reply["account_id"], &reply["username"]),
            (&alice["account_id"], &json!("alice")),
            "{reply}"
        );
        assert_ne!(reply["session_tag"], alice["session_tag"]);
        assert_eq!(profile("alice").await, own, "{by}");
    }
    // Who is new has no profile yet to keep.
    let passed = json!(["CLI", ["cli"], {"cli": 1}]);
    let reply = net
        .ask("register", passing(json!(true), "username", &json!("bob")))
        .await;
    assert_eq!(reply["username"], "bob", "{reply}");
    assert_eq!(profile("bob").await, passed);
    // Without the member the last registration counts.
    for keep in [json!(false), Value::Null] {
        let reply = net.ask("register", passing(keep, "username", &json!("alice"))).await;
        assert_eq!(reply["account_id"], alice["account_id"], "{reply}");
        assert_eq!(profile("alice").await, passed);
    }
}

#[rstest]
#[tokio::test]
async fn a_start_that_cannot_work_says_why(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let start = async |nats_url: String| {
        let config = RegistryConfig {
            nats_url,
            ..RegistryConfig::default()
        };
        Registry::start_with_store_url(config).await.unwrap_err()
    };
    let wrong_token = start(format!("nats://wrong@127.0.0.1:{}", net.nats.port())).await;
    assert!(matches!(wrong_token, StartError::Refused { .. }), "{wrong_token}");
    assert!(!wrong_token.to_string().contains("wrong@"), "{wrong_token}");
    let nobody = start("nats://token@127.0.0.1:1".to_owned()).await;
    assert!(matches!(nobody, StartError::Connect { .. }), "{nobody}");
    assert!(!nobody.to_string().contains("token@"), "{nobody}");
    assert!(matches!(start("http://x".to_owned()).await, StartError::Url(_)));
    let config = RegistryConfig {
        database_url: Some("mysql://x".into()),
        ..net.config()
    };
    assert!(matches!(
        Registry::start_with_store_url(config).await.unwrap_err(),
        StartError::Store(_)
    ));
}

#[rstest]
#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, false).await;
    let _registry = net.registry().await;
    let replies = futures::future::join_all((0..1000).map(|number| {
        let rpc = RPCS[1 + number % (RPCS.len() - 1)];
        let request = json!({"username": "x", "account_id": "y", "thread_id": "t", "agent_id": "z"});
        let net = &net;
        async move { net.ask(rpc, request).await }
    }))
    .await;
    assert!(replies.iter().all(Value::is_object));
}
