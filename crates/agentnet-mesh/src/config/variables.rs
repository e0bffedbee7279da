//! Environment variables in the texts of a configuration: `${NAME}` and `${NAME:-default}`.
//!
//! The default is taken when the variable is not set or empty, and may contain variables itself. `$${` is a literal `${`.

use super::Environment;

/// Levels of defaults inside defaults.
const MAX_NESTED: usize = 8;

/// A text with its variables filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text; nothing stands where a variable is missing.
    pub(crate) text: String,
    /// Variables that are not set and have no default.
    pub(crate) missing: Vec<String>,
    /// All variables that the text names.
    pub(crate) names: Vec<String>,
}

/// Whether a text names variables.
pub(crate) fn are_in(text: &str) -> bool {
    text.contains("${")
}

/// Fills in the variables of a text.
///
/// # Errors
/// What is malformed, without any value.
pub(crate) fn expand(text: &str, environment: &Environment) -> Result<Expanded, String> {
    let mut expanded = Expanded::default();
    expand_into(text, environment, 0, &mut expanded)?;
    Ok(expanded)
}

fn expand_into(text: &str, environment: &Environment, depth: usize, out: &mut Expanded) -> Result<(), String> {
    if depth > MAX_NESTED {
        return Err(format!(
            "defaults of variables are nested deeper than {MAX_NESTED} levels"
        ));
    }
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.text.push_str(&rest[..start - 1]);
            out.text.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.text.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = closing_brace(inner).ok_or("`${` is not closed by `}`; write `$${` for a literal `${`")?;
        reference(&inner[..end], environment, depth, out)?;
        rest = &inner[end + 1..];
    }
    out.text.push_str(rest);
    Ok(())
}

/// The value of what stands between `${` and `}`.
fn reference(inner: &str, environment: &Environment, depth: usize, out: &mut Expanded) -> Result<(), String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(
            "`${` is followed by no name of a variable (letters, digits and `_`) with `}` or `:-`; write `$${` for a \
             literal `${`"
                .to_owned(),
        );
    }
    out.names.push(name.to_owned());
    match (environment(name), default) {
        (Some(value), None) => out.text.push_str(&value),
        (Some(value), Some(_)) if !value.is_empty() => out.text.push_str(&value),
        (_, Some(default)) => {
            let missing = out.missing.len();
            expand_into(default, environment, depth + 1, out)?;
            // `${A:-${B}}`: either would do.
            if out.missing.len() > missing {
                out.missing.insert(missing, name.to_owned());
            }
        }
        (None, None) => out.missing.push(name.to_owned()),
    }
    Ok(())
}

/// Where the `}` that belongs to an opened `${` stands.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether a text can name an environment variable.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 256
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Variables as messages name them: `A`, `A (or B)`.
pub(crate) fn shown(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [name, others @ ..] => format!("{name} (or {})", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn environment(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "BRACES" => Some("${SET}".to_owned()),
            _ => None,
        }
    }

    #[rstest]
    #[case("plain $5 {x}", "plain $5 {x}")]
    #[case("a${SET}b${SET}", "avaluebvalue")]
    #[case("${EMPTY}", "")]
    #[case("${EMPTY:-d}", "d")]
    #[case("${NONE:-}", "")]
    #[case("${NONE:-http://127.0.0.1:8080/v1}", "http://127.0.0.1:8080/v1")]
    #[case("${NONE:-${SET}}", "value")]
    #[case("${NONE:-a{b}c}", "a{b}c")]
    #[case("$${SET} $$ ${SET}", "${SET} $$ value")]
    #[case("${BRACES}", "${SET}")]
    fn variables_are_filled_in(#[case] text: &str, #[case] expanded: &str) {
        let found = expand(text, &environment).unwrap();
        assert_eq!((found.text.as_str(), found.missing.len()), (expanded, 0));
    }

    #[rstest]
    #[case("${NONE}", "NONE")]
    #[case("${NONE:-${OTHER}}", "NONE (or OTHER)")]
    #[case("${NONE:-${OTHER:-${THIRD}}}", "NONE (or OTHER, THIRD)")]
    fn missing_variables_are_named(#[case] text: &str, #[case] names: &str) {
        assert_eq!(shown(&expand(text, &environment).unwrap().missing), names);
    }

    #[rstest]
    #[case("${SET")]
    #[case("${}")]
    #[case("${1A}")]
    #[case("${A B}")]
    #[case("${SET-default}")]
    #[case("${NONE:-${}}")]
    fn malformed_references_are_refused(#[case] text: &str) {
        assert!(expand(text, &environment).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let text = format!("{}x{}", "${NONE:-".repeat(20), "}".repeat(20));
        assert!(expand(&text, &environment).is_err());
    }
}
