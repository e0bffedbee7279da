//! Commands on a terminal: `chat` typed to and read back, and lists as a person sees them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::sync::Arc;

use agentnet::{AgentNode, json};
use harness::pty::Terminal;
use harness::{Up, agentnet, binary, echo, line, line_with_input, send_signal, until};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// Answers in capitals, streams, says nothing at all, or answers when it is told to.
async fn shouter(url: &str, told: Arc<Notify>) -> AgentNode {
    let agent = AgentNode::builder("shouter").username("shouter").nats_url(url);
    let agent = agent
        .limits(|limits| limits.rate_limit_burst = 1000)
        .on_message(move |message, context| {
            let told = told.clone();
            async move {
                match message.text().unwrap_or_default().as_str() {
                    "stream" => {
                        let stream = context.reply_stream().await?;
                        for piece in ["one, ", "two, ", "three"] {
                            stream.delta(piece).await?;
                        }
                        stream.end().await?;
                    }
                    "silence" => std::future::pending().await,
                    "wait" => {
                        told.notified().await;
                        context.reply("told").await?;
                    }
                    text => drop(context.reply(json!({ "text": text.to_uppercase() })).await?),
                }
                Ok(())
            }
        });
    agent.start().await.unwrap()
}

fn chat(url: &str, home: &TempDir, options: &str, columns: u16, rows: u16) -> Terminal {
    chat_of(url, home, "ada", "shouter", options, columns, rows)
}

fn chat_of(url: &str, home: &TempDir, who: &str, whom: &str, options: &str, columns: u16, rows: u16) -> Terminal {
    let mut command = binary();
    command.args(["--nats-url", url, "chat", "--as", who, "--to-username", whom]);
    command
        .args(options.split_whitespace())
        .env("AGENTNET_DATA_DIR", home.path());
    Terminal::spawn(command, columns, rows)
}

/// Waits until the screen ends like this.
async fn ends(terminal: &Terminal, text: &str) {
    let what = format!("ends with `{text}`");
    let right = |terminal: &Terminal| terminal.text().trim_end().ends_with(text);
    terminal.until(&what, right).await;
}

/// What @shouter has answered, line by line.
fn answers(terminal: &Terminal) -> Vec<String> {
    let text = terminal.text();
    let answers = text.lines().filter_map(|line| line.strip_prefix("@shouter: "));
    answers.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_typed_and_read() {
    for (columns, rows) in [(80, 24), (200, 50)] {
        let mut up = Up::start().await;
        let _agent = shouter(&up.url, Arc::default()).await;
        let home = TempDir::new().unwrap();
        let mut terminal = chat(&up.url, &home, "--thread-id ops_1", columns, rows);
        terminal.shows("you are @ada, in thread ops_1").await;
        terminal.type_until("hello\r", "@shouter: HELLO").await;
        terminal.type_until("stream\r", "@shouter: one, two, three").await;
        // Ctrl-C gives up the question that waits, not the conversation.
        terminal.type_until("silence\r", "waiting for @shouter").await;
        terminal.type_until(CTRL_C, "\n(cancelled)").await;
        terminal.type_until("still here\r", "@shouter: STILL HERE").await;
        terminal.type_until("/showthread\r", "\nops_1").await;
        terminal.type_until("/agents\r", "Capabilities").await;
        terminal.type_until("/help\r", "Ctrl-D does too").await;
        terminal.type_until("/fly\r", "error: there is no command /fly").await;
        // The last line again, and commands and names completed.
        ends(&terminal, "\n@shouter ›").await;
        terminal.type_text(UP).await;
        ends(&terminal, "\n@shouter › /fly").await;
        terminal.type_text(CTRL_C).await;
        terminal.shows("(Ctrl-D or /quit leaves)").await;
        terminal.type_until("/showth\t\r", "\nops_1").await;
        until(&up.url, "thread-messages --thread-id ops_1", |page| {
            let page = page.to_string();
            page.contains("\"still here\"") && page.contains("\"STILL HERE\"")
        })
        .await;
        terminal.type_until("/history 2\r", "@ada: still here").await;
        terminal.type_text("/to @shou\t\r").await;
        ends(&terminal, "/to @shouter\n@shouter ›").await;
        terminal.type_until("/raw\r", "answers are shown as JSON").await;
        terminal.type_until("hi\r", "\"text\": \"HI\"").await;
        ends(&terminal, "}\n@shouter ›").await;
        terminal.type_text(CTRL_D).await;
        assert_eq!(terminal.ended().await.code(), Some(0), "{}", terminal.text());
        terminal.restored().await;
        assert!(!line(&up.url, "list").await.ok().contains("@ada"), "it said goodbye");

        // What was typed is there the next time.
        let mut terminal = chat(&up.url, &home, "", columns, rows);
        terminal.shows("@shouter ›").await;
        terminal.type_until(UP, "hi").await;
        send_signal(terminal.pid(), Signal::TERM);
        assert_eq!(terminal.ended().await.code(), Some(143));
        terminal.restored().await;
        up.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_typed_ahead_is_lost() {
    let mut up = Up::start().await;
    let told = Arc::new(Notify::new());
    let _agent = shouter(&up.url, told.clone()).await;
    let home = TempDir::new().unwrap();
    let mut terminal = chat(&up.url, &home, "", 80, 200);
    ends(&terminal, "\n@shouter ›").await;
    // All at once, and more than an editor reads at once.
    let lines: Vec<String> = (0..40)
        .map(|number| format!("{number} {}", "abc ".repeat(9).trim_end()))
        .collect();
    let mut expected: Vec<String> = lines.iter().map(|line| line.to_uppercase()).collect();
    terminal.type_text(&(lines.join("\r") + "\r")).await;
    ends(&terminal, &format!("@shouter: {}\n@shouter ›", expected[39])).await;
    assert_eq!(answers(&terminal), expected);

    // While an answer is waited for: corrected, and with a last line that is not ended.
    terminal.type_until("wait\r", "waiting for @shouter").await;
    terminal.type_text("onX\x7fe\rtwo\rthr").await;
    told.notify_one();
    ends(&terminal, "@shouter: TWO\n@shouter › thr").await;
    terminal.type_text("ee\r").await;
    ends(&terminal, "@shouter: THREE\n@shouter ›").await;
    expected.extend(["told", "ONE", "TWO", "THREE"].map(str::to_owned));
    assert_eq!(answers(&terminal), expected);

    // Ctrl-C gives up what is waited for, not what was typed behind it; at the prompt, the line before it.
    terminal.type_until("silence\r", "waiting for @shouter").await;
    terminal.type_text("four\r").await;
    terminal.type_until(CTRL_C, "\n(cancelled)").await;
    ends(&terminal, "@shouter: FOUR\n@shouter ›").await;
    terminal.type_text("no\x03five\r").await;
    ends(&terminal, "@shouter: FIVE\n@shouter ›").await;
    expected.extend(["FOUR", "FIVE"].map(str::to_owned));
    assert_eq!(answers(&terminal), expected);
    // A Ctrl-C that comes as the answer does is a signal at the prompt.
    assert_eq!(terminal.text().matches("(Ctrl-D or /quit leaves)").count(), 1);
    send_signal(terminal.pid(), Signal::INT);
    terminal
        .until("the signal is answered", |terminal| {
            terminal.text().matches("(Ctrl-D or /quit leaves)").count() == 2
        })
        .await;
    ends(&terminal, "\n@shouter ›").await;
    terminal.type_text("six\r\x04").await;
    assert_eq!(terminal.ended().await.code(), Some(0), "{}", terminal.text());
    terminal.shows("@shouter: SIX").await;
    terminal.restored().await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_say_stands_above_the_line() {
    let mut up = Up::start().await;
    let _agent = shouter(&up.url, Arc::default()).await;
    let home = TempDir::new().unwrap();
    let mut ada = chat(&up.url, &home, "", 80, 50);
    ends(&ada, "\n@shouter ›").await;
    ada.type_text("half").await;
    ends(&ada, "\n@shouter › half").await;
    agentnet(
        &up.url,
        [
            "send",
            "--processed",
            "--as",
            "bob",
            "--to-username",
            "ada",
            r#"{"text":"psst\nada"}"#,
        ],
    )
    .await
    .ok();
    ends(&ada, "\n@bob says: psst\nada\n@shouter › half").await;
    ada.type_until("\r", "@shouter: HALF").await;
    // Nobody answers for a program, and a script is told so; a person sees the answer come as a message.
    let asked = line(&up.url, "request --as bob --to-username ada 1").await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert!(
        asked
            .stderr
            .contains("error: not_answered: the message is shown in a chat"),
        "{asked:?}"
    );
    line_with_input(&up.url, "chat --as bob --to-username ada", "hi\nnever\n")
        .await
        .fails(2, &["not_answered: the message is shown in a chat"]);
    ends(&ada, "\n@bob says: 1\n@bob says: hi\n@shouter ›").await;
    let mut bob = chat_of(&up.url, &home, "bob", "ada", "", 80, 50);
    ends(&bob, "\n@ada ›").await;
    bob.type_until("hello\r", "\n(the message is shown in a chat").await;
    ends(&ada, "\n@bob says: hello\n@shouter ›").await;
    ada.type_text("/to @bob\rgood day\r").await;
    ends(&ada, "an answer comes as a message of its own)\n@bob ›").await;
    ends(&bob, "\n@ada says: good day\n@ada ›").await;
    // What comes while an answer is waited for is shown meanwhile.
    ada.type_until("/to @shouter\rsilence\r", "waiting for @shouter").await;
    bob.type_text("still there?\r").await;
    ada.shows("\n@bob says: still there?").await;
    ada.type_until(CTRL_C, "\n(cancelled)").await;
    ada.type_text("/to @shoutr\r").await;
    ends(
        &ada,
        "did you mean @shouter? `agentnet search` shows everybody\n@shouter ›",
    )
    .await;
    for terminal in [&mut ada, &mut bob] {
        terminal.type_text(CTRL_D).await;
        assert_eq!(terminal.ended().await.code(), Some(0), "{}", terminal.text());
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_connection_sees_it() {
    // Takes connections, and says nothing.
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
    silent.flush().await.unwrap();
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
        harness::agentnet(&up.url, words.into_iter().chain([&*payload]))
            .await
            .ok();
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
            let mut terminal = agentnet(&up.url, words, columns);
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
        let mut terminal = agentnet(&up.url, words, 200);
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
