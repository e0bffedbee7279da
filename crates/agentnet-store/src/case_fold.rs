//! Case folding for search, the same on every backend: both sides are folded here, never by the database.

/// Lower-cases each character by itself, so that a part of a text folds to a part of the folded text. (`str::to_lowercase`
/// writes a sigma at the end of a word differently, which would hide `ΟΔΟΣ` from a search in `ΟΔΟΣΗΜΟ`.)
pub fn fold_case(text: &str) -> String {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c == 'ς' { 'σ' } else { c })
        .collect()
}

/// The distinct folded forms of an account's capabilities, sorted.
pub(crate) fn folded_set(capabilities: &[String]) -> Vec<String> {
    let mut folded: Vec<String> = capabilities.iter().map(|capability| fold_case(capability)).collect();
    folded.sort_unstable();
    folded.dedup();
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_folds_to_a_part() {
        for (text, part) in [
            ("ÄRGER", "ärg"),
            ("ΟΔΟΣΗΜΟ", "ΟΔΟΣ"),
            ("οδός", "ΔΌΣ"),
            ("\u{212a}elvin", "KEL"),
            ("İx", "i\u{307}X"),
        ] {
            assert!(fold_case(text).contains(&fold_case(part)), "{part} in {text}");
        }
        assert!(
            !fold_case("straße").contains(&fold_case("STRASSE")),
            "no full case folding: one character stays one"
        );
    }

    #[test]
    fn capabilities_that_differ_in_case_are_one() {
        let set = folded_set(&["Sum".into(), "add".into(), "SUM".into()]);
        assert_eq!(set, ["add", "sum"]);
    }
}
