//! A JSON value as its exact text.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{JsonError, Value, validate};
use crate::Text;

/// One JSON value, kept as the exact text that was received or written: integers of any size, number spelling and member
/// order survive. Cloning shares the buffer.
///
/// ```
/// use agentnet_protocol::RawJson;
/// let payload = RawJson::parse(r#"{"n": 123456789012345678901234567890, "b": 1.50}"#)?;
/// assert_eq!(payload.get(), r#"{"n": 123456789012345678901234567890, "b": 1.50}"#);
/// # Ok::<(), agentnet_protocol::json::JsonError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Text);

impl RawJson {
    /// Checks the text (section 4.1) and keeps it, without the white space around it.
    ///
    /// # Errors
    /// [`JsonError`] with the offset of the first fault.
    pub fn parse(text: impl Into<Text>) -> Result<Self, JsonError> {
        let text = text.into();
        let (start, end) = validate::document(text.as_bytes())?;
        Ok(if start == 0 && end == text.len() {
            Self(text)
        } else {
            Self(text.slice_ref(&text[start..end]))
        })
    }

    /// Text that has been checked before.
    pub(crate) fn validated(text: Text) -> Self {
        Self(text)
    }

    /// The JSON of any serialisable value.
    ///
    /// # Errors
    /// What `serde_json` says, for example of a map with keys that are not text.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// `null`.
    #[must_use]
    pub const fn null() -> Self {
        Self(Text::from_static("null"))
    }

    /// `{}`.
    #[must_use]
    pub const fn empty_object() -> Self {
        Self(Text::from_static("{}"))
    }

    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }

    /// The JSON text, sharing the buffer.
    #[must_use]
    pub fn into_text(self) -> Text {
        self.0
    }

    /// Whether the value is shallow enough to stand inside so many arrays and objects: a text that has more than
    /// [`MAX_DEPTH`](super::MAX_DEPTH) levels in all cannot be read (section 4.1).
    #[must_use]
    pub fn fits_inside(&self, levels: usize) -> bool {
        validate::fits_inside(&self.0, levels)
    }

    /// The levels of arrays and objects; 0 for a value that is neither.
    #[must_use]
    pub fn levels(&self) -> usize {
        let mut low = 0;
        let mut high = super::MAX_DEPTH;
        while low < high {
            let middle = low.midpoint(high);
            if self.fits_inside(super::MAX_DEPTH - middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// A view of the value, without parsing it again.
    #[must_use]
    pub fn view(&self) -> Value<'_> {
        Value::validated(&self.0)
    }

    /// Reads it into a Rust type by `serde_json`, which refuses `NaN`, infinities and more than 128 levels.
    ///
    /// # Errors
    /// What `serde_json` says of the text or of the type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl Default for RawJson {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<&serde_json::Value> for RawJson {
    fn from(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for RawJson {
    /// Puts the text in as it is (for `serde_json`).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Text::from(Box::<str>::from(raw))))
    }
}
