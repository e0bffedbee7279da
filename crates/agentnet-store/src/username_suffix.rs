//! Variants of a username that is taken (PROTOCOL.md section 3 with the decision of 0.5).

use rand::RngExt as _;

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many suffixes are tried.
pub(crate) const MAX_ATTEMPTS: u32 = 20;

/// A variant of a taken name: its first 24 characters, `-`, six random ones; from the eleventh attempt on 20 and ten, as
/// the Python implementation does. At most 31 characters, without `-` at either end.
pub(crate) fn with_suffix(name: &str, attempt: u32) -> String {
    let (keep, random) = if attempt < 10 { (24, 6) } else { (20, 10) };
    let mut rng = rand::rng();
    let mut variant: String = name.chars().take(keep).collect();
    variant.push('-');
    variant.extend((0..random).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])));
    variant.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_head_and_adds_random_characters() {
        let long = "a234567890123456789012345678901x";
        let variant = with_suffix(long, 0);
        let (head, tail) = variant.split_at(24);
        assert_eq!(head, &long[..24]);
        assert!(tail.starts_with('-') && tail.len() == 7, "{variant}");
        assert!(tail.bytes().skip(1).all(|b| BASE32.contains(&b)), "{variant}");
        assert_eq!(with_suffix(long, 10).len(), 31);
        assert!(with_suffix("--x", 0).starts_with("x-"));
        assert_ne!(with_suffix("bob", 0), with_suffix("bob", 0), "thirty random bits");
    }
}
