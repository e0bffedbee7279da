//! Accounts: found by name, by key, by words; and their profiles.

use super::*;

#[test]
fn resolve_account() {
    assert_request(
        &ResolveAccountRequest {
            username: "bob".to_owned(),
        },
        r#"{"username":"bob"}"#,
    );
    let asked = decode_request::<ResolveAccountRequest>(r#"{"username":" @B\u00d6b! "}"#.as_bytes());
    assert_eq!(
        asked,
        Ok(ResolveAccountRequest {
            username: "b_b".to_owned()
        })
    );
    let reply = ResolveAccountReply {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        resolved_at: TIME.to_owned(),
    };
    assert_eq!(
        assert_reply::<ResolveAccountRequest>(&reply, "account_id username resolved_at"),
        r#"{"account_id":"acct_1","username":"bob","resolved_at":"2026-02-21T08:00:00Z"}"#
    );
    let empty = decode_reply::<ResolveAccountRequest>(b"{}");
    assert!(
        matches!(
            empty,
            Err(ReplyError::Invalid(DecodeError::Member {
                member: "account_id",
                ..
            }))
        ),
        "{empty:?}"
    );
}

#[test]
fn resolve_key() {
    assert_request(
        &ResolveKeyRequest {
            account_id: "acct_1".to_owned(),
        },
        r#"{"account_id":"acct_1"}"#,
    );
    let reply = ResolveKeyReply {
        account_id: "acct_1".to_owned(),
        public_key: "AbC_-".to_owned(),
        resolved_at: TIME.to_owned(),
        signs: crate::signing_scope::SigningScope::default(),
    };
    assert_eq!(
        assert_reply::<ResolveKeyRequest>(&reply, "account_id public_key resolved_at"),
        r#"{"account_id":"acct_1","public_key":"AbC_-","resolved_at":"2026-02-21T08:00:00Z"}"#
    );
    let signs = ResolveKeyReply {
        signs: crate::signing_scope::SigningScope::ALL,
        ..reply
    };
    let wire = assert_reply::<ResolveKeyRequest>(&signs, "account_id public_key resolved_at signs");
    assert!(wire.ends_with(r#","signs":"receipts,presence"}"#), "{wire}");
}

#[test]
fn search() {
    let mut request = SearchRequest {
        query: " Bo ".to_owned(),
        limit: 7,
        online_only: true,
        ..Default::default()
    };
    assert_request(
        &request,
        r#"{"query":" Bo ","capability":null,"limit":7,"online_only":true}"#,
    );
    request.capability = some("chat");
    request.cursor = some("c=");
    assert_request(
        &request,
        r#"{"query":" Bo ","capability":"chat","limit":7,"online_only":true,"cursor":"c="}"#,
    );
    let hit = AccountHit {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        display_name: "B\u{f6}b".to_owned(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw(r#"{"k":12345678901234567890123}"#),
        visibility: "public".to_owned(),
        status: "active".to_owned(),
        online_sessions: 2,
        online: true,
    };
    let mut reply = SearchReply {
        query: " Bo ".to_owned(),
        limit: 7,
        online_only: true,
        results: vec![hit],
        generated_at: TIME.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        assert_reply::<SearchRequest>(&reply, "query capability limit online_only results generated_at"),
        concat!(
            r#"{"query":" Bo ","capability":null,"limit":7,"online_only":true,"results":[{"account_id":"acct_1","username":"bob","#,
            r#""display_name":"B\u00f6b","capabilities":["chat"],"metadata":{"k":12345678901234567890123},"visibility":"public","#,
            r#""status":"active","online_sessions":2,"online":true}],"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
    reply.capability = some("chat");
    reply.next_cursor = some("c=");
    assert_reply::<SearchRequest>(
        &reply,
        "query capability limit online_only results generated_at next_cursor",
    );
}

#[test]
fn profile() {
    let by_id = ProfileRequest {
        account_id: some("acct_1"),
        username: None,
    };
    assert_request(&by_id, r#"{"account_id":"acct_1"}"#);
    assert_request(
        &ProfileRequest {
            account_id: None,
            username: some("bob"),
        },
        r#"{"username":"bob"}"#,
    );
    let session = ProfileSession {
        session_tag: "registry_1".to_owned(),
        agent_id: "support".to_owned(),
        server_id: "registry".to_owned(),
        connected_at: TIME.to_owned(),
        last_seen: TIME.to_owned(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw(r#"{"k":1}"#),
    };
    let profile = Profile {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        display_name: "Bob".to_owned(),
        bio: String::new(),
        capabilities: vec!["chat".to_owned()],
        metadata: raw("{}"),
        visibility: "public".to_owned(),
        status: "active".to_owned(),
        created_at: TIME.to_owned(),
        updated_at: TIME.to_owned(),
        online_sessions: vec![session],
        online: true,
    };
    let reply = ProfileReply {
        profile,
        generated_at: TIME.to_owned(),
    };
    assert_eq!(
        assert_reply::<ProfileRequest>(&reply, "profile generated_at"),
        concat!(
            r#"{"profile":{"account_id":"acct_1","username":"bob","display_name":"Bob","bio":"","capabilities":["chat"],"#,
            r#""metadata":{},"visibility":"public","status":"active","created_at":"2026-02-21T08:00:00Z","#,
            r#""updated_at":"2026-02-21T08:00:00Z","online_sessions":[{"session_tag":"registry_1","agent_id":"support","#,
            r#""server_id":"registry","connected_at":"2026-02-21T08:00:00Z","last_seen":"2026-02-21T08:00:00Z","#,
            r#""capabilities":["chat"],"metadata":{"k":1}}],"online":true},"generated_at":"2026-02-21T08:00:00Z"}"#,
        )
    );
    let none = decode_reply::<ProfileRequest>(b"{}");
    assert!(
        matches!(
            none,
            Err(ReplyError::Invalid(DecodeError::Member { member: "profile", .. }))
        ),
        "{none:?}"
    );
}
