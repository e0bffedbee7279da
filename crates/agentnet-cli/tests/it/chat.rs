//! `agentnet chat`, piped: one line in, one reply out.

use agentnet::{AgentNode, json};
use tempfile::TempDir;

use crate::harness::{Up, line, line_with_input};

/// Answers in capitals; streams, refuses, replies with JSON or stays silent on request.
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
                "silence" => std::future::pending().await,
                "withdraw" => {
                    for frame in [
                        json!({ "type": "stream_start", "stream_id": "s", "seq": 0 }),
                        json!({ "type": "stream_delta", "stream_id": "s", "seq": 1, "delta": "draft" }),
                        json!({ "type": "stream_end", "stream_id": "s", "seq": 2, "text": "" }),
                    ] {
                        context.reply(frame).kind("stream").await?;
                    }
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
    // The text of a stream's end counts, though it is empty: the last line is the whole text.
    let ran = line_with_input(&url, "chat --to-username shouter", "withdraw\nhello\n").await;
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        (
            "draft\n\nHELLO\n",
            "note: the whole text of the answer is empty, whatever its pieces said\n"
        )
    );
    // The thread continues, each line after the previous answer.
    agentnet_testkit::eventually(crate::harness::WAIT_TIMEOUT, async || {
        let found = crate::harness::line(&url, "thread-messages --thread-id t1 --json")
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

#[tokio::test]
async fn what_is_no_text_is_told_with_its_line() {
    let mut up = Up::start().await;
    let _agent = shouter(&up.url).await;
    let chat = "chat --to-username shouter";
    let ran = line_with_input(&up.url, chat, b"one\r\ntwo\na\xff\xfeb\nnever\n").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "ONE\nTWO\n"), "{ran:?}");
    for part in [
        "error: line 3 of standard input is not UTF-8 text (byte 2 of the line): it was not sent, nor what follows it",
        "hint: convert the input",
    ] {
        assert!(ran.stderr.contains(part), "{ran:?}");
    }
    up.stop().await;
}

#[tokio::test]
async fn a_name_is_looked_up_when_it_is_given() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = shouter(&url).await;
    let nobody = |name: &str| format!("No account found for username '{name}'");
    line(&url, "chat --to-username shoutr")
        .await
        .fails(2, &[&nobody("shoutr"), "did you mean @shouter?"]);
    line(&url, "chat --to-username ghost")
        .await
        .fails(2, &[&nobody("ghost"), "`agentnet search`"]);
    line_with_input(&url, "chat --to-username shouter", "/to @nobdy\nnever\n")
        .await
        .fails(2, &[&nobody("nobdy")]);
    line_with_input(&url, "chat --to-username shouter", "/histroy\n")
        .await
        .fails(2, &["there is no command /histroy", "did you mean /history?"]);
    up.stop().await;
}

#[tokio::test]
async fn a_script_is_told_what_others_say_on_stderr() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let agent = AgentNode::builder("teller").username("teller").nats_url(&url);
    // Sends a message to the requester before it replies.
    let agent = agent.on_message(|message, context| async move {
        let from = message.from_account_id.as_deref().ok_or("from nobody")?;
        let news = json!({ "text": "\x1b[2Jnews" });
        context.node().send_to_account(from, news).await?;
        context.reply("done").await?;
        Ok(())
    });
    let _agent = agent.start().await.unwrap();
    let ran = line_with_input(&url, "chat --to-username teller", "hi\n").await;
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(0), "done\n", "@teller says: \u{fffd}[2Jnews\n")
    );
    up.stop().await;
}

#[tokio::test]
async fn chat_waits_for_the_reply_of_the_named_agent_within_the_timeout() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let agent = shouter(&url).await;
    let ran = line_with_input(&url, "chat --timeout 0.3 --to-username shouter", "hi\nsilence\nnever\n").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "HI\n"), "{ran:?}");
    assert!(
        ran.stderr.contains("error: request timed out: ") && ran.stderr.contains("--timeout SECONDS"),
        "{ran:?}"
    );
    let chat = format!("chat --to-account {}", agent.account_id().unwrap());
    assert_eq!(line_with_input(&url, &chat, "by id\n").await.ok(), "BY ID\n");
    up.stop().await;
}

#[tokio::test]
async fn a_conversation_is_signed() {
    let mut up = Up::start_with("--dev-auth").await;
    let url = up.url.clone();
    let home = TempDir::new().unwrap();
    let keys = home.path().join("keys");
    let keyed = format!("--dev-auth --key-dir {}", keys.display());
    let _echo = crate::harness::echo(&url, &keyed).await;
    let chat = "chat --as asker --thread-id t1 --to-username echo";
    line_with_input(&url, chat, "hi\n")
        .await
        .fails(2, &["auth_required", "give --dev-auth"]);
    let said = line_with_input(&url, &format!("{chat} --raw {keyed}"), "hi\n")
        .await
        .ok();
    let message: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&message["payload"]["text"], &message["auth"]["scheme"]),
        (&json!("hi"), &json!("dev-ed25519-v1"))
    );
    assert!(keys.join("asker.json").exists());
    up.stop().await;
}
