//! The paging token of history replies (PROTOCOL.md section 6.1).

use crate::json::{self, ObjectWriter, Value};
use crate::{Timestamp, python_base64};

/// The last row of a page: the next page holds what is older, or as old with a smaller message id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When that row's message was sent.
    pub sent_at: Timestamp,
    /// Its id; never empty.
    pub message_id: String,
}

/// A text that is no cursor of ours; answered with the error `cursor_invalid` (section 0, decision 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor cannot be read; pass the next_cursor of the previous page unchanged, or none for the first page")]
pub struct CursorError;

impl CursorError {
    /// The wire text of the error.
    pub const CODE: &'static str = "cursor_invalid";
}

impl Cursor {
    /// The token: padded base64url of the compact JSON with both members.
    #[must_use]
    pub fn encode(&self) -> String {
        encode_text(&self.sent_at.to_string(), &self.message_id)
    }

    /// Reads a token; a blank one means the first page.
    ///
    /// # Errors
    /// [`CursorError`] for anything that does not hold a time and a message id.
    pub fn decode(text: &str) -> Result<Option<Self>, CursorError> {
        let text = json::trim(text);
        if text.is_empty() {
            return Ok(None);
        }
        read(text).map(Some).ok_or(CursorError)
    }
}

/// The token for a time that is given as text.
#[must_use]
pub fn encode_text(sent_at: &str, message_id: &str) -> String {
    let json = ObjectWriter::new()
        .text("message_id", message_id)
        .text("sent_at", sent_at)
        .finish();
    python_base64::encode_padded(json.as_bytes())
}

fn read(text: &str) -> Option<Cursor> {
    let json = String::from_utf8(python_base64::decode(text)?).ok()?;
    let object = Value::parse(&json).ok()?.as_object()?;
    let sent_at = Timestamp::parse(&object.get("sent_at").text())?;
    let message_id = object.get("message_id").text();
    let message_id = json::trim(&message_id);
    (!message_id.is_empty()).then(|| Cursor {
        sent_at,
        message_id: message_id.to_owned(),
    })
}
