//! Measures runs of ordinary bytes, sixteen at a time, so that the compiler emits vector instructions.

const STEP: usize = 16;

/// The number of bytes at the front that are all ordinary.
#[inline]
pub(super) fn run(bytes: &[u8], ordinary: impl Fn(u8) -> bool) -> usize {
    let steps = bytes
        .chunks_exact(STEP)
        .take_while(|step| step.iter().fold(true, |all, byte| all & ordinary(*byte)))
        .count();
    let at = steps * STEP;
    let rest = &bytes[at..];
    at + rest.iter().position(|byte| !ordinary(*byte)).unwrap_or(rest.len())
}

/// Whether any JSON string literal may contain the byte unescaped.
#[inline]
pub(super) fn in_literal(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Whether the wire's string literals, which are ASCII, contain the byte unescaped.
#[inline]
pub(super) fn in_ascii_literal(byte: u8) -> bool {
    in_literal(byte) & (byte < 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_that_is_not_ordinary() {
        for length in 0..70 {
            let plain = vec![b'x'; length];
            assert_eq!(run(&plain, in_literal), length);
            for end in 0..length {
                for byte in [b'"', b'\\', 0x1f] {
                    let mut bytes = plain.clone();
                    bytes[end] = byte;
                    assert_eq!(run(&bytes, in_literal), end, "{byte} at {end} of {length}");
                }
                let mut bytes = plain.clone();
                bytes[end] = 0xc3;
                assert_eq!(run(&bytes, in_literal), length, "text of any language is ordinary");
                assert_eq!(run(&bytes, in_ascii_literal), end);
                bytes[end] = 0x7f;
                assert_eq!(run(&bytes, in_ascii_literal), end, "DEL is escaped");
            }
        }
    }
}
