//! Bounds of what a client can send and store.

use agentnet_protocol::rpc::{ThreadMessagesRequest, decode_reply};

use super::*;

#[tokio::test]
async fn what_is_above_a_bound_is_refused_with_its_size() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let long = "x".repeat(900_000);
    let with = |member: &str, value: Value| {
        let mut request = json!({"agent_id": "a", "username": "a"});
        request[member] = value;
        request
    };
    for (request, error) in [
        (
            with("agent_id", json!(long)),
            "agent_id has 900000 bytes; at most 256 are allowed",
        ),
        (
            with("name", json!(long)),
            "name has 900000 bytes; at most 256 are allowed",
        ),
        (
            with("username", json!(long)),
            "username has 900000 bytes; at most 256 are allowed",
        ),
        (
            with("account_id", json!(long)),
            "account_id has 900000 bytes; at most 256 are allowed",
        ),
        (
            with("session_tag", json!(long)),
            "session_tag has 900000 bytes; at most 256 are allowed",
        ),
        (
            with("capabilities", json!(vec!["c"; 65])),
            "capabilities has 65 entries; at most 64 are allowed",
        ),
        (
            with("capabilities", json!(["c".repeat(129)])),
            "capability has 129 bytes; at most 128 are allowed",
        ),
        (
            with("metadata", json!({"blob": long})),
            "metadata has 900011 bytes; at most 65536 are allowed",
        ),
    ] {
        assert_eq!(net.ask("register", request).await, json!({"error": error}));
    }
    let reply = net.ask("resolve_account", json!({"username": "a"})).await;
    assert_eq!(reply, json!({"error": "not_found"}), "nothing was created");

    let hellos = [
        json!({"agent_id": "a", "session_tag": "s1", "account_id": "acct.*.>", "username": "u"}),
        json!({"agent_id": "a", "session_tag": "s2", "account_id": "acct_a", "username": "u".repeat(257)}),
        json!({"agent_id": "a", "session_tag": "s".repeat(257), "account_id": "acct_a", "username": "u"}),
        json!({"agent_id": "a", "session_tag": "s4", "account_id": "acct_a", "username": "u", "capabilities": vec!["c"; 65]}),
        json!({"agent_id": "a", "session_tag": "s6", "account_id": "acct_a", "username": "u", "padding": long}),
    ];
    for hello in hellos {
        net.publish("registry.hello", hello).await;
    }
    let good = json!({"agent_id": "good", "session_tag": "s5", "account_id": "acct_a", "username": "u"});
    net.publish("registry.hello", good).await;
    net.until_online(&["good"]).await;
    registry.shutdown().await;
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(0), |value, _| json!([value]))
}

/// One agent or message must not make the lists of all others unreadable.
#[rstest]
#[tokio::test]
async fn lists_stay_readable_whatever_is_nested_in_them(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let register = |levels| json!({"agent_id": "deep", "username": "deep", "metadata": {"a": nested(levels)}});
    let error = "metadata has 101 levels of nesting; at most 100 are allowed";
    assert_eq!(net.ask("register", register(100)).await, json!({"error": error}));
    let account = net.ask("register", register(99)).await["account_id"].clone();
    let listed = net.ask("list", json!({})).await["agents"].clone();
    assert_eq!(listed[0]["metadata"], json!({"a": nested(99)}));

    let subject = format!("account.{}.inbox", account.as_str().unwrap());
    for levels in [986, 987, 988] {
        let message = json!({
            "message_id": levels.to_string(), "from_agent": "a", "to_agent": account, "thread_id": "deep",
            "payload": [nested(levels - 1)],
        });
        net.publish(&subject, message).await;
    }
    let request = json!({"thread_id": "deep"}).to_string();
    let mut shown = Vec::new();
    eventually_true(DEADLINE, "three messages are listed", async || {
        let reply = net.ask_raw("thread_messages", request.clone()).await;
        let reply = decode_reply::<ThreadMessagesRequest>(reply.as_bytes()).expect("a page that can be read");
        shown = reply.messages;
        shown.len() == 3
    })
    .await
    .unwrap();
    shown.sort_by(|a, b| a.message_id.cmp(&b.message_id));
    let levels: Vec<usize> = shown.iter().map(|message| message.payload.levels()).collect();
    assert_eq!(levels, [986, 987, 0], "a payload that does not fit is left out");
    assert!(shown[2].metadata.get().contains("payload_omitted"));
    registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn requests_of_every_kind_have_bounds(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let long = "x".repeat(900_000);
    for rpc in &RPCS[8..] {
        for body in [json!({"padding": long}).to_string(), format!("[{long}"), long.clone()] {
            let error = format!("the request has {} bytes; at most 65536 are allowed", body.len());
            let reply: Value = serde_json::from_str(&net.ask_raw(rpc, body).await).unwrap();
            assert_eq!(reply, json!({"error": error}), "{rpc}");
        }
    }
    let needed = json!({"account_id": "a", "username": "u", "thread_id": "t", "new_public_key": "k"});
    for (rpc, members) in [
        ("list", &["cursor"][..]),
        ("resolve_account", &["username"]),
        ("resolve_key", &["account_id"]),
        ("rotate_key", &["account_id", "new_public_key", "proof"]),
        ("search", &["query", "capability", "cursor"]),
        ("profile", &["account_id", "username"]),
        ("thread_status", &["thread_id"]),
        (
            "thread_list",
            &["query", "participant_account_id", "participant_username", "cursor"],
        ),
        ("thread_messages", &["thread_id", "cursor"]),
        (
            "message_search",
            &[
                "message_id",
                "thread_id",
                "from_account_id",
                "to_account_id",
                "kind",
                "from_ts",
                "to_ts",
                "cursor",
            ],
        ),
        ("mailbox_lease", &["account_id"]),
        ("mailbox_ack", &["account_id"]),
        ("mailbox_extend", &["account_id"]),
        ("mailbox_status", &["account_id", "username"]),
        ("mailbox_list", &["account_id", "username", "cursor"]),
        ("mailbox_action", &["account_id"]),
    ] {
        for member in members {
            let (_, most) = REQUEST_TEXTS.into_iter().find(|(name, _)| name == member).unwrap();
            let ask = async |bytes: usize| {
                let mut request = needed.clone();
                request[member] = json!("x".repeat(bytes));
                net.ask(rpc, request).await
            };
            let error = format!("{member} has {} bytes; at most {most} are allowed", most + 1);
            assert_eq!(ask(most + 1).await, json!({"error": error}), "{rpc}");
            let reply = ask(most).await;
            assert_ne!(reply["error"], json!(error), "{rpc}");
            assert!(reply.to_string().len() < most + 1000, "{rpc} {member}: {reply}");
        }
    }
    registry.shutdown().await;
}

/// The longest id that a message may have leads to a thread that can be asked for, and to cursors that are taken.
#[tokio::test]
async fn the_longest_ids_are_found_and_paged_through() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    for end in ["a", "b"] {
        // Each of these takes six bytes in a cursor's JSON text.
        let id = format!("{}{end}", "\u{1}".repeat(1023));
        let mut message = message(&id, "");
        message["trace_id"] = json!("É".repeat(512));
        net.publish("account.acct_b.inbox", message).await;
    }
    let thread_id = format!("thread_{}", "é".repeat(512));
    let ids = net.history(&thread_id, 2).await;
    let first = net
        .ask("thread_messages", json!({"thread_id": thread_id, "limit": 1}))
        .await;
    let second = json!({"thread_id": thread_id, "limit": 1, "cursor": first["next_cursor"]});
    let second = net.ask("thread_messages", second).await;
    assert_eq!(second["messages"][0]["message_id"], json!(ids[1]), "{second}");
    registry.shutdown().await;
}

#[tokio::test]
async fn a_long_nonce_is_refused_and_not_kept() {
    let net = Network::new(true).await;
    let config = RegistryConfig {
        dev_auth: true,
        ..net.config()
    };
    let registry = net.registry_with(config).await;
    let signed = |seed: u8, nonce: &str| {
        let key = SigningKey::from_seed(&[seed; 32]);
        let now = std::time::SystemTime::now().into();
        let claims = agentnet_protocol::register_auth::claims("a", "N", Some("alice"), None, now, nonce);
        let auth: Value = serde_json::from_str(key.auth(&claims).get()).unwrap();
        json!({"agent_id": "a", "name": "N", "username": "alice", "auth": auth})
    };
    let error = "nonce has 900000 bytes; at most 256 are allowed";
    let reply = net.ask("register", signed(1, &"n".repeat(900_000))).await;
    assert_eq!(reply, json!({"error": error}));
    let alice = net.ask("register", signed(1, "n1")).await;
    assert_eq!(alice["username"], "alice", "{alice}");
    let other = signed(2, "n2");
    for error in ["auth_public_key_mismatch", "auth_nonce_replayed"] {
        let reply = net.ask("register", other.clone()).await;
        assert_eq!(reply, json!({"error": error}));
    }
    registry.shutdown().await;
}

async fn limited(net: &Network, per_second: u32) -> RegistryHandle {
    let config = RegistryConfig {
        max_new_accounts_per_second: per_second,
        ..net.config()
    };
    net.registry_with(config).await
}

#[tokio::test]
async fn new_accounts_are_bounded_and_known_ones_are_not() {
    let net = Network::new(true).await;
    let registry = limited(&net, 1).await;
    let ask = async |number: usize| {
        let request = json!({"agent_id": format!("agent{number}")});
        net.ask("register", request).await
    };
    let mut made = 0;
    let refused = loop {
        let reply = ask(made).await;
        if reply.get("error").is_some() {
            break reply;
        }
        made += 1;
        assert!(made < 10_000, "nothing is refused");
    };
    assert!(made >= 20, "{made}");
    assert_eq!(refused["error"], "too many new accounts: at most 1 a second; try again");
    for round in 0..3 * made {
        let reply = ask(round % made).await;
        assert_eq!(reply["error"], Value::Null, "{round}");
    }
    // Room comes again.
    eventually(DEADLINE, async || {
        let reply = ask(made).await;
        if reply.get("error").is_none() {
            Ok(())
        } else {
            Err(reply.to_string())
        }
    })
    .await
    .unwrap();
    registry.shutdown().await;
}

#[tokio::test]
async fn ten_thousand_agents_start_at_once() {
    let net = Network::new(true).await;
    let registry = limited(&net, 500).await;
    use futures::{StreamExt as _, stream};
    let refused: usize = stream::iter(0..10_000)
        .map(|number| {
            let net = &net;
            async move { net.ask("register", json!({"agent_id": format!("agent{number}")})).await }
        })
        .buffer_unordered(200)
        .filter(|reply| std::future::ready(reply.get("error").is_some()))
        .count()
        .await;
    assert_eq!(refused, 0);
    tokio::time::timeout(Duration::from_secs(60), registry.shutdown())
        .await
        .unwrap();
}

#[rstest]
#[tokio::test]
async fn a_thread_that_too_many_join_says_so(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let join = async |from: &str, id: String| {
        let mut message = message(&id, "t");
        message["from_account_id"] = json!(from);
        net.publish("account.acct_b.inbox", message).await;
    };
    join("acct_a", "first".to_owned()).await;
    net.history("t", 1).await;
    let status = net.ask("thread_status", json!({"thread_id": "t"})).await;
    assert_eq!(status.get("participants_full"), None, "{status}");
    for number in 0..400 {
        join(&format!("acct_{number}"), format!("m{number}")).await;
    }
    let status = eventually(DEADLINE, async || {
        let status = net.ask("thread_status", json!({"thread_id": "t"})).await;
        if status["message_count"] == 401 {
            Ok(status)
        } else {
            Err(status["message_count"].to_string())
        }
    })
    .await
    .unwrap();
    assert_eq!(status["participants_full"], true);
    let participants = status["participants"].as_array().unwrap();
    assert_eq!(participants.len(), 256);
    assert!(["acct_a", "acct_b"].iter().all(|id| participants.contains(&json!(id))));
    registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn an_account_above_a_bound_is_named_until_its_agent_says_less(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let register = async |bytes: usize| {
        let metadata = json!({"blob": "x".repeat(bytes)});
        net.ask(
            "register",
            json!({"agent_id": "a", "username": "alice", "metadata": metadata}),
        )
        .await
    };
    let registry = net.registry().await;
    assert_eq!(register(1000).await["username"], "alice");
    registry.shutdown().await;

    let config = RegistryConfig {
        max_metadata_bytes: 100,
        ..net.config()
    };
    let registry = net.registry_with(config).await;
    let problem = "metadata has 1011 bytes; at most 100 are allowed";
    let named = async || -> Vec<(String, String)> {
        let oversized = health_of(&net, "registry").await.oversized.into_iter();
        oversized.map(|account| (account.username, account.problem)).collect()
    };
    eventually_true(DEADLINE, "it is named", async || {
        named().await == [("alice".to_owned(), problem.to_owned())]
    })
    .await
    .unwrap();
    let profile = net.ask("profile", json!({"username": "alice"})).await;
    assert_eq!(profile.get("error"), None, "{profile}");
    assert_eq!(register(1000).await, json!({"error": problem}));
    assert_eq!(named().await.len(), 1);
    assert_eq!(register(10).await["username"], "alice");
    assert_eq!(named().await, []);
    registry.shutdown().await;
}
