//! The member `mailbox` of an envelope (PROTOCOL.md section 21.1).

use crate::json::{Kind, Value, trim};

/// When a message that its sender leaves in a mailbox counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MailboxAck {
    /// The receiver has accepted it.
    #[default]
    Accepted,
    /// The receiver's handler has finished with it.
    Processed,
}

impl MailboxAck {
    /// Reads the member of an envelope: `true` or an object. Anything else asks for nothing.
    #[must_use]
    pub fn read(value: &Value<'_>) -> Option<Self> {
        match value.kind() {
            Kind::Object => {
                let object = value.as_object()?;
                let ack = object.get("ack").text();
                Some(if trim(&ack).eq_ignore_ascii_case(Self::Processed.as_str()) {
                    Self::Processed
                } else {
                    Self::Accepted
                })
            }
            _ => (value.raw() == "true").then_some(Self::Accepted),
        }
    }

    /// The value of the member, as JSON.
    #[must_use]
    pub fn wire_text(self) -> &'static str {
        match self {
            Self::Accepted => "true",
            Self::Processed => r#"{"ack":"processed"}"#,
        }
    }

    /// The name of the receipt that it means.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Processed => "processed",
        }
    }
}
