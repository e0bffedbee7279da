//! Values as PostgreSQL holds them: times to the microsecond, and texts, in which it knows no NUL.

use std::borrow::Cow;

use agentnet_protocol::Timestamp;
use sqlx::decode::Decode;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Postgres, Type};

/// `timestamptz` counts microseconds from 2000-01-01 (its type numbers never change).
const EPOCH: i64 = 946_684_800_000_000;
const TIMESTAMPTZ: Oid = Oid(1184);
const TIMESTAMPTZ_ARRAY: Oid = Oid(1185);

/// A `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_ARRAY)
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode(self.0.as_micros() - EPOCH, buffer)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("a time came as text".into());
        }
        // The two infinite times of PostgreSQL become the first and the last time.
        let micros: i64 = Decode::<Postgres>::decode(value)?;
        let micros = micros.saturating_add(EPOCH);
        Ok(Self(
            Timestamp::from_micros(micros).clamp(Timestamp::MIN, Timestamp::MAX),
        ))
    }
}

/// Stands before what it replaces: a noncharacter, which no text should hold.
const ESCAPE: char = '\u{fdd0}';
/// Stands for NUL, after [`ESCAPE`].
const NUL: char = '0';

/// The text as it is stored: NUL is written U+FDD0 `0`, and U+FDD0 itself twice.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => out.extend([ESCAPE, NUL]),
            ESCAPE => out.extend([ESCAPE, ESCAPE]),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The text that was stored. An escape that [`stored`] cannot have written is left as it is.
pub(super) fn read(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            (ESCAPE, Some(&NUL)) => {
                characters.next();
                out.push('\0');
            }
            (ESCAPE, Some(&ESCAPE)) => {
                characters.next();
                out.push(ESCAPE);
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in [
            "",
            "plain",
            "\0",
            "a\0b\0",
            "\u{fdd0}",
            "\u{fdd0}0",
            "\0\u{fdd0}\u{fdd0}0",
            "日本\0語",
        ] {
            let kept = stored(text);
            assert!(!kept.contains('\0'), "{text:?}");
            assert_eq!(read(kept.into_owned()), text);
        }
        assert!(matches!(stored("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_foreign_escape_is_left_alone() {
        for text in ["\u{fdd0}", "\u{fdd0}x", "a\u{fdd0}"] {
            assert_eq!(read(text.to_owned()), text);
        }
    }
}
