//! Capturing messages from the wire.

use std::time::Duration;

use agentnet_testkit::{Capture, CaptureError, NatsServer, RawClient};

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn messages_of_every_client_are_kept_in_order_with_reply_and_bytes() {
    let nats = NatsServer::builder().token("t").start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let other = RawClient::connect(&nats.url()).await.unwrap();
    let capture = Capture::subscribe(&client, ">").await.unwrap();

    // Another connection: its messages could reach the server before the subscription.
    for number in 0..100u8 {
        other
            .publish(format!("a.{number}"), vec![number, 0xff].into())
            .await
            .unwrap();
    }
    other
        .publish_with_reply("question", "answer.here", "?".into())
        .await
        .unwrap();

    let question = capture
        .wait_for(|m| m.subject == "question", WAIT_TIMEOUT)
        .await
        .unwrap();
    assert_eq!(question.reply.as_deref(), Some("answer.here"));
    assert_eq!(question.text(), "?");
    assert!(question.headers.is_none());

    let all = capture.wait_until(|all| all.len() >= 101, WAIT_TIMEOUT).await.unwrap();
    assert_eq!(all.len(), 101, "nothing but what was published");
    for (number, message) in (0..100u8).zip(&all) {
        assert_eq!(message.subject, format!("a.{number}"));
        assert_eq!(message.payload, vec![number, 0xff]);
        assert_eq!(message.reply, None);
    }
    assert_eq!(capture.messages(), all);
}

#[tokio::test]
async fn what_does_not_come_is_reported_with_what_came() {
    let nats = NatsServer::builder().start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let capture = Capture::subscribe(&client, "seen.*").await.unwrap();
    client.publish("seen.this", "1".into()).await.unwrap();
    client.publish("unseen.that", "2".into()).await.unwrap();
    capture
        .wait_for(|m| m.subject == "seen.this", WAIT_TIMEOUT)
        .await
        .unwrap();

    let error = capture
        .wait_for(|m| m.subject == "seen.more", Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(
        error.last.contains("seen.this") && !error.last.contains("unseen"),
        "{error}"
    );
}

#[tokio::test]
async fn a_subject_that_nats_does_not_accept_is_an_error() {
    let nats = NatsServer::builder().start().await.unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let error = Capture::subscribe(&client, "two words").await.unwrap_err();
    assert!(matches!(error, CaptureError::Subscribe { .. }), "{error}");
}
