//! JSON as the wire needs it: exact text, Python's coercions, canonical form (PROTOCOL.md sections 1 and 4).
//!
//! A body is checked once and then looked at in place: [`Value`] is a view of validated text and copies nothing.
//! [`RawJson`] owns such a text and shares its buffer. What is accepted is what CPython's `json` accepts: besides RFC 8259
//! that is `NaN`, `Infinity`, `-Infinity`, numbers beyond the range of a double and escapes of lone surrogates.

mod byte_run;
mod escape;
mod number;
mod python_coercion;
mod python_scalar;
mod raw;
mod serialize;
mod sink;
mod text;
mod validate;
mod value;
mod walk;
mod write;

pub use number::float_text;
pub(crate) use python_coercion::integer_text;
pub use python_coercion::trim;
pub use raw::RawJson;
pub use serialize::{ascii, canonical, persisted, persisted_len, wire};
pub use validate::MAX_DEPTH;
pub use value::{Array, Kind, Object, Value};
pub use write::{ArrayWriter, ObjectWriter};

/// Why a text is not the JSON that the wire allows (section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("the body is not valid UTF-8")]
    Utf8,
    /// The text breaks the grammar at this byte.
    #[error("invalid JSON at byte {offset}: expected {expected}")]
    Syntax {
        /// Where, in bytes from the start.
        offset: usize,
        /// What would have been right there.
        expected: &'static str,
    },
    /// More than 990 levels of arrays and objects, which the Python implementation cannot read either.
    #[error("invalid JSON at byte {offset}: nested too deeply")]
    Depth {
        /// Byte offset of the bracket that opens one level too many.
        offset: usize,
    },
    /// An integer of more than 4300 digits, which the Python implementation cannot read either.
    #[error("invalid JSON at byte {offset}: an integer has more than 4300 digits")]
    IntegerTooLong {
        /// Byte offset of the integer's first character.
        offset: usize,
    },
    /// An infinite number where an integer is needed.
    #[error("a number is too large for an integer")]
    Overflow,
}

#[cfg(test)]
mod tests;
