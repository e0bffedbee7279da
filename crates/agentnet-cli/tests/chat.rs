//! `agentnet chat`, piped: one line in, one reply out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use agentnet::{AgentNode, json};
use harness::{Up, line_with_input};

/// Answers in capitals; streams, refuses, or gives JSON when told to.
async fn shouter(url: &str) -> AgentNode {
    let agent = AgentNode::builder("shouter")
        .username("shouter")
        .capabilities(["shout"])
        .nats_url(url);
    let agent = agent
        .limits(|limits| limits.rate_limit_burst = 1000)
        .on_message(|message, context| async move {
            match message.text().unwrap_or_default().as_str() {
                "stream" => {
                    let stream = context.reply_stream().await?;
                    for piece in ["one ", "two\n", "three"] {
                        stream.delta(piece).await?;
                    }
                    stream.end().await?;
                }
                "refuse" => return Err("told to".into()),
                "json" => drop(context.reply(json!({ "n": [1, 2] })).await?),
                text => drop(context.reply(json!({ "text": text.to_uppercase() })).await?),
            }
            Ok(())
        });
    agent.start().await.unwrap()
}

#[tokio::test]
async fn a_script_asks_line_by_line() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = shouter(&url).await;
    let chat = "chat --to-username shouter --thread-id t1";
    let ran = line_with_input(&url, chat, "hello\n\nstream\njson\n//slash\n").await;
    assert_eq!(ran.stderr, "");
    assert_eq!(
        ran.ok(),
        "HELLO\none two\nthree\n{\n  \"n\": [\n    1,\n    2\n  ]\n}\n/SLASH\n"
    );
    // The thread goes on, each line after the answer before.
    agentnet_testkit::eventually(harness::PATIENCE, async || {
        let found = harness::line(&url, "thread-messages --thread-id t1 --json")
            .await
            .json();
        let messages = found["messages"].as_array().unwrap();
        let questions: Vec<_> = messages.iter().filter(|message| message["kind"] == "request").collect();
        match questions.len() {
            4 if questions[..3]
                .iter()
                .all(|question| question["parent_message_id"].is_string()) =>
            {
                Ok(())
            }
            _ => Err(found.to_string()),
        }
    })
    .await
    .unwrap();

    let told = line_with_input(
        &url,
        "chat --to-capability shout",
        "/showthread\n/to @shouter\n/help\nhi\n/quit\nno\n",
    )
    .await
    .ok();
    assert!(told.starts_with("thread_cli_") && told.ends_with("\nHI\n"), "{told}");
    assert!(told.contains("/history [N]"), "{told}");
    let history = line_with_input(&url, "chat --to-username shouter", "/thread t1\n/history 2\n/agents\n")
        .await
        .ok();
    assert!(
        history.contains("@shouter: /SLASH\n") && history.contains("\n@shouter "),
        "{history}"
    );

    let raw = line_with_input(&url, "chat --raw --to-username shouter", "hi\n")
        .await
        .ok();
    let message: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(
        (&message["kind"], &message["payload"]["text"]),
        (&json!("reply"), &json!("HI"))
    );
    let lines = line_with_input(&url, "chat --json --to-username shouter", "a\nb\n")
        .await
        .ok();
    assert_eq!(lines.lines().count(), 2);
    up.stop().await;
}

#[tokio::test]
async fn a_script_stops_at_the_first_failure() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let agent = shouter(&url).await;
    let ran = line_with_input(&url, "chat --to-username shouter", "hi\nrefuse\nnever\n").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), "HI\n"), "{ran:?}");
    assert!(
        ran.stderr.contains("error: handler_error: handler raised an exception"),
        "{ran:?}"
    );
    let ran = line_with_input(&url, "chat --to-username shoutr", "hi\n").await;
    ran.fails(2, &["No account found for username 'shoutr'", "did you mean @shouter?"]);
    let ran = line_with_input(&url, "chat --to-username shouter", "/fly\n").await;
    ran.fails(2, &["there is no command /fly", "/help lists"]);
    agent.close().await;
    let ran = line_with_input(&url, "chat --to-username shouter", "hi\n").await;
    ran.fails(2, &["recipient_offline: @shouter is offline since"]);
    up.stop().await;
}
