//! Messages for agents that are offline: left with `send --mailbox`, looked at and managed with `mailbox`, watched, delivered.

mod dead;
mod mistakes;
mod watched;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Ran, Service, Up, agentnet, echo, line, until};

/// Leaves a text for a username, with more options.
async fn leave(url: &str, from: &str, to: &str, text: &str, options: &str) -> Ran {
    let payload = format!(r#"{{"text":"{text}"}}"#);
    let words = format!("send --as {from} --to-username {to} {options}");
    agentnet(url, words.split_whitespace().chain([payload.as_str()])).await
}

/// Ends a service with SIGTERM.
async fn end(mut service: Service) {
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0), "{}", service.stderr());
}

/// Gives a username an account that is offline. Returns its id.
async fn offline(url: &str, username: &str) -> String {
    end(echo(url, &format!("--username {username}")).await).await;
    let words = format!("profile --username {username}");
    let profile = until(url, &words, |reply| reply["profile"]["online"] == false).await;
    profile["profile"]["account_id"].as_str().unwrap().to_owned()
}

/// The ids of the messages of a page.
fn ids(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    let ids = messages
        .iter()
        .map(|message| message["message_id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn messages_wait_for_an_agent_that_is_offline() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    offline(&url, "bob").await;

    let first = leave(&url, "ada", "bob", "one", "--mailbox --json").await.json();
    assert_eq!(
        (&first["delivery"], &first["acknowledged"], &first["to"]),
        (&"queued".into(), &false.into(), &"@bob".into())
    );
    let detail = first["detail"].as_str().unwrap();
    assert!(!detail.is_empty(), "{first}");
    let second = leave(&url, "ada", "bob", "two", "--mailbox=12h").await.ok();
    let mut lines = second.lines();
    assert!(
        lines.next().unwrap().starts_with("✓ Message left for @bob  msg_id="),
        "{second}"
    );
    assert!(lines.next().unwrap().starts_with("  "), "{second}");

    let page = line(&url, "mailbox list --username @bob --json").await.json();
    let [one, two] = page["messages"].as_array().unwrap().as_slice() else {
        panic!("{page}");
    };
    assert_eq!(one["message_id"], first["message_id"]);
    assert_eq!((&one["state"], &two["state"]), (&"queued".into(), &"queued".into()));
    assert!(
        one["preview"].as_str().unwrap().contains("one") && two["preview"].as_str().unwrap().contains("two"),
        "{page}"
    );
    let status = line(&url, "mailbox status --username bob --json").await.json();
    assert_eq!((&status["queued"], &status["dead"]), (&2.into(), &0.into()));
    // The short form shows the network.
    let all = line(&url, "mailbox --json").await.json();
    assert_eq!((&all["queued"], &all["account_id"]), (&2.into(), &Value::Null), "{all}");

    let mut bob = echo(&url, "--username bob").await;
    // They are taken in their order, and handled at the same time.
    let mut told = [bob.next_line().await, bob.next_line().await];
    told.sort_unstable_by_key(|line| line.ends_with("two"));
    for (line, text) in told.iter().zip(["one", "two"]) {
        assert!(line.contains("from @ada") && line.ends_with(text), "{told:?}");
    }
    until(&url, "mailbox status --username bob", |status| {
        status["queued"] == 0 && status["leased"] == 0
    })
    .await;
    let done = line(&url, "mailbox list --username bob --state done --json")
        .await
        .json();
    assert_eq!(ids(&done).len(), 2, "{done}");

    // Now that it is online, messages are delivered at once.
    let third = leave(&url, "ada", "bob", "three", "--mailbox --processed --json")
        .await
        .json();
    assert_eq!(
        (&third["delivery"], &third["acknowledged"], &third["detail"]),
        (&"delivered".into(), &true.into(), &Value::Null)
    );
    let text = leave(&url, "ada", "bob", "four", "--mailbox").await.ok();
    assert!(text.starts_with("✓ Message sent to @bob  msg_id="), "{text}");
    end(bob).await;
    up.stop().await;
}

#[tokio::test]
async fn a_mailbox_is_listed_page_by_page_and_in_every_format() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let account = offline(&url, "bob").await;
    for text in ["one", "two", "three"] {
        leave(&url, "ada", "bob", text, "--mailbox").await.ok();
    }
    let words = |options: &str| format!("mailbox list --account-id {account} {options}");
    let first = line(&url, &words("--limit 2 --json")).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = line(&url, &words(&format!("--cursor {cursor} --timeout 5 --json")))
        .await
        .json();
    assert_eq!((ids(&first).len(), ids(&rest).len()), (2, 1));
    assert_eq!(rest["next_cursor"], Value::Null);

    let all = line(&url, &words("--limit 1 --all")).await.ok();
    let lines: Vec<&str> = all.lines().collect();
    let header: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        header,
        [
            "Queued", "State", "From", "Message", "ID", "Attempts", "Expires", "Reason", "Message"
        ]
    );
    let listed: Vec<String> = ids(&first).into_iter().chain(ids(&rest)).collect();
    assert_eq!(lines.len(), 4, "{all}");
    for (line, id) in lines[1..].iter().zip(&listed) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[1..4], ["queued", "@ada", id.as_str()], "{all}");
    }
    let wide = line(&url, &words("--wide")).await.ok();
    assert!(wide.contains("acct_") && !wide.contains("@ada"), "{wide}");
    let two = line(&url, &words("--limit 2")).await;
    assert!(two.stderr.contains("there is more; --all shows the rest"), "{two:?}");
    let csv = line(&url, &words("--output csv")).await.ok();
    assert!(
        csv.starts_with("Queued,State,From,Message ID,Attempts,Expires,Reason,Message\n")
            && csv.lines().count() == 4
            && csv.lines().skip(1).all(|row| row.contains(",acct_")),
        "{csv}"
    );
    let none = line(&url, &words("--state dead")).await.ok();
    assert_eq!(none, "No messages in this mailbox\n");
    // The short form of `list`.
    let short = line(&url, "mailbox --username bob --json").await.json();
    assert_eq!(ids(&short), listed);

    let status = line(&url, "mailbox status --username @bob --timeout 5").await.ok();
    let rows: Vec<Vec<&str>> = status.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["Mailbox", "@bob"]);
    assert_eq!(rows[1], ["Queued", "3", "of", "1000"], "{status}");
    let status = line(&url, &format!("mailbox status --account-id {account} --json"))
        .await
        .json();
    assert_eq!(
        (&status["queued"], &status["account_id"]),
        (&3.into(), &account.as_str().into())
    );
    let text = line(&url, "mailbox status").await.ok();
    assert!(text.starts_with("Mailbox  all accounts\nQueued   3\n"), "{text}");
    // Only lists have rows.
    line(&url, "mailbox status --output csv")
        .await
        .fails(2, &["lists no rows", "mailbox list"]);
    up.stop().await;
}

#[tokio::test]
async fn what_was_kept_survives_a_restart_of_the_network() {
    let mut up = Up::start().await;
    offline(&up.url, "bob").await;
    leave(&up.url, "ada", "bob", "still here", "--mailbox").await.ok();
    up.stop().await;
    let mut up = up.again().await;
    let mut bob = echo(&up.url, "--username bob").await;
    let told = bob.next_line().await;
    assert!(told.ends_with("still here"), "{told}");
    end(bob).await;
    up.stop().await;
}
