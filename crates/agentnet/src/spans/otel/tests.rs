use super::*;

#[test]
fn names_of_headers_have_no_case_and_keep_their_values() {
    let mut headers = HeaderMap::new();
    headers.insert("Traceparent", "00-1");
    assert_eq!(Reader(&headers).get("traceparent"), Some("00-1"));
    assert_eq!(Reader(&headers).get("tracestate"), None);
    assert_eq!(Reader(&headers).keys(), ["Traceparent"]);
}

#[test]
fn what_cannot_be_a_header_is_left_out() {
    let mut headers = HeaderMap::new();
    let mut writer = Writer(&mut headers);
    writer.set("traceparent", "00-1".to_owned());
    writer.set("tracestate", String::new());
    writer.set("no header", "a\r\nb".to_owned());
    writer.set("a:b", "c".to_owned());
    assert_eq!(headers.len(), 1);
    assert_eq!(headers.get("traceparent").map(HeaderValue::as_str), Some("00-1"));
}

#[test]
fn without_a_span_nothing_is_written() {
    assert_eq!(headers(), None);
}
