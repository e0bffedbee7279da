//! `chat` on a terminal: typed to and read back.

use std::sync::Arc;
use std::time::Duration;

use agentnet::{AgentNode, json};
use agentnet_testkit::eventually_true;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::harness::process::send_signal;
use crate::harness::pty::Terminal;
use crate::harness::{Service, Up, agentnet, binary, line, line_with_input, until};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// Answers in capitals, streams, stays silent, or answers on demand.
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

fn chat_of(url: &str, home: &TempDir, who: &str, to: &str, options: &str, columns: u16, rows: u16) -> Terminal {
    let mut command = binary();
    command.args(["--nats-url", url, "chat", "--as", who, "--to-username", to]);
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
        assert_eq!(terminal.ended().await.code(), Some(0));
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
    // A second line is indented: it may be made to look like another's word.
    ends(&ada, "\n@bob says: psst\n  ada\n@shouter › half").await;
    ada.type_until("\r", "@shouter: HALF").await;
    // In a script there is no answer, and this is reported; in a terminal the answer comes as a message.
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
        "did you mean @shouter? `agentnet search` shows all accounts\n@shouter ›",
    )
    .await;
    for terminal in [&mut ada, &mut bob] {
        terminal.type_text(CTRL_D).await;
        assert_eq!(terminal.ended().await.code(), Some(0), "{}", terminal.text());
    }
    up.stop().await;
}

/// The loss and return of the connection are shown above the edited line, which does not change; echo and watch show them too.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_connection_is_said_and_no_log_lands_in_the_prompt() {
    let mut up = Up::start().await;
    let agent = shouter(&up.url, Arc::default()).await;
    let echo = crate::harness::echo(&up.url, "").await;
    let mut watch = Service::line(&up.url, "watch");
    watch.says("watching").await;
    let home = TempDir::new().unwrap();
    let mut ada = chat(&up.url, &home, "", 100, 50);
    ends(&ada, "\n@shouter ›").await;
    ada.type_text("half").await;
    ends(&ada, "\n@shouter › half").await;
    send_signal(up.nats_pid(), Signal::KILL);
    for service in [&echo, &watch] {
        service.says("connection to NATS restored").await;
    }
    ada.shows("connection to NATS lost, reconnecting\n").await;
    ada.shows("connection to NATS restored\n").await;
    ends(&ada, "\n@shouter › half").await;
    let screen = ada.text();
    for line in screen.lines().filter(|line| line.contains("NATS")) {
        assert!(!line.contains("half") && !line.contains('›'), "{screen}");
    }
    // It is listed before its own connection is back.
    eventually_true(Duration::from_secs(60), "the agent is reached again", async || {
        agent.request("@shouter", json!({ "text": "back?" })).await.is_ok()
    })
    .await
    .unwrap();
    ada.type_until("\r", "@shouter: HALF").await;
    // Watch continues.
    while !watch.next_line().await.contains("half") {}
    up.stop().await;
}
