//! Dead messages: shown with their reason, told by `doctor`, queued again, dropped; and who may do that.

use std::path::Path;

use agentnet_testkit::eventually;
use tempfile::TempDir;

use super::{end, ids, leave};
use crate::harness::{Ran, Service, Up, WAIT_TIMEOUT, binary, line, run, until};

/// An agent that accepts only signed messages.
async fn strict_echo(url: &str, keys: &Path) -> Service {
    let service = Service::line(
        url,
        &format!("echo --username bob --dev-auth --key-dir {}", keys.display()),
    );
    service.says("is online as").await;
    service
}

/// Leaves messages for an agent that will refuse them, and waits until they are dead. Returns their ids.
async fn dead_messages(url: &str, keys: &Path, count: usize) -> Vec<String> {
    end(strict_echo(url, keys).await).await;
    until(url, "profile --username bob", |reply| {
        reply["profile"]["online"] == false
    })
    .await;
    for number in 0..count {
        leave(url, "ada", "bob", &format!("number {number}"), "--mailbox")
            .await
            .ok();
    }
    let bob = strict_echo(url, keys).await;
    let page = until(url, "mailbox list --username bob --state dead", |page| {
        page["messages"]
            .as_array()
            .is_some_and(|messages| messages.len() == count)
    })
    .await;
    end(bob).await;
    assert_eq!(page["messages"][0]["last_code"], "auth_missing", "{page}");
    ids(&page)
}

/// What is offered for the last word of a line, as fish asks.
async fn offered(url: &str, words: &str) -> Vec<String> {
    let mut command = binary();
    command.env("AGENTNET_COMPLETE", "fish").env("AGENTNET_NATS_URL", url);
    command.args(["--", "agentnet"]).args(words.split(' '));
    let ran = run(command).await.ok();
    ran.lines()
        .filter_map(|line| line.split('\t').next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn dead_messages_are_told_queued_again_and_dropped() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let keys = TempDir::new().unwrap();
    let dead = dead_messages(&url, keys.path(), 3).await;
    let [first, second, _] = dead.as_slice() else {
        panic!("{dead:?}");
    };
    let text = line(&url, "mailbox list --username bob --state dead").await.ok();
    assert!(text.contains("auth_missing"), "{text}");
    let report = line(&url, "doctor --json").await.json();
    let checks = report["checks"].as_array().unwrap();
    let mailbox = checks.iter().find(|check| check["check"] == "mailbox").unwrap();
    assert_eq!(mailbox["verdict"], "warn");
    assert!(mailbox["seen"].as_str().unwrap().contains("3 are dead"), "{mailbox}");
    assert!(
        mailbox["advice"].as_str().unwrap().contains("mailbox requeue"),
        "{mailbox}"
    );

    // A shell completes their ids.
    let mut sorted = dead.clone();
    sorted.sort_unstable();
    let mut found = offered(&url, "mailbox requeue --username bob 0").await;
    found.sort_unstable();
    assert_eq!(found, sorted);
    assert_eq!(
        offered(&url, &format!("mailbox drop --username bob {first}")).await,
        [first.as_str()]
    );
    assert!(
        offered(&url, "mailbox list --state d")
            .await
            .iter()
            .any(|state| state == "dead")
    );

    let text = line(&url, &format!("mailbox requeue --username bob {first}"))
        .await
        .ok();
    assert_eq!(text, "✓ 1 message is queued again\n");
    // Once queued, it is dead no more; the other of the two ids is.
    let both = line(&url, &format!("mailbox requeue --username bob {first} {second} --json")).await;
    let told = both.stderr.clone();
    assert_eq!(both.json()["changed"], 1);
    assert!(told.contains("1 of 2 messages stay as they are"), "{told}");
    line(&url, &format!("mailbox requeue --username bob {first} --timeout 5"))
        .await
        .fails(
            2,
            &["mailbox_nothing_changed", "only dead messages", "agentnet mailbox list"],
        );
    let rest = line(&url, "mailbox requeue --username bob --all --json").await.json();
    assert_eq!(rest["changed"], 1);
    let none = line(&url, "mailbox requeue --username bob --all").await.ok();
    assert_eq!(none, "✓ 0 messages are queued again\n");

    let text = line(&url, &format!("mailbox drop --username bob {first}")).await.ok();
    assert_eq!(text, "✓ 1 message was dropped; its sender is notified\n");
    let told = line(&url, &format!("mailbox drop --username bob {first} --json"))
        .await
        .fails_as_json(2);
    assert_eq!(told["code"], "mailbox_nothing_changed");
    let text = line(&url, "mailbox drop --username bob --state queued --timeout 5")
        .await
        .ok();
    assert_eq!(text, "✓ 2 messages were dropped; their senders are notified\n");
    line(&url, "mailbox drop --username bob --state done")
        .await
        .fails(2, &["delivered are not dropped"]);
    let status = line(&url, "mailbox status --username bob --json").await.json();
    assert_eq!(
        (&status["queued"], &status["dead"], &status["bytes"]),
        (&0.into(), &0.into(), &0.into())
    );
    up.stop().await;
}

#[tokio::test]
async fn on_a_signed_network_only_the_owner_changes_a_mailbox() {
    let mut up = Up::start_with("--dev-auth").await;
    let url = up.url.clone();
    let home = TempDir::new().unwrap();
    let (keys, elsewhere) = (home.path().join("keys"), home.path().join("elsewhere"));
    let signed = async |words: &str, keys: &Path| -> Ran {
        line(&url, &format!("{words} --dev-auth --key-dir {}", keys.display())).await
    };
    end(strict_echo(&url, &keys).await).await;
    until(&url, "profile --username bob", |reply| {
        reply["profile"]["online"] == false
    })
    .await;
    for text in ["1", "2"] {
        let words = format!("send {text} --as ada --to-username bob --mailbox");
        signed(&words, &keys).await.ok();
    }
    let page = line(&url, "mailbox list --username bob --json").await.json();
    let waiting = ids(&page);
    assert_eq!(waiting.len(), 2, "{page}");

    let drop_first = format!("mailbox drop --username bob {}", waiting[0]);
    line(&url, &drop_first)
        .await
        .fails(2, &["auth_required", "set DEV_AUTH=true, or give --dev-auth"]);
    signed(&drop_first, &elsewhere)
        .await
        .fails(2, &["@bob has no key here", "--key-dir"]);
    line(&url, &format!("keys new --as bob --key-dir {}", elsewhere.display()))
        .await
        .ok();
    signed(&drop_first, &elsewhere)
        .await
        .fails(2, &["auth_public_key_mismatch", "the account belongs to another key"]);
    signed("mailbox requeue --username bob --all", &elsewhere)
        .await
        .fails(2, &["auth_public_key_mismatch"]);
    signed(&drop_first, &keys).await.ok();
    signed("mailbox requeue --username bob --all", &keys).await.ok();

    // What is left is delivered, with its sender's signature.
    let mut bob = strict_echo(&url, &keys).await;
    let told = bob.next_line().await;
    assert!(told.contains("from @ada") && told.ends_with('2'), "{told}");
    eventually(WAIT_TIMEOUT, async || {
        let status = line(&url, "mailbox status --username bob --json").await.json();
        match status["queued"] == 0 && status["leased"] == 0 {
            true => Ok(()),
            false => Err(status),
        }
    })
    .await
    .unwrap();
    end(bob).await;
    up.stop().await;
}
