//! The characters of a JSON string literal.

use std::borrow::Cow;

/// One piece of a string literal's content.
pub(super) enum Piece<'a> {
    /// A run without escapes.
    Plain(&'a str),
    /// A UTF-16 code unit or character that was written as an escape.
    Unit(u16),
}

/// Iterates over the content of a validated literal (given without its quotes).
pub(super) fn pieces(content: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let plain = rest.find('\\').unwrap_or(rest.len());
        if plain > 0 {
            let (run, tail) = rest.split_at(plain);
            rest = tail;
            return Some(Piece::Plain(run));
        }
        let bytes = rest.as_bytes();
        let (unit, length) = match bytes[1] {
            b'b' => (8, 2),
            b'f' => (12, 2),
            b'n' => (10, 2),
            b'r' => (13, 2),
            b't' => (9, 2),
            b'u' => (u16::from_str_radix(&rest[2..6], 16).unwrap_or_default(), 6),
            other => (u16::from(other), 2),
        };
        rest = &rest[length..];
        Some(Piece::Unit(unit))
    })
}

/// The decoded text; a lone surrogate, which Rust text cannot hold, becomes U+FFFD.
pub(super) fn decode(content: &str) -> Cow<'_, str> {
    if !content.contains('\\') {
        return Cow::Borrowed(content);
    }
    let mut out = String::with_capacity(content.len());
    let mut units: Vec<u16> = Vec::new();
    let flush = |units: &mut Vec<u16>, out: &mut String| {
        if !units.is_empty() {
            out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
    };
    for piece in pieces(content) {
        match piece {
            Piece::Plain(run) => {
                flush(&mut units, &mut out);
                out.push_str(run);
            }
            Piece::Unit(unit) => units.push(unit),
        }
    }
    flush(&mut units, &mut out);
    Cow::Owned(out)
}

/// The decoded key as bytes that sort by code point, lone surrogates included (generalised UTF-8).
pub(super) fn sort_key(content: &str) -> Cow<'_, [u8]> {
    if !content.contains('\\') {
        return Cow::Borrowed(content.as_bytes());
    }
    let mut out = Vec::with_capacity(content.len());
    let mut high: Option<u16> = None;
    for piece in pieces(content) {
        match piece {
            Piece::Plain(run) => {
                push_lone(&mut out, high.take());
                out.extend_from_slice(run.as_bytes());
            }
            Piece::Unit(unit) => match (high.take(), unit) {
                (Some(first), 0xdc00..=0xdfff) => {
                    let code = 0x10000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                    push_code(&mut out, code);
                }
                (previous, 0xd800..=0xdbff) => {
                    push_lone(&mut out, previous);
                    high = Some(unit);
                }
                (previous, other) => {
                    push_lone(&mut out, previous);
                    push_code(&mut out, u32::from(other));
                }
            },
        }
    }
    push_lone(&mut out, high);
    Cow::Owned(out)
}

fn push_lone(out: &mut Vec<u8>, unit: Option<u16>) {
    if let Some(unit) = unit {
        push_code(out, u32::from(unit));
    }
}

fn push_code(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        // A surrogate: the same three-byte layout that UTF-8 would give its code point.
        None => out.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | ((code >> 6) & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}
