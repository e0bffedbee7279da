//! Properties of any text: no panic, deep nesting fits a thread's stack, forms are stable.

use super::*;
use crate::rpc::{self, decode_request};
use crate::{AgentInfo, Envelope, RawJson, Receipt};

/// Half of what a thread gets by default, here and in a tokio worker; the other half is left to the caller.
const STACK: usize = 1 << 20;

/// `levels` arrays or objects inside each other.
fn nested(levels: usize, open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap();
    thread.join().expect("the work ends without a panic");
}

/// Does with a text all that this crate does with texts.
fn exercise(text: &str) {
    let Ok(value) = Value::parse(text) else { return };
    let canonical = canonical(&value);
    let again = Value::parse(&canonical).expect("the canonical form is JSON");
    assert_eq!(super::canonical(&again), canonical, "canonical form of {text}");
    let wire = wire(&value);
    let again = Value::parse(&wire).expect("the wire form is JSON");
    assert_eq!(super::wire(&again), wire, "wire form of {text}");
    assert_eq!(
        super::canonical(&again),
        canonical,
        "canonical form of the wire form of {text}"
    );
    assert!(wire.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{wire}");
    let persisted = persisted(&value);
    assert_eq!(persisted.len(), persisted_len(&value), "size of {text}");
    let again = Value::parse(&persisted).expect("the persisted form is JSON");
    assert_eq!(super::wire(&again), wire, "wire form of the persisted form of {text}");
    let escaped = ascii(text);
    let again = Value::parse(&escaped).expect("escaping keeps JSON");
    assert_eq!(super::wire(&again), wire, "wire form of the escaped {text}");

    let _ = (
        value.text(),
        value.opt_text(),
        value.python_text(),
        value.int(),
        value.is_truthy(),
    );
    let raw = RawJson::parse(text.to_owned()).expect("it was read before");
    assert_eq!(raw.view(), value);
    let reread = RawJson::parse(raw.get().to_owned()).expect("its own text");
    assert_eq!(reread, raw);
}

/// Gives a body to everything that reads bodies.
fn read_as_everything(body: &[u8]) {
    if let Ok(envelope) = Envelope::decode(body.to_vec()) {
        let written = envelope.encode();
        let again = Envelope::decode(written.clone()).expect("our own text");
        assert_eq!(again.encode(), written);
    }
    if let Ok(receipt) = Receipt::decode(body.to_vec()) {
        assert_eq!(Receipt::decode(receipt.encode()).as_ref(), Ok(&receipt));
    }
    if let Ok(Some(object)) = Object::parse_body(body) {
        let _ = AgentInfo::decode(&object);
        let _ = rpc::Goodbye::decode(&object);
    }
    let _ = decode_request::<rpc::RegisterRequest>(body);
    let _ = decode_request::<rpc::ListRequest>(body);
    let _ = decode_request::<rpc::SearchRequest>(body);
    let _ = decode_request::<rpc::ProfileRequest>(body);
    let _ = decode_request::<rpc::ThreadStatusRequest>(body);
    let _ = decode_request::<rpc::ThreadListRequest>(body);
    let _ = decode_request::<rpc::MessageSearchRequest>(body);
}

#[test]
fn the_deepest_nesting_fits_half_a_threads_stack() {
    for (open, close) in [
        ("[", "]"),
        ("{\"a\":", "}"),
        ("[ {\"\\u0061\" :", "} ]"),
        ("[0,{\"b\":1,\"a\":", "},0]"),
    ] {
        let levels = if open.contains('[') && open.contains('{') {
            495
        } else {
            990
        };
        on_small_stack(move || {
            let text = nested(levels, open, close);
            assert!(Value::parse(&text).is_ok());
            exercise(&text);
            let deeper = format!("[{text}]");
            assert!(matches!(Value::parse(&deeper), Err(JsonError::Depth { .. })));
        });
        on_small_stack(move || {
            // One level less: the envelope itself is one.
            let levels = if levels == 990 { 989 } else { 494 };
            let body = format!(r#"{{"message_id":"m","payload":{}}}"#, nested(levels, open, close));
            let envelope = Envelope::decode(body.clone()).expect("it is as deep as allowed");
            assert_eq!(envelope.payload.get(), nested(levels, open, close));
            read_as_everything(body.as_bytes());
            let id = format!(r#"{{"message_id":{}}}"#, nested(levels, open, close));
            assert!(Envelope::decode(id).is_ok_and(|envelope| !envelope.message_id.is_empty()));
        });
    }
}

#[test]
fn a_value_fits_inside_others_as_long_as_all_of_it_can_be_read() {
    let arrays = |levels| nested(levels, "[", "]");
    for (text, levels, fits) in [
        (arrays(990), 0, true),
        (arrays(990), 1, false),
        (arrays(989), 1, true),
        (format!(r#"[0,{},{{"a":"]]"}}]"#, arrays(988)), 1, true),
        (format!(r#"[0,{},{{"a":"]]"}}]"#, arrays(989)), 1, false),
        (format!(r#"{{"a":"{}"}}"#, "[".repeat(5_000)), 1, true),
        (format!("[{}0]", "[],".repeat(5_000)), 988, true),
        (format!("[{}0]", "[],".repeat(5_000)), 989, false),
    ] {
        let value = RawJson::parse(text.clone()).expect("it can be read alone");
        assert_eq!(value.fits_inside(levels), fits, "{} bytes inside {levels}", text.len());
        if levels == 1 {
            let message = format!(r#"{{"payload":{text}}}"#);
            assert_eq!(Envelope::decode(message).is_ok(), fits);
        }
    }
}

#[test]
fn endless_nesting_is_refused_before_it_costs_stack() {
    on_small_stack(|| {
        for unit in ["[", "{\"a\":", "[{\"a\":"] {
            let text = unit.repeat(200_000);
            assert!(matches!(Value::parse(&text), Err(JsonError::Depth { .. })), "{unit}");
            assert!(Envelope::decode(text).is_err());
        }
    });
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// JSON text, or nearly: now and then a scalar or a separator is one that JSON forbids.
    fn json(&mut self, depth: usize, out: &mut String) {
        const SCALARS: &[&str] = &[
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1",
            "-17",
            "1.0",
            "1e0",
            "-0.0",
            "1e400",
            "-1E-400",
            "5e-324",
            "1e16",
            "0.1",
            "123456789012345678901234567890",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e22",
            "9007199254740993.0",
            "01",
            "1.",
            "+1",
        ];
        const SPACES: &[&str] = &["", "", "", " ", "\n", "\t \r"];
        match self.below(if depth == 0 { 2 } else { 5 }) {
            0 => out.push_str(self.pick(SCALARS)),
            1 => self.string(out),
            kind => {
                let (open, close) = if kind == 2 { ("[", "]") } else { ("{", "}") };
                out.push_str(open);
                for index in 0..self.below(5) {
                    if index > 0 {
                        out.push_str(if self.below(60) == 0 { ";" } else { "," });
                    }
                    out.push_str(self.pick(SPACES));
                    if kind > 2 {
                        self.string(out);
                        out.push_str(self.pick(SPACES));
                        out.push(':');
                    }
                    self.json(depth - 1, out);
                    out.push_str(self.pick(SPACES));
                }
                out.push_str(close);
            }
        }
    }

    fn string(&mut self, out: &mut String) {
        // Few and short, so that equal names in different spellings meet in one object.
        const PARTS: &[&str] = &[
            "a",
            "\\u0061",
            "b",
            "payload",
            "é",
            "\\u00e9",
            "\u{1F600}",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\ude00",
            "\u{FFFF}",
            "\\uffff",
            "\u{FFFD}",
            "\\n",
            "\\/",
            "/",
            "\\\"",
            "\\\\",
            "\u{7f}",
            "\\u007f",
            "\\u0000",
            "'",
            "ttl_ms",
            "message_id",
            "\\b\\f\\r\\t",
        ];
        out.push('"');
        for _ in 0..self.below(4) {
            out.push_str(self.pick(PARTS));
        }
        out.push('"');
    }

    /// Changes, drops or repeats some bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes.truncate(at),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\"\\{}[],:u-.e0"[self.below(13)]),
            }
        }
    }
}

#[test]
fn random_json_keeps_its_forms() {
    let mut random = Random(0x5eed_0001);
    let mut read = 0;
    for _ in 0..6000 {
        let mut text = String::new();
        random.json(5, &mut text);
        read += usize::from(Value::parse(&text).is_ok());
        exercise(&text);
        read_as_everything(text.as_bytes());
    }
    assert!(read > 3000, "only {read} of the texts were JSON");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = Random(0x5eed_0002);
    for round in 0..6000 {
        let mut bytes = if round % 3 == 0 {
            (0..random.below(80)).map(|_| random.next() as u8).collect()
        } else {
            let mut text = String::from("{\"message_id\":\"m\",\"payload\":");
            random.json(4, &mut text);
            text.push_str(",\"ttl_ms\":");
            random.json(1, &mut text);
            text.push('}');
            text.into_bytes()
        };
        random.damage(&mut bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            exercise(text);
        }
        read_as_everything(&bytes);
    }
}

#[test]
fn what_the_grammar_refuses() {
    let refused = [
        "",
        " ",
        "\u{feff}{}",
        "nul",
        "True",
        "'a'",
        "{a:1}",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\" 1}",
        "{}x",
        "{} {}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e1",
        "1e",
        "1e+",
        "0x10",
        "-NaN",
        "inf",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "// c\n1",
        "[1] // c",
        "[",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "\"\\\"",
    ];
    for text in refused {
        assert!(Value::parse(text).is_err(), "{text:?}");
        assert!(
            Object::parse_body(text.as_bytes()).is_err() || text.is_empty(),
            "{text:?}"
        );
    }
    assert!(matches!(Object::parse_body(b""), Ok(Some(object)) if object.is_empty()));
    assert_eq!(
        Value::parse("[1,]"),
        Err(JsonError::Syntax {
            offset: 3,
            expected: "a value"
        })
    );
}

#[test]
fn integers_of_4300_digits_are_read_and_longer_ones_refused() {
    let longest = format!("-{}", "9".repeat(4300));
    assert_eq!(wire(&Value::parse(&longest).unwrap()), longest);
    assert_eq!(
        Value::parse(&format!("{longest}0")),
        Err(JsonError::IntegerTooLong { offset: 0 })
    );
    let quoted = |digits: usize| format!("\"{}\"", "1".repeat(digits));
    assert_eq!(
        Value::parse(&quoted(4300)).unwrap().int(),
        Ok(Some(i128::MAX)),
        "saturates"
    );
    assert_eq!(
        Value::parse(&quoted(4301)).unwrap().int(),
        Ok(None),
        "as the original, the default applies"
    );
    // A double may be as long as it likes.
    assert!(Value::parse(&format!("{longest}0.0")).is_ok());
}

#[test]
fn of_equal_names_the_last_one_counts_at_the_first_place() {
    let value = Value::parse(r#"{"a":1,"b":2,"\u0061":3,"\ud83d\ude00":4,"😀":5}"#).unwrap();
    assert_eq!(wire(&value), r#"{"a":3,"b":2,"\ud83d\ude00":5}"#);
    let object = value.as_object().unwrap();
    assert_eq!(
        (object.get("a").raw(), object.get("😀").raw(), object.get("c").raw()),
        ("3", "5", "null")
    );
    assert_eq!(object.iter().count(), 5);
}
