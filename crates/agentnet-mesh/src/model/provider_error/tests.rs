use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;

use super::{ErrorBody, MAX_SHOWN, shown};
use crate::model::ModelErrorKind;
use crate::model::ModelErrorKind::{Auth, ContextOverflow, InvalidRequest, RateLimited, Refused, Server, Timeout};

#[rstest]
#[case::openai_rate(
    429,
    r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
    RateLimited
)]
#[case::openai_quota(
    429,
    r#"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#,
    Auth
)]
#[case::openai_key(401, r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#, Auth)]
#[case::forbidden(403, "", Auth)]
#[case::unpaid(402, "", Auth)]
#[case::anthropic_unpaid(
    400,
    r#"{"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}"#,
    Auth
)]
#[case::openai_overflow(
    400,
    r#"{"error":{"message":"too much","code":"context_length_exceeded"}}"#,
    ContextOverflow
)]
#[case::anthropic_overflow(400,
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
    ContextOverflow)]
#[case::llama_overflow(400,
    r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
    ContextOverflow)]
#[case::vllm_overflow(
    400,
    r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","code":400}"#,
    ContextOverflow
)]
#[case::rate_of_long_contexts(
    429,
    r#"{"error":{"message":"too many tokens for this context window"}}"#,
    RateLimited
)]
#[case::azure_filter(400, r#"{"error":{"message":"filtered","code":"content_filter"}}"#, Refused)]
#[case::invalid(400, r#"{"error":{"message":"bad"}}"#, InvalidRequest)]
#[case::not_found(404, "", InvalidRequest)]
#[case::too_large(413, r#"{"error":{"type":"request_too_large","message":"32 MB"}}"#, InvalidRequest)]
#[case::unprocessable(422, r#"{"detail":[{"loc":["body","x"],"msg":"Field required"}]}"#, InvalidRequest)]
#[case::redirect(301, "", InvalidRequest)]
#[case::timeout(408, "", Server)]
#[case::conflict(409, "", Server)]
#[case::too_early(425, "", Server)]
#[case::internal(500, "<html>oops</html>", Server)]
#[case::bad_gateway(502, "", Server)]
#[case::overloaded(
    529,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    Server
)]
fn kinds_of_responses(#[case] status: u16, #[case] body: &str, #[case] expected: ModelErrorKind) {
    let error = ErrorBody::from_bytes(body.as_bytes()).into_status_error(StatusCode::from_u16(status).unwrap());
    assert_eq!((error.kind, error.status), (expected, Some(status)));
}

#[rstest]
#[case::anthropic(
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    Server,
    None
)]
#[case::anthropic_api(
    r#"{"type":"error","error":{"type":"api_error","message":"Internal"}}"#,
    Server,
    None
)]
#[case::anthropic_rate(
    r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
    RateLimited,
    None
)]
#[case::anthropic_timeout(r#"{"type":"error","error":{"type":"timeout_error","message":"x"}}"#, Timeout, None)]
#[case::anthropic_request(
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#,
    InvalidRequest,
    None
)]
#[case::responses(
    r#"{"type":"error","code":"rate_limit_exceeded","message":"x","param":null}"#,
    RateLimited,
    None
)]
#[case::responses_server(r#"{"code":"server_error","message":"x"}"#, Server, None)]
#[case::openrouter(r#"{"error":{"code":429,"message":"x"}}"#, RateLimited, Some(429))]
#[case::llama(
    r#"{"error":{"code":500,"message":"context size exceeded","type":"server_error"}}"#,
    ContextOverflow,
    Some(500)
)]
#[case::text(r#"{"error":"out of memory"}"#, Server, None)]
#[case::nothing("{}", Server, None)]
fn kinds_of_events(#[case] event: &str, #[case] kind: ModelErrorKind, #[case] status: Option<u16>) {
    let error = ErrorBody::from_value(&serde_json::from_str::<Value>(event).unwrap()).into_stream_error();
    assert_eq!((error.kind, error.status), (kind, status));
}

#[rstest]
#[case(r#"{"error":{"message":"a"}}"#, "a")]
#[case(r#"[{"error":{"message":"a"}}]"#, "a")]
#[case(r#"{"error":"a"}"#, "a")]
#[case(r#"{"message":"a"}"#, "a")]
#[case(r#"{"detail":"a"}"#, "a")]
#[case(
    r#"{"detail":[{"loc":["body","x"],"msg":"Field required"},{"msg":"b"}]}"#,
    "body.x: Field required; b"
)]
#[case("no JSON", "no JSON")]
#[case("", "")]
#[case("[]", "")]
#[case("7", "")]
fn messages(#[case] body: &str, #[case] expected: &str) {
    assert_eq!(ErrorBody::from_bytes(body.as_bytes()).message, expected);
}

#[test]
fn a_message_is_shown_with_its_status() {
    let body = ErrorBody::from_bytes(br#"{"error":{"message":"no\u0000 \u202esuch\nmodel"}}"#);
    let error = body.into_status_error(StatusCode::NOT_FOUND);
    assert_eq!(error.message, "the provider answered 404 Not Found: no such model");
}

#[rstest]
#[case("", "")]
#[case(" a \r\n\t b\u{1b}[31m ", "a b [31m")]
#[case("a\u{200b}b", "ab")]
fn shown_texts(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(text), expected);
}

#[test]
fn a_shown_text_is_short() {
    assert_eq!(shown(&"ä".repeat(MAX_SHOWN - 1)).chars().count(), MAX_SHOWN - 1);
    let cut = shown(&"ä".repeat(10_000));
    assert_eq!(cut.chars().count(), MAX_SHOWN);
    assert!(cut.ends_with('…'));
}
