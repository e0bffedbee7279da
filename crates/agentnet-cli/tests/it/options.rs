//! Options of messages and searches that no other test needs.

use crate::harness::{FreePort, Up, agentnet, echo, line, line_with_input, until};

#[tokio::test]
async fn messages_carry_what_they_are_told_and_are_found_by_it() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _parrot = echo(&url, "--username parrot").await;
    let told = "--as alice --to-username parrot --thread-id t1 --parent-message-id m0 --idempotency-key";
    line(&url, &format!("send {told} order_1 1")).await.ok();
    line(&url, &format!("request {told} order_2 2")).await.ok();
    let again = line(&url, &format!("request {told} order_2 2")).await;
    assert!(again.code == Some(2) && again.stderr.contains("duplicate"), "{again:?}");
    line_with_input(
        &url,
        "chat --as alice --to-username parrot --thread-id t1 --parent-message-id m0",
        "hi\n",
    )
    .await
    .ok();
    let found = until(&url, "thread-messages --thread-id t1", |page| {
        let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .filter(|message| message["parent_message_id"] == "m0")
            .count()
            == 4
    })
    .await;
    let messages = found["messages"].as_array().unwrap();
    assert!(
        messages.iter().any(|message| message["idempotency_key"] == "order_1"),
        "{found}"
    );

    let account = |name: &str| {
        let words = format!("profile --username {name} --json");
        let url = url.clone();
        async move {
            line(&url, &words).await.json()["profile"]["account_id"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    let (alice, parrot) = (account("alice").await, account("parrot").await);
    let count = |found: &serde_json::Value, list: &str| found[list].as_array().unwrap().len();
    let from = agentnet(
        &url,
        [
            "message-search",
            "--json",
            "--from-account-id",
            &alice,
            "--to-account-id",
            &parrot,
        ],
    )
    .await
    .json();
    assert_eq!(count(&from, "messages"), 4, "{from}");
    // Answers come to the history after their questions.
    let words = format!("message-search --from-account-id {parrot} --kind reply");
    until(&url, &words, |back| {
        back["messages"].as_array().is_some_and(|it| it.len() == 2)
    })
    .await;
    let threads = agentnet(&url, ["threads", "--json", "--participant-account", &alice])
        .await
        .json();
    assert_eq!(count(&threads, "results"), 1, "{threads}");
    up.stop().await;
}

#[tokio::test]
async fn the_servers_own_pages_can_be_had() {
    let port = FreePort::take().await;
    let mut up = Up::start_with(&format!("--monitor-port {}", port.number())).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port.number()))
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let question = b"GET /varz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut writing, question)
        .await
        .unwrap();
    let mut page = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut reading, &mut page)
        .await
        .unwrap();
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("\"server_name\""),
        "{page}"
    );
    up.stop().await;
}
