//! Base64 as Python reads it, for cursors, keys and signatures (PROTOCOL.md sections 6.1 and 13.1).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new());
const PLAIN: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Base64url without padding: keys and signatures.
pub(crate) fn encode(bytes: &[u8]) -> String {
    PLAIN.encode(bytes)
}

/// Base64url with padding: cursors.
pub(crate) fn encode_padded(bytes: &[u8]) -> String {
    PADDED.encode(bytes)
}

/// Both alphabets are read, characters of neither are skipped, what stands behind the padding is not looked at; `None` where
/// the text is not ASCII or its length is wrong.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    let mut clean = String::with_capacity(text.len());
    let mut padding = 0;
    for byte in text.bytes() {
        let filled = clean.len() % 4;
        match byte {
            b'=' if filled >= 2 => {
                padding += 1;
                if filled + padding >= 4 {
                    return PLAIN.decode(clean).ok();
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'/' => {
                padding = 0;
                clean.push(match byte {
                    b'+' => '-',
                    b'/' => '_',
                    other => char::from(other),
                });
            }
            _ => {}
        }
    }
    if clean.len().is_multiple_of(4) {
        PLAIN.decode(clean).ok()
    } else {
        None
    }
}

/// As [`decode`], for text whose padding may be missing: it is filled up by the text's own length first.
pub(crate) fn decode_unpadded(text: &str) -> Option<Vec<u8>> {
    let missing = text.chars().count().wrapping_neg() % 4;
    decode(&format!("{text}{}", &"==="[..missing]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_is_as_lenient_as_pythons() {
        let cases: &[(&str, Option<&[u8]>)] = &[
            ("", Some(b"")),
            ("YQ==", Some(b"a")),
            ("YR==", Some(b"a")),
            ("Y=Q==", Some(b"a")),
            ("=YQ==", Some(b"a")),
            ("Y Q\n=!=", Some(b"a")),
            ("YQ==YQ==", Some(b"a")),
            ("YQ=x=YQ", Some(b"a\x0c")),
            ("YWI=", Some(b"ab")),
            ("YWJj", Some(b"abc")),
            ("-_+/", Some(b"\xfb\xff\xbf")),
            ("Y", None),
            ("YQ", None),
            ("YQ=", None),
            ("YWJjZ", None),
            ("é", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).as_deref(), *expected, "{text:?}");
        }
    }

    #[test]
    fn missing_padding_is_filled_by_the_length_as_written() {
        assert_eq!(decode_unpadded("YQ").as_deref(), Some(&b"a"[..]));
        assert_eq!(decode_unpadded("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(decode_unpadded("YWI").as_deref(), Some(&b"ab"[..]));
        assert_eq!(decode_unpadded("YW I"), None);
        assert_eq!(decode_unpadded("YWJjZ"), None);
    }
}
