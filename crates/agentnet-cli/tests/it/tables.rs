//! Lists and waiting on a terminal, as a person sees them.

use agentnet::json;
use tokio::net::TcpListener;

use crate::harness::pty::Terminal;
use crate::harness::{Up, agentnet, binary, echo, line, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_sees_it() {
    // Accepts connections, and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://token@{}", silent.local_addr().unwrap());
    let commands = [
        ("chat --to-username a", "joining the network at nats://***@127.0.0.1"),
        ("send --to-username a 1", "joining the network at nats://***@127.0.0.1"),
        (
            "request --to-username a 1",
            "joining the network at nats://***@127.0.0.1",
        ),
        ("echo", "joining the network at nats://***@127.0.0.1"),
        ("export thread t1", "waiting for registry.thread_messages"),
    ];
    let see = commands.map(|(words, sign)| {
        let mut terminal = on_terminal(&url, words, 80);
        async move {
            terminal.shows(sign).await;
            assert_eq!(terminal.ended().await.code(), Some(1), "{words}");
            terminal.shows("error: Cannot connect to NATS").await;
            terminal.hides(sign).await;
        }
    });
    futures::future::join_all(see).await;
}

fn on_terminal(url: &str, words: &str, columns: u16) -> Terminal {
    let mut command = binary();
    command
        .args(["--nats-url", url])
        .args(words.split_whitespace())
        .env("PAGER", "cat");
    Terminal::spawn(command, columns, 40)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_fit_the_terminal() {
    let mut up = Up::start().await;
    let _parrot = echo(
        &up.url,
        "--username parrot --capability say --capability repeat --capability listen_to_everybody",
    )
    .await;
    for (words, whole) in [("list", false), ("list --wide", true)] {
        let mut terminal = on_terminal(&up.url, words, 80);
        assert_eq!(terminal.ended().await.code(), Some(0));
        terminal.shows("@parrot").await;
        let row = terminal.line_with("@parrot").unwrap();
        assert!(
            row.starts_with('●') && row.contains("ago") | row.contains("just now") | whole,
            "{row}"
        );
        assert_eq!(terminal.text().contains('…'), !whole, "{}", terminal.text());
    }
    for (words, part) in [
        ("search --query parrot", "online"),
        ("profile --username parrot", "listen_to_everybody"),
        ("metrics", "Capture"),
        ("doctor", "✓"),
        ("threads", "No matching threads found"),
        ("send --to-username parrot 1", "✓ Message sent to @parrot"),
        ("request --to-username parrot 1", "reply from @parrot"),
    ] {
        let mut terminal = on_terminal(&up.url, words, 120);
        assert_eq!(terminal.ended().await.code(), Some(0), "{words}: {}", terminal.text());
        terminal.shows(part).await;
    }
    // What takes longer than a second shows that it is at work.
    let silent = agentnet_testkit::RawClient::connect(&up.url).await.unwrap();
    let _heard = silent.subscribe("agent.capability.mute").await.unwrap();
    let announced = r#"{"agent_id":"mute","capabilities":["mute"]}"#;
    silent.request("registry.register", announced.into()).await.unwrap();
    let mut terminal = on_terminal(&up.url, "request --to-capability mute --timeout 3 1", 80);
    terminal.shows("waiting for capability:mute").await;
    assert_eq!(terminal.ended().await.code(), Some(1));
    terminal.hides("waiting for capability:mute").await;
    let mut terminal = on_terminal(&up.url, "profile --username parott", 80);
    assert_eq!(terminal.ended().await.code(), Some(2));
    terminal.shows("did you mean @parrot?").await;
    up.stop().await;
}

/// No line is wider than the terminal, which would wrap it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_tell_who_and_how_long_ago_within_the_terminal() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot --name 鸚鵡 --capability say").await;
    let long = "a text that is longer than there is room for ".repeat(3);
    let payload = json!({ "text": long }).to_string();
    for _ in 0..2 {
        let words = ["send", "--as", "ada", "--to-username", "parrot", "--thread-id", "t1"];
        agentnet(&up.url, words.into_iter().chain([&*payload])).await.ok();
    }
    until(&up.url, "thread-status --thread-id t1", |status| {
        status["message_count"] == 2
    })
    .await;
    for columns in [60, 80, 120] {
        for (words, parts) in [
            ("list", &["●", "@parrot", "ago", "\n1 agent"][..]),
            ("search", &["@ada", "@parrot", "\n2 agents"]),
            ("threads", &["t1", "ago", "\n1 thread"]),
            (
                "thread-messages --thread-id t1",
                &["direct", "ago", "a text that", "\n2 messages"],
            ),
            ("message-search --kind direct", &["direct", "ago", "\n2 messages"]),
        ] {
            let mut terminal = on_terminal(&up.url, words, columns);
            assert_eq!(terminal.ended().await.code(), Some(0), "{words}");
            terminal
                .until(words, |terminal| {
                    let text = terminal.text().replace("just now", "0s ago");
                    let rules = text.lines().filter(|line| line.contains('─')).count();
                    rules == 1 && parts.iter().all(|part| text.contains(part))
                })
                .await;
        }
    }
    for (words, parts) in [
        ("threads", ["@ada", "@parrot"]),
        ("thread-status --thread-id t1", ["@ada", "@parrot"]),
        ("thread-messages --thread-id t1", ["@ada  @parrot", " ago"]),
        (
            "message-search --from-ts 2026-01-01T00:00:00Z",
            ["@ada  @parrot", " ago"],
        ),
        (
            "thread-messages --thread-id t1 --wide",
            ["Z  direct  acct_", "2 messages"],
        ),
        ("profile --username ada", ["Created:", " ago"]),
    ] {
        let mut terminal = on_terminal(&up.url, words, 200);
        assert_eq!(terminal.ended().await.code(), Some(0), "{words}");
        terminal
            .until(words, |terminal| {
                let text = terminal.text().replace("just now", "0s ago");
                parts.iter().all(|part| text.contains(part))
            })
            .await;
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_go_through_a_pager() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot --rate-limit 1000 --rate-burst 1000").await;
    for number in 0..12 {
        line(&up.url, &format!("send --to-username parrot --thread-id t1 {number}"))
            .await
            .ok();
    }
    until(&up.url, "thread-status --thread-id t1", |status| {
        status["message_count"] == 12
    })
    .await;
    let words = ["thread-messages", "--thread-id", "t1"];
    let shown = |rows: u16, pager: &str| {
        let mut command = binary();
        command
            .args(["--nats-url", &up.url])
            .args(words)
            .env("AGENTNET_PAGER", pager);
        Terminal::spawn(command, 100, rows)
    };
    // A pager that tells that it was used.
    let mut terminal = shown(10, "wc -l");
    assert_eq!(terminal.ended().await.code(), Some(0));
    terminal.shows("15").await;
    let mut terminal = shown(40, "wc -l");
    assert_eq!(terminal.ended().await.code(), Some(0));
    terminal.shows("direct").await;
    let mut terminal = shown(10, "no-such-pager");
    assert_eq!(terminal.ended().await.code(), Some(0));
    terminal.shows("direct").await;
    up.stop().await;
}

/// The commands that lists, chat, top and doctor are not: what ends by itself ends, what goes on ends by Ctrl-C, and nothing
/// is drawn that a pipe would not get.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_commands_work_on_a_terminal() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot").await;
    line(&up.url, "send --as ada --to-username parrot --thread-id t1 1")
        .await
        .ok();
    until(&up.url, "thread-status --thread-id t1", |status| {
        status["message_count"] == 1
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let start = |words: &str| {
        let mut command = binary();
        command
            .args(["--nats-url", &up.url])
            .args(words.split_whitespace())
            .env("AGENTNET_DATA_DIR", folder.path())
            .env("PAGER", "cat");
        Terminal::spawn(command, 80, 24)
    };
    for (words, part) in [
        ("thread-status --thread-id t1", "Messages"),
        ("export thread t1", "# Thread t1"),
        ("export thread t1 --json", "\"thread_id\": \"t1\""),
        ("keys new --as bob", "✓ key made"),
        ("keys show --as bob", "Public key"),
        ("completions fish", "complete --keep-order"),
        ("man keys", "text: For people"),
        ("registry --health", "healthy: "),
        ("conformance registry", " 0 fail, 0 not run"),
    ] {
        let mut terminal = start(words);
        assert_eq!(terminal.ended().await.code(), Some(0), "{words}: {}", terminal.text());
        terminal.shows(part).await;
        terminal.restored().await;
    }
    for (words, ready, part, code) in [
        ("echo --username rook", "@rook is online as", "", 130),
        (
            "watch --inbox",
            "watching account.*.inbox, Ctrl-C stops",
            "@ada → @parrot",
            130,
        ),
        // A service that is stopped ends with success.
        ("up --port 0", "Ctrl-C stops everything", "", 0),
    ] {
        let mut terminal = start(words);
        terminal.shows(ready).await;
        if !part.is_empty() {
            line(&up.url, "send --as ada --to-username parrot --thread-id t1 2")
                .await
                .ok();
            terminal.shows(part).await;
        }
        terminal.type_text("\x03").await;
        assert_eq!(
            terminal.ended().await.code(),
            Some(code),
            "{words}: {}",
            terminal.text()
        );
        terminal.restored().await;
    }
    up.stop().await;
}
