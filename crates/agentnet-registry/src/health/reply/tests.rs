//! The JSON of the answer, and what makes a registry unhealthy.

use super::*;

fn peer(server_id: &str, database: Option<&str>, verified: bool) -> Peer {
    Peer {
        server_id: server_id.to_owned(),
        instance: format!("of {server_id}"),
        database: database.map(str::to_owned),
        verified,
    }
}

#[test]
fn an_answer_is_read_as_it_was_written() {
    let well = Health {
        server_id: "registry \"1\"".to_owned(),
        store: "postgres".to_owned(),
        store_problem: None,
        disk_space: Some(DiskSpace { free: 5, total: 7 }),
        requires_signed_identity: Some(true),
        capture: "jetstream".to_owned(),
        waiting: 7,
        dropped: 3,
        is_paused: false,
        instance: "0000000000000001".to_owned(),
        database: Some("db".to_owned()),
        registries: vec![
            peer("registry \"1\"", Some("db"), true),
            peer("b", Some("other"), false),
            peer("c", None, false),
        ],
        oversized: vec![Oversized {
            username: "alice".to_owned(),
            problem: "name has 257 bytes; at most 256 are allowed".to_owned(),
        }],
    };
    let names = |peers: Vec<&Peer>| peers.iter().map(|peer| peer.server_id.clone()).collect::<Vec<_>>();
    assert_eq!(names(well.same_server_id().collect()), ["registry \"1\""]);
    assert_eq!(names(well.other_databases().collect()), ["b"]);
    assert_eq!(Health::decode(well.encode().as_bytes()), Ok(well.clone()));
    let alone = Health {
        registries: vec![peer("b", Some("db"), true)],
        ..well.clone()
    };
    assert!(alone.encode().contains("\"healthy\":true"), "{}", alone.encode());
    let ill = Health {
        store_problem: Some("gone".to_owned()),
        disk_space: None,
        requires_signed_identity: None,
        ..well
    };
    assert_eq!(Health::decode(ill.encode().as_bytes()), Ok(ill.clone()));
    assert!(ill.encode().contains("\"healthy\":false"), "{}", ill.encode());
    let problems = [
        (ill, Some("the postgres store does not work: gone")),
        (
            Health {
                is_paused: true,
                ..alone.clone()
            },
            Some("is paused"),
        ),
        (
            Health {
                registries: vec![peer("registry \"1\"", Some("db"), true)],
                ..alone.clone()
            },
            Some("another registry has the server id"),
        ),
        (
            Health {
                registries: vec![peer("b\u{1b}[2J", Some("other"), false)],
                ..alone.clone()
            },
            Some("different databases"),
        ),
        (alone, None),
    ];
    for (health, expected) in problems {
        let problem = health.problem();
        assert_eq!(problem.is_some(), expected.is_some(), "{problem:?}");
        if let (Some(problem), Some(expected)) = (&problem, expected) {
            assert!(problem.contains(expected) && !problem.contains('\u{1b}'), "{problem}");
        }
        assert_eq!(Health::decode(health.encode().as_bytes()), Ok(health));
    }
}

#[test]
fn what_is_no_answer_is_told() {
    for (body, problem) in [
        ("", "no object"),
        ("[]", "no object"),
        ("{", ""),
        (r#"{"server_id":"r"}"#, "store"),
        (r#"{"server_id":"r","store":{"backend":"sqlite"},"capture":{}}"#, "mode"),
        (
            r#"{"server_id":1,"store":{"backend":"sqlite"},"capture":{"mode":"core"}}"#,
            "server_id",
        ),
    ] {
        let error = Health::decode(body.as_bytes()).unwrap_err();
        assert!(error.contains(problem), "{body}: {error}");
    }
}
