//! What a session signs besides its registrations and messages (an addition to the Python protocol, PROTOCOL.md section 13.6).

use std::fmt;

/// What a session signs beyond registrations and messages. The Python implementation signs neither of these, so a session
/// declares them when it registers; only unsigned receipts and presence of sessions that declared them count as forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SigningScope {
    /// Whether the session signs its receipts.
    pub receipts: bool,
    /// Whether the session signs its hellos and goodbyes.
    pub presence: bool,
}

impl SigningScope {
    /// The name of the claim and of the member that carry it.
    pub const MEMBER: &'static str = "signs";
    /// Receipts and presence are both signed.
    pub const ALL: Self = Self {
        receipts: true,
        presence: true,
    };

    /// Reads `receipts,presence`; unknown words are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lists = |wanted: &str| text.split(',').any(|word| word.trim() == wanted);
        Self {
            receipts: lists("receipts"),
            presence: lists("presence"),
        }
    }

    /// Whether nothing is signed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for SigningScope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match (self.receipts, self.presence) {
            (true, true) => "receipts,presence",
            (true, false) => "receipts",
            (false, true) => "presence",
            (false, false) => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for (text, signs) in [
            ("", SigningScope::default()),
            ("receipts,presence", SigningScope::ALL),
            (
                " presence , sleep",
                SigningScope {
                    receipts: false,
                    presence: true,
                },
            ),
            (
                "receipts",
                SigningScope {
                    receipts: true,
                    presence: false,
                },
            ),
        ] {
            assert_eq!(SigningScope::parse(text), signs, "{text}");
            assert_eq!(SigningScope::parse(&signs.to_string()), signs);
            assert_eq!(signs.is_none(), text.is_empty());
        }
    }
}
