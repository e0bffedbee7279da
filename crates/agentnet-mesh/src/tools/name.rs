//! Names of tools as models see them: at most 64 characters of `[a-zA-Z0-9_-]`, which all providers accept.

use std::collections::{HashMap, HashSet};

/// Length of a name, as the providers limit it.
pub(super) const MAX_LEN: usize = 64;
/// Hexadecimal digits of the hash that makes a name unique.
const HASH_LEN: usize = 8;

/// The names of tools for models, in the order of their names in the configuration, which are distinct.
///
/// `network.ask` becomes `network_ask`, `mcp.files.read_file` becomes `mcp__files__read_file`. A name that is too long, or that
/// two tools would share, ends with a hash of the name in the configuration: it does not depend on the order of the tools, and it
/// is the same after a restart.
pub(super) fn model_names(config_names: &[&str]) -> Vec<String> {
    let plain: Vec<String> = config_names.iter().map(|name| model_name(name)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in &plain {
        *counts.entry(name).or_default() += 1;
    }
    let is_unique = |name: &str| counts.get(name) == Some(&1);
    let mut taken: HashSet<String> = plain.iter().filter(|name| is_unique(name)).cloned().collect();
    let mut names = Vec::with_capacity(plain.len());
    for (name, config_name) in plain.iter().zip(config_names) {
        if is_unique(name) {
            names.push(name.clone());
            continue;
        }
        let mut hashed = with_hash(name, config_name);
        let mut salt = 0_u32;
        while !taken.insert(hashed.clone()) {
            salt += 1;
            hashed = with_hash(name, &format!("{config_name}#{salt}"));
        }
        names.push(hashed);
    }
    names
}

/// The name of a tool that no other tool shares.
pub(super) fn model_name(config_name: &str) -> String {
    let spelled = match config_name.strip_prefix("mcp.").and_then(|rest| rest.split_once('.')) {
        Some((server, tool)) => format!("mcp__{server}__{tool}"),
        None => config_name.to_owned(),
    };
    let safe: String = spelled
        .chars()
        .map(|character| if is_allowed(character) { character } else { '_' })
        .collect();
    if safe.is_empty() || safe.len() > MAX_LEN {
        return with_hash(&safe, config_name);
    }
    safe
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

fn with_hash(safe: &str, hashed: &str) -> String {
    let kept = safe.len().min(MAX_LEN - HASH_LEN - 1);
    format!("{}_{:08x}", &safe[..kept], fnv1a(hashed))
}

/// The FNV-1a hash, 32 bits.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("network.ask", "network_ask")]
    #[case("mcp.files.read_file", "mcp__files__read_file")]
    #[case("mcp.files", "mcp_files")]
    #[case("disk", "disk")]
    #[case("größe", "gr__e")]
    #[case("a b/c", "a_b_c")]
    fn a_name_is_spelled_for_models(#[case] config_name: &str, #[case] expected: &str) {
        assert_eq!(model_name(config_name), expected);
    }

    #[test]
    fn names_that_would_clash_get_a_hash_whatever_their_order() {
        let names = model_names(&["a.b", "a_b", "c"]);
        assert_ne!(names[0], names[1]);
        assert_eq!(names[2], "c");
        assert!(
            names[0].starts_with("a_b_") && names[1].starts_with("a_b_"),
            "{names:?}"
        );
        let reversed = model_names(&["c", "a_b", "a.b"]);
        assert_eq!(reversed, [names[2].clone(), names[1].clone(), names[0].clone()]);
    }

    #[test]
    fn any_names_become_distinct_and_safe() {
        let mut random = StdRng::seed_from_u64(5);
        for _ in 0..500 {
            let mut config_names: Vec<String> = (0..random.random_range(1..12))
                .map(|_| {
                    let alphabet = ['.', '_', 'a', 'é', '/', ' ', '-'];
                    let length = if random.random_bool(0.2) {
                        150
                    } else {
                        random.random_range(0..4)
                    };
                    (0..length)
                        .map(|_| alphabet[random.random_range(0..alphabet.len())])
                        .collect()
                })
                .collect();
            config_names.sort();
            config_names.dedup();
            let borrowed: Vec<&str> = config_names.iter().map(String::as_str).collect();
            let names = model_names(&borrowed);
            let distinct: HashSet<&String> = names.iter().collect();
            assert_eq!(distinct.len(), config_names.len(), "{config_names:?} {names:?}");
            for name in &names {
                assert!((1..=MAX_LEN).contains(&name.len()), "{name}");
                assert!(name.chars().all(is_allowed), "{name}");
            }
        }
    }
}
