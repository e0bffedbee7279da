//! Messages of clients that are neither registries nor honest agents: bounds, forged announcements, reply subjects.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use agentnet_protocol::limits::REQUEST_TEXTS;
use agentnet_protocol::signature::SigningKey;
use agentnet_registry::health::{self, Health};
use agentnet_registry::{Failed, Registry, RegistryConfig, RegistryHandle};
use agentnet_store::model::MessageQuery;
use agentnet_testkit::{Capture, UNREADABLE_HEADER_BLOCKS, eventually, eventually_true};
use rstest::rstest;
use serde_json::{Value, json};
use support::{Backend, DEADLINE, Network, RPCS, message};

async fn health_of(net: &Network, server_id: &str) -> Health {
    health::ask(&net.nats.url(), server_id, DEADLINE).await.unwrap()
}

fn named(net: &Network, server_id: &str) -> RegistryConfig {
    RegistryConfig {
        server_id: server_id.to_owned(),
        ..net.config()
    }
}

/// Says hello until the store has the name of this session's agent.
async fn renamed_in_store(net: &Network, session: &Value, name: &str) {
    let tag = session["session_tag"].as_str().unwrap();
    let store = net.store().await;
    eventually(DEADLINE, async || {
        let hello = json!({"agent_id": "alice_agent", "name": name, "session_tag": tag,
                           "account_id": session["account_id"], "username": "alice"});
        net.publish("registry.hello", hello).await;
        match store.session(tag).await.unwrap() {
            Some(stored) if stored.name == name => Ok(()),
            stored => Err(format!("{stored:?}")),
        }
    })
    .await
    .unwrap();
    store.close().await;
}

#[tokio::test]
async fn invented_registries_keep_nothing_from_the_store() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let session = net.register("alice").await;
    let forge = async || {
        for number in 1..=300_u64 {
            let beat = json!({"registry": "evil", "number": format!("{:016x}", number << 40), "beat": 1,
                              "mac": "0".repeat(32)});
            net.publish("agentnet.registry.announce", beat).await;
        }
    };
    forge().await;
    eventually_true(DEADLINE, "they are seen", async || {
        forge().await;
        !health_of(&net, "registry").await.registries.is_empty()
    })
    .await
    .unwrap();
    let seen = health_of(&net, "registry").await.registries;
    assert!(seen.len() <= 16 && seen.iter().all(|peer| !peer.verified), "{seen:?}");
    for round in 0..5 {
        forge().await;
        renamed_in_store(&net, &session, &format!("Alice {round}")).await;
    }
    registry.shutdown().await;
}

/// What this counter of the registry's metrics page says.
async fn counted(registry: &RegistryHandle, name: &str) -> u64 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut page = tokio::net::TcpStream::connect(registry.metrics_addr().unwrap())
        .await
        .unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    page.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_announcements_keeps_no_request_waiting(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const DROPPED: &str = "agentnet_registry_announcements_dropped_total";
    let net = Network::on(backend, true).await;
    let config = RegistryConfig {
        metrics_addr: Some("127.0.0.1:0".parse().unwrap()),
        ..named(&net, "one")
    };
    let one = net.registry_with(config).await;
    assert_eq!(counted(&one, DROPPED).await, 0);
    let mac = "0".repeat(32);
    let forge = async |round: u64| {
        for number in 0..1000 {
            let number = format!("{:016x}", (round << 32) + number);
            let forged = match round % 3 {
                0 => json!({"registry": "evil", "number": number, "beat": 1, "mac": mac}),
                1 => json!({"session_tag": number, "number": number, "mac": mac}),
                _ => json!({"nonce": number, "number": number, "mac": mac}),
            };
            net.client
                .publish("agentnet.registry.announce", forged.to_string().into())
                .await
                .unwrap();
        }
    };
    for round in 0..20 {
        forge(round).await;
        let reply = net.ask("list", json!({})).await;
        assert_eq!(reply["agents"], json!([]), "{reply}");
        let reply = net.ask("resolve_account", json!({"username": "nobody"})).await;
        assert_eq!(reply, json!({"error": "not_found"}));
    }
    let dropped = counted(&one, DROPPED).await;
    assert!(dropped > 0, "{dropped}");
    let too_long = json!({"session_tag": "s", "padding": "x".repeat(5000)});
    net.publish("agentnet.registry.announce", too_long).await;
    eventually_true(DEADLINE, "it is not read", async || {
        counted(&one, DROPPED).await > dropped
    })
    .await
    .unwrap();

    // While it goes on, one that shares the database is heard, and so is what it tells.
    let two = net.registry_with(named(&net, "two")).await;
    eventually(DEADLINE, async || {
        forge(0).await;
        let registries = health_of(&net, "one").await.registries;
        match registries.iter().any(|peer| peer.server_id == "two" && peer.verified) {
            true => Ok(()),
            false => Err(format!("{registries:?}")),
        }
    })
    .await
    .unwrap();
    two.shutdown().await;
    one.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn the_room_on_the_disk_is_told_where_the_database_is_a_file(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let space = health_of(&net, "registry").await.disk_space;
    match backend {
        Backend::Sqlite => assert!(
            space.is_some_and(|space| 0 < space.free && space.free <= space.total),
            "{space:?}"
        ),
        Backend::Postgres => assert_eq!(space, None),
    }
    registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn registries_on_one_database_know_each_other(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let one = net.registry_with(named(&net, "one")).await;
    let two = net.registry_with(named(&net, "two")).await;
    let twin = net.registry_with(named(&net, "two")).await;
    let health = eventually(DEADLINE, async || {
        let health = health_of(&net, "one").await;
        let known = health.registries.iter().filter(|peer| peer.verified).count();
        if known == 2 {
            Ok(health)
        } else {
            Err(format!("{health:?}"))
        }
    })
    .await
    .unwrap();
    assert!(health.registries.iter().all(|peer| peer.server_id == "two"));
    assert_eq!(health.same_server_id().count() + health.other_databases().count(), 0);
    assert_eq!(health.database.as_deref().map(str::len), Some(32));
    eventually_true(DEADLINE, "a name that two have is told", async || {
        let health = health_of(&net, "two").await;
        health.same_server_id().count() == 1 && health.same_server_id().all(|peer| peer.verified)
    })
    .await
    .unwrap();
    // Who stops is gone, from the database too.
    twin.shutdown().await;
    two.shutdown().await;
    eventually_true(DEADLINE, "the first is alone", async || {
        health_of(&net, "one").await.registries.is_empty()
    })
    .await
    .unwrap();
    let store = net.store().await;
    let rows = store
        .registries(agentnet_protocol::Timestamp::from_micros(0))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    store.close().await;
    one.shutdown().await;
}

#[tokio::test]
async fn another_database_on_the_same_network_is_told() {
    let net = Network::new(true).await;
    let one = net.registry_with(named(&net, "one")).await;
    let two = agentnet_registry::Registry::start_with_store_url(named(&net, "two"))
        .await
        .unwrap();
    for (own, other) in [("one", "two"), ("two", "one")] {
        eventually(DEADLINE, async || {
            let health = health_of(&net, own).await;
            let others: Vec<_> = health.other_databases().map(|peer| peer.server_id.clone()).collect();
            if others == [other] {
                Ok(())
            } else {
                Err(format!("{health:?}"))
            }
        })
        .await
        .unwrap();
    }
    two.shutdown().await;
    one.shutdown().await;
}

#[tokio::test]
async fn no_answer_goes_where_agents_and_registries_take_messages() {
    let net = Network::new(true).await;
    let registry = net.registry().await;
    let all = Capture::subscribe(&net.client, ">").await.unwrap();
    for subject in [
        "$JS.API.STREAM.INFO.AGENTNET_HISTORY",
        "account.acct_x.inbox",
        "account.acct_x.receipts",
        "agent.capability.x",
        "registry.hello",
        "agentnet.registry.announce.x",
    ] {
        for asked in ["registry.list", "registry.metrics", "agentnet.registry.health.registry"] {
            net.client
                .publish_with_reply(asked, subject, "{}".into())
                .await
                .unwrap();
        }
    }
    // Answers come in the order of the questions here: those before this one have been dealt with.
    for asked in ["registry.list", "agentnet.registry.health.registry"] {
        net.client
            .publish_with_reply(asked, "my.own.inbox", "{}".into())
            .await
            .unwrap();
    }
    all.wait_until(
        |seen| seen.iter().filter(|one| one.subject == "my.own.inbox").count() == 2,
        DEADLINE,
    )
    .await
    .unwrap();
    let answers = all.messages().into_iter().filter(|seen| {
        let body: Value = serde_json::from_slice(&seen.payload).unwrap_or_default();
        body.get("generated_at").is_some() || body.get("healthy").is_some()
    });
    let subjects: Vec<_> = answers.map(|answer| answer.subject.to_string()).collect();
    assert_eq!(subjects, ["my.own.inbox", "my.own.inbox"]);
    registry.shutdown().await;
}

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
    assert_eq!(net.online().await, ["good"]);
    registry.shutdown().await;
}

#[rstest]
#[tokio::test]
async fn requests_of_every_kind_have_bounds(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let net = Network::on(backend, true).await;
    let registry = net.registry().await;
    let long = "x".repeat(900_000);
    for rpc in &RPCS[1..] {
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

/// Neither a header block that ends the client's connection, nor one that ends the client, nor a status keep a message, or
/// what comes behind it, out of the history.
#[tokio::test]
async fn no_header_block_stops_the_history() {
    // The registry does not answer for this subject: only the stream delivers it.
    const SUBJECT: &str = "agentnet.reply.nobody";
    // The stream redelivers an unacknowledged message after ten seconds.
    const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
    let net = Network::new(true).await;
    let mut registry = net.registry().await;
    let blocks = UNREADABLE_HEADER_BLOCKS
        .into_iter()
        .chain([&b"NATS/1.0 409 Consumer Deleted\r\n\r\n"[..]]);
    let mut expected = Vec::new();
    for (number, block) in blocks.enumerate() {
        for (id, block) in [
            (format!("bad{number}"), block),
            (format!("good{number}"), b"NATS/1.0\r\n\r\n"),
        ] {
            let body = message(&id, "t_blocks").to_string();
            let published = net.nats.publish_with_header_block(SUBJECT, "", block, body.as_bytes());
            published.await.unwrap();
            expected.push(id);
        }
    }
    expected.sort();
    let store = net.store().await;
    let stored = eventually(WAIT_TIMEOUT, async || {
        let query = MessageQuery {
            thread_id: Some("t_blocks".to_owned()),
            limit: 100,
            ..MessageQuery::default()
        };
        let page = store.messages(&query).await.map_err(|error| error.to_string())?;
        let mut ids: Vec<String> = page.items.into_iter().map(|stored| stored.message_id).collect();
        ids.sort();
        if ids == expected {
            Ok(())
        } else {
            Err(format!("{ids:?}"))
        }
    });
    let mut stored = std::pin::pin!(stored);
    loop {
        tokio::select! {
            outcome = &mut stored => break outcome.unwrap(),
            failed = registry.failed() => {
                assert_eq!(failed, Failed::Connection);
                registry.shutdown().await;
                // The same message may end the client of one that is still starting.
                registry = loop {
                    if let Ok(registry) = Registry::start(net.config(), net.store().await).await {
                        break registry;
                    }
                };
            }
        }
    }
    store.close().await;
    eventually_true(DEADLINE, "the stream is empty", async || {
        let jetstream = async_nats::jetstream::new(net.client.clone());
        let stream = jetstream.get_stream("AGENTNET_HISTORY").await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages == 0)
    })
    .await
    .unwrap();
    registry.shutdown().await;
}
