//! What is refused, in requests and in replies, and with which text.

use super::*;

/// The errors that section 6 names, for bodies that are no objects and objects that lack what is needed.
#[test]
fn errors_of_requests() {
    fn error<R: Request + Debug>(body: &str) -> String {
        decode_request::<R>(body.as_bytes()).unwrap_err().encode()
    }
    /// Reads a body as one request type; the body; the error.
    type Case = (fn(&str) -> String, &'static str, &'static str);
    let cases: &[Case] = &[
        (error::<RegisterRequest>, "[]", "register payload must be an object"),
        (error::<RegisterRequest>, r#"{"name":"n"}"#, "agent_id is required"),
        (
            error::<RegisterRequest>,
            r#"{"agent_id":"a","capabilities":5}"#,
            "`capabilities` must be a list of texts",
        ),
        (error::<ResolveAccountRequest>, "5", "resolve payload must be an object"),
        (
            error::<ResolveAccountRequest>,
            r#"{"username":"!!"}"#,
            "username is required",
        ),
        (error::<ResolveKeyRequest>, "null", "resolve payload must be an object"),
        (
            error::<ResolveKeyRequest>,
            r#"{"account_id":" \u001c"}"#,
            "account_id is required",
        ),
        (error::<SearchRequest>, "\"\"", "search payload must be an object"),
        (error::<SearchRequest>, r#"{"limit":1e400}"#, "limit is out of range"),
        (error::<ProfileRequest>, "true", "profile payload must be an object"),
        (error::<ProfileRequest>, "", "account_id or username is required"),
        (
            error::<ThreadStatusRequest>,
            "[]",
            "thread_status payload must be an object",
        ),
        (error::<ThreadStatusRequest>, "{}", "thread_id is required"),
        (
            error::<ThreadStatusRequest>,
            r#"{"thread_id":"t","hard_limit_tokens":-Infinity}"#,
            "hard_limit_tokens is out of range",
        ),
        (
            error::<ThreadListRequest>,
            "[]",
            "thread_list payload must be an object",
        ),
        (
            error::<ThreadMessagesRequest>,
            "[]",
            "thread_messages payload must be an object",
        ),
        (
            error::<ThreadMessagesRequest>,
            r#"{"thread_id":""}"#,
            "thread_id is required",
        ),
        (
            error::<MessageSearchRequest>,
            "[]",
            "message_search payload must be an object",
        ),
        (
            error::<ListRequest>,
            "{",
            "invalid JSON at byte 1: expected a member name in quotes",
        ),
        (
            error::<MetricsRequest>,
            "nope",
            "invalid JSON at byte 0: expected a value",
        ),
    ];
    for (error, body, expected) in cases {
        assert_eq!(error(body), format!(r#"{{"error":"{expected}"}}"#), "{body}");
    }
    for (body, fault) in [("{", true), (r#"{"limit":1e400}"#, true), ("[]", false)] {
        assert_eq!(
            decode_request::<SearchRequest>(body.as_bytes()).unwrap_err().is_fault(),
            fault,
            "{body}"
        );
    }
    let garbage = decode_request::<SearchRequest>(b"\xff\xfe").unwrap_err();
    assert_eq!(garbage.encode(), r#"{"error":"the body is not valid UTF-8"}"#);
    assert_eq!(RpcError::NOT_FOUND.encode(), r#"{"error":"not_found"}"#);
    assert_eq!(RpcError::CURSOR_INVALID.encode(), r#"{"error":"cursor_invalid"}"#);
}

#[test]
fn errors_of_replies() {
    let refused = decode_reply::<ListRequest>(br#"{"error":"search_failed","generated_at":""}"#);
    assert_eq!(refused, Err(ReplyError::Refused("search_failed".to_owned())));
    assert_eq!(
        decode_reply::<ListRequest>(br#"{"error":null,"agents":[]}"#),
        Ok(ListReply::default())
    );
    // What others answer: a stream's confirmation, an error of the server's API, nothing.
    for strange in [
        r#"{"stream":"BACKUP","seq":7}"#,
        r#"{"error":{"code":404}}"#,
        r#"{"error":null}"#,
        "{}",
    ] {
        let missing = DecodeError::Member {
            member: "agents",
            problem: "is missing",
        };
        assert_eq!(
            decode_reply::<ListRequest>(strange.as_bytes()),
            Err(ReplyError::Invalid(missing)),
            "{strange}"
        );
    }
    assert_eq!(
        decode_reply::<ListRequest>(b"[]"),
        Err(ReplyError::Invalid(DecodeError::NotAnObject))
    );
    assert!(matches!(
        decode_reply::<ListRequest>(b"{"),
        Err(ReplyError::Invalid(DecodeError::Json(_)))
    ));
}

/// "L or N", then the integer, then the clamp; the token limits without the "or" (sections 1 and 6).
#[test]
fn limits() {
    let cases = [
        ("null", 20),
        ("0", 20),
        ("\"\"", 20),
        ("false", 20),
        ("[]", 20),
        ("\"many\"", 20),
        ("NaN", 20),
        ("-3", 1),
        ("1", 1),
        ("true", 1),
        ("\" 7 \"", 7),
        ("7.9", 7),
        ("0.5", 1),
        ("\"0\"", 1),
        ("101", 100),
        ("1e300", 100),
        ("99999999999999999999999999999999999999999999", 100),
    ];
    for (limit, expected) in cases {
        let body = format!(r#"{{"limit":{limit}}}"#);
        assert_eq!(
            decode_request::<SearchRequest>(body.as_bytes()).unwrap().limit,
            expected,
            "{limit}"
        );
        assert_eq!(
            decode_request::<ThreadListRequest>(body.as_bytes()).unwrap().limit,
            expected,
            "{limit}"
        );
    }
    let history = decode_request::<MessageSearchRequest>(br#"{"limit":1000}"#).unwrap();
    assert_eq!(
        (
            history.limit,
            decode_request::<MessageSearchRequest>(b"").unwrap().limit
        ),
        (200, 50)
    );

    let resolved = |soft: &str, hard: &str| {
        let body = format!(r#"{{"thread_id":"t","soft_limit_tokens":{soft},"hard_limit_tokens":{hard}}}"#);
        decode_request::<ThreadStatusRequest>(body.as_bytes())
            .unwrap()
            .limits
            .resolve(50, 60)
    };
    assert_eq!(resolved("null", "\"x\""), (50, 60));
    assert_eq!(resolved("0", "0"), (1, 1));
    assert_eq!(resolved("-5", "-5"), (1, 1));
    assert_eq!(resolved("70", "null"), (70, 70));
    assert_eq!(resolved("99999999999999999999", "1"), (i64::MAX, i64::MAX));
}
