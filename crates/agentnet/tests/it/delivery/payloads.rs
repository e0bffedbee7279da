//! Payloads arrive exactly as they were written.

use std::sync::{Arc, Mutex};

use agentnet::RawJson;

use crate::net::{Net, generous};

#[tokio::test]
async fn payloads_arrive_exactly_as_written() {
    let net = Net::start().await;
    let handled: Arc<Mutex<Vec<RawJson>>> = Arc::default();
    let seen = handled.clone();
    let _bob = net
        .agent("bob")
        .limits(generous)
        .on_message(move |message, context| {
            seen.lock().unwrap().push(message.payload().clone());
            async move {
                context.reply(message.payload()).await?;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    // What is written, and what arrives: the same, but that the wire is ASCII.
    let same = [
        "null",
        "true",
        "0",
        "-0",
        "1.50",
        "1e5",
        "1E+05",
        "-0.0",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.1000000000000000055511151231257827021181583404541015625",
        "5e-324",
        "1e400",
        r#"{"z":1,"a":2,"m":{"y":[],"b":{}}}"#,
        r#"{ "spaces" : [ 1 , 2.0 ] }"#,
        r#"{"a":1,"a":2}"#,
        r#""\ud800""#,
        r#""\udc00\ud800 swapped""#,
        r#""\u0000 \u001f \u007f""#,
        r#""\/ \" \\ \b\f\n\r\t""#,
        r#""\u00e9 \ud83d\ude00""#,
        r#"[[[[[[[[]]]]]]]]"#,
        r#""""#,
    ];
    let ascii = [
        (r#""é""#, r#""\u00e9""#),
        (
            r#"{"ключ":"日本語"}"#,
            r#"{"\u043a\u043b\u044e\u0447":"\u65e5\u672c\u8a9e"}"#,
        ),
        (r#""😀""#, r#""\ud83d\ude00""#),
        ("\"\u{7f}\u{2028}\"", r#""\u007f\u2028""#),
    ];
    let cases = same.iter().map(|text| (*text, *text)).chain(ascii);
    for (written, arrives) in cases {
        let payload = RawJson::parse(written).unwrap();
        let reply = alice.request("acct_bob", &payload).await.unwrap();
        let seen = handled.lock().unwrap().pop().unwrap();
        assert_eq!(seen.get(), arrives, "at the handler: {written}");
        assert_eq!(reply.payload().get(), arrives, "and back: {written}");
    }
    // Read as Rust values, they are what was written.
    let reply = alice.request("acct_bob", "é 😀 \0 \u{7f} \u{2028} \"\\").await.unwrap();
    assert_eq!(reply.json::<String>().unwrap(), "é 😀 \0 \u{7f} \u{2028} \"\\");
    assert_eq!(reply.text().as_deref(), Some("é 😀 \0 \u{7f} \u{2028} \"\\"));
}

#[tokio::test]
async fn a_payload_may_be_as_deep_as_a_message_can_be_read_with() {
    let net = Net::start().await;
    let _bob = net
        .agent("bob")
        .limits(generous)
        .on_message(|message, context| async move {
            context.reply(message.payload()).await?;
            Ok(())
        })
        .start()
        .await
        .unwrap();
    let alice = net.agent("alice").limits(generous).start().await.unwrap();
    let nested = |levels: usize| RawJson::parse(format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
    let reply = alice.request("acct_bob", nested(989)).await.unwrap();
    assert_eq!(reply.payload(), &nested(989));
    let deeper = nested(990);
    for error in [
        alice.send("acct_bob", &deeper).await.unwrap_err().to_string(),
        alice.request("acct_bob", &deeper).await.unwrap_err().to_string(),
        alice.request_stream("acct_bob", &deeper).await.unwrap_err().to_string(),
    ] {
        let expected =
            "the payload cannot be written as JSON: it is nested too deeply: a message has room for 989 levels";
        assert!(error.starts_with(expected), "{error}");
    }
}
