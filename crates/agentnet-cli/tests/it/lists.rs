//! Lists as tables, as CSV, page by page and whole; and usernames that do not exist.

mod names;

use agentnet_testkit::{RawClient, eventually};

use crate::harness::{Service, Up, WAIT_TIMEOUT, agentnet, binary, line};

async fn parrot(url: &str) -> Service {
    let mut command = binary();
    command.args([
        "--nats-url",
        url,
        "echo",
        "--username",
        "parrot",
        "--name",
        "A \"Parrot\", grey",
    ]);
    command.args(["--rate-limit", "1000", "--rate-burst", "1000", "--capability", "listen"]);
    let agent = Service::spawn(command);
    agent.says("@parrot is online").await;
    agent
}

#[tokio::test]
async fn rows_are_csv_where_that_is_asked_for() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let header = "Name,Username,Account ID,Capabilities,Last Seen\n";
    assert_eq!(
        line(&url, "list --output csv").await.ok(),
        header,
        "no rows: the header alone"
    );
    let _agent = parrot(&url).await;
    let text = line(&url, "list --output csv").await.ok();
    let row = text.strip_prefix(header).unwrap();
    assert!(
        row.starts_with("\"A \"\"Parrot\"\", grey\",parrot,acct_") && row.trim_end().ends_with('Z'),
        "{text}"
    );

    agentnet(
        &url,
        [
            "send",
            "--to-username",
            "parrot",
            "--thread-id",
            "t1",
            r#"{"text":"a, \"b\""}"#,
        ],
    )
    .await
    .ok();
    let look = async || match line(&url, "thread-messages --thread-id t1 --output csv").await.stdout {
        text if text.lines().count() == 2 => Ok(text),
        text => Err(text),
    };
    let text = eventually(WAIT_TIMEOUT, look).await.unwrap();
    assert!(
        text.ends_with(",\"{\"\"text\"\":\"\"a, \\\"\"b\\\"\"\"\"}\"\n"),
        "the payload is whole: {text}"
    );
    let text = line(&url, "threads --output csv").await.ok();
    assert!(
        text.starts_with("Thread ID,Status,Messages,Tokens~,Last Activity,Participants\nt1,ok,1,"),
        "{text}"
    );
    assert!(line(&url, "list --output json").await.json()["agents"].is_array());
    line(&url, "metrics --output csv")
        .await
        .fails(2, &["this command lists no rows"]);
    line(&url, "list --output xml")
        .await
        .fails(2, &["invalid value 'xml'", "csv"]);
    line(&url, "list --json --output csv")
        .await
        .fails(2, &["cannot be used with"]);
    up.stop().await;
}

#[tokio::test]
async fn all_pages_are_walked() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = parrot(&url).await;
    for number in 0..7 {
        agentnet(
            &url,
            [
                "send",
                "--to-username",
                "parrot",
                "--thread-id",
                "t1",
                &number.to_string(),
            ],
        )
        .await
        .ok();
    }
    let numbers = |text: &str| -> Vec<String> {
        let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
        text.lines().skip(1).filter_map(last).collect()
    };
    let look = async || match numbers(&line(&url, "thread-messages --thread-id t1").await.stdout) {
        found if found.len() == 7 => Ok(()),
        found => Err(format!("{found:?}")),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    let page = line(&url, "thread-messages --thread-id t1 --limit 3").await;
    let (hint, cursor) = page.stderr.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(
        hint,
        "hint: 3 of 7 are shown; --all shows the rest, or the next page --cursor"
    );
    let cursor = cursor.to_owned();
    assert_eq!(numbers(&page.ok()), ["6", "5", "4"]);
    let rest = [
        "thread-messages",
        "--thread-id",
        "t1",
        "--limit",
        "3",
        "--all",
        "--cursor",
        &cursor,
    ];
    assert_eq!(numbers(&agentnet(&url, rest).await.ok()), ["3", "2", "1", "0"]);
    let all = line(&url, "thread-messages --thread-id t1 --limit 3 --all --output csv").await;
    assert_eq!(all.stderr, "");
    assert_eq!(all.ok().lines().count(), 8);
    let pages = line(&url, "message-search --thread-id t1 --limit 3 --all --json")
        .await
        .ok();
    assert_eq!(pages.lines().count(), 3, "one document a page");
    let cut = line(&url, "thread-messages --thread-id t1 --limit 3 --output csv").await;
    assert!(cut.stderr.starts_with("hint: 3 of 7 are shown; "), "{cut:?}");
    assert_eq!(cut.ok().lines().count(), 4, "rows alone");
    for (words, hint) in [
        ("message-search --thread-id t1 --limit 3", "hint: 3 of 7 are shown; "),
        (
            "message-search --thread-id t1 --kind direct --limit 3",
            "hint: there is more; ",
        ),
        ("message-search --limit 3", "hint: there is more; "),
    ] {
        let cut = line(&url, words).await;
        assert!(cut.stderr.starts_with(hint), "{words}: {cut:?}");
    }
    for (words, lines) in [
        ("list --all", 2),
        ("search --limit 1 --all", 3),
        ("threads --limit 1 --all", 2),
    ] {
        assert_eq!(line(&url, words).await.ok().lines().count(), lines, "{words}");
    }
    up.stop().await;
}

#[tokio::test]
async fn an_unknown_name_brings_suggestions() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = parrot(&url).await;
    for command in ["send --to-username parott 1", "request --to-username parott 1"] {
        let parts = [
            "error: No account found for username 'parott'",
            "hint: did you mean @parrot?",
        ];
        line(&url, command).await.fails(2, &parts);
    }
    line(&url, "profile --username @parott")
        .await
        .fails(2, &["error: not_found", "did you mean @parrot?"]);
    let far = line(&url, "send --to-username zzz 1").await;
    far.fails(2, &["hint: `agentnet list` shows who is online"]);
    for words in ["request --to-capability lisen 1", "send --to-capability lisen 1"] {
        let ran = line(&url, words).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let meant = "hint: no agent online has the capability `lisen`: did you mean `listen`?";
        assert!(ran.stderr.contains("capability_unavailable: "), "{ran:?}");
        assert!(ran.stderr.contains(meant), "{ran:?}");
    }
    let none = line(&url, "threads --participant-username parott").await;
    assert_eq!(
        none.stderr.trim(),
        "note: no account has the username parott: did you mean @parrot?"
    );
    assert_eq!(none.ok().trim(), "No matching threads found");
    let some = line(&url, "threads --participant-username parrot").await;
    assert_eq!(some.stderr, "");
    line(&url, "lsit")
        .await
        .fails(2, &["a similar subcommand exists: 'list'"]);
    up.stop().await;
}

#[tokio::test]
async fn a_send_may_wait_for_the_handler() {
    let mut up = Up::start().await;
    let _agent = parrot(&up.url).await;
    let sent = line(&up.url, "send --processed --to-username parrot 1").await.ok();
    assert!(sent.starts_with("✓ Message sent to @parrot"), "{sent}");
    line(&up.url, "send --processed --no-ack --to-username parrot 1")
        .await
        .fails(2, &["cannot be used with"]);
    up.stop().await;
}

/// One message by its id: its payload, what answered it, and how long that took.
#[tokio::test]
async fn a_message_is_shown_by_its_id() {
    let mut up = Up::start().await;
    let url = up.url.clone();
    let _agent = parrot(&url).await;
    let asked = line(
        &url,
        r#"request --as ada --to-username parrot --thread-id t1 {"text":"hi"}"#,
    )
    .await;
    asked.ok();
    let found = crate::harness::until(&url, "message-search --thread-id t1", |found| {
        found["messages"][1].is_object()
    })
    .await;
    let request = found["messages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|message| message["kind"] == "request");
    let id = request.unwrap()["message_id"].as_str().unwrap().to_owned();
    let got = line(&url, &format!("message get {id} --json")).await.json();
    assert_eq!(got["message"]["message_id"], id.as_str());
    assert_eq!(
        (&got["reply"]["kind"], &got["reply"]["payload"]["text"]),
        (&"reply".into(), &"hi".into())
    );
    assert!(got["latency_ms"].is_i64(), "{got}");
    let text = line(&url, &format!("message get {id} --timeout 9")).await.ok();
    for part in [id.as_str(), "Latency", "\"text\": \"hi\"", "reply from acct_"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    line(&url, "message get nothing")
        .await
        .fails(2, &["not_found", "there is no message \"nothing\""]);
    up.stop().await;
}
