//! What a session says it signs besides its messages (an addition of ours, PROTOCOL.md section 13.6).

use std::fmt;

/// What is signed beyond registrations and messages. The original signs neither, so whoever does says so when it registers,
/// and only its own unsigned receipts and presence count as forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Signs {
    /// Its receipts.
    pub receipts: bool,
    /// Its hellos and goodbyes.
    pub presence: bool,
}

impl Signs {
    /// The name of the claim and of the member that carry it.
    pub const MEMBER: &'static str = "signs";
    /// Everything.
    pub const ALL: Self = Self {
        receipts: true,
        presence: true,
    };

    /// Reads `receipts,presence`; unknown words are ignored.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let says = |wanted: &str| text.split(',').any(|word| word.trim() == wanted);
        Self {
            receipts: says("receipts"),
            presence: says("presence"),
        }
    }

    /// Whether nothing is signed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Signs {
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
    fn it_reads_back() {
        for (text, signs) in [
            ("", Signs::default()),
            ("receipts,presence", Signs::ALL),
            (
                " presence , sleep",
                Signs {
                    receipts: false,
                    presence: true,
                },
            ),
            (
                "receipts",
                Signs {
                    receipts: true,
                    presence: false,
                },
            ),
        ] {
            assert_eq!(Signs::read(text), signs, "{text}");
            assert_eq!(Signs::read(&signs.to_string()), signs);
            assert_eq!(signs.is_none(), text.is_empty());
        }
    }
}
