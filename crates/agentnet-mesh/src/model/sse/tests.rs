use rstest::rstest;

use super::{EventTooLong, MAX_EVENT_BYTES, SseEvent, SseParser};

/// Parses a stream that comes in pieces of `size` bytes.
fn parse(bytes: &[u8], size: usize) -> Vec<(String, String)> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(size) {
        parser.push(piece, &mut events).unwrap();
    }
    parser.finish(&mut events);
    events.into_iter().map(|SseEvent { name, data }| (name, data)).collect()
}

#[rstest]
#[case::one_event(b"data: a\n\n", &[("", "a")])]
#[case::named(b"event: ping\ndata: {}\n\n", &[("ping", "{}")])]
#[case::no_space_after_the_colon(b"event:ping\ndata:{}\n\n", &[("ping", "{}")])]
#[case::only_one_space_is_cut(b"data:  a \n\n", &[("", " a ")])]
#[case::crlf(b"event: e\r\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", &[("e", "a\nb"), ("", "c")])]
#[case::cr(b"data: a\rdata: b\r\rdata: c\r\r", &[("", "a\nb"), ("", "c")])]
#[case::mixed_line_ends(b"data: a\r\n\ndata: b\n\r\n", &[("", "a"), ("", "b")])]
#[case::several_lines_of_data(b"data: a\ndata:\ndata: b\n\n", &[("", "a\n\nb")])]
#[case::comments(b": keep-alive\n\n:\ndata: a\n: more\n\n", &[("", "a")])]
#[case::bom(b"\xef\xbb\xbfdata: a\n\n", &[("", "a")])]
#[case::bom_only_at_the_start(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", &[("", "a")])]
#[case::field_without_colon(b"data\n\ndata\ndata\n\n", &[("", ""), ("", "\n")])]
#[case::unknown_fields(b"id: 7\nretry: 10\nfoo: bar\ndata: a\n\n", &[("", "a")])]
#[case::name_without_data(b"event: e\n\ndata: a\n\n", &[("", "a")])]
#[case::colon_in_the_value(b"data: {\"a\":1}\n\n", &[("", "{\"a\":1}")])]
#[case::several_characters("data: Zoë 😀\n\n".as_bytes(), &[("", "Zoë 😀")])]
#[case::not_utf8(b"data: a\xffb\n\n", &[("", "a\u{fffd}b")])]
#[case::no_blank_line_at_the_end(b"data: a\n\ndata: [DONE]", &[("", "a"), ("", "[DONE]")])]
#[case::no_blank_line_after_crlf(b"data: [DONE]\r\n", &[("", "[DONE]")])]
#[case::nothing(b"", &[])]
#[case::blank_lines(b"\n\r\n\r\r\n", &[])]
fn events(#[case] bytes: &[u8], #[case] expected: &[(&str, &str)], #[values(1, 2, 3, 5, 64)] size: usize) {
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(name, data)| ((*name).into(), (*data).into()))
        .collect();
    assert_eq!(parse(bytes, size), expected);
}

#[rstest]
#[case::a_line_without_end(b"data: ".as_slice(), b"aaaaaaaa".as_slice())]
#[case::data_without_end(b"", b"data: aaaaaaaa\n")]
#[case::a_comment_without_end(b":", b"aaaaaaaa")]
fn an_endless_event_is_refused(#[case] start: &[u8], #[case] piece: &[u8]) {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    parser.push(start, &mut events).unwrap();
    let piece = piece.repeat(1 << 12);
    let refused = (0..)
        .take(MAX_EVENT_BYTES / 1024)
        .find_map(|_| parser.push(&piece, &mut events).err());
    assert_eq!(refused, Some(EventTooLong));
    assert_eq!(events, []);
}

#[test]
fn the_bound_is_for_one_event_and_not_for_the_stream() {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    let event = [b"data: ".as_slice(), &[b'a'; 1 << 20], b"\n\n"].concat();
    for _ in 0..20 {
        parser.push(&event, &mut events).unwrap();
        assert_eq!(events.pop().unwrap().data.len(), 1 << 20);
    }
}
