use super::*;

const BODY: &str = r#"{"session_tag":"r_1","number":"0000000000000007"}"#;

fn row(number: u64, key: &str) -> Row {
    Row {
        number,
        server_id: "r".to_owned(),
        announce_key: key.to_owned(),
        nkey: None,
        beat_at: Now::read().time,
    }
}

fn heard(peers: &Peers, body: &str) -> Origin {
    peers.origin(body.as_bytes())
}

#[test]
fn who_has_the_key_of_the_row_is_a_colleague_and_nobody_else() {
    let (sender, listener) = (Peers::new(7, None), Peers::new(8, None));
    let body = sender.authenticated(BODY.to_owned());
    assert_eq!(heard(&listener, &body), Origin::Unproven, "its row was not read");
    listener.replace_rows(vec![row(7, &sender.key), row(9, "another key")]);
    assert_eq!(heard(&listener, &body), Origin::Peer(7));
    for forged in [
        BODY.to_owned(),
        body.replace("r_1", "r_2"),
        body.replace("0007", "0009"),
        body.replacen("\"mac\":\"", "\"mac\":\"0", 1),
        format!("{} }}", &body[..body.len() - 1]),
        Peers::new(7, None).authenticated(BODY.to_owned()),
        r#"{"session_tag":"é","number":"0000000000000007","mac":"é"}"#.to_owned(),
        r#"{"mac":""}"#.to_owned(),
    ] {
        assert_eq!(heard(&listener, &forged), Origin::Unproven, "{forged}");
    }
}

#[test]
fn the_number_is_found_where_it_is_and_not_within_a_text() {
    use agentnet_protocol::json::ObjectWriter;

    for name in ["r", r#","number":"0000000000000009""#, "é\\", ""] {
        let body = ObjectWriter::new()
            .text("registry", name)
            .text("number", &Row::number_text(7))
            .finish();
        assert_eq!(instance_id_in(body.as_bytes()), Some(7), "{body}");
    }
    for body in [
        "",
        "{}",
        r#"{"a":1,"number":"7"}"#,
        r#"{"a":1,"number":"000000000000000+"#,
        r#"{"a":1,"number":"+000000000000007"}"#,
        r#"{"a":1,"number":7}"#,
    ] {
        assert_eq!(instance_id_in(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn a_recorded_beat_does_nothing() {
    let peers = Peers::new(1, None);
    let now = Instant::now();
    assert!(!peers.beat(7, 1, now), "it has no row");
    peers.replace_rows(vec![row(7, "key")]);
    assert!(peers.beat(7, 1, now) && peers.beat(7, 3, now));
    assert!(!peers.beat(7, 3, now) && !peers.beat(7, 2, now));
    peers.replace_rows(vec![row(7, "key")]);
    assert!(!peers.beat(7, 3, now), "rows are read again and again");
}

#[test]
fn who_was_heard_just_now_is_shown() {
    let peers = Peers::new(1, None);
    let now = Instant::now();
    peers.replace_rows(vec![row(1, "own"), row(7, "key"), row(8, "silent")]);
    assert!(peers.unproven_beat("s", 7, Some("db"), now), "before its row was read");
    peers.beat(7, 1, now);
    assert!(peers.unproven_beat("s", 2, Some("db"), now) && !peers.unproven_beat("s", 2, Some("db"), now));
    assert!(peers.unproven_beat("s", 3, None, now));
    let shown = |at: Instant| -> Vec<(String, bool)> {
        let peers = peers.heard(at).into_iter();
        peers.map(|peer| (peer.instance, peer.verified)).collect()
    };
    let text = Row::number_text;
    assert_eq!(shown(now), [(text(7), true), (text(2), false), (text(3), false)]);
    assert_eq!(shown(now + PEER_TIMEOUT + Duration::from_millis(1)), []);
}

#[test]
fn strangers_are_bounded() {
    let peers = Peers::new(1, None);
    let now = Instant::now();
    for number in 0..1000 {
        peers.unproven_beat(&"é".repeat(500_000), number, Some(&"x".repeat(1000)), now);
    }
    let heard = peers.heard(now);
    assert_eq!(heard.len(), MAX_UNPROVEN_PEERS);
    assert!(heard.iter().all(|peer| peer.server_id.len() <= MAX_LOGGED_NAME_BYTES));
}
