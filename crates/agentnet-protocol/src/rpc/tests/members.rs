//! Enrolment and the requests about members.

use super::*;

#[test]
fn enroll() {
    assert_eq!(EnrollRequest::subject(), "registry.enroll");
    let request = EnrollRequest {
        invite_id: "inv_1".to_owned(),
        account_id: "acct_1".to_owned(),
        nkey: "UA".to_owned(),
        public_key: "pk".to_owned(),
        proof: "00".to_owned(),
        signature: "sig".to_owned(),
    };
    assert_request(
        &request,
        r#"{"invite_id":"inv_1","account_id":"acct_1","nkey":"UA","public_key":"pk","proof":"00","signature":"sig"}"#,
    );
    let reply = EnrollReply {
        status: EnrollReply::ENROLLED.to_owned(),
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        role: "agent".to_owned(),
        capabilities: vec!["chat".to_owned()],
        urls: vec!["nats://h:4222".to_owned()],
        jwt: some("a.b.c"),
        renewal_jwt: some("d.e.f"),
    };
    assert_reply::<EnrollRequest>(
        &reply,
        "status account_id username role capabilities urls jwt renewal_jwt",
    );
    let plain = EnrollReply {
        jwt: None,
        renewal_jwt: None,
        ..reply
    };
    assert_reply::<EnrollRequest>(&plain, "status account_id username role capabilities urls");
    for member in ["invite_id", "account_id", "nkey", "public_key", "proof", "signature"] {
        let text = request.encode().replace(&format!(r#""{member}":"#), r#""other":"#);
        let error = decode_request::<EnrollRequest>(text.as_bytes()).unwrap_err();
        assert_eq!(error.text(), format!("{member} is required"));
        let long = text.replace(r#""other":"#, &format!(r#""{member}":"{}","other":"#, "x".repeat(257)));
        let error = decode_request::<EnrollRequest>(long.as_bytes()).unwrap_err();
        let expected = format!("{member} has 257 bytes; at most 256 are allowed");
        assert_eq!(error.text(), expected);
    }
}

#[test]
fn member_invite() {
    assert_eq!(MemberInviteRequest::subject(), "registry.member_invite");
    let request = MemberInviteRequest {
        username: "bob".to_owned(),
        role: crate::member::Role::Observer,
        capabilities: vec!["chat".to_owned()],
        may_send_to: Some(vec!["acct_2".to_owned()]),
        ttl_seconds: 3600,
    };
    assert_request(
        &request,
        r#"{"username":"bob","role":"observer","capabilities":["chat"],"may_send_to":["acct_2"],"ttl_seconds":3600}"#,
    );
    let short: MemberInviteRequest = decode_request(br#"{"username":" Bob ","may_send_to":null}"#).unwrap();
    let defaults = MemberInviteRequest {
        username: "bob".to_owned(),
        ..MemberInviteRequest::default()
    };
    assert_eq!(short, defaults);
    assert_request(
        &defaults,
        r#"{"username":"bob","role":"agent","capabilities":[],"ttl_seconds":86400}"#,
    );
    for (seconds, read) in [(0, 60), (59, 60), (99_999_999, 2_592_000)] {
        let text = format!(r#"{{"username":"bob","ttl_seconds":{seconds}}}"#);
        let request: MemberInviteRequest = decode_request(text.as_bytes()).unwrap();
        assert_eq!(request.ttl_seconds, read);
    }
    let reply = MemberInviteReply {
        invite_id: "inv_1".to_owned(),
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        secret: "s3cret".to_owned(),
        join_seed: "s3cret".to_owned(),
        expires_at: TIME.to_owned(),
        role: "agent".to_owned(),
        join_jwt: None,
    };
    assert_reply::<MemberInviteRequest>(&reply, "invite_id account_id username secret join_seed expires_at role");
    assert!(!format!("{reply:?}").contains("s3cret"));
    let with_jwt = MemberInviteReply {
        join_jwt: some("a.b.c"),
        ..reply
    };
    assert_reply::<MemberInviteRequest>(
        &with_jwt,
        "invite_id account_id username secret join_seed expires_at role join_jwt",
    );
}

#[test]
fn renew() {
    assert_eq!(RenewRequest::subject(), "registry.renew");
    assert_request(&RenewRequest, "{}");
    let reply = RenewReply {
        account_id: "acct_1".to_owned(),
        jwt: some("a.b.c"),
        renewal_jwt: some("d.e.f"),
        expires_at: some(TIME),
    };
    assert_reply::<RenewRequest>(&reply, "account_id jwt renewal_jwt expires_at");
    let event = CredentialEvent {
        account_id: "acct_1".to_owned(),
        kind: CredentialEvent::GRANTED.to_owned(),
    };
    assert_eq!(event.encode(), r#"{"account_id":"acct_1","kind":"granted"}"#);
}

#[test]
fn members_are_listed_and_changed() {
    let member = MemberRecord {
        account_id: "acct_1".to_owned(),
        username: "bob".to_owned(),
        role: "agent".to_owned(),
        state: "active".to_owned(),
        capabilities: vec!["chat".to_owned()],
        may_send_to: Some(Vec::new()),
        created_at: TIME.to_owned(),
        enrolled_at: some(TIME),
        revoked_at: None,
        nkey: some("UA"),
    };
    let invited = MemberRecord {
        may_send_to: None,
        enrolled_at: None,
        nkey: None,
        ..member.clone()
    };
    let list = MemberListReply {
        members: vec![member.clone(), invited],
        next_cursor: some("c"),
        generated_at: TIME.to_owned(),
    };
    let text = assert_reply::<MemberListRequest>(&list, "members next_cursor generated_at");
    assert!(
        text.contains(r#""may_send_to":[],"#) && text.contains(r#""may_send_to":null,"#),
        "{text}"
    );
    assert_request(&MemberListRequest::default(), r#"{"limit":20}"#);
    assert_eq!(
        decode_request::<MemberListRequest>(b"{}"),
        Ok(MemberListRequest::default())
    );

    let revoke = MemberRevokeRequest {
        account_id: None,
        username: some("bob"),
    };
    assert_request(&revoke, r#"{"username":"bob"}"#);
    let reply = MemberReply {
        member,
        generated_at: TIME.to_owned(),
    };
    assert_reply::<MemberRevokeRequest>(&reply, "member generated_at");
    assert_reply::<MemberGrantRequest>(&reply, "member generated_at");
}

#[test]
fn a_grant_tells_an_absent_policy_from_an_open_one() {
    let grant = |may_send_to| MemberGrantRequest {
        account_id: some("acct_1"),
        username: None,
        capabilities_add: vec!["chat".to_owned()],
        capabilities_remove: vec![],
        may_send_to,
    };
    let text = r#"{"account_id":"acct_1","capabilities_add":["chat"],"capabilities_remove":[]"#;
    assert_request(&grant(SendPolicy::Keep), &format!("{text}}}"));
    assert_request(
        &grant(SendPolicy::Everybody),
        &format!(r#"{text},"may_send_to":null}}"#),
    );
    assert_request(
        &grant(SendPolicy::Only(vec![])),
        &format!(r#"{text},"may_send_to":[]}}"#),
    );
    let only = SendPolicy::Only(vec!["acct_2".to_owned(), "capability:chat".to_owned()]);
    let written = format!(r#"{text},"may_send_to":["acct_2","capability:chat"]}}"#);
    assert_request(&grant(only), &written);
    // JSON may write the letters of a name as escapes.
    let escaped = written.replace("may_send_to", r"may\u005fsend_to");
    assert_eq!(
        decode_request::<MemberGrantRequest>(escaped.as_bytes()),
        decode_request(written.as_bytes())
    );
}

#[test]
fn bad_requests_about_members() {
    let many: Vec<String> = (0..65).map(|number| format!("\"{number}\"")).collect();
    let many = many.join(",");
    let error = |text: &str| decode_request::<MemberInviteRequest>(text.as_bytes()).unwrap_err();
    for (text, expected) in [
        ("[]", "member_invite payload must be an object"),
        ("{}", "username is required"),
        (
            r#"{"username":"bob","role":"registry"}"#,
            "role must be agent, observer or operator",
        ),
        (
            r#"{"username":"bob","role":"join"}"#,
            "role must be agent, observer or operator",
        ),
        (
            r#"{"username":"bob","role":"root"}"#,
            "role must be agent, observer or operator",
        ),
        (
            r#"{"username":"bob","may_send_to":"acct_2"}"#,
            "may_send_to must be an array of account ids",
        ),
        (
            r#"{"username":"bob","may_send_to":{}}"#,
            "may_send_to must be an array of account ids",
        ),
    ] {
        assert_eq!(error(text).text(), expected, "{text}");
    }
    let text = format!(r#"{{"username":"bob","capabilities":[{many}]}}"#);
    assert_eq!(
        error(&text).text(),
        "capabilities has 65 entries; at most 64 are allowed"
    );
    let long = format!(r#"{{"username":"bob","capabilities":["{}"]}}"#, "x".repeat(129));
    assert_eq!(
        error(&long).text(),
        "capabilities has 129 bytes; at most 128 are allowed"
    );
    for text in ["{}", r#"{"account_id":" ","username":"?"}"#] {
        let revoke = decode_request::<MemberRevokeRequest>(text.as_bytes()).unwrap_err();
        let grant = decode_request::<MemberGrantRequest>(text.as_bytes()).unwrap_err();
        assert_eq!(
            (revoke.text(), grant.text()),
            ("account_id or username is required", revoke.text())
        );
    }
}
