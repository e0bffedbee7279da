//! The username rule (PROTOCOL.md section 7.1).

use crate::json;

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

/// What a client sends for a username argument, and the key of its cache: trimmed, lower case, without leading `@`. The
/// registry normalises it (section 11.3).
#[must_use]
pub fn lookup_key(name: &str) -> String {
    json::trim(name).to_lowercase().trim_start_matches('@').to_owned()
}
