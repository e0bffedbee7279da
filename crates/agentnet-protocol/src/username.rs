//! The username rule (PROTOCOL.md section 7.1).

use crate::json;
use crate::limits::MAX_NAME_BYTES;

/// The longest username, in characters.
pub const MAX_LENGTH: usize = 32;

const EDGES: [char; 3] = ['.', '_', '-'];

/// The form of a name that accounts are known by: trimmed, lower case, each run of characters outside `a-z 0-9 . _ -` one
/// `_`, no `.`, `_`, `-` at the ends, at most [`MAX_LENGTH`] characters. Empty means that the name cannot be used.
///
/// ```
/// assert_eq!(agentnet_protocol::username::normalise(" Alice! "), "alice");
/// assert_eq!(agentnet_protocol::username::normalise("日本語"), "");
/// ```
#[must_use]
pub fn normalise(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    let mut replaced = false;
    for c in json::trim(name).to_lowercase().chars() {
        let plain = c.is_ascii_lowercase() || c.is_ascii_digit() || EDGES.contains(&c);
        if plain {
            clean.push(c);
        } else if !replaced {
            clean.push('_');
        }
        replaced = !plain;
    }
    let inner = clean.trim_matches(EDGES);
    // Only ASCII is left, so bytes are characters.
    inner
        .get(..MAX_LENGTH)
        .unwrap_or(inner)
        .trim_end_matches(EDGES)
        .to_owned()
}

/// Why our clients refuse a username: the account would be another than the name says (section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableName {
    /// Nothing of it would remain.
    #[error("the username {name:?} cannot be used: nothing of it would remain, for usernames consist of a-z 0-9 . _ -")]
    Nothing {
        /// As it was given.
        name: String,
    },
    /// Letters or digits outside ASCII would be lost, or become others: the Kelvin sign is a `k` in lower case.
    #[error(
        "the username {name:?} cannot be used: letters and digits outside ASCII are lost or changed, and it would become \
         \"{becomes}\"; usernames consist of a-z 0-9 . _ -"
    )]
    Lossy {
        /// As it was given.
        name: String,
        /// What a registry would make of it.
        becomes: String,
    },
    /// It is longer than a registry takes.
    #[error(
        "the username has {size} bytes; at most {MAX_NAME_BYTES} are allowed, and {MAX_LENGTH} characters are kept"
    )]
    TooLong {
        /// Length of the username in bytes.
        size: usize,
    },
}

/// The form that accounts are known by, of a name that keeps its letters and digits in it. White space and punctuation fold
/// as ever; a leading `@` may stand.
///
/// # Errors
/// [`UnusableName`].
///
/// ```
/// use agentnet_protocol::username::usable;
/// assert_eq!(usable("@Alice B!").as_deref(), Ok("alice_b"));
/// assert!(usable("José").is_err() && usable("日本").is_err());
/// ```
pub fn usable(name: &str) -> Result<String, UnusableName> {
    if name.len() > MAX_NAME_BYTES {
        return Err(UnusableName::TooLong { size: name.len() });
    }
    let becomes = normalise(name);
    let name = || json::trim(name).to_owned();
    if becomes.is_empty() {
        return Err(UnusableName::Nothing { name: name() });
    }
    if name().chars().any(is_lost_letter) {
        return Err(UnusableName::Lossy { name: name(), becomes });
    }
    Ok(becomes)
}

/// Whether a character, before it becomes lower case, is a letter or digit outside ASCII, or a mark that makes another letter of
/// the one before it.
fn is_lost_letter(c: char) -> bool {
    let combines = matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}');
    combines || (!c.is_ascii() && c.is_alphanumeric())
}

/// What a client sends for a username argument, and the key of its cache: trimmed, lower case, without leading `@`. The
/// registry normalises it (section 11.3).
#[must_use]
pub fn lookup_key(name: &str) -> String {
    json::trim(name).to_lowercase().trim_start_matches('@').to_owned()
}
