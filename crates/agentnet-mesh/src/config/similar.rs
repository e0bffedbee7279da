//! Names that a misspelled one may have meant.

/// Names that a message lists.
const MAX_LISTED: usize = 16;

/// The most similar of the names: the one with the smallest edit distance, at most a third of the length of `wanted`, or 1.
pub(crate) fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wanted.chars().count();
    let max_distance = (length / 3).max(1);
    names
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= max_distance)
        .map(|name| (strsim::osa_distance(wanted, name), name))
        .filter(|(distance, _)| (1..=max_distance).contains(distance))
        .min()
        .map(|(_, name)| name)
}

/// What a message says after an unknown name: ` (known: a, b); did you mean "a"?`.
pub(crate) fn hint<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut hint = format!(" ({})", known(&names));
    if let Some(name) = closest(wanted, names) {
        hint.push_str(&format!("; did you mean {name:?}?"));
    }
    hint
}

fn known(names: &[&str]) -> String {
    match names {
        [] => "none is known".to_owned(),
        names if names.len() > MAX_LISTED => format!("known: {}, …", names[..MAX_LISTED].join(", ")),
        names => format!("known: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("clade", Some("claude"))]
    #[case("locla", Some("local"))]
    #[case("claude", None)]
    #[case("zzz", None)]
    #[case("", None)]
    fn the_closest_name_is_found(#[case] wanted: &str, #[case] found: Option<&str>) {
        assert_eq!(closest(wanted, ["claude", "local"]), found);
    }

    #[test]
    fn hints_list_what_is_known() {
        assert_eq!(hint("x1", ["claude", "local"]), " (known: claude, local)");
        assert_eq!(hint("clade", ["claude"]), " (known: claude); did you mean \"claude\"?");
        assert_eq!(hint("clade", []), " (none is known)");
        assert_eq!(hint("zz", ["abcd"; 40]).matches("abcd").count(), MAX_LISTED);
    }
}
