//! ASCII string literals: the escapes that Python's `json` writes (PROTOCOL.md section 4.2).

use super::byte_run::{in_ascii_literal, run};
use super::sink::Sink;
use super::text::{self, Piece};

/// Writes a string literal, quotes included, from the content of another one.
pub(super) fn literal(content: &str, out: &mut impl Sink) {
    out.push("\"");
    for piece in text::pieces(content) {
        match piece {
            Piece::Plain(run) => escape_into(run, out),
            Piece::Unit(unit) => unit_escape(unit, out),
        }
    }
    out.push("\"");
}

/// Writes text as the content of an ASCII string literal.
pub(super) fn escape_into(text: &str, out: &mut impl Sink) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(run(rest.as_bytes(), in_ascii_literal));
        out.push(plain);
        let mut characters = special.chars();
        let Some(character) = characters.next() else { return };
        char_escape(character, out);
        rest = characters.as_str();
    }
}

/// Writes one character, escaped where a literal needs it.
pub(super) fn char_escape(c: char, out: &mut impl Sink) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        unit_escape(*unit, out);
    }
}

fn unit_escape(unit: u16, out: &mut impl Sink) {
    match unit {
        0x22 => out.push("\\\""),
        0x5c => out.push("\\\\"),
        0x0a => out.push("\\n"),
        0x0d => out.push("\\r"),
        0x09 => out.push("\\t"),
        0x0c => out.push("\\f"),
        0x08 => out.push("\\b"),
        0x20..=0x7e => out.push(char::from(unit as u8).encode_utf8(&mut [0; 4])),
        _ => out.push(&format!("\\u{unit:04x}")),
    }
}
