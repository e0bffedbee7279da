//! `agentnet top` on a real terminal, of the smallest and of a large size: typed to, and read back.

use agentnet_testkit::{NatsServer, RawClient};
use rstest::rstest;
use rustix::process::Signal;

use crate::harness::process::send_signal;
use crate::harness::pty::Terminal;
use crate::harness::{Up, agentnet, echo, line, until};

const ESCAPE: &str = "\x1b";
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

fn top(url: &str, (columns, rows): (u16, u16)) -> Terminal {
    let mut command = crate::harness::binary();
    command.args(["--nats-url", url, "top"]).env_remove("NO_COLOR");
    Terminal::spawn(command, columns, rows)
}

async fn ask(url: &str, from: &str, to: &str, thread: &str, text: &str) {
    let payload = format!(r#"{{"text":"{text}"}}"#);
    let words = ["request", "--as", from, "--to-username", to, "--thread-id", thread];
    agentnet(url, words.into_iter().chain([payload.as_str()])).await.ok();
}

/// The words of the line that begins with this text.
fn words(terminal: &Terminal, part: &str) -> Vec<String> {
    let line = terminal.line_with(part).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Messages are shown as they come, and stay while the view is paused.
async fn see_messages(top: &mut Terminal, url: &str) {
    top.type_until("2", "No message passed yet").await;
    ask(url, "alice", "parrot", "trip", "good morning").await;
    top.shows("good morning").await;
    top.until("request and reply have their names and kinds", |top| {
        let text = top.text();
        let has = |parts: [&str; 4]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        has(["@alice", "@parrot", "request", "trip"]) && has(["@parrot", "@alice", "reply", "trip"])
    })
    .await;

    // A paused view does not change.
    top.type_until(" ", "paused").await;
    ask(url, "alice", "crow", "walk", "what do you see").await;
    top.type_until("3", "walk").await;
    top.type_until("2", "paused").await;
    assert!(!top.text().contains("what do you see"), "{}", top.text());
    top.type_until(" ", "what do you see").await;
    top.hides("paused").await;
}

/// Threads with their counters, and a thread and a message in full.
async fn see_threads(top: &mut Terminal) {
    top.type_until("3", "PARTICIPANTS").await;
    top.until("two messages each", |top| {
        ["trip", "walk"].iter().all(|thread| {
            let words = words(top, thread);
            words.get(1).is_some_and(|count| count == "2") && words.iter().any(|word| word.contains("@alice"))
        })
    })
    .await;
    top.type_until("/TRIP\r", "filter: TRIP").await;
    top.hides("walk").await;
    top.type_until("\r", "Thread trip").await;
    top.shows("limits 50000/60000 tokens").await;
    top.shows("good morning").await;
    top.type_until_gone(ESCAPE, "Thread trip").await;
    top.shows("filter: TRIP").await;
    top.type_until_gone(ESCAPE, "filter:").await;
    top.shows("walk").await;

    // A message in full, the oldest of its thread first, and from there the thread.
    top.type_until("2S", "by time ▲").await;
    top.type_until("/walk\r", "filter: walk").await;
    top.type_until("\r", "Followed by").await;
    for part in ["accepted by @crow", "what do you see", "reply from @crow  after "] {
        top.shows(part).await;
    }
    top.type_until("\r", "Thread walk").await;
    top.type_until_gone(ESCAPE, "Thread walk").await;
    top.type_until_gone(ESCAPE, "filter:").await;
}

/// Agents: filtered, one in full, in another order.
async fn see_agents(top: &mut Terminal) {
    top.type_until("1", "@parrot").await;
    top.type_until("/crow", "Enter keeps it").await;
    top.type_until("\r", "filter: crow").await;
    top.hides("@parrot").await;
    top.type_until("\r", "Capabilities").await;
    top.shows("in-flight 0  pending 0").await;
    top.shows("what do you see").await;
    top.type_until_gone(ESCAPE, "Capabilities").await;
    top.type_until_gone(ESCAPE, "filter: crow").await;
    top.shows("@parrot").await;
    top.type_until("s", "by name ▼").await;
    top.until("a to z", |top| {
        let text = top.text();
        let at = |name: &str| text.find(name);
        at("@crow") < at("@jay") && at("@jay") < at("@parrot")
    })
    .await;
    top.type_until("S", "by name ▲").await;
    // The selection is on the first line, which is the parrot now.
    top.type_until("\r", "Capabilities").await;
    top.shows("Polly").await;
    top.shows("say").await;
    top.type_until_gone(ESCAPE, "Capabilities").await;
}

#[rstest]
#[case::small(SMALL)]
#[case::large(LARGE)]
#[tokio::test]
async fn everything_is_shown_and_found(#[case] size: (u16, u16)) {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _parrot = echo(&url, "--username parrot --name Polly --capability say").await;
    let _crow = echo(&url, "--username crow").await;
    let mut top = top(&url, size);

    // Agents from before are listed, with the counters of their hellos.
    top.shows("2 online").await;
    top.shows("registry (").await;
    top.shows("@parrot").await;
    top.shows("@crow").await;
    top.shows("lag 0").await;
    let text = top.text();
    assert!(
        text.lines().all(|line| line.chars().count() <= usize::from(size.0)),
        "{text}"
    );
    assert_eq!(text.lines().count(), usize::from(size.1), "{text}");
    assert!(
        !text.contains("@127.0.0.1") || text.contains("***@127.0.0.1"),
        "the token is hidden: {text}"
    );

    // So are agents that join later.
    let _jay = echo(&url, "--username jay").await;
    top.shows("3 online").await;
    top.until("a hello brings counters", |top| {
        words(top, "@jay").get(3).is_some_and(|inflight| inflight == "0")
    })
    .await;

    see_messages(&mut top, &url).await;
    see_threads(&mut top).await;
    see_agents(&mut top).await;
    // The registry finds agents that are offline.
    top.type_until_gone("/alice\r", "@parrot").await;
    top.shows("○ @alice").await;
    top.type_until_gone(ESCAPE, "filter:").await;
    top.shows("@parrot").await;

    top.type_until("?", "circuit breaker open").await;
    top.shows("back, then clear a filter").await;
    top.type_until("x", "@parrot").await;
    top.type_text("q").await;
    assert_eq!(top.ended().await.code(), Some(0), "{}", top.text());
    top.restored().await;
    up.stop().await;
}

#[tokio::test]
async fn a_terminal_may_change_its_size() {
    let mut up = Up::start().await;
    let _agent = echo(&up.url, "--username parrot").await;
    let mut top = top(&up.url, SMALL);
    top.shows("@parrot").await;
    assert!(
        top.text().contains("SEEN") && !top.text().contains("ACCOUNT"),
        "{}",
        top.text()
    );
    top.resize(LARGE.0, LARGE.1);
    top.shows("ACCOUNT").await;
    top.shows("acct_").await;
    top.resize(20, 6);
    top.hides("ACCOUNT").await;
    top.shows("@parrot").await;
    top.resize(1, 1);
    top.resize(SMALL.0, SMALL.1);
    top.shows("SEEN").await;
    top.type_text("q").await;
    assert_eq!(top.ended().await.code(), Some(0));
    up.stop().await;
}

#[rstest]
#[case::by_a_key(None, 130)]
#[case::by_sigint(Some(Signal::INT), 130)]
#[case::by_sigterm(Some(Signal::TERM), 0)]
#[case::by_sighup(Some(Signal::HUP), 130)]
#[tokio::test]
async fn the_terminal_is_given_back_however_it_ends(#[case] signal: Option<Signal>, #[case] code: i32) {
    let nats = NatsServer::builder().start().await.unwrap();
    let mut top = top(&nats.url(), SMALL);
    top.shows("0 online").await;
    assert!(top.look(|screen| screen.alternate_screen() && screen.hide_cursor()));
    match signal {
        None => top.type_text("\x03").await,
        Some(signal) => send_signal(top.pid(), signal),
    }
    assert_eq!(top.ended().await.code(), Some(code), "{}", top.text());
    top.restored().await;
}

#[tokio::test]
async fn it_works_without_a_registry_and_through_a_reconnection() {
    let mut nats = NatsServer::builder().start().await.unwrap();
    let url = nats.url();
    let top = top(&url, SMALL);
    top.shows("no registry answers").await;
    let raw = RawClient::connect(&url).await.unwrap();
    let say = async |subject: &'static str, body: &str| {
        raw.publish(subject, body.to_owned().into()).await.unwrap();
        raw.flush().await.unwrap();
    };
    let hello = r#"{"agent_id":"w","session_tag":"s1","account_id":"acct_1","username":"bob",
        "counters":{"inflight":3,"pending":4,"errors":5,"circuit_open":true}}"#;
    say("registry.hello", hello).await;
    top.until("the hello is shown", |top| {
        words(top, "@bob").starts_with(&["!", "@bob", "w", "3", "4"].map(str::to_owned))
    })
    .await;
    say("registry.hello", "no hello").await;
    say("account.acct_1.inbox", "no message").await;
    say("registry.goodbye", r#"{"session_tag":"s1"}"#).await;
    top.shows("○ @bob").await;

    nats.stop().await;
    top.shows("connection lost").await;
    nats.restart().await.unwrap();
    top.hides("connection lost").await;
    let raw = RawClient::connect(&url).await.unwrap();
    raw.publish("registry.hello", hello.into()).await.unwrap();
    raw.flush().await.unwrap();
    top.shows("! @bob").await;
}

#[tokio::test]
async fn without_colors_there_are_none() {
    let nats = NatsServer::builder().start().await.unwrap();
    for (no_color, colored) in [("1", false), ("", true)] {
        let mut command = crate::harness::binary();
        let url = nats.url();
        command.args(["--nats-url", &url, "top"]).env("NO_COLOR", no_color);
        let top = Terminal::spawn(command, 80, 24);
        top.shows("no registry answers").await;
        let colors = top.look(|screen| {
            let cells = (0..24).flat_map(|row| (0..80).filter_map(move |column| screen.cell(row, column)));
            cells.filter(|cell| cell.fgcolor() != vt100::Color::Default).count()
        });
        assert_eq!(colors > 0, colored, "NO_COLOR={no_color}");
    }
}

#[tokio::test]
async fn one_picture_is_text() {
    let mut up = Up::start().await;
    let _agent = echo(&up.url, "--username parrot").await;
    ask(&up.url, "alice", "parrot", "trip", "hello").await;
    // The history takes messages in a moment after they passed.
    until(&up.url, "threads", |page| page["results"][0]["thread_id"] == "trip").await;
    let picture = line(&up.url, "top --once").await.ok();
    for part in ["1 online", "AGENTS", "● @parrot", "MESSAGES", "THREADS", "trip"] {
        assert!(picture.contains(part), "`{part}` is missing in {picture}");
    }
    assert!(!picture.contains('\x1b'), "{picture:?}");
    up.stop().await;
}

#[tokio::test]
async fn what_it_cannot_do_it_says() {
    let nats = NatsServer::builder().start().await.unwrap();
    let url = nats.url();
    line(&url, "top").await.fails(2, &["top needs a terminal", "--once"]);
    let told = line(&url, "top --json").await.fails_as_json(2);
    assert!(told["message"].as_str().unwrap().contains("no JSON"), "{told}");
    let told = line(&url, "top --once --json").await.fails_as_json(2);
    assert!(told["message"].as_str().unwrap().contains("no JSON"), "{told}");
    drop(nats);
    line(&url, "top --once").await.fails(1, &["Cannot connect to NATS"]);
}
