//! Comparing a reply with what was recorded, member by member.

use serde_json::Value;

use crate::placeholder::Bindings;

/// The differences between a recorded reply and ours, one line each; none if they agree. Binds placeholders on the way.
pub(crate) fn differences(recorded: &Value, actual: &Value, bindings: &mut Bindings) -> Vec<String> {
    let mut found = Vec::new();
    compare("$", recorded, actual, bindings, &mut found);
    found
}

fn compare(path: &str, recorded: &Value, actual: &Value, bindings: &mut Bindings, found: &mut Vec<String>) {
    match (recorded, actual) {
        (Value::Object(expected), Value::Object(members)) => {
            for (name, value) in expected {
                match members.get(name) {
                    Some(actual) => compare(&format!("{path}.{name}"), value, actual, bindings, found),
                    None => found.push(format!("{path}.{name}: expected {value}, missing")),
                }
            }
            for (name, value) in members.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                found.push(format!("{path}.{name}: not expected, got {value}"));
            }
            if expected.len() == members.len() && !expected.keys().eq(members.keys()) {
                let names: Vec<&String> = members.keys().collect();
                found.push(format!("{path}: the members stand in another order: {names:?}"));
            }
        }
        (Value::Array(expected), Value::Array(items)) => {
            if expected.len() != items.len() {
                found.push(format!(
                    "{path}: expected {} items, got {}",
                    expected.len(),
                    items.len()
                ));
            }
            for (index, (expected, actual)) in expected.iter().zip(items).enumerate() {
                compare(&format!("{path}[{index}]"), expected, actual, bindings, found);
            }
        }
        (Value::String(template), actual) => {
            let same = bindings.matches(template, actual);
            found.extend((!same).then(|| format!("{path}: expected {recorded}, got {actual}")));
        }
        _ if recorded != actual => found.push(format!("{path}: expected {recorded}, got {actual}")),
        _ => {}
    }
}

/// Whether two replies have the same members of the same types, at every depth; arrays are not looked into.
pub(crate) fn same_shape(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same_shape(value, other)))
        }
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(recorded: Value, actual: Value) -> Vec<String> {
        differences(&recorded, &actual, &mut Bindings::new("registry"))
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let recorded = json!({"a": 1, "b": {"c": [1, "<timestamp>"]}, "n": null});
        let same = json!({"a": 1, "b": {"c": [1, "2026-02-21T08:00:00Z"]}, "n": null});
        assert_eq!(found(recorded.clone(), same), Vec::<String>::new());
        let time = "2026-02-21T08:00:00Z";
        for (other, path) in [
            (json!({"a": 1.0, "b": {"c": [1, time]}, "n": null}), "$.a:"),
            (json!({"a": "1", "b": {"c": [1, time]}, "n": null}), "$.a:"),
            (json!({"a": 1, "b": {"c": [2, time]}, "n": null}), "$.b.c[0]:"),
            (json!({"a": 1, "b": {"c": [1, "soon"]}, "n": null}), "$.b.c[1]:"),
            (json!({"a": 1, "b": {"c": [1]}, "n": null}), "$.b.c:"),
            (json!({"a": 1, "b": {"c": [1, time]}}), "$.n:"),
            (json!({"a": 1, "b": {"c": [1, time], "d": 0}, "n": null}), "$.b.d:"),
            (json!({"b": {"c": [1, time]}, "a": 1, "n": null}), "$:"),
            (json!([]), "$:"),
        ] {
            let found = found(recorded.clone(), other.clone());
            assert!(found.len() == 1 && found[0].starts_with(path), "{other}: {found:?}");
        }
    }

    #[test]
    fn shapes() {
        assert!(same_shape(
            &json!({"a": {"b": 1}, "c": []}),
            &json!({"a": {"b": 2.5}, "c": [1]})
        ));
        assert!(!same_shape(&json!({"a": {"b": 1}}), &json!({"a": {"b": "1"}})));
        assert!(!same_shape(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 1}})));
    }
}
