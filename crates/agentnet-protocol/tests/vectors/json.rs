//! JSON: canonical form, wire form, sizes, doubles, coercion to integers.

use agentnet_protocol::RawJson;
use agentnet_protocol::canonical::{payload_sha256, sha256_hex};
use agentnet_protocol::json::{self, Kind, float_text};
use agentnet_protocol::thread::{self, DEFAULT_CHARS_PER_TOKEN};
use serde_json::Value;

use crate::loader::{Case, check_each};

#[test]
fn canonical_json() {
    check_each("canonical_json", |case| {
        let input = RawJson::parse(case.text("input_json").to_owned()).expect("the input is JSON");
        let value = input.view();
        let canonical = json::canonical(&value);
        assert_eq!(canonical, case.text("canonical"), "canonical");
        assert_eq!(payload_sha256(&value), case.text("sha256"), "sha256");
        assert_eq!(
            sha256_hex(canonical.as_bytes()),
            case.text("sha256"),
            "sha256 of the canonical text"
        );
        assert_eq!(json::wire(&value), case.text("wire_encoding"), "wire_encoding");
        assert_eq!(json::persisted(&value), case.text("persisted_text"), "persisted_text");
        assert_eq!(
            json::persisted_len(&value) as i64,
            case.int("persisted_byte_count"),
            "persisted_byte_count"
        );

        // Each form is JSON again, and means the same.
        for form in [
            canonical.as_str(),
            case.text("wire_encoding"),
            case.text("persisted_text"),
        ] {
            let again = json::Value::parse(form).expect("a form is JSON");
            assert_eq!(json::canonical(&again), canonical, "canonical form of {form}");
        }
        // Escaping alone changes neither white space nor numbers, and yields the same value.
        let escaped = json::ascii(input.get());
        assert!(escaped.bytes().all(|byte| byte < 0x7f));
        assert_eq!(
            json::canonical(&json::Value::parse(&escaped).expect("still JSON")),
            canonical,
            "ascii"
        );
    });
}

#[test]
fn float_format() {
    check_each("float_format", |case| {
        let bits = u64::from_str_radix(case.text("bits_hex"), 16).expect("64 bits in hexadecimal");
        let text = float_text(f64::from_bits(bits));
        assert_eq!(text, case.text("json"));
        // The text read from the wire and written again stays as it is, and is a double, not an integer.
        let value = json::Value::parse(&text).expect("a double is JSON");
        assert!(matches!(value.kind(), Kind::Float(_)));
        assert_eq!(json::wire(&value), text);
    });
}

#[test]
fn payload_byte_count() {
    check_each("payload_byte_count", |case| {
        let payload = json::Value::parse(case.text("payload_json")).expect("the payload is JSON");
        assert_eq!(json::persisted(&payload), case.text("persisted_text"));
        let bytes = i64::try_from(json::persisted_len(&payload)).unwrap();
        assert_eq!(bytes, case.int("byte_count"));
        assert_eq!(
            thread::estimate_tokens(bytes, DEFAULT_CHARS_PER_TOKEN),
            case.int("tokens_at_4")
        );
    });
}

/// Section 0, decision 3: an infinite number, on which the Python implementation gives no answer at all, is an error here.
#[test]
fn int_coercion() {
    check_each("int_coercion", |case| {
        let value = json::Value::parse(case.text("value_json")).expect("the value is JSON");
        let expected = match case.opt_text("python_int") {
            Some("OverflowError") => return assert_eq!(value.int(), Err(json::JsonError::Overflow)),
            Some(error) if error.ends_with("Error") => None,
            _ => Some(integer(case, "python_int")),
        };
        let read = value.int().expect("not an infinite number");
        assert_eq!(read, expected);
        assert_eq!(read.map_or(77, |n| n.max(0)), integer(case, "coerced_default_77"));
    });
}

/// A recorded integer; one beyond 64 bits may be written as text.
fn integer(case: Case<'_>, member: &str) -> i128 {
    match case.get(member) {
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(small), _, _) => small.into(),
            (_, Some(large), _) => large.into(),
            (_, _, huge) => huge.expect("a number") as i128,
        },
        Value::String(digits) => digits.parse().expect("an integer as text"),
        other => panic!("`{member}` is no integer: {other}"),
    }
}
