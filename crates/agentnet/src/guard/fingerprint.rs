//! Fingerprints of texts that other clients choose: a keyed hash of 128 bits instead of the text, so that a table of them has
//! entries of one size. A client without the key, which is random for each table, cannot search for two texts of one hash.

use siphasher::sip128::SipHasher13;

/// Makes fingerprints for one table.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprints(SipHasher13);

impl Default for Fingerprints {
    fn default() -> Self {
        Self(SipHasher13::new_with_key(&rand::random()))
    }
}

impl Fingerprints {
    /// The fingerprint of a text.
    pub(crate) fn of(&self, text: &str) -> u128 {
        self.0.hash(text.as_bytes()).as_u128()
    }
}
