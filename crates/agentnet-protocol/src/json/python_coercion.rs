//! Python's coercions: truthiness, text, integer (PROTOCOL.md section 1).

use std::borrow::Cow;

use super::python_scalar::scalar_str;
use super::serialize::python_repr;
use super::validate::MAX_INTEGER_DIGITS;
use super::value::{Kind, Value};
use super::{JsonError, number};

/// The zero of every run of ten decimal digits in Unicode (category Nd).
#[rustfmt::skip]
const DECIMAL_ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0,
    0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50,
    0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950,
    0x1fbf0
];

/// Python's `str.strip()`: Unicode white space and the separators U+001C to U+001F.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

impl<'a> Value<'a> {
    /// Everything but null, false, zero and empty text, arrays and objects.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self.kind() {
            Kind::Null | Kind::Bool(false) => false,
            Kind::Bool(true) => true,
            Kind::Integer(text) => !matches!(text, "0" | "-0"),
            Kind::Float(text) => number::parse(text) != 0.0,
            Kind::String => self.raw().len() > 2,
            Kind::Array => self.as_array().is_some_and(|mut items| items.next().is_some()),
            Kind::Object => self.as_object().is_some_and(|object| !object.is_empty()),
        }
    }

    /// `S(x)`: the text of the value, empty if it is falsy.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        if let Some(text) = self.as_str() {
            return text;
        }
        if self.is_truthy() {
            self.python_text()
        } else {
            Cow::Borrowed("")
        }
    }

    /// `S?(x)`: the text of the value, absent if that is empty.
    #[must_use]
    pub fn opt_text(&self) -> Option<Cow<'a, str>> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// Python's `str(x)`, falsy values included (`None`, `0`, `False`).
    #[must_use]
    pub fn python_text(&self) -> Cow<'a, str> {
        scalar_str(self).unwrap_or_else(|| Cow::Owned(python_repr(self)))
    }

    /// `I(x)`: `None` where the default applies; values beyond `i128` saturate.
    ///
    /// # Errors
    /// [`JsonError::Overflow`] for an infinite number.
    pub fn int(&self) -> Result<Option<i128>, JsonError> {
        Ok(match self.kind() {
            Kind::Bool(flag) => Some(i128::from(flag)),
            Kind::Integer(text) => Some(saturating(text)),
            Kind::Float(text) => match number::parse(text) {
                value if value.is_infinite() => return Err(JsonError::Overflow),
                value if value.is_nan() => None,
                value => Some(value as i128),
            },
            Kind::String => self.as_str().and_then(|text| integer_text(&text)),
            Kind::Null | Kind::Array | Kind::Object => None,
        })
    }
}

fn saturating(digits: &str) -> i128 {
    digits
        .parse()
        .unwrap_or(if digits.starts_with('-') { i128::MIN } else { i128::MAX })
}

/// Python's `int(text)`, which gives up on more than 4300 digits.
pub(crate) fn integer_text(text: &str) -> Option<i128> {
    let text = trim(text);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let mut plain = String::from(sign);
    let mut after_digit = false;
    for c in digits.chars() {
        match decimal(c) {
            Some(digit) => {
                plain.push(char::from(b'0' + digit));
                after_digit = true;
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    (after_digit && plain.len() - sign.len() <= MAX_INTEGER_DIGITS).then(|| saturating(&plain))
}

fn decimal(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.to_digit(10).and_then(|digit| u8::try_from(digit).ok());
    }
    let code = u32::from(c);
    let index = DECIMAL_ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    u8::try_from(code - DECIMAL_ZEROS[index])
        .ok()
        .filter(|digit| *digit < 10)
}
