//! What `watch` and `top` show of mailboxes.

use rustix::process::Signal;

use super::{end, leave, offline};
use crate::harness::pty::Terminal;
use crate::harness::{Service, Up, binary, echo, line};

#[tokio::test]
async fn what_happens_to_a_message_is_watched() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let account = offline(&url, "bob").await;
    offline(&url, "carol").await;
    let mut people = Service::line(&url, "watch --mailbox");
    let mut program = Service::line(&url, "watch --mailbox --json --to @bob --from @ada --max-messages 2");
    let mut subject = Service::line(
        &url,
        "watch --json --max-messages 1 --subject agentnet.events.*.mailbox",
    );
    let mut both = Service::line(&url, "watch --inbox --mailbox --receipts");
    for watcher in [&people, &program, &subject, &both] {
        watcher.says("watching").await;
    }
    // Of another receiver: the filter leaves it out.
    leave(&url, "ada", "carol", "for carol", "--mailbox").await.ok();
    let told = leave(&url, "ada", "bob", "for bob", "--mailbox --json").await.json();
    let id = told["message_id"].as_str().unwrap();

    let carols = people.next_line().await;
    assert!(carols.contains("mailbox  queued  @ada → @carol"), "{carols}");
    // Each event is shown once, although it is published for the receiver and for the sender.
    let bobs = people.next_line().await;
    assert!(
        bobs.contains("mailbox  queued  @ada → @bob") && bobs.ends_with(&format!("msg_id={id}")),
        "{bobs}"
    );
    let bob = echo(&url, "--username bob").await;
    let delivered = people.next_line().await;
    assert!(
        delivered.contains("mailbox  delivered  @ada → @bob") && delivered.ends_with(&format!("msg_id={id}")),
        "{delivered}"
    );
    for event in ["queued", "delivered"] {
        let document = program.next_json().await;
        assert_eq!(document["subject"], format!("agentnet.events.{account}.mailbox"));
        assert_eq!(
            (&document["message"]["event"], &document["message"]["message_id"]),
            (&event.into(), &id.into())
        );
    }
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.stderr());
    assert_eq!(subject.next_json().await["message"]["event"], "queued");

    // With --inbox the messages in inboxes pass too.
    leave(&url, "ada", "bob", "directly", "").await.ok();
    loop {
        let shown = both.next_line().await;
        if shown.contains("@ada → @bob") && shown.ends_with("directly") {
            break;
        }
        let kinds = ["mailbox  ", "direct   ", "receipt  "];
        assert!(kinds.iter().any(|kind| shown.contains(kind)), "{shown}");
    }
    people.signal(Signal::INT);
    assert_eq!(people.ended().await.code(), Some(130));
    end(both).await;
    end(bob).await;
    up.stop().await;
}

#[tokio::test]
async fn dropped_messages_are_watched_too() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    offline(&url, "bob").await;
    leave(&url, "ada", "bob", "never mind", "--mailbox").await.ok();
    let mut watcher = Service::line(&url, "watch --mailbox");
    watcher.says("watching").await;
    line(&url, "mailbox drop --username bob --state queued").await.ok();
    let told = watcher.next_line().await;
    assert!(
        told.contains("mailbox  dropped") && told.contains("@ada → @bob"),
        "{told}"
    );
    end(watcher).await;
    up.stop().await;
}

/// The cell MBOX of an agent in 80 columns: five cells follow it, and none of these is empty.
fn in_mailbox(top: &Terminal, agent: &str) -> String {
    let row = top.line_with(agent).unwrap_or_default();
    row.split_whitespace().rev().nth(5).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn top_counts_the_messages_that_wait() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _parrot = echo(&url, "--username parrot").await;
    offline(&url, "bob").await;
    let mut command = binary();
    command.args(["--nats-url", &url, "top"]).env_remove("NO_COLOR");
    let mut top = Terminal::spawn(command, 80, 24);
    top.shows("MBOX").await;
    top.until("the mailbox of an agent online is empty", |top| {
        in_mailbox(top, "● @parrot") == "0"
    })
    .await;
    for text in ["one", "two"] {
        leave(&url, "ada", "bob", text, "--mailbox").await.ok();
    }
    top.until("an agent offline is shown with its messages", |top| {
        in_mailbox(top, "○ @bob") == "2"
    })
    .await;
    top.shows("2 in mail").await;
    top.type_until("/bob\r", "filter: bob").await;
    top.type_until("\r", "2 waiting  0 dead").await;
    let bob = echo(&url, "--username bob").await;
    top.shows("0 waiting  0 dead").await;
    top.type_text("q").await;
    assert_eq!(top.ended().await.code(), Some(0), "{}", top.text());

    let picture = line(&url, "top --once").await.ok();
    assert!(picture.contains("MBOX") && picture.contains("@bob"), "{picture}");
    end(bob).await;
    up.stop().await;
}
