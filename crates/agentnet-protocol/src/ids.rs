//! Identifiers as text (PROTOCOL.md section 3).
//!
//! The caller passes the time and the random bytes, so every function here is a table to test.

use ulid::Ulid;

use crate::hex;

/// The digits of a ULID in lower case.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The longest account id that a client may ask for, in characters (section 0, decision 5).
pub const MAX_ACCOUNT_ID_LENGTH: usize = 128;
/// The prefix of thread ids that the high-level SDK makes by default.
pub const SDK_THREAD_PREFIX: &str = "thread_sdk";
/// The prefix of thread ids that the command line's chat makes.
pub const CLI_THREAD_PREFIX: &str = "thread_cli";

/// A ULID in upper case: 26 characters from 48 bits of Unix time in milliseconds and 80 random bits.
#[must_use]
pub fn ulid(unix_millis: u64, random: [u8; 10]) -> String {
    let bits = random.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    Ulid::from_parts(unix_millis, bits).to_string()
}

/// `<prefix>_` and a lower-case ULID: the form of every generated id but the session tag. Thread ids use
/// [`SDK_THREAD_PREFIX`] or [`CLI_THREAD_PREFIX`].
#[must_use]
pub fn prefixed(prefix: &str, unix_millis: u64, random: [u8; 10]) -> String {
    format!("{prefix}_{}", ulid(unix_millis, random).to_ascii_lowercase())
}

/// A new account id: `acct_` and a lower-case ULID.
#[must_use]
pub fn account_id(unix_millis: u64, random: [u8; 10]) -> String {
    prefixed("acct", unix_millis, random)
}

/// The id of a message that a registry makes: `msg_` and a lower-case ULID.
#[must_use]
pub fn registry_message_id(unix_millis: u64, random: [u8; 10]) -> String {
    prefixed("msg", unix_millis, random)
}

/// A new session tag: the registry's server id, `_`, and an upper-case ULID.
#[must_use]
pub fn session_tag(server_id: &str, unix_millis: u64, random: [u8; 10]) -> String {
    format!("{server_id}_{}", ulid(unix_millis, random))
}

/// A message id: in form a version 4 UUID of 32 lower-case hexadecimal digits, the first 12 of which are the Unix time in
/// milliseconds. So ids of one time lie together in every index of a store, which then grows at its end instead of all over.
#[must_use]
pub fn message_id(unix_millis: u64, mut random: [u8; 16]) -> String {
    random[..6].copy_from_slice(&unix_millis.to_be_bytes()[2..]);
    uuid4_hex(random)
}

/// A nonce: a version 4 UUID as 32 lower-case hexadecimal digits.
#[must_use]
pub fn uuid4_hex(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    hex::encode(&random)
}

/// Whether a client may ask for this account id: 1 to 128 of `A-Z a-z 0-9 _ -` (section 0, decision 5).
#[must_use]
pub fn valid_account_id(id: &str) -> bool {
    (1..=MAX_ACCOUNT_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The name of an agent whose own names normalise to nothing: `agent_` and eight random characters (section 0, decision 5).
#[must_use]
pub fn generated_username(random: [u8; 5]) -> String {
    let bits = random.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    format!("agent_{}", random_text(bits, 8))
}

/// Another name for a taken one: its first 24 characters, `-`, and six random characters, without `-` at either end
/// (section 0, decision 5).
#[must_use]
pub fn with_conflict_suffix(name: &str, random: [u8; 4]) -> String {
    let stem: String = name.chars().take(24).collect();
    let bits = u64::from(u32::from_be_bytes(random));
    format!("{stem}-{}", random_text(bits, 6)).trim_matches('-').to_owned()
}

/// So many characters of five bits each, the lowest bits last.
fn random_text(bits: u64, length: u32) -> String {
    (0..length)
        .rev()
        .map(|place| char::from(DIGITS[usize::from((bits >> (5 * place)) as u8 & 31)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_carries_version_and_variant() {
        assert_eq!(uuid4_hex([0; 16]), "00000000000040008000000000000000");
        assert_eq!(uuid4_hex([0xff; 16]), "ffffffffffff4fffbfffffffffffffff");
    }

    #[test]
    fn message_ids_come_in_the_order_of_time() {
        let id = message_id(0x0196_1234_5678, [0xff; 16]);
        assert_eq!(id, "019612345678".to_owned() + "4fffbfffffffffffffff");
        assert!(id < message_id(0x0196_1234_5679, [0; 16]));
    }

    #[test]
    fn account_ids_are_checked() {
        for good in ["a", "acct_01khzkcw3v04hmasw9nf6yy093", "A-b_9", &"x".repeat(128)] {
            assert!(valid_account_id(good), "{good:?}");
        }
        for bad in ["", "a.b", "*", ">", "a b", "é", " a", "a\n", &"x".repeat(129)] {
            assert!(!valid_account_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn generated_names_use_every_random_bit() {
        assert_eq!(generated_username([0; 5]), "agent_00000000");
        assert_eq!(generated_username([0xff; 5]), "agent_zzzzzzzz");
        assert_eq!(generated_username([0x80, 0, 0, 0, 1]), "agent_g0000001");
        assert_eq!(with_conflict_suffix("alice", [0, 0, 0, 33]), "alice-000011");
        assert_eq!(
            with_conflict_suffix(&"x".repeat(32), [0xff; 4]),
            format!("{}-zzzzzz", "x".repeat(24))
        );
        assert_eq!(with_conflict_suffix("", [0; 4]), "000000");
    }
}
