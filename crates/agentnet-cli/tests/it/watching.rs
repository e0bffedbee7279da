//! `agentnet watch`: names, filters, previews, receipts; a reader that does not read.

mod receipts;
mod slow;

use agentnet::{AgentNode, json};
use agentnet_testkit::RawClient;
use tokio::net::TcpListener;

use crate::harness::pty::Terminal;
use crate::harness::{Service, Up, agentnet, binary, echo, line};

async fn send(up: &Up, from: &str, to: &str, thread: &str, payload: &str) -> String {
    let words = [
        "send",
        "--as",
        from,
        "--to-username",
        to,
        "--thread-id",
        thread,
        "--json",
        payload,
    ];
    let sent = agentnet(&up.url, words).await.json();
    sent["message_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_what_is_wanted_is_shown_by_name() {
    let mut up = Up::start().await;
    let _parrot = echo(
        &up.url,
        "--username parrot --capability say --rate-limit 1000 --rate-burst 1000",
    )
    .await;
    let _other = echo(&up.url, "--username other").await;
    let mut watchers = Vec::new();
    // Each with the one message that it shows.
    for (filter, shown) in [
        ("--from @alice", "@alice → @parrot"),
        ("--from bob --to other", "@bob → @other"),
        ("--to @parrot --grep NEEDLE", "needle in a stack"),
        ("--thread t2", "thread=t2"),
        ("--kind request", "request  @bob → @parrot"),
    ] {
        let watcher = Service::line(&up.url, &format!("watch --max-messages 1 {filter}"));
        watcher.says("watching account.*.inbox").await;
        watchers.push((filter, shown, watcher));
    }
    send(&up, "bob", "other", "t1", r#"{"text":"hay"}"#).await;
    send(&up, "alice", "parrot", "t1", r#"{"text":"hay"}"#).await;
    send(&up, "bob", "parrot", "t1", r#"{"text":"a needle in a stack"}"#).await;
    send(&up, "bob", "parrot", "t2", r#"{"n":1}"#).await;
    agentnet(&up.url, ["request", "--as", "bob", "--to-username", "parrot", "1"])
        .await
        .ok();
    for (filter, shown, mut watcher) in watchers {
        let told = watcher.next_line().await;
        assert!(told.contains(shown), "{filter}: {told}");
        assert_eq!(watcher.ended().await.code(), Some(0), "{filter}");
    }

    let mut watcher = Service::line(&up.url, "watch --subject agent.capability.* --max-messages 1");
    watcher.says("watching").await;
    agentnet(&up.url, ["send", "--as", "bob", "--to-capability", "say", "1"])
        .await
        .ok();
    let told = watcher.next_line().await;
    assert!(told.contains("@bob → capability:say"), "{told}");
    up.stop().await;
}

/// Answers with a stream of three pieces, or with a failure.
async fn poet(url: &str) -> AgentNode {
    let agent = AgentNode::builder("poet")
        .username("poet")
        .capabilities(["verse"])
        .nats_url(url);
    let agent = agent.on_message(|message, context| async move {
        match message.text().as_deref() {
            Some("stream") => {
                let stream = context.reply_stream().await?;
                for piece in ["one", "two", "three"] {
                    stream.delta(piece).await?;
                }
                stream.end().await?;
            }
            _ => drop(context.reply(json!({ "text": "a verse" })).await?),
        }
        Ok(())
    });
    agent.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subjects_follow_what_is_wanted() {
    const REPLIES: &str = "watching account.*.inbox, agentnet.reply.>, _INBOX.>, ";
    let mut up = Up::start().await;
    let poet = poet(&up.url).await;
    let mut watchers = Vec::new();
    // Each with where it listens, how many lines it shows, the first of them and another.
    for (filter, listens, lines, first, other) in [
        (
            "--inbox",
            "watching account.*.inbox, Ctrl-C",
            2,
            "request  @ann → @poet",
            "request  @ann → @poet",
        ),
        ("--kind reply", REPLIES, 1, "reply    @poet → @ann", "a verse"),
        ("--kind error", REPLIES, 1, "error    ", "busy"),
        ("--kind stream", REPLIES, 5, "stream_start", "stream_end"),
        (
            "--kind direct",
            "watching account.*.inbox, agent.capability.*, Ctrl-C",
            1,
            "@ann → capability:verse",
            "for anybody",
        ),
        (
            "--to capability:verse",
            "watching agent.capability.verse, Ctrl-C",
            1,
            "@ann → capability:verse",
            "for anybody",
        ),
        (
            "",
            "watching account.*.inbox, agent.capability.*, agentnet.reply.>, _INBOX.>, Ctrl-C",
            10,
            "request  @ann → @poet",
            "for anybody",
        ),
    ] {
        let watcher = Service::line(&up.url, &format!("watch {filter} --max-messages {lines}"));
        watcher.says(listens).await;
        watchers.push((filter, lines, first, other, watcher));
    }
    // Replies of the registry to a plain inbox use the same subjects as replies of agents, and are not shown.
    let raw = RawClient::connect(&up.url).await.unwrap();
    raw.request("registry.list", "{}".into()).await.unwrap();
    let ann = AgentNode::builder("ann").username("ann").nats_url(&up.url);
    let ann = ann.start().await.unwrap();
    let stream = ann.request_stream("@poet", "stream").await.unwrap();
    assert_eq!(stream.text().await.unwrap(), "onetwothree");
    ann.request_username("poet", "verse").await.unwrap();
    let body = r#"{"message_id":"m1","from_agent":"old","to_agent":"a","kind":"error","payload":{"error":"busy"}}"#;
    raw.publish("_INBOX.plain.1", body.into()).await.unwrap();
    raw.flush().await.unwrap();
    ann.send_to_capability("verse", "for anybody").await.unwrap();
    for (filter, lines, first, other, mut watcher) in watchers {
        let mut shown = Vec::new();
        for _ in 0..lines {
            shown.push(watcher.next_line().await);
        }
        assert!(shown[0].contains(first), "{filter}: {shown:?}");
        // What comes at the same moment on several subjects has no order.
        assert!(shown.iter().any(|line| line.contains(other)), "{filter}: {shown:?}");
        assert_eq!(watcher.ended().await.code(), Some(0), "{filter}");
        let frames = shown.iter().filter(|line| line.contains("stream_delta")).count();
        assert_eq!(
            frames,
            if lines >= 5 { 3 } else { 0 },
            "{filter}: each frame once: {shown:?}"
        );
    }
    for node in [ann, poet] {
        node.close().await;
    }
    up.stop().await;
}

#[tokio::test]
async fn what_may_be_mistyped_is_told_and_watched_for() {
    let mut up = Up::start().await;
    let _parrot = echo(&up.url, "--username parrot --capability say").await;
    // A known account that is offline.
    let words = ["send", "--as", "somebody", "--to-username", "parrot", "1"];
    agentnet(&up.url, words).await.ok();
    let mut watchers = Vec::new();
    for (filter, told) in [
        (
            "--from @parott",
            "note: there is no agent @parott yet (did you mean @parrot?)",
        ),
        (
            "--to sombody",
            "note: there is no agent sombody yet (did you mean @somebody?)",
        ),
        ("--from @zzzzzz", "note: there is no agent @zzzzzz yet"),
        (
            "--to capability:Say",
            "note: no agent online has the capability Say (did you mean capability:say?)",
        ),
        (
            "--kind stram",
            "note: stram is not one of the usual kinds; did you mean stream?",
        ),
        (
            "--kind reply --subject account.*.inbox",
            "passes on account.*.inbox, but on agentnet.reply.> or _INBOX.>;",
        ),
        (
            "--to @parrot --subject agent.capability.*",
            "passes on agent.capability.*, but on",
        ),
    ] {
        let watcher = Service::line(&up.url, &format!("watch --max-messages 1 {filter}"));
        watcher.says(told).await;
        watchers.push((filter, watcher));
    }
    // Nothing is said of those who are there, by any of their names.
    let parrot = line(&up.url, "profile --username parrot --json").await.json();
    let account = parrot["profile"]["account_id"].as_str().unwrap();
    for known in ["@Parrot", "parrot", "somebody", "cli_echo", account] {
        let watcher = Service::line(&up.url, &format!("watch --from {known} --to @nobody"));
        watcher.says("note: there is no agent @nobody yet").await;
        let said = watcher.stderr();
        assert_eq!(said.matches("note:").count(), 1, "{known}: {said}");
    }
    let stranger = echo(&up.url, "--username zzzzzz").await;
    let words = ["request", "--as", "zzzzzz", "--to-username", "parrot", "1"];
    agentnet(&up.url, words).await.ok();
    let (_, watcher) = watchers
        .iter_mut()
        .find(|(filter, _)| *filter == "--from @zzzzzz")
        .unwrap();
    assert!(watcher.next_line().await.contains("@zzzzzz → @parrot"));
    drop(stranger);
    line(&up.url, "watch --to capability:a.b")
        .await
        .fails(2, &["nothing can be sent to a capability `a.b`"]);
    line(&up.url, "watch --all --subject x")
        .await
        .fails(2, &["--all", "--subject"]);
    up.stop().await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_visibly() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://token@{}", silent.local_addr().unwrap());
    for words in ["watch", "top"] {
        let mut command = binary();
        command.args(["--nats-url", &url, words]);
        let mut terminal = Terminal::spawn(command, 80, 24);
        terminal.shows("connecting to nats://***@127.0.0.1").await;
        assert_eq!(terminal.ended().await.code(), Some(1), "{}", terminal.text());
        terminal.hides("connecting to").await;
        terminal.shows("Cannot connect to NATS").await;
        terminal.restored().await;
    }
}
