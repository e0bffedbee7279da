//! The log: as JSON, at the levels that are asked for, and nothing of it for each message.

use super::*;

/// Every line of a log as JSON, each with what it must have.
#[track_caller]
fn lines(log: &str) -> Vec<serde_json::Value> {
    let read = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| {
            event[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name}: {line}"))
                .to_owned()
        };
        let time = text("timestamp");
        assert!(
            time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'),
            "no RFC 3339: {line}"
        );
        assert!(
            ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level").as_str()),
            "{line}"
        );
        for name in ["message", "target"] {
            text(name);
        }
        event
    };
    log.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_one_json_object_a_line_where_that_is_asked_for() {
    let mut up = Up::start_with("--log-format json").await;
    let mut command = binary();
    command
        .args(["--nats-url", &up.url, "echo"])
        .envs([("AGENTNET_LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]);
    let mut agent = Service::spawn(command);
    agent.says("is online as").await;
    line(&up.url, "request --to-username echo {\"text\":\"hi\"}").await.ok();
    agent.signal(Signal::INT);
    agent.ended().await;
    up.stop().await;

    let events = lines(&up.service.stderr());
    let stopped = events
        .iter()
        .find(|event| event["message"] == "registry stopped")
        .expect("its last word");
    assert_eq!(
        (&stopped["level"], &stopped["server_id"]),
        (&"INFO".into(), &"registry".into()),
        "{stopped}"
    );
    let events = lines(&agent.stderr());
    assert!(events.iter().any(|event| event["level"] == "DEBUG"), "{events:?}");

    // So are the messages at a command's end.
    let mut command = binary();
    command.args(["--log-format", "json", "--nats-url", &up.url, "list"]);
    let ran = run(command).await;
    let last = lines(&ran.stderr).pop().unwrap();
    assert_eq!((ran.code, &last["level"]), (Some(1), &"ERROR".into()), "{ran:?}");
    assert!(last["message"].as_str().unwrap().starts_with("error: "), "{last}");

    let mut command = binary();
    command.args(["--log-format", "xml", "list"]);
    run(command).await.fails(2, &["xml", "text", "json"]);
}

/// Makes PostgreSQL refuse messages whose ids begin with `poison`.
const REFUSING: &str = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
     IF NEW.message_id LIKE 'poison%' THEN RAISE EXCEPTION 'poisoned' USING ERRCODE = '23514'; END IF; \
     RETURN NEW; END $$ LANGUAGE plpgsql; \
     CREATE TRIGGER refuse BEFORE INSERT ON agent_messages FOR EACH ROW EXECUTE FUNCTION refuse()";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_writes_no_line_of_the_log() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let postgres = Postgres::launch().await.unwrap();
    let mut command = binary();
    command.args(["--nats-url", &nats.url(), "registry", "--database-url", &postgres.url()]);
    let mut registry = Service::spawn(command);
    registry.next_line().await;
    postgres.execute(REFUSING).await.unwrap();
    let id = "poison\n2026-01-01T00:00:00Z ERROR all is lost\u{1b}[2J\u{202e}";
    let message = serde_json::json!({
        "message_id": id, "from_agent": "a", "from_account_id": "acct_a", "to_account_id": "acct_b", "payload": "p",
        "sent_at": "2026-01-01T00:00:00Z", "schema_version": "1.1", "kind": "direct",
    });
    let client = RawClient::connect(&nats.url()).await.unwrap();
    client
        .publish("account.acct_b.inbox", message.to_string().into())
        .await
        .unwrap();
    client.flush().await.unwrap();
    registry.says("the store refused a message").await;
    registry.signal(Signal::TERM);
    registry.ended().await;
    let log = registry.stderr();
    let escaped = r"the store refused a message message_id=poison\n2026-01-01T00:00:00Z ERROR all is lost\u{1b}[2J\u{202e} reason=";
    assert!(log.lines().any(|line| line.contains(escaped)), "{log}");
    assert!(!log.contains("\n2026-01-01"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_log_goes_before_log_level() {
    let up = Up::start().await;
    let log = async |rust_log: &str| {
        let mut command = binary();
        command
            .args(["--nats-url", &up.url, "--log-format", "json", "list"])
            .envs([("LOG_LEVEL", "debug"), ("RUST_LOG", rust_log)]);
        lines(&run(command).await.stderr)
    };
    assert!(
        log("").await.iter().any(|event| event["level"] == "DEBUG"),
        "a blank one says nothing"
    );
    assert_eq!(log("error").await, Vec::<serde_json::Value>::new());
}
