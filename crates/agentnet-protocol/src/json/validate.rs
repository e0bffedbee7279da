//! The grammar: where a value ends, and whether it is one.

use super::JsonError;
use super::byte_run::{in_literal, run};

/// Levels of arrays and objects that a text may have: nesting that CPython's recursion limit still allows in practice.
pub const MAX_DEPTH: usize = 990;
/// Beyond this CPython refuses to convert decimal digits.
pub(super) const MAX_INTEGER_DIGITS: usize = 4300;

fn syntax<T>(offset: usize, expected: &'static str) -> Result<T, JsonError> {
    Err(JsonError::Syntax { offset, expected })
}

/// The offset of the first byte at or after `pos` that is not JSON white space.
pub(super) fn skip_space(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(pos) {
        pos += 1;
    }
    pos
}

/// Checks that the text is exactly one value and returns the span without the white space around it.
pub(super) fn document(bytes: &[u8]) -> Result<(usize, usize), JsonError> {
    let start = skip_space(bytes, 0);
    let end = value(bytes, start, 0)?;
    let rest = skip_space(bytes, end);
    if rest != bytes.len() {
        return syntax(rest, "the end of the text");
    }
    Ok((start, end))
}

/// Whether a text that was checked before is shallow enough to stand inside `levels` arrays and objects.
pub(super) fn fits_inside(text: &str, levels: usize) -> bool {
    // Each level is two bytes at least.
    text.len() <= 2 * MAX_DEPTH.saturating_sub(levels)
        || !matches!(value(text.as_bytes(), 0, levels), Err(JsonError::Depth { .. }))
}

/// The offset just behind the value that starts at `pos`, which stands inside `depth` arrays and objects.
pub(super) fn value(bytes: &[u8], pos: usize, depth: usize) -> Result<usize, JsonError> {
    match bytes.get(pos) {
        Some(b'[' | b'{') => container(bytes, pos, depth),
        _ => scalar(bytes, pos),
    }
}

fn scalar(bytes: &[u8], pos: usize) -> Result<usize, JsonError> {
    match bytes.get(pos) {
        Some(b'"') => string(bytes, pos),
        Some(b'-' | b'0'..=b'9') => number(bytes, pos),
        Some(b't') => literal(bytes, pos, "true"),
        Some(b'f') => literal(bytes, pos, "false"),
        Some(b'n') => literal(bytes, pos, "null"),
        Some(b'N') => literal(bytes, pos, "NaN"),
        Some(b'I') => literal(bytes, pos, "Infinity"),
        _ => syntax(pos, "a value"),
    }
}

fn literal(bytes: &[u8], pos: usize, word: &'static str) -> Result<usize, JsonError> {
    if bytes[pos..].starts_with(word.as_bytes()) {
        Ok(pos + word.len())
    } else {
        syntax(pos, "a value")
    }
}

/// The offset just behind the string whose opening quote is at `pos`.
pub(super) fn string(bytes: &[u8], pos: usize) -> Result<usize, JsonError> {
    let mut at = pos + 1;
    loop {
        at += run(&bytes[at..], in_literal);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(_) => return syntax(at, "no control character in a string"),
            None => return syntax(at, "the closing quote of a string"),
        }
    }
}

fn escape(bytes: &[u8], pos: usize) -> Result<usize, JsonError> {
    match bytes.get(pos + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(pos + 2),
        Some(b'u') => match bytes.get(pos + 2..pos + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(pos + 6),
            _ => syntax(pos, "four hexadecimal digits after \\u"),
        },
        _ => syntax(pos, "a valid escape"),
    }
}

fn number(bytes: &[u8], pos: usize) -> Result<usize, JsonError> {
    let digits = if bytes[pos] == b'-' { pos + 1 } else { pos };
    let mut at = match bytes.get(digits) {
        Some(b'0') => digits + 1,
        Some(b'1'..=b'9') => skip_digits(bytes, digits),
        Some(b'I') if digits > pos => return literal(bytes, digits, "Infinity"),
        _ => return syntax(digits, "a digit"),
    };
    let integer_digits = at - digits;
    let mut is_integer = true;
    if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        at = skip_digits(bytes, at + 1);
        is_integer = false;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
            at = skip_digits(bytes, at + 1 + sign);
            is_integer = false;
        }
    }
    if is_integer && integer_digits > MAX_INTEGER_DIGITS {
        return Err(JsonError::IntegerTooLong { offset: pos });
    }
    Ok(at)
}

fn skip_digits(bytes: &[u8], mut pos: usize) -> usize {
    while bytes.get(pos).is_some_and(u8::is_ascii_digit) {
        pos += 1;
    }
    pos
}

/// Which of the open levels are objects: one bit each.
struct Levels {
    objects: [u64; MAX_DEPTH / 64 + 1],
    open: usize,
}

impl Levels {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.open / 64, 1 << (self.open % 64));
        if object {
            self.objects[word] |= bit
        } else {
            self.objects[word] &= !bit
        }
        self.open += 1;
    }

    /// Whether the innermost open level is an object; `None` when all are closed.
    fn innermost(&self) -> Option<bool> {
        let level = self.open.checked_sub(1)?;
        Some(self.objects[level / 64] & (1 << (level % 64)) != 0)
    }
}

/// The offset just behind the array or object at `pos`. A loop, not a recursion: nesting costs no stack.
fn container(bytes: &[u8], pos: usize, depth: usize) -> Result<usize, JsonError> {
    let mut levels = Levels {
        objects: [0; MAX_DEPTH / 64 + 1],
        open: 0,
    };
    let mut at = pos;
    'value: loop {
        match bytes.get(at) {
            Some(b'[' | b'{') if depth + levels.open >= MAX_DEPTH => return Err(JsonError::Depth { offset: at }),
            Some(b'[') => {
                levels.push(false);
                at = skip_space(bytes, at + 1);
                if bytes.get(at) != Some(&b']') {
                    continue;
                }
            }
            Some(b'{') => {
                levels.push(true);
                at = skip_space(bytes, at + 1);
                if bytes.get(at) != Some(&b'}') {
                    at = name(bytes, at)?.1;
                    continue;
                }
            }
            _ => at = scalar(bytes, at)?,
        }
        while let Some(in_object) = levels.innermost() {
            at = skip_space(bytes, at);
            match (bytes.get(at), in_object) {
                (Some(b','), false) => {
                    at = skip_space(bytes, at + 1);
                    continue 'value;
                }
                (Some(b','), true) => {
                    at = name(bytes, skip_space(bytes, at + 1))?.1;
                    continue 'value;
                }
                (Some(b']'), false) | (Some(b'}'), true) => {
                    at += 1;
                    levels.open -= 1;
                }
                (_, false) => return syntax(at, "`,` or `]`"),
                (_, true) => return syntax(at, "`,` or `}`"),
            }
        }
        return Ok(at);
    }
}

/// Reads a member's name and colon; returns the offset just behind the name, and where the value starts.
pub(super) fn name(bytes: &[u8], pos: usize) -> Result<(usize, usize), JsonError> {
    if bytes.get(pos) != Some(&b'"') {
        return syntax(pos, "a member name in quotes");
    }
    let end = string(bytes, pos)?;
    let colon = skip_space(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return syntax(colon, "`:`");
    }
    Ok((end, skip_space(bytes, colon + 1)))
}

/// Walks the members of the object at `pos` in one pass, calling `visit` with the spans of each key (with its quotes) and
/// value; returns the offset just behind the object.
pub(super) fn members(
    bytes: &[u8],
    pos: usize,
    depth: usize,
    mut visit: impl FnMut((usize, usize), (usize, usize)),
) -> Result<usize, JsonError> {
    if depth >= MAX_DEPTH {
        return Err(JsonError::Depth { offset: pos });
    }
    let mut at = skip_space(bytes, pos + 1);
    if bytes.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        let (key_end, start) = name(bytes, at)?;
        let end = value(bytes, start, depth + 1)?;
        visit((at, key_end), (start, end));
        at = skip_space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b'}') => return Ok(at + 1),
            _ => return syntax(at, "`,` or `}`"),
        }
    }
}
