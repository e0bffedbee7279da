//! Fresh ids: where randomness and the clock meet the rules of the protocol.

use std::time::SystemTime;

use agentnet_protocol::{Text, Timestamp, ids};

/// Now, by this host's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// A fresh message id of this time: 32 hexadecimal digits (PROTOCOL.md section 3).
pub(crate) fn message_id(now: Timestamp) -> Text {
    Text::from(ids::message_id(now.as_unix_millis(), rand::random()))
}

/// A fresh nonce: 32 hexadecimal digits, all random.
pub(crate) fn nonce() -> String {
    ids::uuid4_hex(rand::random())
}

/// A short random token for subjects.
pub(crate) fn token() -> String {
    ids::ulid(now().as_unix_millis(), rand::random())
}
